//! Order over moves, and the bounds of what waits.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;
use xmpp::Stanza;

use super::{
    halts::{PATIENCE, Turn},
    *,
};

const FORMER: NodeId = NodeId(1);
const HOME: NodeId = NodeId(2);

fn parcel(id: &str) -> Parcel {
    let text = format!("<message to='ada@example.org' id='{id}'><body/></message>");
    Parcel::new(Stanza::parse(text.into()).unwrap(), None)
}

fn ask(asking: &Asking, number: u64, node: NodeId, id: &str) {
    let Turn::Now(parcel) = asking.turn(parcel(id), 1) else {
        panic!("it has its turn")
    };
    assert!(asking.insert(number, node, 0, parcel).is_ok());
}

fn waits(asking: &Asking, id: &str) -> bool {
    matches!(asking.turn(parcel(id), 1), Turn::Waits)
}

fn moves(asking: &Asking, epoch: u64) {
    assert!(asking.change(epoch, || true, |_| Some(HOME)));
}

/// What goes on now.
fn go_on(asking: &Asking) -> Vec<String> {
    let mut gone = Vec::new();
    for account in asking.free() {
        while let Some(parcel) = asking.next(&account) {
            gone.push(parcel.stanza.id().unwrap().into_owned());
        }
    }
    gone
}

#[test]
fn what_follows_waits_for_what_is_under_way() {
    let asking = Asking::default();
    ask(&asking, 7, FORMER, "a");
    ask(&asking, 8, FORMER, "b");
    moves(&asking, 2);
    assert!(waits(&asking, "c"));
    assert!(asking.remove(8, FORMER).is_some());
    assert!(go_on(&asking).is_empty());
    assert!(waits(&asking, "d"));
    assert!(asking.remove(7, FORMER).is_some());
    assert_eq!(go_on(&asking), ["c", "d"]);
    assert!(!waits(&asking, "e"));
}

#[test]
fn what_comes_back_goes_before_what_followed() {
    let asking = Asking::default();
    for (number, id) in [(7, "a"), (8, "b"), (9, "c")] {
        ask(&asking, number, FORMER, id);
    }
    let halted = std::cell::Cell::new(0);
    let back = |number, epoch| {
        asking.back(number, FORMER, (epoch, None), || {
            halted.set(halted.get() + 1)
        });
    };
    // This node learns of the view later.
    back(7, 2);
    assert!(waits(&asking, "d"));
    assert!(asking.remove(8, FORMER).is_some(), "it was done");
    back(9, 2);
    assert!(go_on(&asking).is_empty());
    assert_eq!(halted.get(), 1);
    moves(&asking, 2);
    assert_eq!(go_on(&asking), ["a", "c", "d"]);
    assert_eq!(asking.len(), 0);
}

/// The home moves on while what came back is on its way again.
#[test]
fn what_comes_back_twice_keeps_its_place() {
    let asking = Asking::default();
    for (number, id) in [(7, "a"), (8, "b")] {
        ask(&asking, number, FORMER, id);
    }
    moves(&asking, 2);
    for number in [7, 8] {
        asking.back(number, FORMER, (2, None), || ());
    }
    let free = asking.free();
    let first = asking.next(&free[0]).unwrap();
    assert!(asking.insert(20, HOME, 0, first).is_ok());
    let second = asking.next(&free[0]).unwrap();
    asking.back(20, HOME, (2, Some(5)), || ());
    assert!(asking.turn_again(second).is_none());
    assert!(asking.free().is_empty(), "one lets it go on already");
    for expected in ["a", "b"] {
        let parcel = asking.next(&free[0]).unwrap();
        assert_eq!(parcel.stanza.id().as_deref(), Some(expected));
    }
    assert!(asking.next(&free[0]).is_none());
    assert!(!waits(&asking, "c"));
}

/// A node lives and never answers: nobody waits for ever.
#[test]
fn patience_ends() {
    let asking = Asking::default();
    ask(&asking, 7, FORMER, "a");
    moves(&asking, 2);
    assert!(waits(&asking, "b"));
    assert_eq!(asking.lose_patience(Instant::now()), 0);
    assert!(go_on(&asking).is_empty());
    let late = Instant::now() + PATIENCE + Duration::from_secs(1);
    assert_eq!(asking.lose_patience(late), 1);
    assert_eq!(go_on(&asking), ["b"]);
    assert!(asking.remove(7, FORMER).is_some(), "it may still answer");
    assert!(!waits(&asking, "c"));
}

/// It could not leave yet; what follows could, and does not.
#[test]
fn what_is_held_is_not_overtaken() {
    let asking = Asking::default();
    ask(&asking, 7, FORMER, "a");
    asking.hold(7, FORMER);
    assert!(waits(&asking, "b"));
    assert!(go_on(&asking).is_empty());
    assert!(asking.remove(7, FORMER).is_some());
    assert_eq!(go_on(&asking), ["b"]);
    assert!(!waits(&asking, "c"));
    assert_eq!(asking.bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn what_waits_is_bounded_but_for_what_may_be_done_already() {
    let asking = Asking::default();
    ask(&asking, 7, FORMER, "a");
    asking.hold(7, FORMER);
    asking.bytes.store(MAX_BYTES, Ordering::Relaxed);
    assert!(matches!(asking.turn(parcel("b"), 1), Turn::Full(_)));
    let doubted = parcel("c").may_be_repeated(1);
    assert!(matches!(asking.turn(doubted, 1), Turn::Waits));
}

#[test]
fn what_a_dead_node_had_comes_back_in_doubt() {
    let asking = Asking::default();
    ask(&asking, 7, FORMER, "a");
    moves(&asking, 2);
    assert!(waits(&asking, "b"));
    asking.gone(FORMER);
    let free = asking.free();
    let first = asking.next(&free[0]).unwrap();
    assert_eq!(first.stanza.id().as_deref(), Some("a"));
    assert!(first.doubt.is_some());
    let second = asking.next(&free[0]).unwrap();
    assert!(second.doubt.is_none());
    assert!(asking.next(&free[0]).is_none());
    assert!(!waits(&asking, "c"));
}
