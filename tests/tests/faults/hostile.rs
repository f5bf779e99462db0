//! Hostile input: each is answered with its own error, and the node goes on serving others.

use std::io;

use tests::faults::client::{Client, attr, header, message, name, plain_auth};
use tests::faults::node::Local;
use tests::faults::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn node(settings: Settings) -> Local {
    let node = Local::start(&settings, 1).await.unwrap();
    node.accounts(["alice", "bob", "mallory"]).await.unwrap();
    node
}

/// A client that does nothing wrong, and has to be served all the time.
async fn good(node: &Local) -> Client {
    Client::online(node.address(), "alice", "phone")
        .await
        .unwrap()
}

/// What the server says until it ends the stream.
async fn last_words(client: &mut Client) -> String {
    client.rest().await.expect("the stream ends").concat()
}

fn nested(depth: usize) -> Vec<u8> {
    format!(
        "{}{}",
        "<a xmlns='urn:a'>".repeat(depth),
        "</a>".repeat(depth)
    )
    .into_bytes()
}

fn attributes(count: usize) -> Vec<u8> {
    let list: String = (0..count).map(|number| format!(" a{number}='1'")).collect();
    format!("<message{list}/>").into_bytes()
}

fn body(text: &[u8]) -> Vec<u8> {
    [
        b"<message to='alice@localhost' id='evil'><body>",
        text,
        b"</body></message>",
    ]
    .concat()
}

/// What no stream may carry, before or after authentication: RFC 6120 §11, §4.9.3.
fn never() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("a comment", b"<!-- hello -->".to_vec(), "restricted-xml"),
        (
            "a processing instruction",
            b"<?php echo ?>".to_vec(),
            "restricted-xml",
        ),
        (
            "a document type",
            b"<!DOCTYPE a [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>".to_vec(),
            "restricted-xml",
        ),
        (
            "an entity of one's own",
            body(b"&lol;"),
            "restricted-xml not-well-formed",
        ),
        (
            "bytes that are no UTF-8",
            body(b"\xff\xfe"),
            "not-well-formed unsupported-encoding bad-format",
        ),
        (
            "an overlong form",
            body(b"\xc0\xaf"),
            "not-well-formed unsupported-encoding bad-format",
        ),
        (
            "a surrogate",
            body(b"\xed\xa0\x80"),
            "not-well-formed unsupported-encoding bad-format",
        ),
        (
            "a character that XML has not",
            body(b"\x00"),
            "not-well-formed",
        ),
        (
            "a reference to such a character",
            body(b"&#0;"),
            "not-well-formed",
        ),
        (
            "tags that do not match",
            b"<message><body></message></body>".to_vec(),
            "not-well-formed",
        ),
        (
            "an attribute twice",
            b"<message id='1' id='2'/>".to_vec(),
            "not-well-formed",
        ),
        (
            "an attribute without quotes",
            b"<message id=1/>".to_vec(),
            "not-well-formed",
        ),
        (
            "a prefix that nobody declared",
            b"<evil:message/>".to_vec(),
            "bad-namespace-prefix not-well-formed",
        ),
        (
            "text between stanzas",
            b"hello".to_vec(),
            "not-well-formed bad-format invalid-xml",
        ),
        (
            "markup that is none",
            b"< message/>".to_vec(),
            "not-well-formed",
        ),
        (
            "a second header",
            header().into_bytes(),
            "bad-format not-well-formed restricted-xml",
        ),
    ]
}

/// Sends `input` and checks which stream error it gets.
async fn check(client: &mut Client, what: &str, input: &[u8], expected: &str) {
    // The server may have closed before all of it was sent.
    let sent = client.send_bytes(input).await;
    let last = last_words(client).await;
    let found = expected
        .split(' ')
        .any(|condition| last.contains(&format!("<{condition}")));
    assert!(
        last.contains("stream:error") && found,
        "{what}: {expected} expected ({sent:?}): {last}"
    );
}

