//! Who hears a presence, who is asked for one, which resource is preferred (RFC 6121 §4).

use storage::repository::roster::{RosterItem, Subscription};
use xmpp::{BareJid, Jid};

use super::{
    Directed, ProbeAnswer, Session, TooMany, answer_probe, may_take_messages, requests,
    subscribers, subscriptions,
};

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// a: none, b: both, f: from, p: none and pending in, t: to; all at example.net, sorted.
fn roster() -> Vec<RosterItem> {
    let item = |name: &str, subscription| RosterItem {
        subscription,
        ..RosterItem::new(BareJid::parse(&format!("{name}@example.net")).unwrap())
    };
    let mut items = vec![
        item("a", Subscription::None),
        item("b", Subscription::Both),
        item("f", Subscription::From),
        item("p", Subscription::None),
        item("t", Subscription::To),
    ];
    items[3].in_roster = false;
    items[3].pending_in = Some(bytes::Bytes::from_static(b"<presence type='subscribe'/>"));
    items
}

fn directed(addresses: &[&str]) -> Directed {
    addresses.iter().map(|address| jid(address)).collect()
}

fn strings(directed: &Directed) -> Vec<&str> {
    directed.iter().map(Jid::as_str).collect()
}

#[test]
fn messages_wait_for_the_first_non_negative_priority() {
    let check = |before, now, expected| {
        assert_eq!(may_take_messages(before, now), expected, "{before:?} {now}");
    };
    check(None, 0, true);
    check(None, 127, true);
    check(None, -1, false);
    check(Some(-1), 0, true);
    check(Some(-1), -2, false);
    check(Some(0), 5, false);
    check(Some(5), -1, false);
}

#[test]
fn the_roster_says_who_hears_and_who_is_asked() {
    let roster = roster();
    let names = |jids: Vec<&BareJid>| -> Vec<String> {
        jids.into_iter()
            .map(|jid| jid.local().unwrap().into())
            .collect()
    };
    assert_eq!(names(subscribers(&roster).collect()), ["b", "f"]);
    assert_eq!(names(subscriptions(&roster).collect()), ["b", "t"]);
    assert_eq!(requests(&roster).count(), 1);
}

#[test]
fn directed_presence_is_noted_for_those_who_hear_no_broadcast() {
    let roster = roster();
    let check = |available, to: &str, noted| {
        let mut directed = Directed::default();
        directed
            .sent_available(&jid(to), available, &roster)
            .unwrap();
        assert_eq!(
            strings(&directed),
            if noted { vec![to] } else { vec![] },
            "{available} {to}"
        );
    };
    // RFC 6121 §4.6.3: 1, 2, 3.
    check(true, "b@example.net", false);
    check(true, "f@example.net/x", false);
    check(true, "t@example.net", true);
    check(true, "a@example.net/x", true);
    check(true, "room@muc.example.net/romeo", true);
    check(false, "b@example.net", true);
    check(false, "room@muc.example.net/romeo", true);
}

#[test]
fn goodbye_is_said_once() {
    let all = [
        "b@example.net/x",
        "room@muc.example.net/romeo",
        "t@example.net",
    ];
    let mut set = directed(&all);
    let told: Vec<_> = set.take_all(true, &roster());
    assert_eq!(told, [jid(all[1]), jid(all[2])], "b hears the broadcast");
    assert_eq!(set, Directed::default());
    assert_eq!(
        directed(&all).take_all(false, &roster()).len(),
        3,
        "there is no broadcast"
    );
}

#[test]
fn who_has_heard_or_has_left_is_forgotten() {
    let mut set = directed(&["t@example.net", "room@muc.example.net/romeo"]);
    set.sent_unavailable(&jid("t@example.net"));
    assert_eq!(strings(&set), ["room@muc.example.net/romeo"]);
    set.heard_unavailable(&jid("room@muc.example.net/juliet"));
    assert_eq!(strings(&set).len(), 1, "somebody else left the room");
    set.heard_unavailable(&jid("room@muc.example.net/romeo"));
    assert_eq!(set, Directed::default());
}

#[test]
fn directed_presence_has_a_bound() {
    let mut set = Directed::default();
    for n in 0..Directed::MAX {
        let room = jid(&format!("room{n}@muc.example.net/romeo"));
        assert_eq!(set.sent_available(&room, true, &[]), Ok(()));
    }
    let one_more = jid("room@muc.example.net/romeo");
    assert_eq!(set.sent_available(&one_more, true, &[]), Err(TooMany));
    let again = jid("room7@muc.example.net/romeo");
    assert_eq!(set.sent_available(&again, true, &[]), Ok(()));
    set.sent_unavailable(&again);
    assert_eq!(set.sent_available(&one_more, true, &[]), Ok(()));
}

