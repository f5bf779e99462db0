//! The decoder: every refusal with its condition, whole and byte by byte; what a stream is made of; what is kept.

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

#[test]
fn a_stream_from_open_to_close() {
    let stream = format!("<?xml version='1.0'?>\n{HEADER} <a/>\n<b>1</b>\t</stream:stream > ");
    let seen = decode(stream.as_bytes());
    let [Seen::Open(_), rest @ ..] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(
        rest,
        [
            Seen::Element("<a/>".into()),
            Seen::Element("<b>1</b>".into()),
            Seen::Close
        ]
    );
    let after = decode(format!("{stream}<a/>").as_bytes());
    assert_eq!(after.last(), Some(&Seen::Error(ParseError::BadFormat)));
    // Another root name must come back in the end tag.
    let other = "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
    assert_eq!(
        decode(format!("{other}</s:stream>").as_bytes()).last(),
        Some(&Seen::Close)
    );
    assert_eq!(
        decode(format!("{other}</stream:stream>").as_bytes()).last(),
        Some(&Seen::Error(ParseError::NotWellFormed))
    );
}

#[test]
fn declarations_of_the_header_are_copied_into_the_elements_that_need_them() {
    let check = |header: &str, element: &str, expected: &str| {
        let seen = decode(format!("{header}{element}").as_bytes());
        assert_eq!(seen[1..], [Seen::Element(expected.into())]);
    };
    let stream = "xmlns:stream='http://etherx.jabber.org/streams'";
    check(
        HEADER,
        "<stream:features/>",
        &format!("<stream:features {stream}/>"),
    );
    check(
        HEADER,
        "<a stream:b='c'><stream:d/></a>",
        &format!("<a {stream} stream:b='c'><stream:d/></a>"),
    );
    check(
        HEADER,
        "<a xmlns:stream='own'><stream:b/></a>",
        "<a xmlns:stream='own'><stream:b/></a>",
    );
    check(HEADER, "<a xmlns:x='y'/>", "<a xmlns:x='y'/>");
    let dialback =
        format!("<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' {stream}>");
    check(
        &dialback,
        "<db:result to='a'>key</db:result>",
        "<db:result xmlns:db='jabber:server:dialback' to='a'>key</db:result>",
    );
    check(&dialback, "<message/>", "<message/>");
    let quoted = format!("<stream:stream xmlns='it\"s' xmlns:q=\"it's\" {stream}>");
    check(&quoted, "<q:a/>", "<q:a xmlns='it\"s' xmlns:q=\"it's\"/>");
    check(&quoted, "<a xmlns='b'/>", "<a xmlns='b'/>");
    check(&quoted, "<a/>", "<a xmlns='it\"s'/>");
    // Two prefixes, one name: only the copy shows it.
    let twice = format!("<stream:stream xmlns='jabber:client' xmlns:p='n' xmlns:q='n' {stream}>");
    assert_eq!(
        decode(format!("{twice}<a p:b='' q:b=''/>").as_bytes())[1..],
        [Seen::Error(ParseError::NotWellFormed)]
    );
}

#[test]
fn copied_declarations_count_towards_the_limit() {
    let long = "x".repeat(200);
    let header =
        format!("<stream:stream xmlns:p='{long}' xmlns:stream='http://etherx.jabber.org/streams'>");
    assert_eq!(
        decode(format!("{header}<p:a b='{long}'/>").as_bytes())[1..],
        [Seen::Error(ParseError::TooBig)]
    );
}

/// What every element of a tree would carry a copy of is short.
#[test]
fn namespace_names_are_short() {
    let check = |length: usize, expected: Result<(), ParseError>| {
        let element = format!("<a xmlns='{}'/>", "x".repeat(length));
        assert_eq!(
            Fragment::parse(element.into(), ns::CLIENT).map(drop),
            expected
        );
    };
    check(512, Ok(()));
    check(513, Err(ParseError::TooBig));
}

