//! An outage of the store is no absence: what cannot be read is answered "later", never "not there", "wrong password" or
//! "done"; and when the store is back everything works as if nothing had been.

use storage::ErrorKind;
use storage::layer::faulty::{Fault, When};
use storage::repository::{Roster, RosterItem, Subscription};
use tests::faults::actor::condition;
use tests::faults::client::{Client, attr, message, name, plain_auth};
use tests::faults::node::{Local, PASSWORD, account};
use tests::faults::settings::Settings;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Reads: in an outage the truth is allowed, if it is still known.
    Read,
    /// Changes something durable, or asks somebody whose existence is durable: in an outage it has to fail.
    Need,
}

/// The requests of a session to its own account, and to a contact: one line a feature.
const REQUESTS: [(Does, &str); 15] = [
    (
        Does::Read,
        "<iq type='get' id='ID'><query xmlns='jabber:iq:roster'/></iq>",
    ),
    (
        Does::Need,
        "<iq type='set' id='ID'><query xmlns='jabber:iq:roster'><item jid='new@localhost'/></query></iq>",
    ),
    (
        Does::Read,
        "<iq type='get' id='ID'><query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query></iq>",
    ),
    (
        Does::Need,
        "<iq type='set' id='ID'><query xmlns='jabber:iq:private'><a xmlns='urn:a'>1</a></query></iq>",
    ),
    (
        Does::Read,
        "<iq type='set' id='ID'><query xmlns='urn:xmpp:mam:2'/></iq>",
    ),
    (
        Does::Read,
        "<iq type='get' id='ID'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
    ),
    (
        Does::Read,
        "<iq type='get' id='ID'><prefs xmlns='urn:xmpp:mam:2'/></iq>",
    ),
    (
        Does::Need,
        "<iq type='set' id='ID'><prefs xmlns='urn:xmpp:mam:2' default='roster'/></iq>",
    ),
    (
        Does::Read,
        "<iq type='get' id='ID'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    ),
    (
        Does::Need,
        "<iq type='set' id='ID'><block xmlns='urn:xmpp:blocking'><item jid='x@localhost'/></block></iq>",
    ),
    (
        Does::Read,
        "<iq type='get' id='ID'><query xmlns='jabber:iq:privacy'/></iq>",
    ),
    (
        Does::Need,
        "<iq type='get' id='ID' to='carol@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    ),
    (
        Does::Need,
        "<iq type='get' id='ID' to='carol@localhost'><query xmlns='jabber:iq:last'/></iq>",
    ),
    (
        Does::Read,
        "<iq type='get' id='ID' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
    ),
    (
        Does::Need,
        "<iq type='set' id='ID'><query xmlns='jabber:iq:register'><username>alice</username><password>secret</password></query></iq>",
    ),
];

async fn node() -> Local {
    let node = Local::start(&Settings::default(), 1).await.unwrap();
    node.accounts(["alice", "bob", "carol", "dave"])
        .await
        .unwrap();
    for (owner, contact) in [("alice", "carol"), ("carol", "alice")] {
        let item = RosterItem {
            subscription: Subscription::Both,
            ..RosterItem::new(account(contact))
        };
        let roster = Roster {
            items: vec![item],
            ..Roster::default()
        };
        node.stores
            .rosters
            .store(&account(owner), &roster, 0)
            .await
            .unwrap();
    }
    node
}

/// The same node with a store that does nothing but fail, as soon as it is switched on.
async fn failing(kind: ErrorKind) -> Local {
    let node = node().await;
    node.switchboard.switch(false);
    node.switchboard
        .add(|_| true, When::Always, Fault::Fail(kind));
    node
}

fn assert_later(answer: &str, what: &str) {
    let conditions = [
        "service-unavailable",
        "item-not-found",
        "not-authorized",
        "not-allowed",
        "conflict",
        "forbidden",
    ];
    let wrong = conditions
        .into_iter()
        .find(|condition| answer.contains(&format!("<{condition}")));
    assert!(
        answer.contains("type='error'") || answer.contains("type=\"error\""),
        "{what}: {answer}"
    );
    assert!(
        wrong.is_none() && (answer.contains("type='wait'")),
        "{what}: {answer}"
    );
}

async fn requests(client: &mut Client, round: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for (number, (_, request)) in REQUESTS.iter().enumerate() {
        let id = format!("{round}{number}");
        let answer = client.ask(&request.replace("ID", &id)).await.unwrap();
        answers.push(answer.replace(&id, "ID"));
    }
    answers
}

async fn requests_are_answered_later(kind: ErrorKind) {
    let node = failing(kind).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    node.switchboard.switch(true);
    let during = requests(&mut alice, "during").await;
    node.switchboard.switch(false);
    let after = requests(&mut alice, "after").await;
    let mut unhandled = Vec::new();
    for (((does, request), during), after) in REQUESTS.iter().zip(during).zip(after) {
        if condition(&after) == "service-unavailable" && during == after {
            unhandled.push(request);
        } else if *does == Does::Need || during != after {
            assert_later(&during, request);
        }
        assert!(
            !after.contains("type='wait'"),
            "after the outage: {request}: {after}"
        );
    }
    println!("nobody handles: {unhandled:#?}");
    assert!(unhandled.len() <= 5, "most features are there");
}

#[tokio::test]
async fn unavailable_is_answered_later() {
    requests_are_answered_later(ErrorKind::Unavailable).await;
}

#[tokio::test]
async fn throttled_is_answered_later() {
    requests_are_answered_later(ErrorKind::Throttled).await;
}

#[tokio::test]
async fn corrupt_is_answered_later() {
    requests_are_answered_later(ErrorKind::Corrupt).await;
}

#[tokio::test]
async fn an_outage_is_no_wrong_password() {
    let node = failing(ErrorKind::Unavailable).await;
    node.switchboard.switch(true);
    let mut client = Client::connect(node.address()).await.unwrap();
    client.open().await.unwrap();
    for user in ["alice", "nobody"] {
        client.send(&plain_auth(user, PASSWORD)).await.unwrap();
        let answer = client.next().await.unwrap();
        assert!(
            answer.contains("<temporary-auth-failure"),
            "{user}: {answer}"
        );
    }
    node.switchboard.switch(false);
    // On the same stream: it was no failed attempt that counts for long.
    client.send(&plain_auth("alice", PASSWORD)).await.unwrap();
    assert_eq!(name(&client.next().await.unwrap()), "success");
}

#[tokio::test]
async fn an_outage_is_no_taken_name() {
    let node = failing(ErrorKind::Unavailable).await;
    let register = |id: &str, user: &str| {
        format!(
            "<iq type='set' id='{id}'><query xmlns='jabber:iq:register'><username>{user}</username>\
             <password>secret</password></query></iq>"
        )
    };
    let mut client = Client::connect(node.address()).await.unwrap();
    client.open().await.unwrap();
    node.switchboard.switch(true);
    assert_later(
        &client.ask(&register("1", "erin")).await.unwrap(),
        "a new account",
    );
    assert_later(
        &client.ask(&register("2", "alice")).await.unwrap(),
        "an account that exists",
    );
    node.switchboard.switch(false);
    let answer = client.ask(&register("3", "alice")).await.unwrap();
    assert_eq!(condition(&answer), "conflict", "{answer}");
    let answer = client.ask(&register("4", "erin")).await.unwrap();
    assert_eq!(attr(&answer, "type"), Some("result"), "{answer}");
}

#[tokio::test]
async fn an_account_that_cannot_be_read_can_be_bound_later() {
    let node = failing(ErrorKind::Unavailable).await;
    let mut client = Client::authenticated(node.address(), "alice")
        .await
        .unwrap();
    node.switchboard.switch(true);
    let refused = client.bind("phone").await.unwrap_err().to_string();
    assert_later(&refused, "bind");
    node.switchboard.switch(false);
    client.bind("phone").await.unwrap();
}

#[tokio::test]
async fn messages_are_refused_for_now_and_pass_later() {
    // Not done, and known not to be: the sender is told.
    let node = failing(ErrorKind::Throttled).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    let mut bob = Client::online(node.address(), "bob", "phone")
        .await
        .unwrap();
    node.switchboard.switch(true);
    // An account in memory, one that is not, and one that does not exist.
    for to in ["bob@localhost", "dave@localhost", "nobody@localhost"] {
        alice.send(&message(to, to, "hello")).await.unwrap();
        let answer = alice
            .until(|text| attr(text, "id") == Some(to))
            .await
            .unwrap();
        assert_later(&answer, to);
    }
    node.switchboard.switch(false);
    alice
        .send(&message("bob@localhost", "again", "hello"))
        .await
        .unwrap();
    let got = bob.until(|text| name(text) == "message").await.unwrap();
    assert_eq!(attr(&got, "id"), Some("again"), "{got}");
    alice
        .send(&message("dave@localhost", "again", "hello"))
        .await
        .unwrap();
    alice
        .send(&message("nobody@localhost", "absent", "hello"))
        .await
        .unwrap();
    let answer = alice.until(|text| name(text) == "message").await.unwrap();
    assert_eq!(
        (attr(&answer, "id"), condition(&answer)),
        (Some("absent"), "service-unavailable"),
        "{answer}"
    );
    let mut dave = Client::online(node.address(), "dave", "phone")
        .await
        .unwrap();
    let got = dave.until(|text| name(text) == "message").await.unwrap();
    assert_eq!(attr(&got, "id"), Some("again"), "{got}");
}

#[tokio::test]
async fn a_message_whose_fate_is_unknown_is_neither_refused_nor_acknowledged_nor_lost_nor_repeated()
{
    let node = node().await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    alice.enable().await.unwrap();
    let mut bob = Client::online(node.address(), "bob", "phone")
        .await
        .unwrap();
    node.switchboard
        .add(|call| call.call.is_write(), When::Always, Fault::LoseAnswer);
    alice
        .send(&message("bob@localhost", "first", "hello"))
        .await
        .unwrap();
    let stored = async {
        while node.stores.logs.tip(&account("bob")).await.unwrap().head == 0 {
            tokio::task::yield_now().await;
        }
    };
    stored.await;
    // Comes while the first is on its way, and must not take its place.
    alice
        .send(&message("bob@localhost", "second", "hello"))
        .await
        .unwrap();
    let before = alice.before_answer("meanwhile").await.unwrap();
    assert!(
        before.iter().all(|text| name(text) != "message"),
        "{before:?}"
    );
    node.switchboard.clear();
    for id in ["first", "second"] {
        let got = bob.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&got, "id"), Some(id), "{got}");
    }
    assert_eq!(alice.acknowledged(&mut Vec::new()).await.unwrap(), 3);
    for owner in ["alice", "bob"] {
        assert_eq!(
            node.stores.logs.tip(&account(owner)).await.unwrap().head,
            2,
            "{owner}"
        );
    }
}

