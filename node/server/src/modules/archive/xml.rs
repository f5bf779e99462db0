//! Results of an archive query, on bytes: a stored stanza is wrapped, not taken apart.
//!
//! Source: XEP-0313 v1.1.3 §4.2 (results), §4.2.2 (`<fin/>`), §5 (metadata); XEP-0297, XEP-0359.

use bytes::Bytes;
use storage::repository::LogEntry;
use xmpp::{
    BareJid, Element, Stanza,
    element::escape_attr_into,
    ns,
    payload::{delay, forward, rsm::PageReply, sid},
};

use super::scan::PageOf;

/// `<message><result/></message>` for one session. The stanza carries the archive's id and nobody else's in its name.
pub fn result(entry: &LogEntry, archive: &BareJid, to: &str, queryid: Option<&str>) -> Bytes {
    let number = entry.number.to_string();
    let own_id = sid::stanza_id_element(&number, archive).to_bytes(ns::CLIENT);
    let stanza = match Stanza::parse(entry.stanza.clone()) {
        Ok(stanza) => stanza.spliced(|child| sid::claims_to_be_by(child, archive), &own_id),
        // It was a stanza when it was written.
        Err(_) => entry.stanza.clone(),
    };
    let mut out = Vec::with_capacity(stanza.len() + 512);
    let attr = |out: &mut Vec<u8>, before: &[u8], value: &str| {
        out.extend_from_slice(before);
        escape_attr_into(out, value);
    };
    attr(&mut out, b"<message from='", archive.as_str());
    attr(&mut out, b"' to='", to);
    attr(&mut out, b"'><result xmlns='urn:xmpp:mam:2' id='", &number);
    if let Some(queryid) = queryid {
        attr(&mut out, b"' queryid='", queryid);
    }
    out.extend_from_slice(b"'>");
    let delay = delay::delay_element(None, i64::try_from(entry.time_ms).unwrap_or(i64::MAX));
    forward::forwarded(Some(&delay), &stanza, &mut out);
    out.extend_from_slice(b"</result></message>");
    out.into()
}

/// `<fin/>`. First and last are those of the page in order of time, flipped or not. A log is dense and strongly read:
/// what it answers is stable, which is what a missing `stable` means.
pub fn fin_element(page: &PageOf) -> Element {
    let id = |entry: Option<&LogEntry>| entry.map(|entry| entry.number.to_string());
    let set = PageReply {
        first: id(page.entries.first()),
        // All there is begins with the first.
        index: (page.complete
            && page
                .count
                .is_some_and(|count| count as usize == page.entries.len()))
        .then_some(0),
        last: id(page.entries.last()),
        count: page.count,
    };
    Element::new("fin", ns::MAM)
        .with_attr_opt("complete", page.complete.then_some("true"))
        .with_child(set.to_element())
}

/// `<metadata/>`.
pub fn metadata_element(ends: Option<(LogEntry, LogEntry)>) -> Element {
    let end = |name: &'static str, entry: LogEntry| {
        Element::new(name, ns::MAM)
            .with_attr("id", entry.number.to_string())
            .with_attr(
                "timestamp",
                delay::stamp(i64::try_from(entry.time_ms).unwrap_or(i64::MAX)),
            )
    };
    let children = ends.map(|(first, last)| [end("start", first), end("end", last)]);
    Element::new("metadata", ns::MAM).with_children(children.into_iter().flatten())
}