#[test]
fn an_idle_stream_holds_nothing() {
    assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    let mut decoder = Decoder::new(limits());
    feed(&mut decoder, HEADER.as_bytes(), &mut Vec::new());
    assert_eq!(decoder.buffered(), 0);
    feed(&mut decoder, b"<a/>  <b", &mut Vec::new());
    assert_eq!(decoder.buffered(), 2);
    feed(&mut decoder, b"></b>   ", &mut Vec::new());
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn an_error_stays_until_a_restart() {
    let mut decoder = Decoder::new(limits());
    let mut seen = Vec::new();
    feed(&mut decoder, b"<a", &mut seen);
    feed(&mut decoder, b"/>", &mut seen);
    feed(&mut decoder, b"", &mut seen);
    feed(&mut decoder, HEADER.as_bytes(), &mut seen);
    assert_eq!(
        seen,
        [
            Seen::Error(ParseError::BadFormat),
            Seen::Error(ParseError::BadFormat),
            Seen::Error(ParseError::BadFormat)
        ]
    );
    decoder.restart();
    seen.clear();
    feed(&mut decoder, HEADER.as_bytes(), &mut seen);
    feed(&mut decoder, b"<cut", &mut seen);
    decoder.restart();
    feed(&mut decoder, HEADER.as_bytes(), &mut seen);
    assert!(
        matches!(seen[..], [Seen::Open(_), Seen::Open(_)]),
        "{seen:?}"
    );
}

/// The stream that was there may be ended instead of begun anew (RFC 6120 §4.4): by its own name.
#[test]
fn a_stream_may_end_where_it_would_restart() {
    let check = |header: &str, end: &str, expected: Seen| {
        for size in [1, 3, 1_000] {
            let mut decoder = Decoder::new(limits());
            feed(&mut decoder, header.as_bytes(), &mut Vec::new());
            decoder.restart();
            let mut seen = Vec::new();
            for bytes in end.as_bytes().chunks(size) {
                feed(&mut decoder, bytes, &mut seen);
            }
            assert_eq!(seen.first(), Some(&expected), "{end}");
        }
    };
    let foreign = HEADER.replace("stream:", "s:").replace(":stream=", ":s=");
    let broken = || Seen::Error(ParseError::NotWellFormed);
    check(HEADER, "</stream:stream>", Seen::Close);
    check(HEADER, " \n</stream:stream >", Seen::Close);
    check(&foreign, "</s:stream>", Seen::Close);
    check(&foreign, "</stream:stream>", broken());
    check(HEADER, "</message>", broken());
    // At the very start there is nothing to end.
    let mut seen = Vec::new();
    feed(&mut Decoder::new(limits()), b"</stream:stream>", &mut seen);
    assert_eq!(seen, [broken()]);
}

/// A megabyte that comes byte by byte: over in a moment if each byte is looked at a few times, never if all are.
#[test]
fn bytes_one_by_one_are_not_scanned_again() {
    const SIZE: usize = 1 << 20;
    let filler = "x".repeat(SIZE);
    for element in [
        format!("<a>{filler}</a>"),
        format!("<a b='{filler}'/>"),
        format!("<a><![CDATA[{filler}]]></a>"),
        format!("<a{}/>", " ".repeat(SIZE)),
    ] {
        let mut decoder = Decoder::new(Limits {
            stanza_bytes: 2 * SIZE,
            ..limits()
        });
        feed(&mut decoder, HEADER.as_bytes(), &mut Vec::new());
        let mut seen = Vec::new();
        for byte in element.as_bytes().chunks(1) {
            feed(&mut decoder, byte, &mut seen);
        }
        assert_eq!(seen, [Seen::Element(element)]);
    }
}

#[test]
fn limits_may_change_between_elements() {
    let mut decoder = Decoder::new(limits());
    let mut seen = Vec::new();
    feed(&mut decoder, HEADER.as_bytes(), &mut seen);
    decoder.set_limits(Limits {
        depth: 1,
        ..limits()
    });
    feed(&mut decoder, b"<a/><a><b/></a>", &mut seen);
    assert_eq!(
        seen[1..],
        [
            Seen::Element("<a/>".into()),
            Seen::Error(ParseError::TooBig)
        ]
    );
}

/// Wherever a stream is cut, a decoder that is fed the replay of another sees what that would have seen.
#[test]
fn a_stream_goes_on_in_another_decoder() {
    let foreign =
        "<s:stream xmlns='urn:odd' xmlns:s='http://etherx.jabber.org/streams' xmlns:p='urn:p'>";
    let body = "<p:a><b>&lt;</b></p:a> <c xmlns='jabber:client'/><s:d/>";
    let usual = body.replace("p:a", "a").replace("<s:d/>", "<stream:d/>");
    for (header, body, close) in [
        (HEADER, &*usual, "</stream:stream>"),
        (foreign, body, "</s:stream>"),
    ] {
        let stream = format!("{header}{body}{close}");
        let whole = decode(stream.as_bytes());
        assert!(
            matches!(
                whole[..],
                [Seen::Open(_), Seen::Element(_), .., Seen::Close]
            ),
            "{whole:?}"
        );
        for cut in header.len()..stream.len() {
            let (first, rest) = stream.as_bytes().split_at(cut);
            let (mut decoder, mut seen) = (Decoder::new(limits()), Vec::new());
            feed(&mut decoder, first, &mut seen);
            let replay = decoder.replay([]).unwrap();
            let (mut other, mut again) = (Decoder::new(limits()), Vec::new());
            feed(&mut other, &replay, &mut again);
            assert!(matches!(again[..], [Seen::Open(_)]), "{again:?}");
            feed(&mut other, rest, &mut seen);
            assert_eq!(seen, whole, "cut at {cut}");
        }
        let mut ended = Decoder::new(limits());
        feed(&mut ended, stream.as_bytes(), &mut Vec::new());
        assert_eq!(ended.replay([]), None);
    }
    // What another decoder gave already is given again.
    let (mut decoder, mut input) = (Decoder::new(limits()), format!("{HEADER}<a/><b><c/></b><d"));
    let mut input = input.as_mut_str().as_bytes();
    decoder.next(&mut input).unwrap();
    let given = [
        decoder.next(&mut input).unwrap().unwrap(),
        decoder.next(&mut input).unwrap().unwrap(),
    ];
    assert_eq!(
        decoder.next(&mut input).unwrap().is_none(),
        input.is_empty()
    );
    let replay = String::from_utf8(decoder.replay(&given).unwrap()).unwrap();
    assert_eq!(
        replay.replace('"', "'"),
        format!("{HEADER}<a/><b><c/></b><d")
    );
    let mut restarted = Decoder::new(limits());
    feed(&mut restarted, HEADER.as_bytes(), &mut Vec::new());
    restarted.restart();
    assert_eq!(restarted.replay([]), Some(Vec::new()));
}
