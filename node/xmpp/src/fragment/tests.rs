//! Fragments: what the accessors answer.

use std::borrow::Cow;

use super::*;
use crate::ns;

fn parse(raw: &'static str) -> Fragment {
    Fragment::parse(raw.into(), ns::CLIENT).unwrap_or_else(|error| panic!("{raw}: {error}"))
}

#[test]
fn text_is_joined_and_resolved() {
    let check =
        |raw: &'static str, expected: &str| assert_eq!(parse(raw).root().text(), expected, "{raw}");
    check("<a/>", "");
    check("<a></a>", "");
    check("<a>b</a>", "b");
    check("<a>1 &lt; 2 &amp;&amp; 3 &gt; 2</a>", "1 < 2 && 3 > 2");
    check("<a>&#65;&#x1F98A;&#13;</a>", "A\u{1F98A}\r");
    check("<a>one<b>two</b>three<c/>four</a>", "onethreefour");
    check("<a><b>two</b></a>", "");
    check("<a>\r\n\r\t</a>", "\n\n\t");
    check("<a>x<![CDATA[<b>&c;\r\n]]]]>y</a>", "x<b>&c;\n]]y");
    check("<a><![CDATA[]]></a>", "");
    check(
        "<a><![CDATA[<b/>]]><b/><![CDATA[]]&gt;]]></a>",
        "<b/>]]&gt;",
    );
}

#[test]
fn attributes_are_resolved_and_normalised() {
    let check = |raw: &'static str, name: &str, expected: Option<&str>| {
        assert_eq!(parse(raw).root().attr(name).as_deref(), expected, "{raw}")
    };
    check("<a b='c'/>", "b", Some("c"));
    check("<a b=''/>", "b", Some(""));
    check("<a b='c'/>", "c", None);
    check("<a b = \"it's\"/>", "b", Some("it's"));
    check("<a b='&lt;&#10;&quot;'/>", "b", Some("<\n\""));
    check("<a b='1\t2\n3\r\n4\r5'/>", "b", Some("1 2 3 4 5"));
    check("<a xml:lang='en'/>", "xml:lang", Some("en"));
    check("<a xml:lang='en'/>", "lang", None);
    check("<a xmlns:x='y' x:b='c'/>", "b", None);
    check("<a xmlns:x='y' x:b='c'/>", "x:b", None);
    check("<a xmlns:x='y' x:b='c' b='d'/>", "b", Some("d"));
}

#[test]
fn attributes_without_references_are_borrowed() {
    let fragment = parse("<a b='c' d='&amp;'>text<e>&amp;</e></a>");
    assert!(matches!(
        fragment.root().attr("b"),
        Some(Cow::Borrowed("c"))
    ));
    assert!(matches!(fragment.root().attr("d"), Some(Cow::Owned(_))));
    assert!(matches!(fragment.root().text(), Cow::Borrowed("text")));
}

#[test]
fn namespaces_are_resolved() {
    let check = |raw: &'static str, expected: &[(&str, &str)]| {
        let fragment = parse(raw);
        let mut seen = Vec::new();
        fn walk<'a>(node: Node<'a>, seen: &mut Vec<(&'a str, &'a str)>) {
            seen.push((node.name(), node.ns()));
            node.children().for_each(|child| walk(child, seen));
        }
        walk(fragment.root(), &mut seen);
        assert_eq!(seen, expected, "{raw}");
    };
    check("<a/>", &[("a", ns::CLIENT)]);
    check("<a xmlns='x'><b/></a>", &[("a", "x"), ("b", "x")]);
    check(
        "<a><b xmlns='x'><c/></b><d/></a>",
        &[("a", ns::CLIENT), ("b", "x"), ("c", "x"), ("d", ns::CLIENT)],
    );
    check(
        "<a xmlns='x'><b xmlns=''><c xmlns='y'/><d/></b></a>",
        &[("a", "x"), ("b", ""), ("c", "y"), ("d", "")],
    );
    check(
        "<p:a xmlns:p='x'><b/><p:c xmlns:p='y'><p:d/></p:c><p:e/></p:a>",
        &[
            ("a", "x"),
            ("b", ns::CLIENT),
            ("c", "y"),
            ("d", "y"),
            ("e", "x"),
        ],
    );
    check(
        "<p:a p:b='1' xmlns:p='x' xmlns='y'><c/></p:a>",
        &[("a", "x"), ("c", "y")],
    );
    check("<xml:a/>", &[("a", ns::XML)]);
    check(
        "<a><b xmlns='x'/><c/></a>",
        &[("a", ns::CLIENT), ("b", "x"), ("c", ns::CLIENT)],
    );
}

