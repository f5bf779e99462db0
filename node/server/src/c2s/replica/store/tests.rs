//! What is not followed from the first word to the last is not known.

use super::*;
use crate::c2s::moving::{Kept, Moved};

const HOME: NodeId = NodeId(1);

fn session() -> Moved {
    Moved {
        resource: "phone".to_owned(),
        sm_id: "id".to_owned(),
        resume_ms: 1_000,
        h: 0,
        lang: None,
        priority: None,
        flags: 0,
        presence: None,
        directed: Vec::new(),
        active_list: None,
        acked: 0,
        unacked: Vec::new(),
        waiting: Vec::new(),
        doubt_since_ms: None,
        done: Vec::new(),
        began_ms: None,
        handed: None,
        carried: None,
        heard: None,
    }
}

fn whole(number: u64) -> Update {
    Update {
        number,
        of: Some(("bob@example.org".to_owned(), 5)),
        deltas: vec![Delta::Whole(Box::new(session()))],
    }
}

fn update(number: u64, deltas: Vec<Delta>) -> Update {
    Update {
        number,
        of: None,
        deltas,
    }
}

fn stanza(bytes: usize) -> Delta {
    Delta::Sent(vec![Kept::Stanza(vec![b'x'; bytes].into())])
}

/// Takes these in, and says what came of each.
fn check(store: &mut Store, updates: Vec<Update>, expected: &[bool]) {
    let updates = updates.into_iter();
    let came: Vec<bool> = updates.map(|it| store.take_in((HOME, 7), it)).collect();
    assert_eq!(came, expected);
    if store.held.is_empty() {
        assert_eq!((store.bytes, store.by_account.len()), (0, 0));
    }
}

#[test]
fn a_gap_ends_it() {
    let next = |number| update(number, vec![Delta::Handled(number as u32)]);
    let mut store = Store::default();
    check(
        &mut store,
        vec![whole(1), next(2), next(3)],
        &[true, true, true],
    );
    check(&mut store, vec![next(5), next(6)], &[false, false]);
    assert!(!store.knows("bob@example.org", NodeId(9)));
    // Told anew it is known again.
    check(&mut store, vec![whole(7), next(8)], &[true, true]);
    let taken = store.take("bob@example.org", None, |node| node == HOME, 50);
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].h, taken[0].doubt_since_ms), (8, Some(50)));
    check(&mut store, vec![next(9)], &[false]);
}

#[test]
fn what_is_closed_is_forgotten() {
    let mut store = Store::default();
    check(
        &mut store,
        vec![whole(1), stanza_update(2, 100)],
        &[true, true],
    );
    check(&mut store, vec![update(3, vec![Delta::Closed])], &[false]);
    assert_eq!(store.size(), (0, 0));
}

fn stanza_update(number: u64, bytes: usize) -> Update {
    update(number, vec![stanza(bytes)])
}

#[test]
fn what_finds_no_room_is_refused() {
    let mut store = Store::bounded(1, 3 * ONE);
    check(
        &mut store,
        vec![whole(1), stanza_update(2, ONE)],
        &[true, true],
    );
    assert!(!store.take_in((HOME, 8), whole(1)));
    assert_eq!(store.size().0, 1);
    check(&mut store, vec![stanza_update(3, ONE)], &[false]);
    assert!(store.take_in((HOME, 8), whole(1)));
    assert_eq!(store.size(), (1, ONE));
}

#[test]
fn a_session_is_given_when_its_home_is_gone_and_only_then() {
    let mut store = Store::default();
    let now = Instant::now();
    check(&mut store, vec![whole(1)], &[true]);
    assert!(store.orphans(|_| false, 10, now).is_empty());
    assert!(
        store
            .take("bob@example.org", None, |_| false, 10)
            .is_empty()
    );
    let orphans = store.orphans(|node| node == HOME, 10, now);
    assert_eq!(orphans, [Box::from("bob@example.org")]);
    // Only once.
    assert!(store.orphans(|node| node == HOME, 11, now).is_empty());
    let taken = store.take("bob@example.org", None, |_| false, 99);
    assert_eq!(
        (taken[0].doubt_since_ms, taken[0].began_ms),
        (Some(10), Some(5))
    );
    assert_eq!(store.size(), (0, 0));
}

#[test]
fn what_nobody_can_resume_any_more_expires() {
    let mut store = Store::default();
    let now = Instant::now();
    check(&mut store, vec![whole(1)], &[true]);
    store.expire(now + Duration::from_secs(10_000));
    assert_eq!(store.size().0, 1);
    store.orphans(|node| node == HOME, 10, now);
    store.expire(now + Duration::from_millis(999));
    assert_eq!(store.size().0, 1);
    store.expire(now + Duration::from_millis(1_000));
    assert_eq!(store.size(), (0, 0));
    assert_eq!(store.next_expiry, None);
}

#[test]
fn what_a_home_told_is_not_given_back_to_it() {
    let mut store = Store::default();
    check(&mut store, vec![whole(1)], &[true]);
    let account = "bob@example.org";
    assert!(!store.knows(account, HOME) && store.knows(account, NodeId(2)));
    assert!(store.take(account, Some(HOME), |_| true, 10).is_empty());
    assert_eq!(store.take(account, Some(NodeId(2)), |_| true, 10).len(), 1);
}

#[test]
fn a_copy_of_what_was_given_lasts_until_it_is_taken_in_or_for_a_while() {
    let (mut store, now, account) = (Store::default(), Instant::now(), "bob@example.org");
    let lapses = now + Duration::from_millis(100);
    let keep = |store: &mut Store| store.keep((HOME, 7), (account, 5), session(), lapses);
    // Taken in.
    keep(&mut store);
    check(&mut store, vec![update(0, vec![Delta::Closed])], &[false]);
    assert_eq!(store.size(), (0, 0));
    // Nobody says so, and its home lives.
    keep(&mut store);
    store.expire(now + Duration::from_millis(99));
    assert_eq!(store.size().0, 1);
    store.expire(lapses);
    assert_eq!(store.size(), (0, 0));
    // Its home dies: it is as what that left behind.
    keep(&mut store);
    assert_eq!(store.orphans(|node| node == HOME, 10, now).len(), 1);
    store.expire(lapses);
    assert_eq!(store.take(account, None, |_| false, 11).len(), 1);
}

#[test]
fn who_goes_elsewhere_is_kept_and_not_waited_for() {
    let mut store = Store::default();
    check(&mut store, vec![whole(1)], &[true]);
    assert!(store.knows("bob@example.org", NodeId(2)));
    check(&mut store, vec![Update::LEAVES], &[true]);
    assert!(!store.knows("bob@example.org", NodeId(2)));
    // Its home dies before it has arrived.
    let now = Instant::now();
    assert_eq!(store.orphans(|node| node == HOME, 10, now).len(), 1);
    let told = store.left_behind("bob@example.org");
    assert_eq!(told[0].doubt_since_ms, Some(10));
    // It is told to the next node, and is still here.
    assert_eq!(told, store.take("bob@example.org", None, |_| false, 11));
    check(&mut store, vec![Update::LEAVES], &[false]);
    check(
        &mut store,
        vec![whole(1), update(0, vec![Delta::Closed])],
        &[true, false],
    );
    assert_eq!(store.size(), (0, 0));
}
