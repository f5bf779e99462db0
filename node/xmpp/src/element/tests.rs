//! Elements: what is written, and that it reads back.

use super::*;

#[test]
fn namespaces_are_written_where_they_change() {
    let check = |element: Element, expected: &str| {
        let bytes = element.to_bytes(ns::CLIENT);
        assert_eq!(std::str::from_utf8(&bytes), Ok(expected));
        assert_eq!(Element::parse(&bytes, ns::CLIENT), Ok(element));
    };
    let new = |name: &'static str, ns: &'static str| Element::new(name, ns);
    check(new("a", ns::CLIENT), "<a/>");
    check(new("a", ns::PING), "<a xmlns='urn:xmpp:ping'/>");
    check(new("a", "it's > \u{e9}"), "<a xmlns=\"it's > \u{e9}\"/>");
    check(new("a", "say \"x\""), "<a xmlns='say \"x\"'/>");
    check(new("a", ""), "<a xmlns=''/>");
    check(
        new("a", ns::CLIENT).with_child(
            new("b", "x")
                .with_child(new("c", "x"))
                .with_child(new("d", ns::CLIENT)),
        ),
        "<a><b xmlns='x'><c/><d xmlns='jabber:client'/></b></a>",
    );
    check(
        new("features", ns::STREAM).with_child(new("bind", ns::BIND)),
        "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    );
    check(
        new("error", ns::STREAM).with_child(new("a", ns::CLIENT)),
        "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><a/></stream:error>",
    );
    check(
        new("a", ns::XML).with_child(new("b", ns::CLIENT)),
        "<xml:a><b/></xml:a>",
    );
}

#[test]
fn text_and_values_are_escaped() {
    let check = |text: &str, in_text: &str, in_value: &str| {
        let element = Element::new("a", ns::CLIENT)
            .with_attr("b", text)
            .with_text(text);
        let bytes = element.to_bytes(ns::CLIENT);
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            format!("<a b='{in_value}'>{in_text}</a>")
        );
        assert_eq!(Element::parse(&bytes, ns::CLIENT), Ok(element));
    };
    check(
        "<&>\"'",
        "&lt;&amp;&gt;&quot;&apos;",
        "&lt;&amp;&gt;&quot;&apos;",
    );
    check("]]>", "]]&gt;", "]]&gt;");
    check("a\r\n\tb", "a&#13;\n\tb", "a&#13;&#10;&#9;b");
    check(
        "\u{1F98A}é\u{FFFD}",
        "\u{1F98A}é\u{FFFD}",
        "\u{1F98A}é\u{FFFD}",
    );
}

#[test]
fn what_xml_cannot_carry_is_replaced() {
    let check = |text: &str, expected: &str| {
        let bytes = Element::new("a", ns::CLIENT)
            .with_text(text)
            .to_bytes(ns::CLIENT);
        assert_eq!(
            Element::parse(&bytes, ns::CLIENT).map(|element| element.text()),
            Ok(expected.to_owned())
        );
    };
    check("a\0b\u{1B}", "a\u{FFFD}b\u{FFFD}");
    check(
        "\u{FFFE}\u{FFFF}\u{FFFD}\u{F000}",
        "\u{FFFD}\u{FFFD}\u{FFFD}\u{F000}",
    );
    check("\u{7F}\u{85}", "\u{7F}\u{85}");
}

#[test]
fn attributes_are_set_replaced_and_removed() {
    let mut element = Element::new("a", "")
        .with_attr("b", "1")
        .with_attr("c", "2")
        .with_attr("b", "3")
        .with_attr_opt("d", None::<String>);
    assert_eq!(
        element.attrs().collect::<Vec<_>>(),
        [("b", "3"), ("c", "2")]
    );
    element.remove_attr("b");
    assert_eq!(
        (element.attr("b"), element.attr("c"), element.attr("d")),
        (None, Some("2"), None)
    );
}

#[test]
fn children_and_text_are_found() {
    let mut element = Element::parse(b"<a>one<b>1</b>two<c xmlns='x'/><b>2</b></a>", "ns").unwrap();
    assert_eq!(element.text(), "onetwo");
    assert_eq!(element.child_text("b").as_deref(), Some("1"));
    assert_eq!(element.child_text("c"), None);
    assert!(element.child("c", "x").is_some());
    assert_eq!(element.nodes().len(), 5);
    element.retain_children(|child| child.name() != "b");
    assert_eq!(element.to_bytes("ns"), b"<a>onetwo<c xmlns='x'/></a>");
    assert_eq!(element.into_children().count(), 1);
    assert_eq!(
        Element::new("a", "")
            .with_text("x")
            .with_text("")
            .with_text("y")
            .nodes(),
        [Child::Text("xy".into())]
    );
    assert!(Element::new("a", "").with_text("").nodes().is_empty());
}
