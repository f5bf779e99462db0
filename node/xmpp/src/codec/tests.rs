//! The decoder: every refusal with its condition, whole and byte by byte; what a stream is made of; what is kept.

mod stream;

use super::*;
use crate::ns;

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a stream comes to, for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Open(StreamHeader),
    Element(String),
    Close,
    Error(ParseError),
}

fn limits() -> Limits {
    Limits {
        stanza_bytes: 400,
        depth: 4,
        attributes: 4,
    }
}

fn feed(decoder: &mut Decoder, mut input: &[u8], seen: &mut Vec<Seen>) {
    loop {
        seen.push(match decoder.next(&mut input) {
            Ok(Some(StreamEvent::Open(header))) => Seen::Open(header),
            Ok(Some(StreamEvent::Element(fragment))) => {
                Seen::Element(String::from_utf8(fragment.raw().to_vec()).unwrap())
            }
            Ok(Some(StreamEvent::Close)) => Seen::Close,
            Ok(None) => return assert!(input.is_empty()),
            Err(error) => return seen.push(Seen::Error(error)),
        });
    }
}

/// The events of a stream, which must be the same however it is cut.
fn decode(input: &[u8]) -> Vec<Seen> {
    let mut whole = Vec::new();
    feed(&mut Decoder::new(limits()), input, &mut whole);
    for size in [1, 2, 3, 7] {
        let mut decoder = Decoder::new(limits());
        let mut cut = Vec::new();
        for chunk in input.chunks(size) {
            feed(&mut decoder, chunk, &mut cut);
            if matches!(cut.last(), Some(Seen::Error(_))) {
                break;
            }
        }
        assert_eq!(
            cut,
            whole,
            "{} in chunks of {size}",
            String::from_utf8_lossy(input)
        );
    }
    whole
}

/// The events after a usual header.
fn decode_after_header(input: &[u8]) -> Vec<Seen> {
    decode(&[HEADER.as_bytes(), input].concat()).split_off(1)
}

