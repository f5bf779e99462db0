//! Fuzzing without a special tool chain: `cargo run --release -p xmpp --example fuzz -- parser 10000000 [seed]`.
//!
//! Mutates a corpus with a fixed generator and checks what must always hold; a failure panics with the input. The
//! targets: `parser` (codec, fragments, elements, stanzas), `jid` (addresses), `sasl` (messages of the mechanisms).
//! An interesting input is kept in the corpus, in place of another: memory stays bounded.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{sync::OnceLock, time::Instant};

use common::{Rng, document, mutate};
use xmpp::{
    Element, Jid, Stanza,
    codec::{Decoder, Limits, ParseError, StreamEvent, StreamHeader},
    ns,
    sasl::{
        BindingOffer, BindingType, ChannelBindings, ClientBinding, ClientFirst, Hash, HtInitiator,
        Mechanism, Plain, SaslFailure, ScramClient, ScramKeys, ServerFirst, Upgrade, ht,
        keys::salted_password, parse_anonymous, parse_external,
    },
};

/// What one execution checks; `true` keeps the input for further mutation.
type Target = fn(&[u8], &mut Rng) -> bool;

const USAGE: &str = "usage: fuzz parser|jid|sasl <executions> [seed]";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize| args.get(at).map(|text| text.parse::<u64>().expect(USAGE));
    let executions = number(2).expect(USAGE);
    let mut rng = Rng::new(number(3).unwrap_or(1));
    let (target, mut corpus): (Target, _) = match args[1].as_str() {
        "parser" => (parser, streams(&mut rng)),
        "jid" => (
            jid,
            JIDS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ),
        "sasl" => (
            sasl,
            SASL.iter().map(|text| text.as_bytes().to_vec()).collect(),
        ),
        _ => panic!("{USAGE}"),
    };
    let start = Instant::now();
    let mut kept = 0u64;
    for _ in 0..executions {
        let mut input = corpus[rng.below(corpus.len())].clone();
        for _ in 0..=rng.below(4) {
            mutate(&mut rng, &mut input);
        }
        input.truncate(2_000);
        if target(&input, &mut rng) {
            kept += 1;
            if rng.below(16) == 0 {
                let at = rng.below(corpus.len());
                corpus[at] = input;
            }
        }
        // Fresh ones, so that mutations of mutations do not wear the corpus out.
        if args[1] == "parser" && rng.below(64) == 0 {
            let at = rng.below(corpus.len());
            corpus[at] = stream(&mut rng);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{executions} executions, {kept} accepted, {seconds:.0} s, {:.0}/s",
        executions as f64 / seconds
    );
}

// ---- parser

const HEADERS: &[&str] = &[
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
     xmlns:stream='http://etherx.jabber.org/streams'>",
    "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='urn:other' xmlns:p='urn:p' xmlns:q='urn:p'>",
];

const ELEMENTS: &[&str] = &[
    "<message to='romeo@example.net' from='juliet@example.com/balcony' type='chat'><body>Art &amp; thou</body></message>",
    "<iq id='1' type='get'><query xmlns='jabber:iq:roster'/></iq>",
    "<presence xml:lang='en'><show>away</show></presence>",
    "<db:result to='a' from='b'>key</db:result>",
    "<message xmlns='jabber:client'><p:x xmlns:p='y' p:z='1'/></message>",
    "<a><![CDATA[x<y]]></a>",
];

fn streams(rng: &mut Rng) -> Vec<Vec<u8>> {
    (0..256).map(|_| stream(rng)).collect()
}

fn stream(rng: &mut Rng) -> Vec<u8> {
    let mut stream = rng.pick(HEADERS).as_bytes().to_vec();
    for _ in 0..=rng.below(3) {
        match rng.below(3) {
            0 => stream.extend(document(rng)),
            _ => stream.extend(rng.pick(ELEMENTS).as_bytes()),
        }
    }
    stream.extend(
        rng.pick(&["", "</stream:stream>", "</s:stream>", " "])
            .as_bytes(),
    );
    stream
}

