//! Differential tests: the same documents to this crate, to `rxml` (strict, made for XMPP) and to `quick-xml` (lenient).
//!
//! Generated documents, well-formed and mutated. With `rxml` we agree on what is accepted and on the tree. Where
//! `quick-xml` and we both accept, the trees are the same; what it refuses, we refuse.
//!
//! Intended differences:
//! - A bare `\r` is a line end (XML 1.0 §2.11) here and in `quick-xml`; `rxml` loses it or takes offence at what follows.
//! - U+FEFF may stand in a name (`NameStartChar` has U+FDF0 to U+FFFD); `rxml` refuses it.
//! - No attribute twice (XML 1.0 §3.1) goes for `xmlns` too; `rxml` lets it pass.
//! - A namespace name with a reference, a line end or more than 512 bytes is refused here (`fragment/namespaces.rs`).
//! - Limits: depth 256, names of 65,535 bytes, against token limits of `rxml`; the documents stay below both.
//! - The XML declaration belongs to the stream header here; an element alone must not have one.

mod common;

use common::{Rng, document, mutate};
use quick_xml::{XmlVersion, events::Event as QuickEvent};
use rxml::{Event, Parse};
use xmpp::{Element, codec::ParseError, element::Child};

/// A tree in the simplest form: what all three can be turned into.
#[derive(Debug, PartialEq, Eq)]
enum Tree {
    Start {
        ns: String,
        name: String,
        attrs: Vec<(String, String, String)>,
    },
    Text(String),
    End,
}

fn push_text(tree: &mut Vec<Tree>, text: &str) {
    match tree.last_mut() {
        _ if text.is_empty() => {}
        Some(Tree::Text(last)) => last.push_str(text),
        _ => tree.push(Tree::Text(text.to_owned())),
    }
}

fn ours(document: &[u8]) -> Result<Vec<Tree>, ParseError> {
    fn walk(element: &Element, tree: &mut Vec<Tree>) {
        let declared = |prefix: &str| {
            element
                .attr(&format!("xmlns:{prefix}"))
                .unwrap_or("http://www.w3.org/XML/1998/namespace")
                .to_owned()
        };
        let attrs = element
            .attrs()
            .filter(|(name, _)| !name.starts_with("xmlns:"));
        let attrs = attrs.map(|(name, value)| match name.split_once(':') {
            Some((prefix, local)) => (declared(prefix), local.to_owned(), value.to_owned()),
            None => (String::new(), name.to_owned(), value.to_owned()),
        });
        let mut attrs: Vec<_> = attrs.collect();
        attrs.sort();
        tree.push(Tree::Start {
            ns: element.ns().into(),
            name: element.name().into(),
            attrs,
        });
        for child in element.nodes() {
            match child {
                Child::Element(element) => walk(element, tree),
                Child::Text(text) => push_text(tree, text),
            }
        }
        tree.push(Tree::End);
    }
    let mut tree = Vec::new();
    walk(&Element::parse(document, "")?, &mut tree);
    Ok(tree)
}

fn rxml(document: &[u8]) -> Result<Vec<Tree>, rxml::Error> {
    let mut parser = rxml::Parser::default();
    let mut tree = Vec::new();
    let mut input = document;
    let mut open = 0;
    loop {
        match parser.parse(&mut input, true) {
            Ok(Some(Event::StartElement(_, (ns, name), attrs))) => {
                let mut attrs: Vec<_> = attrs
                    .iter()
                    .map(|((ns, name), value)| {
                        (ns.as_str().to_owned(), name.to_string(), value.clone())
                    })
                    .collect();
                attrs.sort();
                tree.push(Tree::Start {
                    ns: ns.as_str().into(),
                    name: name.to_string(),
                    attrs,
                });
                open += 1;
            }
            Ok(Some(Event::EndElement(_))) => {
                tree.push(Tree::End);
                open -= 1;
            }
            Ok(Some(Event::Text(_, text))) => push_text(&mut tree, &text),
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(None) if open == 0 => return Ok(tree),
            Ok(None) => return Err(rxml::Error::InvalidEof(None)),
            Err(rxml::error::EndOrError::Error(error)) => return Err(error),
            Err(rxml::error::EndOrError::NeedMoreData) => {
                return Err(rxml::Error::InvalidEof(None));
            }
        }
    }
}

