//! Privacy lists: rules that ask for the roster are judged by it, whoever is there.

use std::collections::BTreeMap;

use storage::ErrorKind;
use storage::layer::faulty::{Fault, Target, When};
use storage::repository::{
    PrivacyAction, PrivacyData, PrivacyItem, PrivacyMatch, Roster, RosterItem, StanzaKinds,
    Subscription,
};
use tests::faults::client::{Client, attr, message, name};
use tests::faults::node::{Local, account};
use tests::faults::settings::Settings;

fn denies(order: u32, matches: PrivacyMatch) -> PrivacyItem {
    PrivacyItem {
        order,
        action: PrivacyAction::Deny,
        matches,
        stanzas: StanzaKinds::ALL,
    }
}

/// Bob, who denies strangers and the group `Foes`: alice is a friend, mallory a friend and a foe, carol unknown.
async fn node() -> Local {
    let node = Local::start(&Settings::default(), 1).await.unwrap();
    node.accounts(["alice", "bob", "carol", "mallory"])
        .await
        .unwrap();
    let item = |name, group: &str| RosterItem {
        subscription: Subscription::Both,
        groups: vec![group.to_owned()],
        ..RosterItem::new(account(name))
    };
    let roster = Roster {
        items: vec![item("alice", "Friends"), item("mallory", "Foes")],
        ..Roster::default()
    };
    let (bob, stores) = (account("bob"), &node.stores);
    stores.rosters.store(&bob, &roster, 0).await.unwrap();
    let rules = vec![
        denies(1, PrivacyMatch::Group("Foes".to_owned())),
        denies(2, PrivacyMatch::Subscription(Subscription::None)),
    ];
    let lists = PrivacyData {
        lists: BTreeMap::from([("mine".to_owned(), rules)]),
        default: Some("mine".to_owned()),
        ..PrivacyData::default()
    };
    stores.privacy.store(&bob, &lists, 0).await.unwrap();
    node
}

/// Whether a message of this account to bob comes back.
async fn is_refused(node: &Local, from: &str) -> bool {
    let mut client = Client::online(node.address(), from, "phone").await.unwrap();
    client.enable().await.unwrap();
    client
        .send(&message("bob@localhost", from, "hello"))
        .await
        .unwrap();
    // An answer that the home has to be loaded for comes later than others, but before its acknowledgement.
    let mut all = Vec::new();
    client.acknowledged(&mut all).await.unwrap();
    all.iter()
        .any(|text| name(text) == "message" && attr(text, "type") == Some("error"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_about_groups_and_subscriptions_hold_while_nobody_is_there() {
    let node = node().await;
    for (from, expected) in [("alice", false), ("mallory", true), ("carol", true)] {
        assert_eq!(is_refused(&node, from).await, expected, "{from}");
    }
    // What sweeps drop is what nobody is judged by.
    let router = &node.app().router;
    router.homes.unpin(router);
    router.rosters.retain(|_| false);
    for (from, expected) in [("alice", false), ("mallory", true), ("carol", true)] {
        assert_eq!(is_refused(&node, from).await, expected, "{from} afterwards");
    }
    let mut bob = Client::online(node.address(), "bob", "phone")
        .await
        .unwrap();
    let all = bob.before_answer("all").await.unwrap();
    let from: Vec<_> = all.iter().filter(|text| name(text) == "message").collect();
    assert_eq!(from.len(), 2, "{all:?}");
    assert!(from.iter().all(|text| text.contains("alice@localhost")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_whose_rules_cannot_be_judged_does_not_open() {
    let node = node().await;
    let of_bob = |target: &Target<'_>| {
        target.sort.starts_with(b"ROST") && target.name.windows(3).any(|part| part == b"bob")
    };
    let fault = Fault::Fail(ErrorKind::Unavailable);
    node.switchboard.add(of_bob, When::Always, fault);
    assert!(is_refused(&node, "alice").await);
    assert!(node.switchboard.hits() > 0);
    node.switchboard.clear();
    assert!(!is_refused(&node, "alice").await);
}