#[derive(Debug, PartialEq)]
enum Seen {
    Open(StreamHeader),
    Element(Element),
    Close,
    Error(ParseError),
}

const LIMITS: Limits = Limits {
    stanza_bytes: 600,
    depth: 6,
    attributes: 6,
};

/// Feeds one chunk; answers whether the stream goes on.
fn feed(decoder: &mut Decoder, mut input: &[u8], seen: &mut Vec<Seen>) -> bool {
    loop {
        let event = match decoder.next(&mut input) {
            Ok(Some(StreamEvent::Open(header))) => Seen::Open(header),
            Ok(Some(StreamEvent::Element(fragment))) => {
                let element = fragment.to_element();
                let again = xmpp::Fragment::parse(fragment.raw().clone(), root_ns(seen))
                    .expect("what was accepted is accepted again");
                assert_eq!(
                    again.to_element(),
                    element,
                    "raw bytes are complete in themselves"
                );
                check_stanza(Stanza::new(fragment).ok());
                Seen::Element(element)
            }
            Ok(Some(StreamEvent::Close)) => Seen::Close,
            Ok(None) => {
                assert!(input.is_empty(), "all is taken");
                return true;
            }
            Err(error) => {
                seen.push(Seen::Error(error));
                return false;
            }
        };
        seen.push(event);
    }
}

/// The default namespace that the stream has around its elements; an unknown one is copied into them.
fn root_ns(seen: &[Seen]) -> &'static str {
    match seen.first() {
        Some(Seen::Open(header)) => [ns::CLIENT, ns::SERVER, ns::STREAM]
            .into_iter()
            .find(|known| *known == header.content_ns)
            .unwrap_or(""),
        _ => "",
    }
}

fn parser(input: &[u8], rng: &mut Rng) -> bool {
    let mut whole = Vec::new();
    feed(&mut Decoder::new(LIMITS), input, &mut whole);
    let mut cut = Vec::new();
    let mut decoder = Decoder::new(LIMITS);
    let mut rest = input;
    while !rest.is_empty() {
        let length = match rng.below(4) {
            0 => 1,
            _ => 1 + rng.below(rest.len()),
        };
        let (chunk, more) = rest.split_at(length);
        if !feed(&mut decoder, chunk, &mut cut) {
            break;
        }
        rest = more;
    }
    assert_eq!(cut, whole, "the cuts do not matter");
    for seen in &whole {
        if let Seen::Element(element) = seen {
            let again = Element::parse(&element.to_bytes("urn:around"), "urn:around");
            assert_eq!(again.as_ref(), Ok(element), "an element reads back");
        }
    }
    !matches!(whole.last(), None | Some(Seen::Error(_)))
}

fn check_stanza(stanza: Option<Stanza>) {
    let Some(stanza) = stanza else { return };
    let sender = Jid::parse("juliet@example.com/it's").expect("an address");
    let mut expected = stanza.to_element();
    expected.set_attr("from", sender.as_str());
    expected.set_attr("to", "example.net");
    let to = Jid::parse("example.net").expect("an address");
    let edited = stanza.readdressed(Some(&sender), Some(&to));
    assert_eq!(edited.to_element(), expected, "the shifted tape");
    assert_eq!(
        Stanza::parse(edited.raw().clone()).map(|again| again.to_element()),
        Ok(expected),
        "the edited bytes"
    );

    let strip = |child: xmpp::Node<'_>| child.name().len().is_multiple_of(2);
    let spliced = stanza.spliced(strip, b"<added xmlns='x'/>");
    let mut expected = stanza.to_element();
    expected.retain_children(|child| !child.name().len().is_multiple_of(2));
    expected.push(Element::new("added", "x"));
    let spliced = Element::parse(&spliced, ns::CLIENT).expect("a spliced stanza is one");
    assert!(
        spliced.children().eq(expected.children())
            && spliced.attrs().eq(expected.attrs())
            && spliced.text() == expected.text()
    );
}

// ---- jid

