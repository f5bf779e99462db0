//! A stream from its header to its end, in one decoder and in two.

use super::*;

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