#[tokio::test]
async fn subscriptions_are_refused_for_now() {
    let node = failing(ErrorKind::Unavailable).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    node.switchboard.switch(true);
    alice
        .send("<presence type='subscribe' to='dave@localhost' id='s'/>")
        .await
        .unwrap();
    let answer = alice
        .until(|text| name(text) == "presence" && attr(text, "type") == Some("error"))
        .await
        .unwrap();
    assert_later(&answer, "subscribe");
}

/// A client whose initial presence was refused for now is not left without its offline messages once it sends it again.
#[tokio::test]
async fn a_refused_presence_is_as_if_it_had_not_been() {
    let node = node().await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    alice
        .send(&message("bob@localhost", "waiting", "hello"))
        .await
        .unwrap();
    alice.handled().await.unwrap();
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    node.switchboard
        .add(|_| true, When::Always, Fault::Fail(ErrorKind::Unavailable));
    bob.send("<presence/>").await.unwrap();
    let answer = bob.until(|text| name(text) == "presence").await.unwrap();
    assert_later(&answer, "initial presence");
    node.switchboard.switch(false);
    bob.send("<presence/>").await.unwrap();
    let got = bob.until(|text| name(text) == "message").await.unwrap();
    assert_eq!(attr(&got, "id"), Some("waiting"), "{got}");
}

