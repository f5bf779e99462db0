//! What one hop of a stanza costs: `cargo run --release -p xmpp --example hop`.
//!
//! A hop is what a server does with every stanza: bytes from the socket to a checked fragment, its addresses, a start
//! tag with `from` set. Prints the best of several rounds, in nanoseconds for each message; wall-clock figures are for
//! reading, not for a gate.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{hint::black_box, time::Instant};

use xmpp::{
    Fragment, Jid, Stanza,
    codec::{Decoder, Limits, StreamEvent},
    ns,
};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

const SHORT: &str = "<message from='juliet@example.com/balcony' to='romeo@example.net/orchard' id='ktx72v49-3f1a' type='chat' xml:lang='en'>\
<body>Art thou not Romeo, and a Montague? Neither if either.</body></message>";

const LONG: &str = "<message from='juliet@example.com/balcony' to='romeo@example.net/orchard' id='5f3dbc5e-e1d3-4077-a492-693f3769c7ad' type='chat'>\
<body>Wherefore art thou &quot;Romeo&quot;? Deny thy father and refuse thy name; or, if thou wilt not, be but sworn my love, \
and I&apos;ll no longer be a Capulet. &apos;Tis but thy name: my foe.</body>\
<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
<markable xmlns='urn:xmpp:chat-markers:0'/><origin-id xmlns='urn:xmpp:sid:0' id='5f3dbc5e-e1d3-4077-a492-693f3769c7ad'/>\
<thread>e0ffe42b28561960c6b12b944a092794b9683a38</thread><store xmlns='urn:xmpp:hints'/></message>";

fn main() {
    let sender = Jid::parse("juliet@example.com/balcony").expect("an address");
    for message in [SHORT, LONG] {
        let bytes = message.as_bytes();
        let mut decoder = Decoder::new(Limits::default());
        decoder
            .next(&mut HEADER.as_bytes())
            .expect("a stream header");
        let stanza = Stanza::new(next(&mut decoder, bytes)).expect("a message");
        let fragment = Fragment::parse(message.into(), ns::CLIENT).expect("a message");
        println!("{} bytes", bytes.len());
        report("decode (check, index, copy)", || {
            next(&mut decoder, black_box(bytes))
        });
        report("decode, four attributes", || {
            let fragment = next(&mut decoder, black_box(bytes));
            let lengths = ["to", "from", "id", "type"]
                .map(|name| fragment.root().attr(name).map(|value| value.len()));
            (fragment, lengths)
        });
        report("addresses (Stanza::new)", || {
            Stanza::new(black_box(&fragment).clone()).ok()
        });
        report("readdress", || {
            black_box(&stanza).readdressed(Some(&sender), None)
        });
        report("splice a child in", || {
            black_box(&stanza).spliced(
                |_| false,
                b"<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='a@b'/>",
            )
        });
        report("hop without addresses: decode, readdress", || {
            black_box(next(&mut decoder, black_box(bytes)));
            black_box(&stanza).readdressed(Some(&sender), None)
        });
        report("hop: decode, addresses, readdress", || {
            let stanza = Stanza::new(next(&mut decoder, black_box(bytes))).ok();
            stanza.map(|stanza| stanza.readdressed(Some(&sender), None))
        });
        report("owned tree of it (for comparison)", || {
            black_box(&fragment).to_element()
        });
    }
}

fn next(decoder: &mut Decoder, mut bytes: &[u8]) -> Fragment {
    match decoder.next(&mut bytes) {
        Ok(Some(StreamEvent::Element(fragment))) => fragment,
        other => panic!("expected an element, got {other:?}"),
    }
}

fn report<T>(what: &str, mut run: impl FnMut() -> T) {
    const ROUNDS: usize = 40;
    const TIMES: u32 = 5_000;
    let best = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        for _ in 0..TIMES {
            black_box(run());
        }
        start.elapsed() / TIMES
    });
    println!(
        "  {what:45} {:5} ns",
        best.min().unwrap_or_default().as_nanos()
    );
}