#[tokio::test]
async fn before_authentication() {
    let node = node(Settings::default()).await;
    let mut alice = good(&node).await;
    let long = |bytes: usize| plain_auth("mallory", &"x".repeat(bytes)).into_bytes();
    let mut cases = never();
    cases.extend([
        (
            "a stanza",
            message("alice@localhost", "m", "hello").into_bytes(),
            "not-authorized",
        ),
        (
            "binding",
            b"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>".to_vec(),
            "not-authorized",
        ),
        (
            "resuming",
            b"<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>".to_vec(),
            "unsupported-stanza-type not-authorized",
        ),
        (
            "a nonza of nobody",
            b"<x xmlns='urn:x'/>".to_vec(),
            "unsupported-stanza-type",
        ),
        ("too long an element", long(17 << 10), "policy-violation"),
        (
            "an element that does not end",
            vec![b'<'; 1]
                .into_iter()
                .chain(vec![b'a'; 20 << 10])
                .collect(),
            "policy-violation",
        ),
        ("deep nesting", nested(17), "policy-violation"),
        ("many attributes", attributes(33), "policy-violation"),
    ]);
    for (what, input, expected) in cases {
        let mut client = Client::connect(node.address()).await.unwrap();
        client.open().await.unwrap();
        check(&mut client, what, &input, expected).await;
        alice.before_answer("alive").await.unwrap();
    }
}

#[tokio::test]
async fn after_authentication() {
    let node = node(Settings::default()).await;
    let mut alice = good(&node).await;
    let mut cases = never();
    cases.extend([
        (
            "another's address",
            b"<message from='alice@localhost' to='bob@localhost'/>".to_vec(),
            "invalid-from",
        ),
        (
            "another resource",
            b"<presence from='mallory@localhost/other'/>".to_vec(),
            "invalid-from",
        ),
        (
            "the server's address",
            b"<iq from='localhost' type='set' id='1' to='alice@localhost'/>".to_vec(),
            "invalid-from",
        ),
        (
            "another login",
            plain_auth("alice", "secret").into_bytes(),
            "unsupported-stanza-type",
        ),
        (
            "too long a stanza",
            body(&vec![b'x'; 513 << 10]),
            "policy-violation",
        ),
        ("deep nesting", nested(65), "policy-violation"),
        ("many attributes", attributes(129), "policy-violation"),
        (
            "a counter that is none",
            b"<enable xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='many'/>".to_vec(),
            "bad-format",
        ),
    ]);
    for (what, input, expected) in cases {
        let mut client = Client::login(node.address(), "mallory", "phone")
            .await
            .unwrap();
        check(&mut client, what, &input, expected).await;
        let meanwhile = alice.before_answer("alive").await.unwrap();
        assert!(
            meanwhile.iter().all(|text| !text.contains("evil")),
            "{what}: {meanwhile:?}"
        );
    }
    // What is just within the limits passes.
    let mut client = Client::login(node.address(), "mallory", "phone")
        .await
        .unwrap();
    client
        .send_bytes(&body(&vec![b'x'; 500 << 10]))
        .await
        .unwrap();
    let got = alice.until(|text| name(text) == "message").await.unwrap();
    assert!(got.len() > 500 << 10);
    client.before_answer("alive").await.unwrap();
}