const JIDS: &[&str] = &[
    "juliet@example.com",
    "juliet@example.com/balcony",
    "example.com",
    "example.com/a/b@c",
    "fußball@example.com",
    "π@example.com/σ",
    "Σ@xn--bcher-kva.example/🦊",
    "a@[::1]",
    "a@192.0.2.1/\u{A0}x",
    "δοκιμή@παράδειγμα.δοκιμή",
];

fn jid(input: &[u8], _: &mut Rng) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let Ok(jid) = Jid::parse(text) else {
        return false;
    };
    assert_eq!(
        Jid::parse(jid.as_str()).as_ref(),
        Ok(&jid),
        "normalising twice is normalising once"
    );
    assert_eq!(
        Jid::from_parts(jid.local(), jid.domain(), jid.resource()).as_ref(),
        Ok(&jid),
        "the parts make the whole"
    );
    assert!(
        [
            jid.local().unwrap_or("x"),
            jid.domain(),
            jid.resource().unwrap_or("x")
        ]
        .iter()
        .all(|part| (1..=1023).contains(&part.len()))
    );
    assert_eq!(jid.to_bare().as_str(), jid.bare_str());
    // A stanza can carry it.
    let message = Element::new("message", ns::CLIENT).with_attr("to", jid.as_str());
    assert_eq!(
        Stanza::from_element(&message).to(),
        Some(&jid),
        "an address survives a stanza"
    );
    true
}

// ---- sasl

const SASL: &[&str] = &[
    "\0user\0pencil",
    "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    "p=tls-exporter,a=zed,n=user,r=rOprNGfwEbeRWgbN",
    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "r=fyko+d2l3rfcNHYJ,s=c2FsdA==,i=1,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=",
    "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    "user\x006ba7b8109dad11d180b400c04fd430c8",
    "juliet@example.org",
];

/// What both sides have agreed on, and the messages of an exchange that succeeds.
struct Genuine {
    hash: Hash,
    plus: bool,
    keys: ScramKeys,
    first: Vec<u8>,
    response: Vec<u8>,
    last: Vec<u8>,
}

const PASSWORD: &str = "pencil";
const TOKEN: &[u8] = b"a token that nobody guesses";
const BOTH: BindingOffer = BindingOffer {
    exporter: true,
    server_end_point: true,
};

fn bindings() -> ChannelBindings {
    ChannelBindings {
        exporter: Some([7; 32].into()),
        server_end_point: Some(vec![9; 32]),
    }
}

impl Genuine {
    fn new(hash: Hash, plus: bool) -> Self {
        let keys = ScramKeys::derive(hash, PASSWORD, b"salt", 1);
        let mut client = client(hash, plus, PASSWORD);
        let (state, challenge) = server(hash, plus, &keys, &client.first()).expect("our own");
        let response = client.response(&challenge).expect("our own");
        let last = state.verify(&response, &bindings()).expect("our own");
        client.check(&last).expect("our own");
        let first = client.first();
        Self {
            hash,
            plus,
            keys,
            first,
            response,
            last,
        }
    }
}

fn client(hash: Hash, plus: bool, password: &str) -> ScramClient {
    let binding = match plus {
        true => ClientBinding::Used(BindingType::Exporter, vec![7; 32]),
        false => ClientBinding::Unsupported,
    };
    // The salted password at once: a challenge may ask for ten million iterations.
    let salted = salted_password(hash, password, b"salt", 1);
    ScramClient::with_salted_password(hash, "user", &salted, "fyko+d2l", binding)
}

fn server(
    hash: Hash,
    plus: bool,
    keys: &ScramKeys,
    first: &[u8],
) -> Result<(ServerFirst, Vec<u8>), SaslFailure> {
    let first = ClientFirst::parse(Mechanism::Scram { hash, plus }, first, &BOTH)?;
    Ok(first.challenge(keys, "3rfcNHYJ", None))
}

