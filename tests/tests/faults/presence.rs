//! Presence: what comes at login comes whole, and what is said last is what is so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use starling::c2s::SessionCore;
use starling::c2s::bind::{Identity, Proof, bind};
use starling::modules::presence_rules::Directed;
use starling::modules::roster::request::MAX_WAITING;
use starling::pipeline::{inbound, lifecycle};
use starling::routing::Router;
use storage::layer::Call;
use storage::layer::faulty::{Fault, When};
use storage::repository::{Roster, RosterItem, Subscription};
use tests::faults::client::{Client, attr, name};
use tests::faults::dice::count;
use tests::faults::node::{Local, account, create_accounts};
use tests::faults::settings::Settings;
use tokio::task::JoinSet;
use xmpp::Stanza;

async fn node(names: &[&str]) -> Local {
    let node = Local::start(&Settings::default(), 1).await.unwrap();
    node.accounts(names.iter().copied()).await.unwrap();
    node
}

/// `owner` and each of these see each other, as far as they have accounts.
async fn befriend(node: &Local, owner: &str, contacts: impl IntoIterator<Item = String>) {
    let item = |name: &str| RosterItem {
        subscription: Subscription::Both,
        ..RosterItem::new(account(name))
    };
    let mut items = Vec::new();
    for contact in contacts {
        let known = node.stores.accounts.load(&account(&contact)).await;
        if known.unwrap().is_some() {
            let roster = Roster {
                items: vec![item(owner)],
                ..Roster::default()
            };
            let rosters = &node.stores.rosters;
            let stored = rosters.store(&account(&contact), &roster, 0).await;
            stored.unwrap();
        }
        items.push(item(&contact));
    }
    let roster = Roster {
        items,
        ..Roster::default()
    };
    let stored = node.stores.rosters.store(&account(owner), &roster, 0).await;
    stored.unwrap();
}

/// A session without a connection: nobody reads its mailbox.
async fn session(router: &Arc<Router>, name: &str, resource: &str) -> Box<SessionCore> {
    let name = account(name);
    let known = router.stores.accounts.load(&name).await.unwrap().unwrap();
    let identity = Identity {
        proof: Some(Proof::of(&known)),
        account: name,
    };
    bind(router, &identity, Some(resource), None).await.unwrap()
}

fn presence(core: &SessionCore, children: &str) -> Stanza {
    let text = format!("<presence from='{}'>{children}</presence>", core.jid());
    Stanza::parse(Bytes::from(text)).unwrap()
}

async fn available(core: &SessionCore, children: &str) {
    let presence = presence(core, children);
    lifecycle::available(&core.router, &core.home, &core.handle, &presence)
        .await
        .unwrap();
}

