//! Stream management (XEP-0198) when connections break: exact counters, nothing lost, nothing twice.

use std::time::Duration;

use starling::routing::Order;
use storage::layer::Call;
use storage::layer::faulty::{Fault, When};
use storage::shape::Space;
use tests::faults::client::{Client, PATIENCE, attr, counts, message, name, stanza_id};
use tests::faults::node::{Local, account};
use tests::faults::settings::Settings;

const BOB: &str = "bob@localhost";

async fn node(settings: Settings) -> Local {
    let node = Local::start(&settings, 1).await.unwrap();
    node.accounts(["alice", "bob"]).await.unwrap();
    node
}

/// Bob, available and managed; his SM id. Counting begins with his own presence.
async fn bob(node: &Local) -> (Client, String) {
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    let id = bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    bob.until(|text| name(text) == "presence").await.unwrap();
    (bob, id)
}

async fn send_all(client: &mut Client, numbers: impl IntoIterator<Item = usize>, body: &str) {
    for number in numbers {
        client
            .send(&message(BOB, &number.to_string(), body))
            .await
            .unwrap();
    }
}

/// The next so many messages: id and stanza-id; every request for an acknowledgement is answered if `handled` is counted.
async fn messages(
    client: &mut Client,
    count: usize,
    mut handled: Option<&mut u32>,
) -> Vec<(usize, u64)> {
    let mut got = Vec::new();
    while got.len() < count {
        let text = client
            .next()
            .await
            .unwrap_or_else(|error| panic!("{error} after {} of {count}", got.len()));
        if let Some(handled) = &mut handled {
            **handled += u32::from(counts(&text));
            if name(&text) == "r" {
                client.acknowledge(**handled).await.unwrap();
            }
        }
        if name(&text) == "message" {
            let id = attr(&text, "id").and_then(|id| id.parse().ok());
            got.push((
                id.unwrap_or_else(|| panic!("{text}")),
                stanza_id(&text).unwrap_or_default(),
            ));
        }
    }
    got
}

fn ids(got: &[(usize, u64)]) -> Vec<usize> {
    got.iter().map(|(id, _)| *id).collect()
}

/// Waits until so many sessions wait to be resumed.
async fn parked(node: &Local, count: usize) {
    let wait = async {
        while node.app().router.parked.len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("the session is parked");
}

/// Everything that a new session of bob's gets before its first answer.
async fn offline(node: &Local) -> Vec<(usize, u64)> {
    let mut bob = Client::login(node.address(), "bob", "tablet")
        .await
        .unwrap();
    bob.send("<presence/>").await.unwrap();
    let mut got = Vec::new();
    // The drain reads the log page by page: two answers may pass before it is over, so the last word is the count.
    while node
        .app()
        .router
        .homes
        .loaded(BOB)
        .is_some_and(|home| home.waiting() > 0)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    loop {
        let texts = bob.before_answer("end").await.unwrap();
        let messages: Vec<_> = texts
            .iter()
            .filter(|text| name(text) == "message")
            .collect();
        got.extend(messages.iter().map(|text| {
            (
                attr(text, "id")
                    .and_then(|id| id.parse().ok())
                    .unwrap_or_default(),
                stanza_id(text).unwrap_or_default(),
            )
        }));
        if messages.is_empty() && texts.iter().all(|text| name(text) != "presence") {
            return got;
        }
    }
}

#[tokio::test]
async fn a_resumed_session_gets_what_it_lacks_once_and_in_order() {
    let node = node(Settings::default()).await;
    let (mut bob, id) = bob(&node).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    send_all(&mut alice, 0..100, "before the cut").await;
    let first = messages(&mut bob, 40, None).await;
    drop(bob);
    parked(&node, 1).await;
    send_all(&mut alice, 100..200, "after the cut").await;
    alice.handled().await.unwrap();
    let mut bob = Client::authenticated(node.address(), "bob").await.unwrap();
    // The presence, and forty messages.
    let mut handled = 41;
    let resumed = bob.resume(&id, handled).await.unwrap();
    assert_eq!(
        (name(&resumed), attr(&resumed, "h")),
        ("resumed", Some("1")),
        "{resumed}"
    );
    let rest = messages(&mut bob, 160, Some(&mut handled)).await;
    let all: Vec<_> = first.into_iter().chain(rest).collect();
    assert_eq!(ids(&all), (0..200).collect::<Vec<_>>());
    let mut numbers: Vec<u64> = all.iter().map(|(_, number)| *number).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 200, "each has a stanza-id of its own");
    assert_eq!(handled, 201);
    bob.acknowledge(handled).await.unwrap();
    bob.close().await.unwrap();
    assert_eq!(offline(&node).await, []);
}