#[test]
fn children_and_raw_bytes() {
    let fragment = parse("<a x='1'>t<b><c/></b>u<d y='2'/><e></e></a>");
    let raw: Vec<_> = fragment
        .root()
        .children()
        .map(|child| std::str::from_utf8(child.raw()).unwrap())
        .collect();
    assert_eq!(raw, ["<b><c/></b>", "<d y='2'/>", "<e></e>"]);
    assert_eq!(fragment.root().raw(), fragment.raw());
    let c = fragment
        .root()
        .child("b", ns::CLIENT)
        .and_then(|b| b.child("c", ns::CLIENT))
        .unwrap();
    assert_eq!((c.raw(), c.children().count()), (&b"<c/>"[..], 0));
    assert!(fragment.root().child("b", ns::SERVER).is_none());
}

#[test]
fn prefixed_attributes_keep_their_namespace_in_a_tree() {
    let fragment =
        parse("<a xmlns:p='outer'><b><c xmlns:q='inner' p:x='1' q:y='2' xml:lang='en'/></b></a>");
    let b = fragment.root().child("b", ns::CLIENT).unwrap().to_element();
    let c = b.child("c", ns::CLIENT).unwrap();
    let attrs: Vec<_> = c.attrs().collect();
    assert_eq!(
        attrs,
        [
            ("xmlns:p", "outer"),
            ("p:x", "1"),
            ("xmlns:q", "inner"),
            ("q:y", "2"),
            ("xml:lang", "en")
        ]
    );
    assert_eq!(
        Element::parse(&b.to_bytes(ns::CLIENT), ns::CLIENT).as_ref(),
        Ok(&b)
    );
}

#[test]
fn exactly_one_element_is_a_fragment() {
    let check = |raw: &'static str, expected: Result<&str, ParseError>| {
        let fragment = Fragment::parse(raw.into(), ns::CLIENT);
        assert_eq!(
            fragment
                .as_ref()
                .map(|fragment| &fragment.raw()[..])
                .map_err(|error| *error),
            expected.map(str::as_bytes),
            "{raw}"
        );
    };
    check("<a/>", Ok("<a/>"));
    check(" \n<a/>\t", Ok("<a/>"));
    for wrong in [
        "", " ", "<a/><b/>", "<a>", "<a", "<", "text", "<a/>text", "</a>",
    ] {
        check(wrong, Err(ParseError::NotWellFormed));
    }
    check("<?xml version='1.0'?><a/>", Err(ParseError::Restricted));
    check("<p:a/>", Err(ParseError::BadNamespacePrefix));
    let deep = "<a>".repeat(257) + &"</a>".repeat(257);
    assert_eq!(
        Fragment::parse(deep.into(), ns::CLIENT).map(drop),
        Err(ParseError::TooBig)
    );
    let limits = Limits {
        stanza_bytes: 4,
        ..Limits::TRUSTED
    };
    assert!(Fragment::parse_within("<a/>".into(), ns::CLIENT, &limits).is_ok());
    assert_eq!(
        Fragment::parse_within("<ab/>".into(), ns::CLIENT, &limits).map(drop),
        Err(ParseError::TooBig)
    );
}