/// `None`: refused, or beyond what `quick-xml` checks.
fn quick(document: &str) -> Option<Vec<Tree>> {
    use quick_xml::name::ResolveResult;
    let mut reader = quick_xml::NsReader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut tree = Vec::new();
    let resolved = |result: ResolveResult<'_>| match result {
        ResolveResult::Bound(namespace) => Some(namespace.0.to_owned()),
        ResolveResult::Unbound => Some(String::new()),
        ResolveResult::Unknown(_) => None,
    };
    let mut open = 0;
    loop {
        match reader.read_event().ok()? {
            QuickEvent::Start(start) => {
                let mut attrs = Vec::new();
                for attr in start.attributes() {
                    let attr = attr.ok()?;
                    if attr.key.as_namespace_binding().is_some() {
                        continue;
                    }
                    let (ns, local) = reader.resolver().resolve_attribute(attr.key);
                    let value = attr.normalized_value(XmlVersion::Explicit1_0).ok()?;
                    attrs.push((
                        resolved(ns)?,
                        local.into_inner().to_owned(),
                        value.into_owned(),
                    ));
                }
                attrs.sort();
                let (ns, local) = reader.resolver().resolve_element(start.name());
                tree.push(Tree::Start {
                    ns: resolved(ns)?,
                    name: local.into_inner().to_owned(),
                    attrs,
                });
                open += 1;
            }
            QuickEvent::End(_) => {
                tree.push(Tree::End);
                open -= 1;
            }
            QuickEvent::Text(text) if open == 0 && text.trim_ascii().is_empty() => {}
            QuickEvent::Text(text) => push_text(&mut tree, &text.xml10_content()),
            QuickEvent::CData(text) => push_text(&mut tree, &text.xml10_content()),
            QuickEvent::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(c) => push_text(&mut tree, &c.to_string()),
                None => push_text(
                    &mut tree,
                    quick_xml::escape::resolve_predefined_entity(&reference)?,
                ),
            },
            QuickEvent::Eof => return (open == 0).then_some(tree),
            _ => return None,
        }
    }
}

/// Whether a namespace is declared with a reference or a line end in its name.
fn has_odd_declaration(document: &[u8]) -> bool {
    let is_odd = |value: &[u8]| {
        let quote = value.iter().position(|byte| matches!(byte, b'\'' | b'"'));
        let inside = quote.map_or(&[][..], |at| &value[at + 1..]);
        let end = quote
            .and_then(|at| inside.iter().position(|byte| *byte == value[at]))
            .unwrap_or(inside.len());
        inside[..end]
            .iter()
            .any(|&byte| byte == b'&' || byte < 0x20)
    };
    document
        .windows(5)
        .enumerate()
        .any(|(at, window)| window == b"xmlns" && is_odd(&document[at..]))
}

/// Whether the document has what `rxml` reads otherwise than the specification.
fn is_beyond_rxml(document: &[u8]) -> bool {
    document
        .windows(3)
        .any(|window| window == "\u{FEFF}".as_bytes())
        || document
            .iter()
            .enumerate()
            .any(|(at, &byte)| byte == b'\r' && document.get(at + 1) != Some(&b'\n'))
}

fn declares_default_twice(document: &[u8]) -> bool {
    let declarations = |tag: &[u8]| {
        tag.windows(6)
            .filter(|window| window.starts_with(b"xmlns") && window[5] != b':')
            .count()
    };
    document
        .split(|&byte| byte == b'<')
        .any(|tag| declarations(tag) > 1)
}

fn compare(document: &[u8]) {
    let shown = || String::from_utf8_lossy(document).into_owned();
    let ours = ours(document);
    if matches!(ours, Err(ParseError::Restricted)) && has_odd_declaration(document) {
        return;
    }
    if !is_beyond_rxml(document) {
        match (&ours, rxml(document)) {
            (Ok(ours), Ok(theirs)) => assert_eq!(*ours, theirs, "{}", shown()),
            (Err(_), Err(_)) => {}
            (Err(_), Ok(_)) if declares_default_twice(document) => {}
            (ours, theirs) => panic!("{}\nours: {ours:?}\nrxml: {theirs:?}", shown()),
        }
    }
    if let Ok(text) = std::str::from_utf8(document) {
        match (&ours, quick(text)) {
            (Ok(ours), Some(theirs)) => assert_eq!(*ours, theirs, "{}", shown()),
            (Ok(ours), None) => panic!("{}\nours: {ours:?}\nquick-xml refuses", shown()),
            (Err(_), _) => {}
        }
    }
}

#[test]
fn well_formed_documents_have_the_same_tree_everywhere() {
    let mut rng = Rng::new(1);
    for _ in 0..4_000 {
        let document = document(&mut rng);
        assert!(
            ours(&document).is_ok(),
            "{}: {:?}",
            String::from_utf8_lossy(&document),
            ours(&document)
        );
        compare(&document);
    }
}

#[test]
fn mutated_documents_are_accepted_or_refused_alike() {
    let mut rng = Rng::new(2);
    let mut accepted = 0;
    const ROUNDS: usize = 40_000;
    for _ in 0..ROUNDS {
        let mut document = document(&mut rng);
        for _ in 0..=rng.below(2) {
            mutate(&mut rng, &mut document);
        }
        // The XML declaration and what is outside the root are the stream's business, not the element's.
        if document.starts_with(b"<") && !document.starts_with(b"<?") {
            accepted += usize::from(ours(&document).is_ok());
            compare(&document);
        }
    }
    assert!(
        (ROUNDS / 20..ROUNDS / 2).contains(&accepted),
        "the mutations teach nothing: {accepted} accepted"
    );
}