#[test]
fn directed_presence_reaches_the_resources_of_a_bare_address() {
    let set = directed(&["t@example.net", "room@muc.example.net/romeo"]);
    for (address, expected) in [
        ("t@example.net", true),
        ("t@example.net/x", true),
        ("room@muc.example.net/romeo", true),
        ("room@muc.example.net", false),
        ("room@muc.example.net/juliet", false),
    ] {
        assert_eq!(set.reaches(&jid(address)), expected, "{address}");
    }
}

#[test]
fn probes_are_answered_to_those_who_may_see() {
    use ProbeAnswer::*;
    let owner = BareJid::parse("juliet@example.com").unwrap();
    let roster = roster();
    let none = Directed::default();
    let rooms = directed(&["room@muc.example.net", "t@example.net/x"]);
    let online = [
        ("balcony", true, &none),
        ("chamber", true, &rooms),
        ("garden", false, &rooms),
    ];
    let silent = [("garden", false, &none)];
    let check = |sessions: Option<&[(&'static str, bool, &Directed)]>,
                 prober: &str,
                 resource: Option<&str>,
                 expected: ProbeAnswer<'_>| {
        let prober = jid(prober);
        let session =
            |&(resource, available, directed): &(&'static str, bool, &Directed)| Session {
                resource,
                available,
                told_directly: directed.reaches(&prober),
            };
        let sessions: Option<Vec<_>> =
            sessions.map(|sessions| sessions.iter().map(session).collect());
        let got = answer_probe(&owner, resource, &prober, &roster, sessions.as_deref());
        assert_eq!(got, expected, "{prober} {resource:?}");
    };
    // 1: no account, no subscription.
    check(None, "b@example.net", None, Unsubscribed);
    check(None, "b@example.net", Some("balcony"), Unsubscribed);
    for stranger in [
        "a@example.net",
        "p@example.net",
        "t@example.net",
        "x@example.net",
        "example.net",
    ] {
        check(Some(&online), stranger, None, Unsubscribed);
        check(Some(&online), stranger, Some("balcony"), Unsubscribed);
        check(Some(&[]), stranger, None, Unsubscribed);
    }
    for subscriber in [
        "b@example.net",
        "f@example.net",
        "f@example.net/x",
        "juliet@example.com",
    ] {
        // 3: nobody there.
        check(Some(&[]), subscriber, None, Unavailable);
        check(Some(&silent), subscriber, None, Unavailable);
        check(Some(&silent), subscriber, Some("garden"), Unavailable);
        check(Some(&online), subscriber, Some("gone"), Unavailable);
        // 4: all that is there, or the one that was asked after and no more.
        check(
            Some(&online),
            subscriber,
            None,
            Presence(vec!["balcony", "chamber"]),
        );
        check(
            Some(&online),
            subscriber,
            Some("balcony"),
            Bare(vec!["balcony"]),
        );
    }
    // §4.6.6: who got directed presence may know of that resource, available or not.
    for acquaintance in [
        "room@muc.example.net",
        "room@muc.example.net/x",
        "t@example.net/x",
    ] {
        check(
            Some(&online),
            acquaintance,
            Some("chamber"),
            Bare(vec!["chamber"]),
        );
        check(
            Some(&online),
            acquaintance,
            Some("garden"),
            Bare(vec!["garden"]),
        );
        check(Some(&online), acquaintance, Some("balcony"), Unsubscribed);
        check(
            Some(&online),
            acquaintance,
            None,
            Bare(vec!["chamber", "garden"]),
        );
    }
}

#[test]
fn a_message_of_a_room_is_given_once() {
    let mut set = directed(&["coven@chat.example/ada"]);
    assert!(set.hears("coven@chat.example", 5));
    assert!(!set.hears("coven@chat.example", 5));
    assert!(!set.hears("coven@chat.example", 4));
    assert!(set.hears("coven@chat.example", 7));
    assert_eq!(set.heard().collect::<Vec<_>>(), [("coven@chat.example", 7)]);
    // Of rooms in which it is not nothing is noted.
    assert!(set.hears("heath@chat.example", 1) && set.hears("heath@chat.example", 1));
    assert_eq!(set.last_heard("heath@chat.example"), 0);
    // Who has left and enters again is given all.
    set.sent_unavailable(&jid("coven@chat.example/ada"));
    set.sent_available(&jid("coven@chat.example/ada"), false, &[])
        .unwrap();
    assert!(set.hears("coven@chat.example", 7));
    // Others come and go without that.
    set.heard_unavailable(&jid("coven@chat.example/bob"));
    assert_eq!(set.last_heard("coven@chat.example"), 7);
    set.heard_unavailable(&jid("coven@chat.example/ada"));
    assert_eq!(set.last_heard("coven@chat.example"), 0);
}
