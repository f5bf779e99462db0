//! What an inactive client is spared, and in which order the rest comes (XEP-0352).

use proptest::prelude::*;
use xmpp::Jid;

use super::{ClientState, Key, Limits, Urgency, urgency as urgency_of};
use crate::pipeline::archive_rule::classify;

const LIMITS: Limits = Limits {
    stanzas: 8,
    bytes: 100,
};

fn presence(of: &str) -> Urgency {
    Urgency::Latest(Key::Presence(Jid::parse(of).unwrap()))
}

fn event(item: &str) -> Urgency {
    Urgency::Latest(Key::Event {
        publisher: Jid::parse("juliet@example.com").unwrap(),
        node: "urn:xmpp:bookmarks:1".into(),
        item: item.into(),
    })
}

/// What leaves for these, while inactive, and at `<active/>`.
fn check(offers: &[(&str, Urgency)], at_once: &str, at_active: &str) {
    let mut state = ClientState::new(LIMITS);
    state.deactivate();
    let mut out: Vec<&str> = Vec::new();
    for (item, urgency) in offers {
        state.offer(item, item.len(), urgency.clone(), &mut out);
    }
    assert_eq!(out.join(" "), at_once);
    let mut rest: Vec<&str> = Vec::new();
    state.activate(&mut rest);
    assert_eq!(rest.join(" "), at_active);
    assert_eq!((state.waiting(), state.is_inactive()), (0, false));
}

#[test]
fn an_active_client_hears_everything() {
    let mut state = ClientState::new(LIMITS);
    let mut out = Vec::new();
    for urgency in [
        Urgency::Never,
        Urgency::Later,
        presence("a@b/c"),
        Urgency::Now,
    ] {
        state.offer('x', 1, urgency, &mut out);
    }
    assert_eq!(out.len(), 4);
}

#[test]
fn chat_states_are_dropped() {
    check(&[("typing", Urgency::Never), ("m", Urgency::Now)], "m", "");
}

#[test]
fn the_latest_presence_of_each_address_waits() {
    check(
        &[
            ("r1", presence("romeo@example.net/a")),
            ("b1", presence("romeo@example.net/b")),
            ("r2", presence("romeo@example.net/a")),
        ],
        "",
        "b1 r2",
    );
    // Gone is said even if nobody heard of the coming: the client may have known of an earlier one.
    check(
        &[
            ("available", presence("romeo@example.net/a")),
            ("unavailable", presence("romeo@example.net/a")),
        ],
        "",
        "unavailable",
    );
}

#[test]
fn the_latest_event_of_each_item_waits() {
    check(
        &[("a1", event("a")), ("b1", event("b")), ("a2", event("a"))],
        "",
        "b1 a2",
    );
}

#[test]
fn what_is_urgent_comes_after_what_waits() {
    check(
        &[
            ("p1", presence("romeo@example.net/a")),
            ("receipt", Urgency::Later),
            ("p2", presence("romeo@example.net/a")),
            ("message", Urgency::Now),
            ("p3", presence("romeo@example.net/a")),
        ],
        "receipt p2 message",
        "p3",
    );
}

#[test]
fn beyond_a_limit_what_waits_goes_out() {
    let names = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let later: Vec<_> = names.map(|name| (name, Urgency::Later)).into();
    check(&later, "1 2 3 4 5 6 7 8", "9");
    let long = "x".repeat(60);
    let larger = "y".repeat(101);
    check(
        &[(&long, Urgency::Later), (&long, Urgency::Later)],
        &long,
        &long,
    );
    check(
        &[("a", Urgency::Later), (&larger, Urgency::Later)],
        &format!("a {larger}"),
        "",
    );
}

#[test]
fn a_restless_contact_costs_one_place() {
    let mut state = ClientState::new(LIMITS);
    state.deactivate();
    let mut out = Vec::new();
    for n in 0..10_000 {
        state.offer(n, 10, presence("romeo@example.net/a"), &mut out);
        assert!(state.held.capacity() <= 64);
    }
    assert_eq!((out.len(), state.waiting()), (0, 1));
    state.activate(&mut out);
    assert_eq!(out, [9_999]);
}

#[test]
fn urgency_follows_class_and_item() {
    let check = |xml: &str, expected: Urgency| {
        let stanza = xmpp::Stanza::parse(bytes::Bytes::copy_from_slice(xml.as_bytes())).unwrap();
        assert_eq!(urgency_of(&stanza, classify(&stanza)), expected, "{xml}");
    };
    let from = "from='juliet@example.com'";
    let events = |inside: &str| {
        format!(
            "<message type='headline' {from}><event xmlns='http://jabber.org/protocol/pubsub#event'>\
             <items node='urn:xmpp:bookmarks:1'>{inside}</items></event></message>"
        )
    };
    check(
        "<presence from='romeo@example.net/a'/>",
        presence("romeo@example.net/a"),
    );
    check("<presence/>", Urgency::Now);
    check(
        &format!("<message {from} type='chat'><body>b</body></message>"),
        Urgency::Now,
    );
    check(
        &events("<item id='a'><x xmlns='urn:example:x'/></item>"),
        event("a"),
    );
    check(&events("<retract id='a'/>"), event("a"));
    check(&events("<item id='a'/><item id='b'/>"), Urgency::Later);
    check(&events(""), Urgency::Later);
    check(&events("<item/>"), Urgency::Later);
}

#[derive(Debug, Clone)]
enum Step {
    Offer(u8, usize),
    Active,
    Inactive,
}

/// Keys 0 to 3: `Latest`; 4 `Later`; 5 `Now`; 6 `Never`.
fn urgency(kind: u8) -> Urgency {
    match kind {
        0..=3 => presence(&format!("romeo@example.net/{kind}")),
        4 => Urgency::Later,
        5 => Urgency::Now,
        _ => Urgency::Never,
    }
}

proptest! {
    /// Against a list that is searched: what leaves is in order, nothing but `Never` and what was superseded is lost.
    #[test]
    fn nothing_is_lost_and_order_is_kept(steps in prop::collection::vec(prop_oneof![
        8 => (0..7u8, 0..60usize).prop_map(|(kind, bytes)| Step::Offer(kind, bytes)),
        1 => Just(Step::Active),
        1 => Just(Step::Inactive),
    ], 0..200)) {
        let mut state = ClientState::new(LIMITS);
        let (mut inactive, mut model): (bool, Vec<(usize, u8, usize)>) = (false, Vec::new());
        for (n, step) in steps.into_iter().enumerate() {
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            match step {
                Step::Active => {
                    state.activate(&mut out);
                    expected.extend(model.drain(..).map(|(n, ..)| n));
                    inactive = false;
                }
                Step::Inactive => {
                    state.deactivate();
                    inactive = true;
                }
                Step::Offer(kind, bytes) => {
                    state.offer(n, bytes, urgency(kind), &mut out);
                    if !inactive {
                        expected.push(n);
                    } else if kind == 5 {
                        expected.extend(model.drain(..).map(|(n, ..)| n));
                        expected.push(n);
                    } else if kind < 5 {
                        model.retain(|(_, other, _)| kind == 4 || *other != kind);
                        let size: usize = model.iter().map(|(.., bytes)| bytes).sum();
                        if model.len() == LIMITS.stanzas || size + bytes > LIMITS.bytes {
                            expected.extend(model.drain(..).map(|(n, ..)| n));
                        }
                        model.push((n, kind, bytes));
                    }
                }
            }
            prop_assert_eq!(out, expected);
            prop_assert_eq!(state.waiting(), model.len());
        }
    }
}
