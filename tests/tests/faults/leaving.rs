//! What a session leaves behind when it ends: everything that its client did not get, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use storage::layer::Call;
use storage::layer::faulty::{Fault, When};
use tests::faults::client::{Client, attr, message, name};
use tests::faults::node::Local;
use tests::faults::settings::Settings;

const BOB: &str = "bob@localhost";

async fn node(archive: bool) -> Local {
    let settings = Settings {
        archive,
        ..Settings::default()
    };
    let node = Local::start(&settings, 1).await.unwrap();
    node.accounts(["alice", "bob"]).await.unwrap();
    node
}

async fn managed(node: &Local, user: &str, resource: &str) -> Client {
    let mut client = Client::login(node.address(), user, resource).await.unwrap();
    client.enable().await.unwrap();
    client.send("<presence/>").await.unwrap();
    client.until(|text| name(text) == "presence").await.unwrap();
    client
}

/// Waits until the account has so many sessions.
async fn sessions(node: &Local, account: &str, count: usize) {
    while node.app().router.entries(account).len() != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The ids of the messages that a client has before the answer to its question.
async fn ids(client: &mut Client) -> Vec<String> {
    let texts = client.before_answer("end").await.unwrap();
    let messages = texts.iter().filter(|text| name(text) == "message");
    messages
        .filter_map(|text| attr(text, "id").map(str::to_owned))
        .collect()
}

/// Ids of what waits for the next session of bob's.
async fn waiting(node: &Local) -> Vec<String> {
    let mut bob = Client::online(node.address(), "bob", "next").await.unwrap();
    let mut got = ids(&mut bob).await;
    while node
        .app()
        .router
        .homes
        .loaded(BOB)
        .is_some_and(|home| home.waiting() > 0)
    {
        got.extend(ids(&mut bob).await);
    }
    got.extend(ids(&mut bob).await);
    bob.close().await.unwrap();
    got
}

/// A receipt can wait while the client sleeps (XEP-0352). If the client goes, it is for the next one.
async fn what_client_state_holds_back(archive: bool, end: &str) {
    let node = node(archive).await;
    let mut bob = managed(&node, "bob", "phone").await;
    bob.send("<inactive xmlns='urn:xmpp:csi:0'/>")
        .await
        .unwrap();
    bob.before_answer("asleep").await.unwrap();
    let mut alice = managed(&node, "alice", "phone").await;
    let receipt = format!(
        "<message to='{BOB}' type='chat' id='r'><received xmlns='urn:xmpp:receipts' id='x'/><store xmlns='urn:xmpp:hints'/></message>"
    );
    alice.send(&receipt).await.unwrap();
    assert_eq!(alice.handled().await.unwrap(), 2);
    bob.send(end).await.unwrap();
    bob.rest().await.unwrap();
    sessions(&node, BOB, 0).await;
    assert_eq!(waiting(&node).await, ["r"]);
    assert_eq!(waiting(&node).await, [] as [&str; 0], "handed over once");
}

#[tokio::test]
async fn what_client_state_holds_back_is_not_lost() {
    for archive in [true, false] {
        what_client_state_holds_back(archive, "</stream:stream>").await;
        what_client_state_holds_back(archive, "<unknown xmlns='a:b'/>").await;
    }
}

#[tokio::test]
async fn a_resumed_session_is_active() {
    let node = node(true).await;
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    let id = bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    bob.until(|text| name(text) == "presence").await.unwrap();
    bob.send("<inactive xmlns='urn:xmpp:csi:0'/>")
        .await
        .unwrap();
    bob.before_answer("asleep").await.unwrap();
    let mut alice = managed(&node, "alice", "phone").await;
    let receipt = |id: &str| {
        format!(
            "<message to='{BOB}/phone' type='chat' id='{id}'><received xmlns='urn:xmpp:receipts' id='x'/></message>"
        )
    };
    alice.send(&receipt("held")).await.unwrap();
    alice.handled().await.unwrap();
    // Another connection takes the session while the first still stands.
    let mut back = Client::authenticated(node.address(), "bob").await.unwrap();
    let resumed = back.resume(&id, 2).await.unwrap();
    assert_eq!(name(&resumed), "resumed", "{resumed}");
    alice.send(&receipt("new")).await.unwrap();
    for wanted in ["held", "new"] {
        let text = back.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&text, "id"), Some(wanted));
    }
}