#[tokio::test]
async fn instead_of_a_header() {
    let node = node(Settings::default()).await;
    let mut alice = good(&node).await;
    let odd = |from: &str, to: &str| header().replace(from, to).into_bytes();
    let cases = [
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            "not-well-formed bad-format invalid-xml",
        ),
        (
            "another host",
            odd("to='localhost'", "to='example.org'"),
            "host-unknown",
        ),
        (
            "another namespace",
            odd("http://etherx.jabber.org/streams", "urn:x"),
            "invalid-namespace",
        ),
        (
            "another content",
            odd("xmlns='jabber:client'", "xmlns='jabber:server'"),
            "invalid-namespace",
        ),
        (
            "another encoding",
            odd(
                "<?xml version='1.0'?>",
                "<?xml version='1.0' encoding='latin1'?>",
            ),
            "unsupported-encoding",
        ),
        (
            "a header without end",
            odd("to='localhost'", &format!("to='{}'", "x".repeat(20 << 10))),
            "policy-violation",
        ),
        (
            "a document type",
            odd(
                "<?xml version='1.0'?>",
                "<?xml version='1.0'?><!DOCTYPE stream>",
            ),
            "restricted-xml",
        ),
        (
            "a stanza",
            message("alice@localhost", "m", "hello").into_bytes(),
            "bad-format invalid-namespace not-well-formed",
        ),
    ];
    for (what, input, expected) in cases {
        let mut client = Client::connect(node.address()).await.unwrap();
        check(&mut client, what, &input, expected).await;
        alice.before_answer("alive").await.unwrap();
    }
}

/// Reads until the other side closes; what it said.
async fn to_the_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end as well.
    let read = tokio::time::timeout(
        tests::faults::client::PATIENCE,
        stream.read_to_end(&mut all),
    )
    .await;
    read.expect("the connection is closed").ok();
    all
}

#[tokio::test]
async fn tls_that_is_none() {
    let node = node(Settings {
        negotiation_ms: 700,
        ..Settings::default()
    })
    .await;
    let mut alice = good(&node).await;
    let direct = node.app().addresses[1].1;
    let hello = [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
    for (what, input) in [
        ("garbage", &[0xaa_u8; 4096][..]),
        ("XML", header().as_bytes()),
        ("the beginning of a hello", &hello[..]),
        ("a record that is too long", &[0x16, 3, 1, 0xff, 0xff][..]),
        ("nothing", b""),
    ] {
        let mut stream = TcpStream::connect(direct).await.unwrap();
        stream.write_all(input).await.unwrap();
        to_the_end(&mut stream).await;
        alice.before_answer(what).await.unwrap();
    }
    // After STARTTLS as well.
    for input in [&[0xaa_u8; 64][..], b""] {
        let mut client = TcpStream::connect(node.address()).await.unwrap();
        let start = format!(
            "{}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            header()
        );
        client.write_all(start.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("<proceed") {
            assert!(
                client.read_buf(&mut seen).await.unwrap() > 0,
                "{}",
                String::from_utf8_lossy(&seen)
            );
        }
        client.write_all(input).await.unwrap();
        to_the_end(&mut client).await;
        alice.before_answer("alive").await.unwrap();
    }
}

/// RFC 6120 §5.4.3.3, CVE-2011-0411: nothing that came before TLS counts after it.
#[tokio::test]
async fn what_is_sent_ahead_of_tls_is_not_obeyed() {
    let node = node(Settings::default()).await;
    let mut client = TcpStream::connect(node.address()).await.unwrap();
    let start = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let ahead = format!(
        "{}{start}{}{}",
        header(),
        header(),
        plain_auth("mallory", "secret")
    );
    client.write_all(ahead.as_bytes()).await.unwrap();
    let all = to_the_end(&mut client).await;
    assert!(
        !String::from_utf8_lossy(&all).contains("<success"),
        "{}",
        String::from_utf8_lossy(&all)
    );
}

#[tokio::test]
async fn the_slow_are_not_waited_for() {
    let node = node(Settings {
        negotiation_ms: 700,
        ..Settings::default()
    })
    .await;
    let mut alice = good(&node).await;
    let whole = format!("{}{}", header(), plain_auth("mallory", "secret"));
    for (what, at_once) in [
        ("a header", 0),
        ("an element", header().len() + 10),
        ("nothing more", whole.len()),
    ] {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream
            .write_all(&whole.as_bytes()[..at_once])
            .await
            .unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let (rest, mut all) = (whole.as_bytes()[at_once..].to_vec(), Vec::new());
        let drip = async {
            for byte in rest {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                writer.write_all(&[byte]).await?;
            }
            std::future::pending::<io::Result<()>>().await
        };
        let end = reader.read_to_end(&mut all);
        tokio::select! {
            _ = end => {}
            // The write fails when the server has closed.
            _ = drip => {}
            () = tokio::time::sleep(tests::faults::client::PATIENCE) => panic!("{what}: the server still waits"),
        }
        alice.before_answer("alive").await.unwrap();
        let all = String::from_utf8_lossy(&all);
        assert!(
            all.is_empty() || all.contains("<connection-timeout"),
            "{what}: {all}"
        );
    }
}

/// A message that looks like a carbon or carries an id of ours is shown as what it is: from its sender.
#[tokio::test]
async fn nobody_speaks_in_anothers_name() {
    let node = node(Settings::default()).await;
    let mut alice = good(&node).await;
    let mut mallory = Client::online(node.address(), "mallory", "phone")
        .await
        .unwrap();
    let inside = "<message xmlns='jabber:client' from='bob@localhost/phone' to='alice@localhost'><body>I am Bob</body></message>";
    let forwarded = format!("<forwarded xmlns='urn:xmpp:forward:0'>{inside}</forwarded>");
    let carbon = |kind: &str| {
        format!(
            "<message to='alice@localhost/phone' type='chat' id='{kind}'>\
             <{kind} xmlns='urn:xmpp:carbons:2'>{forwarded}</{kind}></message>"
        )
    };
    let forged_id = "<message to='alice@localhost' type='chat' id='id'><body>x</body>\
                     <stanza-id xmlns='urn:xmpp:sid:0' by='alice@localhost' id='777'/></message>";
    for text in [carbon("received"), carbon("sent"), forged_id.to_owned()] {
        mallory.send(&text).await.unwrap();
        let got = alice.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&got, "from"), Some("mallory@localhost/phone"), "{got}");
        assert!(!got.contains("id='777'"), "{got}");
    }
    // A roster push that the server did not make does not pass.
    let push = "<iq type='set' id='push' to='alice@localhost/phone'><query xmlns='jabber:iq:roster'>\
                <item jid='mallory@localhost' subscription='both'/></query></iq>";
    let answer = mallory.ask(push).await.unwrap();
    assert_eq!(attr(&answer, "type"), Some("error"), "{answer}");
    assert!(alice.before_answer("end").await.unwrap().is_empty());
}