#[test]
fn elements_are_refused_with_their_condition() {
    use ParseError::*;
    let check = |input: &[u8], expected: ParseError| {
        assert_eq!(
            decode_after_header(input),
            [Seen::Error(expected)],
            "{}",
            String::from_utf8_lossy(input)
        );
    };
    for (input, expected) in [
        // RFC 6120 §11.1
        ("<!-- comment -->", Restricted),
        ("<a><!-- comment --></a>", Restricted),
        ("<?target?>", Restricted),
        ("<a><?xml version='1.0'?></a>", Restricted),
        ("<!DOCTYPE a>", Restricted),
        ("<![CDATA[x]]>", Restricted),
        ("<a><!ENTITY b 'c'></a>", Restricted),
        ("<a>&nbsp;</a>", Restricted),
        ("<a b='&ent;'/>", Restricted),
        // text where none may be
        ("text<a/>", BadFormat),
        ("\u{FEFF}<a/>", BadFormat),
        ("&amp;", BadFormat),
        // tags
        ("<a></b>", NotWellFormed),
        ("<a></a b>", NotWellFormed),
        ("<a></ab>", NotWellFormed),
        ("<a><b></a>", NotWellFormed),
        ("<a:b xmlns:a='x' xmlns:c='x'></c:b>", NotWellFormed),
        ("< a/>", NotWellFormed),
        ("<1/>", NotWellFormed),
        ("<-a/>", NotWellFormed),
        ("<>", NotWellFormed),
        ("<a/ >", NotWellFormed),
        ("<a//>", NotWellFormed),
        ("<a<b/>", NotWellFormed),
        ("<\u{D7}/>", NotWellFormed),
        ("<a\u{2028}/>", NotWellFormed),
        ("<:a/>", NotWellFormed),
        ("<a:/>", NotWellFormed),
        ("<a:b:c xmlns:a='x'/>", NotWellFormed),
        ("<a:1 xmlns:a='x'/>", NotWellFormed),
        // attributes
        ("<a b/>", NotWellFormed),
        ("<a b=/>", NotWellFormed),
        ("<a b=c/>", NotWellFormed),
        ("<a b='1'c='2'/>", NotWellFormed),
        ("<a b='<'/>", NotWellFormed),
        ("<a b='x><c/>", NotWellFormed),
        ("<a b='1' b='2'/>", NotWellFormed),
        ("<a xmlns='x' xmlns='x'/>", NotWellFormed),
        (
            "<a x:c='1' y:c='2' xmlns:x='n' xmlns:y='n'/>",
            NotWellFormed,
        ),
        ("<a b='&'/>", NotWellFormed),
        ("<a b='\u{1}'/>", NotWellFormed),
        // text
        ("<a>]]></a>", NotWellFormed),
        ("<a>&amp</a>", NotWellFormed),
        ("<a>&;</a>", NotWellFormed),
        ("<a>& b;</a>", NotWellFormed),
        ("<a>&#;</a>", NotWellFormed),
        ("<a>&#x;</a>", NotWellFormed),
        ("<a>&#X41;</a>", NotWellFormed),
        ("<a>&#+65;</a>", NotWellFormed),
        ("<a>&#0;</a>", NotWellFormed),
        ("<a>&#11;</a>", NotWellFormed),
        ("<a>&#xFFFE;</a>", NotWellFormed),
        ("<a>&#xD800;</a>", NotWellFormed),
        ("<a>&#x110000;</a>", NotWellFormed),
        ("<a>&#99999999999999999999;</a>", NotWellFormed),
        ("<a>\u{0}</a>", NotWellFormed),
        ("<a>\u{B}</a>", NotWellFormed),
        ("<a>\u{FFFE}</a>", NotWellFormed),
        ("<a>\u{FFFF}</a>", NotWellFormed),
        ("<a><![CDATA[\u{1}]]></a>", NotWellFormed),
        // namespaces
        ("<x:a/>", BadNamespacePrefix),
        ("<a x:b='c'/>", BadNamespacePrefix),
        ("<a><b xmlns:x='y'/><x:c/></a>", BadNamespacePrefix),
        ("<xmlns:a/>", BadNamespacePrefix),
        ("<a xmlns:x=''/>", BadNamespacePrefix),
        ("<a xmlns:xml='x'/>", BadNamespacePrefix),
        ("<a xmlns:xmlns='x'/>", BadNamespacePrefix),
        (
            "<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
            BadNamespacePrefix,
        ),
        (
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            BadNamespacePrefix,
        ),
        (
            "<a xmlns:x='http://www.w3.org/2000/xmlns/'/>",
            BadNamespacePrefix,
        ),
        (
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            BadNamespacePrefix,
        ),
        ("<a xmlns='a&amp;b'/>", Restricted),
        // limits
        ("<a><b><c><d><e/></d></c></b></a>", TooBig),
        ("<a b='' c='' d='' e='' f=''/>", TooBig),
        (
            "<a xmlns='a' xmlns:b='b' xmlns:c='c'><d xmlns:e='e' xmlns:f='f'/></a>",
            TooBig,
        ),
        // after the end, and the end itself
        ("</stream>", NotWellFormed),
        ("</stream:streamer>", NotWellFormed),
    ] {
        check(input.as_bytes(), expected);
    }
    for invalid in [
        &b"<a>\xFF</a>"[..],
        b"<a>\xC0\x80</a>",
        b"<a>\xED\xA0\x80</a>",
        b"<a>\xC3</a>",
        b"<a b='\xE2\x82'/>",
        b"<\xFFa/>",
        b"<a><![CDATA[\x80]]></a>",
    ] {
        check(invalid, NotWellFormed);
    }
}

#[test]
fn elements_end_where_the_limit_is() {
    let check = |input: String, fits: bool| {
        let expected = if fits {
            Seen::Element(input.clone())
        } else {
            Seen::Error(ParseError::TooBig)
        };
        assert_eq!(
            decode_after_header(input.as_bytes()),
            [expected],
            "{} bytes",
            input.len()
        );
    };
    for (length, fits) in [(400, true), (401, false), (2000, false)] {
        check(format!("<a>{}</a>", "x".repeat(length - 7)), fits);
        check(format!("<a b='{}'/>", "x".repeat(length - 9)), fits);
        check(format!("<{}/>", "x".repeat(length - 3)), fits);
        check(format!("<a{}/>", " ".repeat(length - 4)), fits);
    }
    for endless in ["<a>", "<a b='", "<", "<a ", "<a><![CDATA["] {
        let input = format!("{endless}{}", "x".repeat(500));
        assert_eq!(
            decode_after_header(input.as_bytes()),
            [Seen::Error(ParseError::TooBig)],
            "{endless}"
        );
    }
    let header = format!("<stream:stream to='{}", "x".repeat(500));
    assert_eq!(decode(header.as_bytes()), [Seen::Error(ParseError::TooBig)]);
    assert_eq!(
        decode(format!("<?xml {}", "x".repeat(500)).as_bytes()),
        [Seen::Error(ParseError::TooBig)]
    );
}

