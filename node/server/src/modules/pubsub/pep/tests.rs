//! Accounts as services, over stores that may fail.

use std::sync::atomic::{AtomicBool, Ordering};

use storage::{
    ErrorKind, Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    layer::{
        Call, Faulty, Switchboard,
        faulty::{Fault, When},
    },
    repository::{Roster, RosterItem, Subscription},
};

use super::*;
use crate::{
    modules::{
        recorder::{Recorder, answer, bare, foreign, request, stores},
        roster::Rosters,
    },
    pipeline::delivery::IqType::{Get, Set},
};

fn pep(stores: &Stores) -> Pep {
    let rosters = Arc::new(Rosters::new(stores.rosters.clone()));
    let nodes = Arc::new(Nodes::new(stores.pubsub.clone()));
    Pep::new(
        nodes,
        rosters,
        stores.private.clone(),
        stores.vcards.clone(),
    )
}

fn publish(node: &str, id: &str) -> String {
    format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{node}'><item id='{id}'>\
         <x xmlns='y'/></item></publish></pubsub>"
    )
}

fn items(node: &str) -> String {
    format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{node}'/></pubsub>")
}

fn contact(jid: &str, subscription: Subscription, group: &str) -> RosterItem {
    RosterItem {
        subscription,
        groups: vec![group.to_owned()],
        ..RosterItem::new(bare(jid))
    }
}

/// Whom the last events were told, a line each.
fn told(recorder: &Recorder) -> Vec<String> {
    let text = recorder.take();
    let lines = text.lines().filter_map(|line| {
        let (head, _) = line.split_once(" <message")?;
        Some(head.to_owned())
    });
    lines.collect()
}

/// XEP-0163 §4, XEP-0060 §9.1.
#[tokio::test]
async fn contacts_are_told_whom_the_model_lets_in() {
    let (recorder, stores) = (Recorder::default(), stores());
    let juliet = recorder.session("juliet@example.com/a", 0);
    let roster = Roster {
        items: vec![
            contact("benvolio@example.com", Subscription::To, "Friends"),
            contact("nurse@example.com", Subscription::Both, "Servants"),
            contact("romeo@example.com", Subscription::From, "Friends"),
        ],
        ..Roster::default()
    };
    let owner = bare("juliet@example.com");
    stores.rosters.store(&owner, &roster, 0).await.unwrap();
    let (cx, pep) = (recorder.context(), pep(&stores));
    let check = async |model: &str, expected: &[&str]| {
        let options = format!(
            "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
             <field var='pubsub#access_model'><value>{model}</value></field>\
             <field var='pubsub#roster_groups_allowed'><value>Friends</value></field></x></publish-options>"
        );
        let payload = publish(model, "i").replace("</pubsub>", &format!("{options}</pubsub>"));
        let got = answer(&pep, &request(&juliet, None, Set, &payload), &cx).await;
        assert_eq!(got, Ok(String::new()), "{model}");
        assert_eq!(told(&recorder), expected, "{model}");
    };
    let all = "juliet@example.com,nurse@example.com,romeo@example.com";
    check("open", &[&format!("notify open {all}")]).await;
    check("presence", &[&format!("notify presence {all}")]).await;
    check(
        "roster",
        &["notify roster juliet@example.com,romeo@example.com"],
    )
    .await;
    check("whitelist", &["notify whitelist juliet@example.com"]).await;
    check("authorize", &["notify authorize juliet@example.com"]).await;
}