/// A connection whose other end is gone without a word: the session asks, then lets go of it and can be resumed.
#[tokio::test]
async fn a_half_open_connection_is_noticed() {
    use starling::routing::Order;
    let settings = Settings {
        ping_ms: 1,
        ..Settings::default()
    };
    let node = node(settings).await;
    let mut silent = Client::online(node.address(), "mallory", "phone")
        .await
        .unwrap();
    let id = silent.enable().await.unwrap();
    let session = node.app().router.entries("mallory@localhost")[0]
        .session
        .number;
    let handle = node.app().router.sessions.get(session).unwrap();
    handle.mailbox.order(Order::Ping);
    assert_eq!(name(&silent.next().await.unwrap()), "r");
    // Who answers is not let go.
    silent.acknowledge(0).await.unwrap();
    silent.before_answer("alive").await.unwrap();
    handle.mailbox.order(Order::Dead);
    assert_eq!(name(&silent.next().await.unwrap()), "r");
    // Its time to answer is over after a millisecond.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    handle.mailbox.order(Order::Dead);
    assert!(silent.rest().await.unwrap().is_empty());
    let mut back = Client::authenticated(node.address(), "mallory")
        .await
        .unwrap();
    // The answer to its request was the one stanza it was sent.
    let resumed = back.resume(&id, 1).await.unwrap();
    assert_eq!(name(&resumed), "resumed", "{resumed}");
}