#[test]
fn what_is_well_formed_passes() {
    for element in [
        "<a/>",
        "<a />",
        "<a></a\n>",
        "<a b = 'c' d\t=\n\"e'\"\r/>",
        "<a b='>'/>",
        "<a>></a>",
        "<a>]]&gt;</a>",
        "<a>]] ></a>",
        "<a>&amp;&lt;&gt;&apos;&quot;&#9;&#xA;&#x1F98A;&#0000065;</a>",
        "<a>\u{85}\u{2028}\u{FFFD}\u{E000}\u{10FFFF}\u{7F}</a>",
        "<a><![CDATA[<b>&c;]]]]></a>",
        "<a><![CDATA[]]><![CDATA[]]></a>",
        "<a>\t\r\n</a>",
        "<_a.-1·/>",
        "<ä日本/>",
        "<x:a xmlns:x='y' x:b='c' b='d'/>",
        "<a xmlns:x='n' xmlns:y='m' x:c='1' y:c='2'/>",
        "<a xmlns=''><b/></a>",
        "<a xml:lang='de' xml:space='preserve'/>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:x='o'><b xmlns:x='p'><x:c/></b><x:d/></a>",
        "<a><b><c><d/></c></b></a>",
        "<a b='' c='' d='' e=''/>",
    ] {
        assert_eq!(
            decode_after_header(element.as_bytes()),
            [Seen::Element(element.to_owned())]
        );
    }
}

#[test]
fn headers_are_read_or_refused() {
    let streams = "xmlns:stream='http://etherx.jabber.org/streams'";
    let header = |content: &str| StreamHeader {
        content_ns: content.into(),
        ..Default::default()
    };
    let check = |input: &str, expected: Result<StreamHeader, ParseError>| {
        let expected = match expected {
            Ok(header) => Seen::Open(header),
            Err(error) => Seen::Error(error),
        };
        assert_eq!(decode(input.as_bytes()), [expected], "{input}");
    };
    let full = StreamHeader {
        to: Some("example.com".into()),
        from: Some("a&b".into()),
        id: Some("1".into()),
        version: Some("1.0".into()),
        lang: Some("en".into()),
        content_ns: "jabber:client".into(),
    };
    let attributes = "to='example.com' from='a&amp;b' id='1' version='1.0' xml:lang='en'";
    let mut decoder = Decoder::new(Limits::default());
    let mut seen = Vec::new();
    feed(
        &mut decoder,
        format!("<stream:stream {attributes} xmlns='jabber:client' {streams}>").as_bytes(),
        &mut seen,
    );
    assert_eq!(seen, [Seen::Open(full)]);

    for declaration in [
        "",
        "  \r\n",
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n",
        "\n<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>",
    ] {
        check(
            &format!("{declaration}{HEADER}"),
            Ok(header("jabber:client")),
        );
    }
    check(
        &format!("<stream:stream xmlns='jabber:server' {streams}>"),
        Ok(header("jabber:server")),
    );
    check(&format!("<stream:stream {streams}>"), Ok(header("")));
    check(
        &format!("<stream:stream xmlns='other' {streams}>"),
        Ok(header("other")),
    );
    check(
        "<stream xmlns='http://etherx.jabber.org/streams'>",
        Ok(header(ns::STREAM)),
    );
    check(
        "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>",
        Ok(header("jabber:client")),
    );

    use ParseError::*;
    check(
        "<stream:stream xmlns='jabber:client'>",
        Err(BadNamespacePrefix),
    );
    check(
        "<stream:stream xmlns:stream='other'>",
        Err(InvalidNamespace),
    );
    check("<stream xmlns='jabber:client'>", Err(InvalidNamespace));
    check(&format!("<stream:streams {streams}>"), Err(BadFormat));
    check(&format!("<stream:stream {streams}/>"), Err(BadFormat));
    check("GET / HTTP/1.1", Err(BadFormat));
    check("\u{FEFF}<?xml version='1.0'?>", Err(BadFormat));
    check("</stream:stream>", Err(NotWellFormed));
    check("<!DOCTYPE stream>", Err(Restricted));
    check("<!-- -->", Err(Restricted));
    check("<?php ?>", Err(Restricted));
    check("<?xml-stylesheet href='a'?>", Err(Restricted));
    check(
        "<?xml version='1.0'?><?xml version='1.0'?>",
        Err(Restricted),
    );
    check("<?xml?>", Err(NotWellFormed));
    check("<?xml version='1.1'?>", Err(NotWellFormed));
    check("<?xml encoding='UTF-8'?>", Err(NotWellFormed));
    check("<?xml version='1.0'encoding='UTF-8'?>", Err(NotWellFormed));
    check(
        "<?xml version='1.0' standalone='perhaps'?>",
        Err(NotWellFormed),
    );
    check("<?xml version='1.0' more='x'?>", Err(NotWellFormed));
    check(
        "<?xml version='1.0' encoding='ISO-8859-1'?>",
        Err(UnsupportedEncoding),
    );
    for utf16 in [&b"\xFE\xFF\0<"[..], b"\xFF\xFE<\0", b"\0<\0s"] {
        assert_eq!(decode(utf16), [Seen::Error(UnsupportedEncoding)]);
    }
}