/// Feeds `input` as the next message to every step of both sides of each mechanism. Nothing panics, and nothing but the
/// message of who holds the key is accepted.
fn sasl(input: &[u8], rng: &mut Rng) -> bool {
    static EXCHANGES: OnceLock<Vec<Genuine>> = OnceLock::new();
    let exchanges = EXCHANGES.get_or_init(|| {
        let both = |hash| [false, true].map(|plus| Genuine::new(hash, plus));
        Hash::ALL.into_iter().flat_map(both).collect()
    });
    let genuine = &exchanges[rng.below(exchanges.len())];
    let understood = scram(input, genuine);
    // Close to what is right: one of the real messages, changed.
    for real in [&genuine.first, &genuine.response, &genuine.last] {
        let mut close = real.clone();
        mutate(rng, &mut close);
        scram(&close, genuine);
    }
    let mut plain = b"\0user\0pencil".to_vec();
    mutate(rng, &mut plain);
    simple(&plain, genuine);
    simple(input, genuine);
    tokens(input, rng, genuine.hash);
    // Nearly anything is a message of the other mechanisms: they would fill the corpus.
    understood
}

fn scram(message: &[u8], genuine: &Genuine) -> bool {
    let Genuine {
        hash, plus, keys, ..
    } = genuine;
    let begun = server(*hash, *plus, keys, message);
    let understood = begun.is_ok();
    if let Ok((state, challenge)) = begun {
        assert!(challenge.starts_with(b"r="), "a challenge");
        // What was proved for one exchange proves nothing in another.
        let accepted = state.verify(&genuine.response, &bindings()).is_ok();
        assert_eq!(accepted, message == genuine.first, "another first message");
    }
    let (state, challenge) = server(*hash, *plus, keys, &genuine.first).expect("our own");
    let accepted = state.verify(message, &bindings());
    if let Ok(last) = &accepted {
        assert_eq!(last, &genuine.last);
    }
    assert_eq!(accepted.is_ok(), message == genuine.response, "a proof");

    let mut asked = client(*hash, *plus, PASSWORD);
    let answered = asked.response(message).is_ok();
    if answered && message != challenge {
        assert!(asked.check(&genuine.last).is_err(), "of another challenge");
    }
    let mut asked = client(*hash, *plus, PASSWORD);
    asked.response(&challenge).expect("our own");
    let said = asked.check(message).is_ok();
    // A server may add what clients do not know behind its signature.
    let signed = message.split(|byte| *byte == b',').next();
    assert_eq!(
        said,
        signed == Some(&genuine.last[..]) && message.len() <= 4096
    );
    understood || answered || said
}

fn simple(input: &[u8], genuine: &Genuine) {
    if let Ok(plain) = Plain::parse(input) {
        let right = genuine.keys.verify_password(plain.password);
        let prepared = plain.password == PASSWORD;
        assert!(!prepared || right, "the password");
        assert!(prepared || !right || !plain.password.is_ascii(), "no other");
    }
    for identity in [parse_external(input), parse_anonymous(input)] {
        if let Ok(Some(text)) = identity {
            assert!(!text.is_empty() && !text.contains('\0'));
        }
    }
}

fn tokens(input: &[u8], rng: &mut Rng, hash: Hash) {
    let channel = &[7; 32][..];
    let genuine = ht::initiator(hash, "user", TOKEN, channel);
    let mut close = genuine.clone();
    mutate(rng, &mut close);
    for message in [input, &close, &genuine] {
        let Ok(proof) = HtInitiator::parse(message) else {
            continue;
        };
        // The name is not signed: the token is looked for by it.
        let real = message[proof.username.len() + 1..] == genuine["user".len() + 1..];
        assert_eq!(proof.verify(hash, TOKEN, channel), real, "a token");
        assert!(!proof.verify(hash, b"another", channel));
        assert!(!proof.verify(hash, TOKEN, b"another"));
    }
    let answer = ht::responder(hash, TOKEN, channel);
    let real = input == answer;
    assert_eq!(ht::verify_responder(hash, TOKEN, channel, input), real);
    for task in Upgrade::ALL {
        let fits = input.len() == task.hash.output_len();
        assert_eq!(task.keys(input, b"salt", 1).is_ok(), fits);
    }
}