/// A client sent more than the server's window while the store was slow, and comes back over a new connection before the
/// old one is known to be dead: what `h` does not cover it sends again, and everything arrives once.
#[tokio::test]
async fn a_session_taken_over_in_the_middle_handles_each_stanza_once() {
    let node = node(Settings::default()).await;
    let (mut bob, _) = bob(&node).await;
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    let id = alice.enable().await.unwrap();
    let slow = |call: &storage::layer::faulty::Target<'_>| {
        call.call == Call::Write && call.space == Some(Space::Log)
    };
    node.switchboard
        .add(slow, When::Always, Fault::Delay(Duration::from_millis(30)));
    let burst: String = (0..150)
        .map(|number| message(BOB, &number.to_string(), "much"))
        .collect();
    alice.send(&burst).await.unwrap();
    let mut again = Client::authenticated(node.address(), "alice")
        .await
        .unwrap();
    let resumed = again.resume(&id, 0).await.unwrap();
    let h: usize = attr(&resumed, "h")
        .and_then(|h| h.parse().ok())
        .expect("resumed");
    node.switchboard.clear();
    send_all(&mut again, h..150, "much").await;
    let got = messages(&mut bob, 150, None).await;
    assert_eq!(ids(&got), (0..150).collect::<Vec<_>>(), "h was {h}");
    assert_eq!(again.acknowledged(&mut Vec::new()).await.unwrap(), 150);
    assert_eq!(
        node.stores.logs.tip(&account("bob")).await.unwrap().head,
        150
    );
    // RFC 6120 §4.9.3.3, XEP-0198 §5: the old stream is told.
    let last = alice.rest().await.unwrap();
    assert!(
        last.iter().any(|text| text.contains("<conflict")),
        "{last:?}"
    );
}

#[tokio::test]
async fn what_nobody_resumes_waits_for_the_next_login() {
    let node = node(Settings {
        resume_s: 1,
        ..Settings::default()
    })
    .await;
    let (mut bob, id) = bob(&node).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    send_all(&mut alice, 0..30, "before the cut").await;
    let first = messages(&mut bob, 30, None).await;
    bob.acknowledge(11).await.unwrap();
    bob.before_answer("acknowledged").await.unwrap();
    drop(bob);
    parked(&node, 1).await;
    send_all(&mut alice, 30..60, "after the cut").await;
    alice.handled().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    node.app().router.parked.sweep(false);
    let got = offline(&node).await;
    assert_eq!(ids(&got), (10..60).collect::<Vec<_>>());
    assert_eq!(
        got[..20],
        first[10..],
        "a repeat carries the same stanza-id"
    );
    let mut late = Client::authenticated(node.address(), "bob").await.unwrap();
    let failed = late.resume(&id, 31).await.unwrap();
    assert!(
        name(&failed) == "failed" && failed.contains("<item-not-found"),
        "{failed}"
    );
    // Its presence and its question were handled: they need not come again.
    assert_eq!(attr(&failed, "h"), Some("2"), "{failed}");
    late.bind("phone").await.unwrap();
}

