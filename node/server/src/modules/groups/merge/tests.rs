//! Rosters with what is given.

use super::*;

fn jid(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@d")).unwrap()
}

fn own(name: &str) -> RosterItem {
    RosterItem {
        revision: 3,
        ..RosterItem::new(jid(name))
    }
}

fn given(name: &str, sees: bool, is_told: bool) -> Contact {
    Contact {
        jid: jid(name),
        name: Some(format!("The {name}")),
        groups: vec!["Staff".into()],
        sees,
        is_told,
        only_online: false,
    }
}

fn part(contacts: Vec<Contact>) -> Part {
    Part {
        contacts,
        digest: 7,
        ..Part::default()
    }
}

fn roster(items: Vec<RosterItem>) -> Arc<Roster> {
    Arc::new(Roster {
        version: 5,
        items,
        removed: vec![("bob@d".into(), 4), ("zoe@d".into(), 5)],
        floor: 0,
        given: 0,
    })
}

#[test]
fn nothing_given_is_the_same_roster() {
    let own = roster(vec![own("ann")]);
    assert!(Arc::ptr_eq(&own, &merged(&own, &Part::default(), None)));
}

#[test]
fn what_is_given_stands_beside_what_is_ones_own() {
    let own = roster(vec![own("ann"), own("eve")]);
    let all = merged(&own, &part(vec![given("bob", true, true)]), None);
    let names: Vec<_> = all.items.iter().map(|item| item.jid.as_str()).collect();
    assert_eq!(names, ["ann@d", "bob@d", "eve@d"]);
    let bob = &all.items[1];
    assert_eq!(
        (bob.in_roster, bob.name.as_deref(), bob.subscription),
        (true, Some("The bob"), Subscription::Both)
    );
    assert_eq!((all.version, all.given), (5, 7));
    // He was taken out with version 4, and has been there since all the same.
    assert_eq!(bob.revision, 4);
    assert_eq!(all.removed, [("zoe@d".to_owned(), 5)]);
}

#[test]
fn what_the_owner_says_of_a_contact_counts() {
    let own = roster(vec![RosterItem {
        name: Some("Bobby".into()),
        groups: vec!["Friends".into()],
        ask: true,
        subscription: Subscription::From,
        pending_in: None,
        ..own("bob")
    }]);
    let all = merged(&own, &part(vec![given("bob", true, false)]), None);
    let bob = &all.items[0];
    assert_eq!(bob.name.as_deref(), Some("Bobby"));
    assert_eq!(bob.groups, ["Friends", "Staff"]);
    assert_eq!((bob.subscription, bob.ask), (Subscription::Both, false));
    assert_eq!(bob.revision, 3);
}

#[test]
fn a_request_that_waits_is_answered_by_what_is_given() {
    let own = roster(vec![RosterItem {
        in_roster: false,
        pending_in: Some(bytes::Bytes::from_static(b"<presence/>")),
        ..own("bob")
    }]);
    let all = merged(&own, &part(vec![given("bob", false, true)]), None);
    assert_eq!(all.items[0].pending_in, None);
    assert!(all.items[0].in_roster);
}

#[test]
fn who_is_only_told_of_presence_is_not_shown() {
    let hidden = Contact {
        groups: Vec::new(),
        ..given("bob", false, true)
    };
    let all = merged(&roster(vec![]), &part(vec![hidden]), None);
    let bob = &all.items[0];
    assert_eq!(
        (bob.in_roster, bob.subscription),
        (false, Subscription::From)
    );
}

#[test]
fn who_is_shown_while_there_comes_and_goes() {
    let online = Contact {
        only_online: true,
        ..given("bob", true, true)
    };
    let part = part(vec![online]);
    let own = roster(vec![]);
    let there = BTreeMap::from([(jid("bob"), BTreeSet::from(["a".to_owned()]))]);
    let (gone, here) = (merged(&own, &part, None), merged(&own, &part, Some(&there)));
    assert_eq!(
        (gone.items[0].in_roster, here.items[0].in_roster),
        (false, true)
    );
    assert_eq!(gone.items[0].subscription, Subscription::Both);
    assert_ne!(gone.given, here.given);
    let change = Change {
        contact: jid("bob"),
        is_pushed: true,
        told: (true, true),
    };
    assert_eq!(changes(&gone, &here), [change]);
}

#[test]
fn changes_name_who_differs() {
    let roster_of = |contacts| merged(&roster(vec![own("ann"), own("eve")]), &part(contacts), None);
    let check =
        |before: Vec<Contact>, after: Vec<Contact>, expected: &[(&str, bool, (bool, bool))]| {
            let found = changes(&roster_of(before), &roster_of(after));
            let found: Vec<_> = found
                .iter()
                .map(|it| (it.contact.local().unwrap(), it.is_pushed, it.told))
                .collect();
            assert_eq!(found, expected);
        };
    let (bob, zed) = (given("bob", true, true), given("zed", true, false));
    check(vec![], vec![], &[]);
    check(vec![bob.clone()], vec![bob.clone()], &[]);
    check(vec![], vec![bob.clone()], &[("bob", true, (false, true))]);
    check(vec![zed.clone()], vec![], &[("zed", true, (false, false))]);
    check(
        vec![bob.clone()],
        vec![given("bob", true, false), zed],
        &[("bob", true, (true, false)), ("zed", true, (false, false))],
    );
    check(
        vec![],
        vec![given("ann", true, true)],
        &[("ann", true, (false, true))],
    );
}
