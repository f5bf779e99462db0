//! Each kind of rule and address of a privacy list (XEP-0016 §2.1).

use proptest::prelude::*;
use storage::repository::{
    privacy::{PrivacyAction, PrivacyData, PrivacyItem, PrivacyMatch, StanzaKinds},
    roster::{RosterItem, Subscription},
};
use xmpp::{BareJid, ErrorType, Jid, StanzaErrorCondition};

use super::{
    BLOCK_LIST, MAX_ITEMS, Passing, TooMany, Verdict, block, blocked, evaluate, list_for,
    matches_jid, needs_roster, outgoing_error, unblock,
};

const ALL: [Passing; 5] = [
    Passing::Message,
    Passing::Iq,
    Passing::PresenceIn,
    Passing::PresenceOut,
    Passing::Other,
];

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn rule(action: PrivacyAction, matches: PrivacyMatch, stanzas: StanzaKinds) -> PrivacyItem {
    PrivacyItem {
        order: 0,
        action,
        matches,
        stanzas,
    }
}

fn deny(matches: PrivacyMatch) -> PrivacyItem {
    rule(PrivacyAction::Deny, matches, StanzaKinds::ALL)
}

fn allow(matches: PrivacyMatch) -> PrivacyItem {
    rule(PrivacyAction::Allow, matches, StanzaKinds::ALL)
}

fn address(text: &str) -> PrivacyMatch {
    PrivacyMatch::Jid(text.into())
}

fn contact(subscription: Subscription, groups: &[&str]) -> RosterItem {
    RosterItem {
        subscription,
        groups: groups.iter().map(|group| (*group).into()).collect(),
        ..RosterItem::new(BareJid::parse("tybalt@example.com").unwrap())
    }
}

fn denied(list: &[PrivacyItem], passing: Passing, other: &str, item: Option<&RosterItem>) -> bool {
    let owner = BareJid::parse("romeo@example.net").unwrap();
    evaluate(list, passing, &owner, &jid(other), item) == Verdict::Deny
}

#[test]
fn the_four_forms_of_an_address() {
    let check = |rule, yes: &[&str], no: &[&str]| {
        for other in yes {
            assert!(matches_jid(rule, &jid(other)), "{rule} {other}");
        }
        for other in no {
            assert!(!matches_jid(rule, &jid(other)), "{rule} {other}");
        }
    };
    check(
        "t@example.com/a",
        &["t@example.com/a"],
        &["t@example.com", "t@example.com/b", "example.com/a"],
    );
    check(
        "t@example.com",
        &["t@example.com", "t@example.com/a"],
        &["tt@example.com", "example.com", "t@example.co"],
    );
    check(
        "example.com/a",
        &["example.com/a"],
        &["example.com", "t@example.com/a", "example.com/b"],
    );
    check(
        "example.com",
        &[
            "example.com",
            "example.com/a",
            "t@example.com",
            "t@example.com/a",
        ],
        &["sub.example.com", "t@sub.example.com", "com"],
    );
}

#[test]
fn the_first_rule_that_matches_decides() {
    let list = [
        allow(address("tybalt@example.com/duel")),
        deny(address("tybalt@example.com")),
        allow(PrivacyMatch::All),
    ];
    for passing in ALL {
        assert!(!denied(&list, passing, "tybalt@example.com/duel", None));
        assert!(denied(&list, passing, "tybalt@example.com/feast", None));
        assert!(denied(&list, passing, "tybalt@example.com", None));
        assert!(!denied(&list, passing, "paris@example.com", None));
    }
}

#[test]
fn without_a_match_everything_passes() {
    for passing in ALL {
        assert!(!denied(&[], passing, "tybalt@example.com", None));
        assert!(!denied(
            &[deny(address("paris@example.com"))],
            passing,
            "tybalt@example.com",
            None
        ));
    }
}

#[test]
fn fall_through_and_own_resources() {
    let list = [deny(PrivacyMatch::All)];
    for passing in ALL {
        assert!(denied(&list, passing, "tybalt@example.com", None));
        assert!(!denied(&list, passing, "romeo@example.net/orchard", None));
        assert!(!denied(&list, passing, "romeo@example.net", None));
        assert!(denied(&list, passing, "example.net", None));
    }
}

