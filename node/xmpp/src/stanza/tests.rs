//! Stanzas: what is one, what edits and replies come to.

use super::*;
use crate::{StanzaErrorCondition, element::Child};

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn stanza(raw: &str) -> Stanza {
    Stanza::parse(Bytes::copy_from_slice(raw.as_bytes()))
        .unwrap_or_else(|error| panic!("{raw}: {error}"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The tape after an edit must be that of the edited bytes.
fn assert_consistent(stanza: &Stanza) {
    let again = Stanza::parse(stanza.raw().clone()).unwrap();
    assert_eq!(stanza.to_element(), again.to_element());
    assert_eq!(
        (stanza.kind(), stanza.to(), stanza.from()),
        (again.kind(), again.to(), again.from())
    );
    let raw = |stanza: &Stanza| {
        stanza
            .root()
            .children()
            .map(|child| child.raw().to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(raw(stanza), raw(&again));
}

#[test]
fn stanzas_of_every_stream_become_client_stanzas() {
    let check = |raw: &'static str, default_ns, expected: Option<&str>| {
        let stanza = Stanza::new(Fragment::parse(raw.into(), default_ns).unwrap());
        assert_eq!(
            stanza.as_ref().ok().map(|stanza| text(stanza.raw())),
            expected,
            "{raw}"
        );
        if let Ok(stanza) = stanza {
            assert_eq!(stanza.root().ns(), ns::CLIENT);
            assert!(
                stanza
                    .root()
                    .children()
                    .all(|child| child.ns() == ns::CLIENT || child.ns() == "x"),
                "{raw}"
            );
            assert_consistent(&stanza);
        }
    };
    for default_ns in [ns::CLIENT, ns::SERVER, "jabber:component:accept"] {
        check("<message/>", default_ns, Some("<message/>"));
        check(
            "<presence><a/></presence>",
            default_ns,
            Some("<presence><a/></presence>"),
        );
        check(
            "<iq id='1'><a xmlns='x'/></iq>",
            default_ns,
            Some("<iq id='1'><a xmlns='x'/></iq>"),
        );
        check("<message xmlns='x'/>", default_ns, None);
        check("<msg/>", default_ns, None);
        check("<r xmlns='urn:xmpp:sm:3'/>", default_ns, None);
    }
    check(
        "<message xmlns='jabber:client'><body/></message>",
        ns::CLIENT,
        Some("<message><body/></message>"),
    );
    check(
        "<message to='a' xmlns='jabber:server' id='1'/>",
        ns::SERVER,
        Some("<message to='a' id='1'/>"),
    );
    check(
        "<s:iq xmlns:s='jabber:server' id='1'><s:a/></s:iq>",
        ns::SERVER,
        Some("<iq id='1'><a/></iq>"),
    );
    check(
        "<c:iq xmlns:c='jabber:client' xmlns='x' id='1'><a/></c:iq>",
        ns::CLIENT,
        Some("<iq id='1'><a xmlns='x'/></iq>"),
    );
    check("<message xmlns='jabber:client'/>", ns::SERVER, None);
    check("<message/>", "", None);
}

#[test]
fn malformed_addresses_are_told_apart() {
    let check = |raw: &'static str| {
        let refused = Stanza::new(Fragment::parse(raw.into(), ns::CLIENT).unwrap());
        assert!(
            matches!(refused, Err(NotAStanza::Address(fragment, _)) if fragment.raw() == raw),
            "{raw}"
        );
        assert_eq!(
            Stanza::parse(raw.into()).map(drop),
            Err(ParseError::BadFormat)
        );
    };
    check("<message to='@b'/>");
    check("<message to=''/>");
    check("<message from='a@b/' to='c'/>");
}

#[test]
fn routing_attributes_are_read() {
    let stanza = stanza(
        "<iq to='Romeo@Example.NET/orchard' from='juliet@example.com' id='a&amp;b' type='get'/>",
    );
    assert_eq!(stanza.kind(), Kind::Iq);
    assert_eq!(stanza.to(), Some(&jid("romeo@example.net/orchard")));
    assert_eq!(stanza.from(), Some(&jid("juliet@example.com")));
    assert_eq!(
        (stanza.id().as_deref(), stanza.type_attr().as_deref()),
        (Some("a&b"), Some("get"))
    );
}

#[test]
fn a_language_is_stamped_like_an_address() {
    let check = |raw: &str, from: Option<&str>, expected: &str| {
        let edited = stanza(raw).stamped(from.map(jid).as_ref(), None, Some("de"));
        assert_eq!(text(edited.raw()), expected);
        assert_eq!(edited.root().attr("xml:lang").as_deref(), Some("de"));
        assert_consistent(&edited);
        let again = edited.stamped(Some(&jid("q@r")), Some(&jid("z")), Some("zh-Hant"));
        assert_eq!(again.root().attr("xml:lang").as_deref(), Some("zh-Hant"));
        assert_consistent(&again);
    };
    check("<message/>", None, "<message xml:lang='de'/>");
    check(
        "<message to='x'><body xml:lang='fr'>a</body></message>",
        Some("a@b/c"),
        "<message to='x' from='a@b/c' xml:lang='de'><body xml:lang='fr'>a</body></message>",
    );
    check(
        "<message xml:lang = \"en\" to='x'/>",
        None,
        "<message xml:lang = 'de' to='x'/>",
    );
    check(
        "<message xmlns:lang='urn:x' lang:lang='y'/>",
        None,
        "<message xmlns:lang='urn:x' lang:lang='y' xml:lang='de'/>",
    );
}

#[test]
fn readdressing_changes_the_start_tag_only() {
    let check = |raw: &str, from: Option<&str>, to: Option<&str>, expected: &str| {
        let (from, to) = (from.map(jid), to.map(jid));
        let original = stanza(raw);
        let edited = original.readdressed(from.as_ref(), to.as_ref());
        assert_eq!(text(edited.raw()), expected);
        assert_eq!(edited.from(), from.as_ref().or(original.from()));
        assert_eq!(edited.to(), to.as_ref().or(original.to()));
        assert_consistent(&edited);
        // Once more, from a tape that was shifted: which must be as good as a new one.
        let again = edited.readdressed(to.as_ref(), Some(&jid("z")));
        assert_consistent(&again);
        assert_eq!(again.root().attr("to").as_deref(), Some("z"));
    };
    let a = Some("a@b/c");
    check("<message/>", None, None, "<message/>");
    check("<message/>", a, None, "<message from='a@b/c'/>");
    check("<message/>", a, Some("d"), "<message from='a@b/c' to='d'/>");
    check(
        "<message to='x'/>",
        a,
        None,
        "<message to='x' from='a@b/c'/>",
    );
    check(
        "<message to='x'/>",
        a,
        Some("d"),
        "<message to='d' from='a@b/c'/>",
    );
    check(
        "<message id='1' from='y' type='chat' to='x' >t</message>",
        a,
        Some("d"),
        "<message id='1' from='a@b/c' type='chat' to='d' >t</message>",
    );
    check(
        "<message to='x' from='y'/>",
        a,
        Some("d"),
        "<message to='d' from='a@b/c'/>",
    );
    check(
        "<message\n from = \"y\"\n to='x'>t</message >",
        a,
        None,
        "<message\n from = 'a@b/c'\n to='x'>t</message >",
    );
    check(
        "<iq id='1' to='x'><q xmlns='n' a='1'><r b='2'/></q></iq>",
        a,
        None,
        "<iq id='1' to='x' from='a@b/c'><q xmlns='n' a='1'><r b='2'/></q></iq>",
    );
    check(
        "<iq to='x' xmlns:p='n' id='1'>t<p:q p:a='1'>u<r/></p:q>v</iq>",
        a,
        Some("d"),
        "<iq to='d' xmlns:p='n' id='1' from='a@b/c'>t<p:q p:a='1'>u<r/></p:q>v</iq>",
    );
    check(
        "<iq xmlns:p='n' p:from='1' p:to='2'/>",
        a,
        Some("d"),
        "<iq xmlns:p='n' p:from='1' p:to='2' from='a@b/c' to='d'/>",
    );
    check(
        "<iq/>",
        Some("a@b/'<&>\""),
        None,
        "<iq from='a@b/&apos;&lt;&amp;&gt;&quot;'/>",
    );
}

#[test]
fn splicing_strips_and_appends() {
    let check = |raw: &str, strip: &str, children: &str, expected: &str| {
        let original = stanza(raw);
        let spliced = original.spliced(|child| child.name() == strip, children.as_bytes());
        assert_eq!(text(&spliced), expected);
        let mut tree = original.to_element();
        tree.retain_children(|child| child.name() != strip);
        for child in Element::parse(format!("<m>{children}</m>").as_bytes(), ns::CLIENT)
            .unwrap()
            .into_children()
        {
            tree.push(child);
        }
        let spliced = Element::parse(&spliced, ns::CLIENT).unwrap();
        assert_eq!(spliced.text(), tree.text());
        assert!(spliced.children().eq(tree.children()));
        assert!(spliced.attrs().eq(tree.attrs()));
    };
    check("<message/>", "", "", "<message/>");
    check("<message/>", "", "<a/>", "<message><a/></message>");
    check(
        "<message />",
        "",
        "<a/><b xmlns='x'/>",
        "<message ><a/><b xmlns='x'/></message>",
    );
    check("<message></message>", "", "<a/>", "<message><a/></message>");
    check("<message><a/></message>", "a", "", "<message></message>");
    check(
        "<message to='x'>t<a><b/></a>u<b/><a/></message>",
        "a",
        "<c/>",
        "<message to='x'>tu<b/><c/></message>",
    );
    check(
        "<message><a/><b/></message >",
        "b",
        "<c/>",
        "<message><a/><c/></message >",
    );
    let unchanged = stanza("<message><a/></message>");
    assert_eq!(
        unchanged.spliced(|_| false, b"").as_ptr(),
        unchanged.raw().as_ptr()
    );
}

#[test]
fn error_replies_follow_rfc_6120() {
    let check = |raw: &str, expected: Option<&str>| {
        let reply = stanza(raw).error_reply(&StanzaErrorCondition::ServiceUnavailable.into());
        assert_eq!(
            reply
                .map(|reply| String::from_utf8(reply.to_bytes(ns::CLIENT)).unwrap())
                .as_deref(),
            expected,
            "{raw}"
        );
    };
    let error = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    check(
        "<message from='a@b/c' to='d' id='1' type='chat'><body/></message>",
        Some(&format!(
            "<message type='error' id='1' from='d' to='a@b/c'>{error}</message>"
        )),
    );
    check(
        "<message/>",
        Some(&format!("<message type='error'>{error}</message>")),
    );
    check(
        "<presence from='a@b/c'/>",
        Some(&format!(
            "<presence type='error' to='a@b/c'>{error}</presence>"
        )),
    );
    check(
        "<iq id='x&quot;y' type='get' to='d'/>",
        Some(&format!(
            "<iq type='error' id='x&quot;y' from='d'>{error}</iq>"
        )),
    );
    check(
        "<iq id='1' type='set'/>",
        Some(&format!("<iq type='error' id='1'>{error}</iq>")),
    );
    check("<iq id='1' type='result'/>", None);
    check("<iq id='1' type='error'/>", None);
    check("<message type='error'/>", None);
    check("<presence type='error'/>", None);
}

#[test]
fn result_replies_swap_addresses() {
    let iq = stanza("<iq id='1' type='get' from='a@b/c' to='d'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(
        iq.result_reply(None).to_bytes(ns::CLIENT),
        b"<iq type='result' id='1' from='d' to='a@b/c'/>"
    );
    let reply = iq.result_reply(Some(Element::new("query", ns::DISCO_INFO)));
    assert!(
        matches!(reply.nodes(), [Child::Element(payload)] if payload.is("query", ns::DISCO_INFO))
    );
    assert_eq!(Stanza::from_element(&reply).to(), Some(&jid("a@b/c")));
}

#[test]
fn logs_show_no_content() {
    let shown = format!(
        "{:?}",
        stanza("<message to='a' id='secret'><body>secret</body></message>")
    );
    assert_eq!(
        shown,
        "Stanza { kind: Message, from: None, to: Some(\"a\"), .. }"
    );
}
