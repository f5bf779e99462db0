//! Properties that hold for any input: no panics, cuts do not matter, what is written reads back.

use proptest::prelude::*;
use xmpp::{
    Element, Fragment,
    codec::{Decoder, Limits, ParseError, StreamEvent},
    element::{Child, escape_attr_into, escape_into},
    ns,
};

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const LIMITS: Limits = Limits {
    stanza_bytes: 300,
    depth: 5,
    attributes: 5,
};

/// What a stream comes to; an element by its bytes.
fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<ParseError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut seen = Vec::new();
    for mut chunk in chunks {
        loop {
            match decoder.next(&mut chunk) {
                Ok(Some(StreamEvent::Open(header))) => {
                    seen.push(format!("{header:?}").into_bytes())
                }
                Ok(Some(StreamEvent::Element(fragment))) => seen.push(fragment.raw().to_vec()),
                Ok(Some(StreamEvent::Close)) => seen.push(b"close".to_vec()),
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
            }
            assert!(decoder.buffered() == 0);
        }
        assert!(decoder.buffered() <= LIMITS.stanza_bytes);
    }
    (seen, None)
}

/// Bytes that are often nearly XML.
fn xmlish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(&b"<a>"[..]),
        Just(&b"</a>"[..]),
        Just(&b"<b/>"[..]),
        Just(&b"<a b='c'>"[..]),
        Just(&b"text"[..]),
        Just(&b"&amp;"[..]),
        Just(&b"&#x41;"[..]),
        Just(&b"<![CDATA["[..]),
        Just(&b"]]>"[..]),
        Just(&b" "[..]),
        Just(&b"<stream:x/>"[..]),
        Just(&b"'"[..]),
        Just(&b"</stream:stream>"[..]),
        Just(&b"<"[..]),
        Just(&b">"[..]),
        Just("é".as_bytes()),
        Just(&b"\xC3"[..]),
        Just(&b"xmlns='d'"[..]),
    ];
    let pieces = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat());
    prop_oneof![pieces, prop::collection::vec(any::<u8>(), 0..200)]
}

/// Characters that XML can carry.
fn text() -> impl Strategy<Value = String> {
    let c = prop_oneof![
        Just('<'),
        Just('&'),
        Just('\''),
        Just('"'),
        Just('>'),
        Just(']'),
        Just('\r'),
        Just('\n'),
        Just('\t'),
        any::<char>()
    ];
    let c = c.prop_filter(
        "XML 1.0 §2.2",
        |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..),
    );
    prop::collection::vec(c, 1..12).prop_map(|chars| chars.into_iter().collect())
}

fn element() -> impl Strategy<Value = Element> {
    let name = prop_oneof![Just("a"), Just("b-1"), Just("é"), Just("_")];
    let namespace = prop_oneof![
        Just(ns::CLIENT),
        Just(ns::STREAM),
        Just(""),
        Just("urn:x"),
        Just("it's > that")
    ];
    let attrs = prop::collection::vec(
        (prop_oneof![Just("x"), Just("y"), Just("xml:lang")], text()),
        0..3,
    );
    let leaf = (name, namespace, attrs).prop_map(|(name, namespace, attrs)| {
        attrs
            .into_iter()
            .fold(Element::new(name, namespace), |element, (name, value)| {
                element.with_attr(name, value)
            })
    });
    leaf.prop_recursive(4, 24, 4, |inner| {
        let child = prop_oneof![
            inner.clone().prop_map(Child::Element),
            text().prop_map(Child::Text)
        ];
        (inner, prop::collection::vec(child, 0..4)).prop_map(|(mut element, children)| {
            for child in children {
                match child {
                    Child::Element(child) => element.push(child),
                    Child::Text(text) => element.push_text(text),
                }
            }
            element
        })
    })
}

proptest! {
    #[test]
    fn cuts_do_not_matter(input in xmlish(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), after_header in any::<bool>()) {
        let input = if after_header { [HEADER, &input].concat() } else { input };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).chain([0, input.len()]).collect();
        cuts.sort_unstable();
        let chunks = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]);
        prop_assert_eq!(decode(chunks), decode([&input[..]]));
        prop_assert_eq!(decode(input.chunks(1)), decode([&input[..]]));
    }

    #[test]
    fn what_is_accepted_reads_back(input in xmlish()) {
        if let Ok(fragment) = Fragment::parse(input.into(), ns::CLIENT) {
            let element = fragment.to_element();
            prop_assert_eq!(Element::parse(&element.to_bytes(ns::CLIENT), ns::CLIENT), Ok(element));
        }
    }

    #[test]
    fn elements_read_back(element in element(), parent in prop_oneof![Just(ns::CLIENT), Just("urn:x"), Just("")]) {
        let bytes = element.to_bytes(parent);
        prop_assert_eq!(Element::parse(&bytes, parent), Ok(element.clone()));
        let fragment = Fragment::parse(bytes.into(), parent).unwrap();
        prop_assert_eq!(fragment.to_element(), element);
    }

    #[test]
    fn any_string_can_be_written(text in any::<String>()) {
        let mut raw = b"<a b='".to_vec();
        escape_attr_into(&mut raw, &text);
        raw.extend_from_slice(b"'>");
        escape_into(&mut raw, &text);
        raw.extend_from_slice(b"</a>");
        let element = Element::parse(&raw, "").unwrap();
        prop_assert_eq!(element.attr("b").map(str::to_owned), Some(element.text()));
        prop_assert_eq!(element.text().chars().count(), text.chars().count());
    }
}