#[test]
fn a_rule_stops_only_its_kinds() {
    let kinds = [
        (StanzaKinds::MESSAGE, "M...."),
        (StanzaKinds::IQ, ".I..."),
        (StanzaKinds::PRESENCE_IN, "..P.."),
        (StanzaKinds::PRESENCE_OUT, "...p."),
        (StanzaKinds::MESSAGE | StanzaKinds::PRESENCE_OUT, "M..p."),
        // All four by name are not everything: subscriptions and what goes out still pass.
        (
            StanzaKinds::MESSAGE
                | StanzaKinds::IQ
                | StanzaKinds::PRESENCE_IN
                | StanzaKinds::PRESENCE_OUT,
            "MIPp.",
        ),
        (StanzaKinds::ALL, "MIPpO"),
    ];
    for (stanzas, expected) in kinds {
        let list = [rule(PrivacyAction::Deny, PrivacyMatch::All, stanzas)];
        let got: String = ALL
            .into_iter()
            .zip("MIPpO".chars())
            .map(|(passing, letter)| {
                if denied(&list, passing, "tybalt@example.com", None) {
                    letter
                } else {
                    '.'
                }
            })
            .collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn groups_and_subscriptions_come_from_the_roster() {
    use Subscription as S;
    let enemies = [deny(PrivacyMatch::Group("Enemies".into()))];
    let check = |item: Option<RosterItem>, expected| {
        assert_eq!(
            denied(
                &enemies,
                Passing::Message,
                "tybalt@example.com/a",
                item.as_ref()
            ),
            expected
        );
    };
    check(Some(contact(S::Both, &["Family", "Enemies"])), true);
    check(Some(contact(S::Both, &["enemies"])), false);
    check(Some(contact(S::Both, &[])), false);
    check(None, false);
    for listed in [S::None, S::To, S::From, S::Both] {
        let list = [deny(PrivacyMatch::Subscription(listed))];
        for actual in [S::None, S::To, S::From, S::Both] {
            let item = contact(actual, &[]);
            assert_eq!(
                denied(&list, Passing::Iq, "tybalt@example.com", Some(&item)),
                listed == actual
            );
        }
        assert_eq!(
            denied(&list, Passing::Iq, "stranger@example.com", None),
            listed == S::None
        );
        assert!(needs_roster(&list));
    }
    assert!(needs_roster(&enemies));
    assert!(!needs_roster(&[
        deny(PrivacyMatch::All),
        allow(address("example.com"))
    ]));
}

fn data(lists: &[(&str, Vec<PrivacyItem>)], default: Option<&str>) -> PrivacyData {
    PrivacyData {
        lists: lists
            .iter()
            .map(|(name, items)| ((*name).into(), items.clone()))
            .collect(),
        default: default.map(Into::into),
        version: 1,
    }
}

#[test]
fn an_active_list_takes_the_place_of_the_default() {
    let public = vec![deny(address("tybalt@example.com"))];
    let private = vec![deny(PrivacyMatch::All)];
    let data = data(
        &[("public", public.clone()), ("private", private.clone())],
        Some("public"),
    );
    assert_eq!(list_for(&data, None), public);
    assert_eq!(list_for(&data, Some("private")), private);
    assert_eq!(list_for(&data, Some("missing")), public);
    assert!(list_for(&PrivacyData::default(), None).is_empty());
}

#[test]
fn the_owner_hears_that_it_blocks() {
    let error = outgoing_error();
    assert_eq!(
        (error.condition, error.error_type),
        (StanzaErrorCondition::NotAcceptable, ErrorType::Cancel)
    );
    assert!(
        error
            .application
            .unwrap()
            .is("blocked", "urn:xmpp:blocking:errors")
    );
}

#[test]
fn the_block_list_is_what_the_default_list_denies_altogether() {
    let items = vec![
        deny(address("a@example.com")),
        allow(address("b@example.com")),
        rule(
            PrivacyAction::Deny,
            address("c@example.com"),
            StanzaKinds::MESSAGE,
        ),
        deny(PrivacyMatch::Group("Enemies".into())),
        deny(PrivacyMatch::All),
        deny(address("example.org")),
    ];
    let other = vec![deny(address("z@example.com"))];
    let lists = data(&[("mine", items), ("other", other)], Some("mine"));
    assert_eq!(
        blocked(&lists).collect::<Vec<_>>(),
        ["a@example.com", "example.org"]
    );
    assert_eq!(blocked(&PrivacyData::default()).count(), 0);
}

#[test]
fn blocks_come_first_and_the_rest_stays() {
    let mut lists = data(
        &[(
            "mine",
            vec![
                allow(address("a@example.com")),
                deny(address("b@example.com")),
            ],
        )],
        Some("mine"),
    );
    let new = block(
        &mut lists,
        &[
            jid("a@example.com"),
            jid("b@example.com"),
            jid("a@example.com"),
        ],
    )
    .unwrap();
    assert_eq!(new, [jid("a@example.com")]);
    let list = list_for(&lists, None);
    assert_eq!(
        list.iter().map(|item| item.order).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(list[0].matches, address("a@example.com"));
    assert!(denied(list, Passing::Message, "a@example.com/x", None));
    assert_eq!(
        unblock(&mut lists, &[jid("a@example.com")]),
        ["a@example.com"]
    );
    assert!(!denied(
        list_for(&lists, None),
        Passing::Message,
        "a@example.com/x",
        None
    ));
    assert!(denied(
        list_for(&lists, None),
        Passing::Message,
        "b@example.com/x",
        None
    ));
}

#[test]
fn blocking_makes_a_default_list_and_unblocking_takes_it_away() {
    let mut lists = data(&[(BLOCK_LIST, vec![deny(PrivacyMatch::All)])], None);
    block(&mut lists, &[jid("a@example.com")]).unwrap();
    assert_eq!(lists.default.as_deref(), Some("blocked+"));
    assert_eq!(lists.lists[BLOCK_LIST].len(), 1);
    assert_eq!(unblock(&mut lists, &[]), ["a@example.com"]);
    assert_eq!((lists.default, lists.lists.len()), (None, 1));
    assert!(unblock(&mut PrivacyData::default(), &[]).is_empty());
}

#[test]
fn a_list_has_a_bound() {
    let many: Vec<_> = (0..=MAX_ITEMS)
        .map(|n| jid(&format!("user{n}@example.com")))
        .collect();
    let mut lists = PrivacyData::default();
    assert_eq!(block(&mut lists, &many), Err(TooMany));
    assert_eq!(lists, PrivacyData::default());
    assert_eq!(
        block(&mut lists, &many[1..]).map(|new| new.len()),
        Ok(MAX_ITEMS)
    );
    assert_eq!(block(&mut lists, &many[1..2]), Ok(vec![]));
    assert_eq!(block(&mut lists, &many[..1]), Err(TooMany));
}

proptest! {
    #[test]
    fn the_block_list_is_a_set(steps in prop::collection::vec((any::<bool>(), prop::collection::vec(0..6u8, 0..4)), 0..30)) {
        let name = |n: u8| jid(&format!("user{n}@example.com"));
        let mut lists = data(&[("mine", vec![allow(PrivacyMatch::All)])], Some("mine"));
        let mut model = std::collections::BTreeSet::new();
        for (blocks, who) in steps {
            let jids: Vec<_> = who.iter().copied().map(name).collect();
            if blocks {
                let new = block(&mut lists, &jids).unwrap();
                let fresh: std::collections::BTreeSet<_> = who.iter().filter(|n| model.insert(**n)).collect();
                prop_assert_eq!(new.len(), fresh.len());
            } else if jids.is_empty() {
                prop_assert_eq!(unblock(&mut lists, &jids).len(), model.len());
                model.clear();
            } else {
                let gone = who.iter().filter(|n| model.remove(n)).count();
                prop_assert_eq!(unblock(&mut lists, &jids).len(), gone);
            }
            for n in 0..6 {
                let other = format!("user{n}@example.com/x");
                prop_assert_eq!(denied(list_for(&lists, None), Passing::Other, &other, None), model.contains(&n));
            }
            prop_assert_eq!(lists.default.as_deref(), Some("mine"));
        }
    }
}