/// `STARLING_CONTACTS`: contacts that are there (10,000).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_contacts_that_are_there_are_all_told_of_at_login() {
    let contacts = count("STARLING_CONTACTS", 10_000);
    let names = || (0..contacts).map(|number| format!("contact{number:05}"));
    let node = node(&["alice"]).await;
    create_accounts(&node.stores, names()).await.unwrap();
    befriend(&node, "alice", names()).await;
    // Together more than a mailbox holds.
    let status = format!("<status>{}</status>", "x".repeat((8 << 20) / contacts));
    let router = &node.app().router;
    let mut cores = Vec::new();
    for name in names() {
        let core = session(router, &name, "desk").await;
        available(&core, &status).await;
        cores.push(core);
    }
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    alice.send("<presence/>").await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < contacts {
        let text = alice.next().await.expect("the session lives");
        if name(&text) == "presence"
            && let Some(from) = attr(&text, "from").filter(|from| from.ends_with("/desk"))
        {
            assert!(seen.insert(from.to_owned()), "{from} once");
        }
    }
    alice.before_answer("served").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_requests_do_not_lock_their_recipient_out() {
    let names: Vec<String> = (0..9).map(|number| format!("mallory{number}")).collect();
    let node = node(&["bob"]).await;
    create_accounts(&node.stores, names.iter().cloned())
        .await
        .unwrap();
    for name in &names {
        let mut mallory = Client::login(node.address(), name, "desk").await.unwrap();
        let junk = "x".repeat(490 << 10);
        let request = format!(
            "<presence type='subscribe' to='bob@localhost'><status>{junk}</status></presence>"
        );
        mallory.send(&request).await.unwrap();
        mallory.before_answer("sent").await.unwrap();
    }
    for login in 0..2 {
        let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
        bob.send("<presence/>").await.unwrap();
        let all = bob.before_answer("all").await.unwrap();
        let asked = all
            .iter()
            .filter(|text| attr(text, "type") == Some("subscribe"));
        let sizes: Vec<usize> = asked.map(String::len).collect();
        assert_eq!(sizes.len(), names.len(), "login {login}");
        assert!(sizes.iter().all(|size| *size <= 1_024), "{sizes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_strangers_have_a_bound() {
    let node = node(&["bob", "carol", "friend"]).await;
    let request = |number| RosterItem {
        in_roster: false,
        pending_in: Some(Bytes::from_static(b"<presence type='subscribe'/>")),
        ..RosterItem::new(account(&format!("stranger{number:04}")))
    };
    let mut items = vec![RosterItem::new(account("friend"))];
    items.extend((0..MAX_WAITING).map(request));
    let roster = Roster {
        items,
        ..Roster::default()
    };
    let stored = node.stores.rosters.store(&account("bob"), &roster, 0).await;
    stored.unwrap();
    // The refusal has to wait for carol's roster, and nothing may overtake it.
    let slow = Fault::Delay(Duration::from_millis(3));
    node.switchboard
        .add(|it| it.call == Call::Write, When::Always, slow);
    let ask = "<presence type='subscribe' to='bob@localhost'/>";
    for (who, expected) in [("carol", Some("unsubscribed")), ("friend", None)] {
        let mut client = Client::online(node.address(), who, "desk").await.unwrap();
        client
            .send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            .await
            .unwrap();
        client.send(ask).await.unwrap();
        let all = client.before_answer("all").await.unwrap();
        let answer = all
            .iter()
            .find(|text| name(text) == "presence" && attr(text, "from") == Some("bob@localhost"));
        let kind = answer.and_then(|text| attr(text, "type"));
        assert_eq!(kind, expected, "{who}: {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directed_presence_that_could_not_be_taken_back_is_refused() {
    let node = node(&["alice"]).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    for number in 0..=Directed::MAX {
        let to = format!("<presence to='room{number}@localhost/alice' id='p{number}'/>");
        alice.send(&to).await.unwrap();
    }
    let all = alice.before_answer("all").await.unwrap();
    let refused: Vec<_> = all
        .iter()
        .filter(|text| attr(text, "type") == Some("error"))
        .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(attr(refused[0], "id"), Some("p1000"));
    assert!(refused[0].contains("<resource-constraint"));
}

/// What was said last of a full address; `None`: nothing.
fn last_word(heard: &[String], jid: &str) -> Option<bool> {
    let of = |text: &&String| name(text) == "presence" && attr(text, "from") == Some(jid);
    let last = heard.iter().rev().find(of)?;
    Some(attr(last, "type").is_none())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_farewell_of_a_session_that_was_replaced_does_not_hide_its_heir() {
    let node = node(&["alice", "bob"]).await;
    befriend(&node, "alice", ["bob".to_owned()]).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    let router = &node.app().router;
    let old = session(router, "bob", "desk").await;
    available(&old, "").await;
    let new = session(router, "bob", "desk").await;
    assert_eq!(old.jid(), new.jid());
    available(&new, "<status>here</status>").await;
    let farewell = inbound::unavailable(old.jid(), None);
    lifecycle::unavailable(
        router,
        &old.home,
        &old.handle,
        &farewell,
        Directed::default(),
    )
    .await
    .unwrap();
    let heard = alice.before_answer("all").await.unwrap();
    assert_eq!(
        last_word(&heard, "bob@localhost/desk"),
        Some(true),
        "{heard:?}"
    );
    let farewell = inbound::unavailable(new.jid(), None);
    lifecycle::unavailable(
        router,
        &new.home,
        &new.handle,
        &farewell,
        Directed::default(),
    )
    .await
    .unwrap();
    let heard = alice.before_answer("rest").await.unwrap();
    assert_eq!(
        last_word(&heard, "bob@localhost/desk"),
        Some(false),
        "{heard:?}"
    );
}

/// `STARLING_ROUNDS`: sessions that end while they say that they have come (300).
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_session_that_ended_seems_to_be_there() {
    let rounds = count("STARLING_ROUNDS", 300);
    let node = node(&["bob", "zoe"]).await;
    // Most of them are not there: telling them takes a while, in which others may tell zoe.
    let names = (0..5_000).map(|number| format!("contact{number:04}"));
    befriend(&node, "bob", names.chain(["zoe".to_owned()])).await;
    let mut zoe = Client::online(node.address(), "zoe", "phone")
        .await
        .unwrap();
    let router = node.app().router.clone();
    let mut races = JoinSet::new();
    for round in 0..rounds {
        let core = session(&router, "bob", &format!("r{round}")).await;
        let (router, home, handle) = (core.router.clone(), core.home.clone(), core.handle.clone());
        let presence = presence(&core, "");
        races.spawn(async move {
            let _ = lifecycle::available(&router, &home, &handle, &presence).await;
        });
        races.spawn(async move {
            for _ in 0..round % 50 {
                tokio::task::yield_now().await;
            }
            core.end(None);
        });
        if races.len() >= 16 {
            while races.join_next().await.is_some() {}
        }
    }
    races.join_all().await;
    while !router.entries("bob@localhost").is_empty() || router.sessions.len() > 1 {
        tokio::task::yield_now().await;
    }
    let heard = zoe.before_answer("all").await.unwrap();
    let ghosts = (0..rounds)
        .filter(|round| last_word(&heard, &format!("bob@localhost/r{round}")) == Some(true));
    assert_eq!(ghosts.count(), 0, "of {} presences", heard.len());
}