/// A store that tells a conflict and has nothing new is asked with pauses, as in an outage, and the sender is told.
#[tokio::test]
async fn a_conflict_with_nothing_is_answered_later() {
    let node = node().await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    node.switchboard.add(
        |call| call.call.is_write(),
        When::Always,
        Fault::Fail(ErrorKind::Conflict),
    );
    let first = message("bob@localhost", "first", "hello");
    alice.send(&first).await.unwrap();
    let answer = alice.until(|text| name(text) == "message").await.unwrap();
    assert_eq!(attr(&answer, "id"), Some("first"), "{answer}");
    assert_later(&answer, "a message");
    node.switchboard.clear();
    let second = message("bob@localhost", "second", "hello");
    alice.send(&second).await.unwrap();
    alice.handled().await.unwrap();
    let tip = node.stores.logs.tip(&account("bob")).await.unwrap();
    assert_eq!(tip.head, 1, "only the second");
}

/// Persist before acknowledging: `h` passes a message only once it is in the log.
#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_stored() {
    let node = node().await;
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    alice.enable().await.unwrap();
    node.switchboard.add(
        |call| call.call.is_write(),
        When::Always,
        Fault::Fail(ErrorKind::Unavailable),
    );
    alice
        .send(&message("bob@localhost", "m", "hello"))
        .await
        .unwrap();
    alice.send("<r xmlns='urn:xmpp:sm:3'/>").await.unwrap();
    // What does not need the store is answered meanwhile, and is not what `h` waits for.
    let ping = "<iq type='get' id='p' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    let mut before = alice.ask(ping).await.map(|answer| vec![answer]).unwrap();
    node.switchboard.clear();
    let h = alice.acknowledged(&mut before).await.unwrap();
    assert_eq!(h, 2, "{before:?}");
    assert!(
        before
            .iter()
            .all(|text| attr(text, "type") != Some("error")),
        "{before:?}"
    );
    for owner in ["alice", "bob"] {
        assert_eq!(
            node.stores.logs.tip(&account(owner)).await.unwrap().head,
            1,
            "{owner}"
        );
    }
}