/// A carbon is a copy: its original is taken care of elsewhere.
#[tokio::test]
async fn carbons_that_were_not_acknowledged_are_not_sent_round() {
    for archive in [true, false] {
        let node = node(archive).await;
        let mut laptop = managed(&node, "bob", "laptop").await;
        let mut phone = managed(&node, "bob", "phone").await;
        let carbons = "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
        laptop.ask(carbons).await.unwrap();
        let mut alice = managed(&node, "alice", "phone").await;
        alice
            .send(&message(&format!("{BOB}/phone"), "m", "hello"))
            .await
            .unwrap();
        let got = phone.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&got, "id"), Some("m"));
        let copy = laptop.until(|text| name(text) == "message").await.unwrap();
        assert!(copy.contains("urn:xmpp:carbons:2"), "{copy}");
        // It ends without having acknowledged the copy, in a way that leaves nothing to resume.
        laptop.send("<unknown xmlns='a:b'/>").await.unwrap();
        laptop.rest().await.unwrap();
        sessions(&node, BOB, 1).await;
        assert_eq!(ids(&mut phone).await, [] as [&str; 0]);
    }
}

/// Without an archive: of several resources that got a message only the last to go gives it back.
#[tokio::test]
async fn a_message_that_another_resource_has_is_not_sent_again() {
    let node = node(false).await;
    let mut laptop = managed(&node, "bob", "laptop").await;
    let mut phone = managed(&node, "bob", "phone").await;
    let mut alice = managed(&node, "alice", "phone").await;
    alice.send(&message(BOB, "m", "hello")).await.unwrap();
    for client in [&mut laptop, &mut phone] {
        let got = client.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&got, "id"), Some("m"));
    }
    laptop.send("<unknown xmlns='a:b'/>").await.unwrap();
    laptop.rest().await.unwrap();
    sessions(&node, BOB, 1).await;
    assert_eq!(ids(&mut phone).await, [] as [&str; 0]);
    // Neither acknowledged it.
    phone.send("<unknown xmlns='a:b'/>").await.unwrap();
    phone.rest().await.unwrap();
    sessions(&node, BOB, 0).await;
    assert_eq!(waiting(&node).await, ["m"]);
}

/// One message without an acknowledgement does not bring back those after it that were acknowledged.
#[tokio::test]
async fn what_was_acknowledged_out_of_turn_does_not_come_again() {
    let node = node(true).await;
    let mut phone = managed(&node, "bob", "phone").await;
    let mut alice = managed(&node, "alice", "phone").await;
    alice
        .send(&message(&format!("{BOB}/phone"), "first", "unread"))
        .await
        .unwrap();
    phone.until(|text| name(text) == "message").await.unwrap();
    let mut laptop = managed(&node, "bob", "laptop").await;
    for number in 0..20 {
        let to = format!("{BOB}/laptop");
        alice
            .send(&message(&to, &number.to_string(), "read"))
            .await
            .unwrap();
        laptop.until(|text| name(text) == "message").await.unwrap();
    }
    // The presence of both, and the messages.
    laptop.acknowledge(22).await.unwrap();
    laptop.close().await.unwrap();
    phone.send("<unknown xmlns='a:b'/>").await.unwrap();
    phone.rest().await.unwrap();
    sessions(&node, BOB, 0).await;
    // As a restart does, and time.
    let router = &node.app().router;
    while router.homes.loaded(BOB).is_some() {
        router.homes.sweep(router);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(waiting(&node).await, ["first"]);
}

/// What a client asked for before it said goodbye is done, and answered.
#[tokio::test]
async fn requests_before_the_end_of_the_stream_are_answered() {
    let node = node(true).await;
    // The answers come one by one, as from a store over a network.
    let slow = Fault::Delay(Duration::from_millis(3));
    node.switchboard
        .add(|it| it.call == Call::Write, When::Always, slow);
    let mut alice = managed(&node, "alice", "phone").await;
    let set = |number: usize| {
        format!(
            "<iq type='set' id='s{number}'><query xmlns='jabber:iq:roster'><item jid='c{number}@localhost'/></query></iq>"
        )
    };
    let all: String = (0..20).map(set).collect();
    alice.send(&format!("{all}</stream:stream>")).await.unwrap();
    let answered: BTreeSet<_> = alice
        .rest()
        .await
        .unwrap()
        .iter()
        .filter(|text| name(text) == "iq" && attr(text, "type") == Some("result"))
        .filter_map(|text| attr(text, "id").map(str::to_owned))
        .collect();
    assert_eq!(answered.len(), 20, "{answered:?}");
}

/// A client that asks after each message is answered although it never pauses.
#[tokio::test]
async fn whoever_asks_again_and_again_is_answered() {
    let node = node(true).await;
    let mut alice = managed(&node, "alice", "phone").await;
    let (mut asked, mut answered) = (0, 0);
    let mut handled = 0;
    let one = message(BOB, "m", "hello") + "<r xmlns='urn:xmpp:sm:3'/>";
    // Always ahead by eight: never a moment without a message under way.
    while answered < 50 {
        while asked < answered + 8 {
            alice.send(&one).await.unwrap();
            asked += 1;
        }
        let text = alice.until(|text| name(text) == "a").await.unwrap();
        let h: u32 = attr(&text, "h").and_then(|h| h.parse().ok()).unwrap();
        assert!(h >= handled && h <= asked + 1, "{h} of {asked}");
        handled = h;
        answered += 1;
    }
}