#[tokio::test]
async fn a_client_that_acknowledges_too_much_loses_its_stream_and_no_message() {
    let node = node(Settings::default()).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    let (mut first, _) = bob(&node).await;
    send_all(&mut alice, 0..10, "x").await;
    messages(&mut first, 10, None).await;
    first.acknowledge(99).await.unwrap();
    let last = first.rest().await.unwrap().concat();
    assert!(
        last.contains("<undefined-condition") && last.contains("<handled-count-too-high"),
        "{last}"
    );
    assert!(
        last.contains("h='99'") && last.contains("send-count='11'"),
        "{last}"
    );
    assert_eq!(ids(&offline(&node).await), (0..10).collect::<Vec<_>>());

    let (mut second, id) = bob(&node).await;
    send_all(&mut alice, 10..20, "x").await;
    messages(&mut second, 10, None).await;
    drop(second);
    parked(&node, 1).await;
    let mut back = Client::authenticated(node.address(), "bob").await.unwrap();
    let failed = back.resume(&id, 99).await.unwrap();
    assert_eq!(name(&failed), "failed", "{failed}");
    // The session is still there for whoever knows better.
    let resumed = back.resume(&id, 6).await.unwrap();
    assert_eq!(name(&resumed), "resumed", "{resumed}");
    let again = messages(&mut back, 5, None).await;
    assert_eq!(ids(&again), (15..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_session_is_resumed_by_its_own_account_only() {
    let node = node(Settings::default()).await;
    let (mut bob, id) = bob(&node).await;
    let mut alice = Client::authenticated(node.address(), "alice")
        .await
        .unwrap();
    let failed = alice.resume(&id, 0).await.unwrap();
    assert!(
        name(&failed) == "failed" && failed.contains("<item-not-found"),
        "{failed}"
    );
    bob.before_answer("still there").await.unwrap();
    drop(bob);
    parked(&node, 1).await;
    let failed = alice.resume(&id, 0).await.unwrap();
    assert!(
        name(&failed) == "failed" && failed.contains("<item-not-found"),
        "{failed}"
    );
    assert_eq!(node.app().router.parked.len(), 1);
}

/// A client that is slow to acknowledge is waited for; one that never does keeps its messages for the next session.
#[tokio::test]
async fn more_than_the_queue_holds_is_neither_lost_nor_a_reason_to_end_the_stream() {
    let node = node(Settings {
        queue: 100,
        ..Settings::default()
    })
    .await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    send_all(&mut alice, 0..1_000, "offline").await;
    alice.handled().await.unwrap();
    let (mut bob, _) = bob(&node).await;
    // The presence, and what waited: not more than the queue while nothing is acknowledged.
    let first = messages(&mut bob, 99, None).await;
    assert_eq!(ids(&first), (0..99).collect::<Vec<_>>());
    let mut more = Vec::new();
    assert_eq!(bob.acknowledged(&mut more).await.unwrap(), 1);
    assert_eq!(more, [] as [String; 0], "the queue has a bound");
    let mut handled = 100;
    bob.acknowledge(handled).await.unwrap();
    let rest = messages(&mut bob, 901, Some(&mut handled)).await;
    assert_eq!(ids(&rest), (99..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_long_backlog_reaches_a_client_that_acknowledges() {
    let node = node(Settings {
        queue: 100,
        ..Settings::default()
    })
    .await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    send_all(&mut alice, 0..1_000, "offline").await;
    alice.handled().await.unwrap();
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    let mut handled = 0;
    let got = messages(&mut bob, 1_000, Some(&mut handled)).await;
    assert_eq!(ids(&got), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn large_messages_reach_a_client_that_acknowledges() {
    let node = node(Settings::default()).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    let body = "x".repeat(300 << 10);
    send_all(&mut alice, 0..12, &body).await;
    alice.handled().await.unwrap();
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    bob.enable().await.unwrap();
    bob.send("<presence/>").await.unwrap();
    let mut handled = 0;
    let got = messages(&mut bob, 12, Some(&mut handled)).await;
    assert_eq!(ids(&got), (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_never_acknowledged_comes_again() {
    let node = node(Settings {
        queue: 100,
        ..Settings::default()
    })
    .await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    let (bob, _) = bob(&node).await;
    send_all(&mut alice, 0..500, "unheard").await;
    alice.handled().await.unwrap();
    drop(bob);
    // Whether the session is parked or has ended: the next one, which forgets it, gets all.
    let mut again = Client::login(node.address(), "bob", "phone").await.unwrap();
    again.enable().await.unwrap();
    again.send("<presence/>").await.unwrap();
    let mut handled = 0;
    let got = messages(&mut again, 500, Some(&mut handled)).await;
    assert_eq!(ids(&got), (0..500).collect::<Vec<_>>());
}

/// The server asks silent sessions for a sign of life; those that wait to be resumed cannot give one.
#[tokio::test]
async fn a_session_that_was_silent_for_long_can_be_resumed() {
    let node = node(Settings::default()).await;
    let (bob, id) = bob(&node).await;
    drop(bob);
    parked(&node, 1).await;
    let entry = node.app().router.entries(BOB)[0].session;
    let handle = node
        .app()
        .router
        .sessions
        .get(entry.number)
        .expect("a parked session keeps its place");
    for _ in 0..100 {
        handle.mailbox.order(Order::Ping);
        handle.mailbox.order(Order::Dead);
    }
    let mut bob = Client::authenticated(node.address(), "bob").await.unwrap();
    let resumed = bob.resume(&id, 1).await.unwrap();
    assert_eq!(name(&resumed), "resumed", "{resumed}");
    bob.before_answer("alive").await.unwrap();
}

/// What an inactive client was spared (XEP-0352) comes before what is being read from the log for it, and neither is lost.
#[tokio::test]
async fn a_client_that_wakes_while_the_log_is_read_gets_everything() {
    let node = node(Settings::default()).await;
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    let (mut tablet, _) = bob(&node).await;
    send_all(&mut alice, 0..20, "to both").await;
    messages(&mut tablet, 20, None).await;
    let mut phone = Client::online(node.address(), "bob", "other")
        .await
        .unwrap();
    phone
        .send("<inactive xmlns='urn:xmpp:csi:0'/>")
        .await
        .unwrap();
    phone.before_answer("asleep").await.unwrap();
    alice
        .send("<presence to='bob@localhost'><status>later</status></presence>")
        .await
        .unwrap();
    alice.before_answer("shown").await.unwrap();
    let slow = |call: &storage::layer::faulty::Target<'_>| {
        call.call == Call::Query && call.space == Some(Space::Log)
    };
    node.switchboard
        .add(slow, When::Always, Fault::Delay(Duration::from_millis(300)));
    // What the tablet did not acknowledge goes to the phone, which has to read it from the log.
    tablet.send("</stream:stream>").await.unwrap();
    tablet.rest().await.unwrap();
    phone
        .send("<active xmlns='urn:xmpp:csi:0'/>")
        .await
        .unwrap();
    let (mut status, mut got) = (0, Vec::new());
    while got.len() < 20 || status < 1 {
        let text = phone
            .next()
            .await
            .unwrap_or_else(|error| panic!("{error}: {status} presences, {} messages", got.len()));
        status += usize::from(text.contains("<status>later"));
        if name(&text) == "message" {
            got.push(
                attr(&text, "id")
                    .and_then(|id| id.parse::<usize>().ok())
                    .unwrap(),
            );
        }
    }
    assert_eq!((status, got), (1, (0..20).collect()));
}

/// A session that ends while it becomes available leaves what waits to the next one.
#[tokio::test]
async fn a_client_that_leaves_at_once_takes_nothing_with_it() {
    let node = node(Settings::default()).await;
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    send_all(&mut alice, 0..5, "offline").await;
    alice.handled().await.unwrap();
    let mut hasty = Client::login(node.address(), "bob", "phone").await.unwrap();
    let roster = |call: &storage::layer::faulty::Target<'_>| {
        call.call == Call::Get && call.space == Some(Space::Core)
    };
    node.switchboard.add(
        roster,
        When::Always,
        Fault::Delay(Duration::from_millis(200)),
    );
    hasty.send("<presence/></stream:stream>").await.unwrap();
    hasty.rest().await.unwrap();
    // The roster has been read by now, for a session that is gone.
    tokio::time::sleep(Duration::from_millis(600)).await;
    node.switchboard.clear();
    assert_eq!(ids(&offline(&node).await), (0..5).collect::<Vec<_>>());
}

/// More than the window holds came at once, and the connection ended: all of it counts, whatever else wakes the session.
#[tokio::test]
async fn what_came_before_the_end_of_the_connection_counts() {
    let node = node(Settings::default()).await;
    let slow = |call: &storage::layer::faulty::Target<'_>| {
        call.call == Call::Write && call.space == Some(Space::Log)
    };
    node.switchboard
        .add(slow, When::Always, Fault::Delay(Duration::from_millis(30)));
    let mut alice = Client::online(node.address(), "alice", "phone")
        .await
        .unwrap();
    let mut tablet = Client::login(node.address(), "alice", "tablet")
        .await
        .unwrap();
    let burst: String = (0..150)
        .map(|number| message(BOB, &number.to_string(), "much"))
        .collect();
    alice.send(&burst).await.unwrap();
    // Wakes the session while its window is full.
    for number in 0..20 {
        tablet
            .send(&format!(
                "<message to='{}' id='x{number}' type='headline'/>",
                alice.jid
            ))
            .await
            .unwrap();
    }
    tablet.before_answer("sent").await.unwrap();
    drop(alice);
    let wait = async {
        while node.stores.logs.tip(&account("bob")).await.unwrap().head < 150 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("all are stored");
}

/// Whether this is the answer to a message that was refused.
fn is_refusal(text: &str) -> bool {
    name(text) == "message" && attr(text, "type") == Some("error")
}

/// Alice has sent what cannot be stored, lost her connection, and waits to be resumed; what bob had written to her she has
/// not acknowledged. The id to resume by.
async fn refused_while_away(node: &Local) -> String {
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    let id = alice.enable().await.unwrap();
    alice.send("<presence/>").await.unwrap();
    alice.until(|text| name(text) == "presence").await.unwrap();
    let mut bob = Client::login(node.address(), "bob", "phone").await.unwrap();
    bob.send(&message("alice@localhost", "1", "wherefore"))
        .await
        .unwrap();
    alice.until(|text| name(text) == "message").await.unwrap();
    let of_log = |call: &storage::layer::faulty::Target<'_>| call.space == Some(Space::Log);
    let fails = Fault::Fail(storage::ErrorKind::Throttled);
    node.switchboard.add(of_log, When::Always, fails);
    alice.send(&message(BOB, "2", "art thou")).await.unwrap();
    drop(alice);
    parked(node, 1).await;
    id
}

/// Whoever learns how much is handled learns what of that was refused, and waits for no log that cannot be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_stands_right_behind_what_says_that_it_is_handled() {
    let node = node(Settings::default()).await;
    let id = refused_while_away(&node).await;
    let mut alice = Client::authenticated(node.address(), "alice")
        .await
        .unwrap();
    let resumed = alice.resume(&id, 1).await.unwrap();
    assert_eq!(
        (name(&resumed), attr(&resumed, "h")),
        ("resumed", Some("2"))
    );
    let next = alice.until(counts).await.unwrap();
    assert!(
        is_refusal(&next) && attr(&next, "id") == Some("2"),
        "{next}"
    );
    // What is in the log comes when that can be read.
    node.switchboard.clear();
    let next = alice.until(counts).await.unwrap();
    assert_eq!(attr(&next, "id"), Some("1"), "{next}");
    node.stop().await;
}

/// A session that is over does not say how much it has handled if its client may not know what of that was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_and_not_heard_of_is_not_told_as_handled() {
    let node = node(Settings::default()).await;
    let id = refused_while_away(&node).await;
    // Another session takes its name.
    let other = Client::login(node.address(), "alice", "phone").await;
    let mut again = Client::authenticated(node.address(), "alice")
        .await
        .unwrap();
    let failed = again.resume(&id, 1).await.unwrap();
    assert_eq!(
        (name(&failed), attr(&failed, "h")),
        ("failed", None),
        "{failed}"
    );
    drop(other);
    node.switchboard.clear();
    node.stop().await;
}
