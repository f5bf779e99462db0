//! Forwarded stanzas, on bytes: carbons and archive results embed what is stored without parsing it.
//!
//! Source: XEP-0297 §3. The forwarded stanza must keep its namespace (business rule 3), so `xmlns='jabber:client'` is
//! written into its start tag; the delay comes first, as in the XEP's examples.

use crate::{Element, fragment::chars::skip_space, ns};

/// Appends `<forwarded/>` with the delay and the stanza, whose bytes are complete and in `jabber:client`
/// ([`crate::Stanza::raw`]).
pub fn forwarded(delay: Option<&Element>, stanza_raw: &[u8], out: &mut Vec<u8>) {
    out.reserve(stanza_raw.len() + 160);
    out.extend_from_slice(b"<forwarded xmlns='urn:xmpp:forward:0'>");
    if let Some(delay) = delay {
        delay.write_to(out, ns::FORWARD);
    }
    with_namespace(stanza_raw, out);
    out.extend_from_slice(b"</forwarded>");
}

/// Appends the stanza with `xmlns='jabber:client'` in its start tag, unless it stands there: for whatever embeds it in
/// another namespace, and for WebSocket frames (RFC 7395 §3.3.3).
pub fn with_namespace(stanza_raw: &[u8], out: &mut Vec<u8>) {
    let name_end = stanza_raw
        .iter()
        .position(|byte| b" \t\r\n/>".contains(byte))
        .unwrap_or(stanza_raw.len());
    let (name, rest) = stanza_raw.split_at(name_end);
    out.extend_from_slice(name);
    if !declares_default(rest) {
        out.extend_from_slice(b" xmlns='jabber:client'");
    }
    out.extend_from_slice(rest);
}

/// Whether a checked start tag, from the end of its name on, declares the default namespace.
fn declares_default(tag: &[u8]) -> bool {
    let mut at = skip_space(tag, 0);
    while let Some(&byte) = tag.get(at) {
        if matches!(byte, b'>' | b'/') {
            return false;
        }
        let Some(equals) = memchr::memchr(b'=', &tag[at..]) else {
            return false;
        };
        if tag[at..at + equals].trim_ascii_end() == b"xmlns" {
            return true;
        }
        let quote = skip_space(tag, at + equals + 1);
        let Some(length) = tag
            .get(quote)
            .and_then(|&byte| memchr::memchr(byte, &tag[quote + 1..]))
        else {
            return false;
        };
        at = skip_space(tag, quote + length + 2);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::delay::delay_element;

    #[test]
    fn namespace_is_written_once() {
        let check = |raw: &str, expected: &str| {
            let mut out = Vec::new();
            with_namespace(raw.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("<message/>", "<message xmlns='jabber:client'/>");
        check(
            "<message><a/></message>",
            "<message xmlns='jabber:client'><a/></message>",
        );
        check("<iq\n id='1'/>", "<iq xmlns='jabber:client'\n id='1'/>");
        check("<iq xmlns='jabber:client'/>", "<iq xmlns='jabber:client'/>");
        check(
            "<iq id='>' xmlns = \"jabber:client\" />",
            "<iq id='>' xmlns = \"jabber:client\" />",
        );
        check(
            "<iq id=' xmlns='/>",
            "<iq xmlns='jabber:client' id=' xmlns='/>",
        );
        check(
            "<iq xmlns:a='b' a:xmlns='c'/>",
            "<iq xmlns='jabber:client' xmlns:a='b' a:xmlns='c'/>",
        );
        check(
            "<iq><query xmlns='x'/></iq>",
            "<iq xmlns='jabber:client'><query xmlns='x'/></iq>",
        );
    }

    #[test]
    fn forwarded_keeps_the_stanza_and_its_namespace() {
        let raw = "<message to='a@b'><body>hi</body><x xmlns='y'/></message>";
        let mut out = Vec::new();
        forwarded(Some(&delay_element(None, 0)), raw.as_bytes(), &mut out);
        let element = Element::parse(&out, ns::CLIENT).unwrap();
        assert!(element.is("forwarded", ns::FORWARD));
        let children: Vec<_> = element.children().collect();
        assert!(children[0].is("delay", ns::DELAY));
        assert_eq!(
            *children[1],
            Element::parse(raw.as_bytes(), ns::CLIENT).unwrap()
        );
    }
}
