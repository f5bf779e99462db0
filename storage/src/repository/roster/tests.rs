//! Rosters: versions.

use super::*;

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// Stores in mind: the version goes on.
fn step(roster: &mut Roster, change: impl FnOnce(&mut Roster)) {
    change(roster);
    roster.version += 1;
}

fn check(roster: &Roster, since: u64, expected: Option<(&[&str], &[&str])>) {
    let found = roster.since(since);
    let found = found.map(|(items, removed)| {
        (
            items
                .iter()
                .map(|item| item.jid.as_str())
                .collect::<Vec<_>>(),
            removed,
        )
    });
    let expected = expected.map(|(items, removed)| (items.to_vec(), removed.to_vec()));
    assert_eq!(found, expected, "since {since}");
}

#[test]
fn changes_since_a_version_are_told() {
    let mut roster = Roster::default();
    step(&mut roster, |roster| {
        roster.put(RosterItem::new(jid("b@x")))
    });
    step(&mut roster, |roster| {
        roster.put(RosterItem::new(jid("a@x")))
    });
    step(&mut roster, |roster| {
        roster.put(RosterItem {
            in_roster: false,
            ..RosterItem::new(jid("stranger@x"))
        })
    });
    step(&mut roster, |roster| {
        assert!(roster.remove(&jid("b@x")).is_some())
    });
    check(&roster, 0, Some((&["a@x"], &["b@x"])));
    check(&roster, 1, Some((&["a@x"], &["b@x"])));
    check(&roster, 2, Some((&[], &["b@x"])));
    check(&roster, 4, Some((&[], &[])));
    check(&roster, 5, None);
    step(&mut roster, |roster| {
        roster.put(RosterItem::new(jid("b@x")))
    });
    check(&roster, 3, Some((&["b@x"], &[])));
    assert!(roster.remove(&jid("nobody@x")).is_none());
    assert_eq!(
        roster
            .items
            .iter()
            .map(|item| item.jid.as_str())
            .collect::<Vec<_>>(),
        ["a@x", "b@x", "stranger@x"]
    );
    assert_eq!(roster.get(&jid("a@x")).map(|item| item.revision), Some(2));
}

#[test]
fn a_contact_that_stays_as_a_stranger_is_told_as_removed() {
    let mut roster = Roster::default();
    step(&mut roster, |roster| {
        roster.put(RosterItem::new(jid("a@x")))
    });
    step(&mut roster, |roster| {
        let item = roster.remove(&jid("a@x")).unwrap();
        roster.put(RosterItem {
            in_roster: false,
            ..item
        });
    });
    check(&roster, 1, Some((&[], &["a@x"])));
}

#[test]
fn removals_are_bounded_and_the_floor_tells_what_is_known() {
    let mut roster = Roster::default();
    for n in 0..300 {
        step(&mut roster, |roster| {
            roster.put(RosterItem::new(jid(&format!("c{n}@x"))))
        });
    }
    for n in 0..300 {
        step(&mut roster, |roster| {
            assert!(roster.remove(&jid(&format!("c{n}@x"))).is_some())
        });
    }
    assert_eq!(
        (roster.removed.len(), roster.floor),
        (Roster::MAX_REMOVED, 344)
    );
    assert!(roster.since(343).is_none());
    assert_eq!(roster.since(344).unwrap().1.len(), Roster::MAX_REMOVED);
}