/// XEP-0163 §4.3.2, §7.1.
#[tokio::test]
async fn who_subscribed_is_told_once_and_while_it_may_know() {
    let (recorder, stores) = (Recorder::default(), stores());
    let juliet = recorder.session("juliet@example.com/a", 0);
    let owner = bare("juliet@example.com");
    let roster = Roster {
        items: vec![contact("romeo@example.com", Subscription::Both, "Friends")],
        ..Roster::default()
    };
    stores.rosters.store(&owner, &roster, 0).await.unwrap();
    let (cx, pep) = (recorder.context(), pep(&stores));
    let publishes = async |id| {
        let got = answer(&pep, &request(&juliet, None, Set, &publish("n", id)), &cx).await;
        assert_eq!(got, Ok(String::new()));
        told(&recorder)
    };
    publishes("a").await;
    let subscribe = "<pubsub xmlns='http://jabber.org/protocol/pubsub'>\
        <subscribe node='n' jid='romeo@example.com'/></pubsub>";
    let asked = foreign("romeo@example.com/r", "juliet@example.com", Set, subscribe);
    assert!(answer(&pep, &asked, &cx).await.is_ok());
    assert_eq!(told(&recorder), ["route"], "the last item");
    assert_eq!(
        publishes("b").await,
        ["route", "notify n juliet@example.com"]
    );
    // It does not see the account's presence any more.
    let later = Roster {
        version: 1,
        ..Roster::default()
    };
    stores.rosters.store(&owner, &later, 1).await.unwrap();
    pep.rosters.forget(&owner);
    assert_eq!(publishes("c").await, ["notify n juliet@example.com"]);
}

/// What cannot be read is neither made nor said to be absent.
#[tokio::test]
async fn a_store_that_fails_is_answered_with_wait() {
    let switchboard = Switchboard::new(1);
    let table = Arc::new(Faulty::new(
        Arc::new(MemoryTable::new()),
        switchboard.clone(),
    ));
    let stores = Stores::over(table, Arc::new(MemoryBlobs::new())).unguarded();
    let failing = Arc::new(AtomicBool::new(true));
    let fails = failing.clone();
    switchboard.add(
        move |target| {
            matches!(target.call, Call::Get | Call::Query) && fails.load(Ordering::Relaxed)
        },
        When::Always,
        Fault::Fail(ErrorKind::Unavailable),
    );
    let recorder = Recorder::default();
    let juliet = recorder.session("juliet@example.com/a", 0);
    let (cx, pep) = (recorder.context(), pep(&stores));
    for (kind, payload) in [(Set, publish("n", "a")), (Get, items("n"))] {
        let request = request(&juliet, None, kind, &payload);
        let error = pep.handle(&request, &cx).await.unwrap_err();
        assert_eq!(error.error_type, xmpp::ErrorType::Wait, "{error:?}");
    }
    failing.store(false, Ordering::Relaxed);
    let got = answer(&pep, &request(&juliet, None, Get, &items("n")), &cx).await;
    assert_eq!(got, Err(Condition::ItemNotFound), "nothing was made");
    let got = answer(&pep, &request(&juliet, None, Set, &publish("n", "a")), &cx).await;
    assert_eq!(got, Ok(String::new()));
}

/// Of two nodes of a cluster that serve an account for a moment one is told that it is behind, and looks again.
#[tokio::test]
async fn two_who_publish_at_once_keep_both_items() {
    let (recorder, stores) = (Recorder::default(), stores());
    let juliet = recorder.session("juliet@example.com/a", 0);
    let (cx, one, other) = (recorder.context(), pep(&stores), pep(&stores));
    let options = "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
        <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
        <field var='pubsub#max_items'><value>max</value></field></x></publish-options></pubsub>";
    for (pep, id) in [(&one, "a"), (&other, "b"), (&one, "c"), (&other, "d")] {
        let payload = publish("n", id).replace("</pubsub>", options);
        let got = answer(pep, &request(&juliet, None, Set, &payload), &cx).await;
        assert_eq!(got, Ok(String::new()), "{id}");
    }
    let policy = one.policies.of(&bare("juliet@example.com"));
    let stored = stores
        .pubsub
        .load(&policy.address, "n")
        .await
        .unwrap()
        .unwrap();
    let ids: Vec<_> = stored.items.iter().map(|item| &*item.id).collect();
    assert_eq!(ids, ["a", "b", "c", "d"]);
}
