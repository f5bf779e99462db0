//! What the log of an account keeps and what it lets go: archives stay, what may not be kept goes, and nobody fills a disk.

use std::sync::Arc;
use std::time::Duration;

use storage::ErrorKind;
use storage::backend::memory::{MemoryBlobs, MemoryTable};
use storage::layer::Call;
use storage::layer::faulty::{Fault, When};
use storage::repository::{LogEntry, LogRange};
use storage::shape::Space;
use tests::faults::actor::condition;
use tests::faults::client::{Client, attr, message, name};
use tests::faults::node::{Local, account};
use tests::faults::settings::Settings;

const BOB: &str = "bob@localhost";

/// A node over tables that outlive it.
async fn node(settings: &Settings, table: &Arc<MemoryTable>) -> Local {
    let blobs = Arc::new(MemoryBlobs::new());
    Local::over(settings, 1, table.clone(), blobs)
        .await
        .unwrap()
}

fn with_archive(archive: bool) -> Settings {
    Settings {
        archive,
        ..Settings::default()
    }
}

async fn log(node: &Local) -> Vec<LogEntry> {
    let bob = account("bob");
    let read = node.stores.logs.read(&bob, LogRange::ALL, false, 1_000);
    read.await.unwrap()
}

/// Waits until bob's log is as it should be.
async fn until(node: &Local, is_so: impl Fn(&[LogEntry]) -> bool) -> Vec<LogEntry> {
    loop {
        let entries = log(node).await;
        if is_so(&entries) {
            return entries;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn send(node: &Local, messages: &[String]) {
    let mut alice = Client::managed(node.address(), "alice", "phone")
        .await
        .unwrap();
    for message in messages {
        alice.send(message).await.unwrap();
    }
    alice.handled().await.unwrap();
    alice.close().await.unwrap();
}

/// Bob comes, takes so many messages and goes.
async fn take(node: &Local, count: usize) {
    let mut bob = Client::online(node.address(), "bob", "phone")
        .await
        .unwrap();
    for _ in 0..count {
        bob.until(|text| name(text) == "message").await.unwrap();
    }
    bob.close().await.unwrap();
}

fn says(entry: &LogEntry, text: &str) -> bool {
    String::from_utf8_lossy(&entry.stanza).contains(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_is_turned_off_is_there_when_it_is_turned_on() {
    let table = Arc::new(MemoryTable::new());
    let first = node(&with_archive(true), &table).await;
    first.accounts(["alice", "bob"]).await.unwrap();
    send(&first, &[message(BOB, "1", "of the archive")]).await;
    take(&first, 1).await;
    first.stop().await;

    let second = node(&with_archive(false), &table).await;
    for round in 0..3 {
        send(&second, &[message(BOB, "2", "for once")]).await;
        take(&second, 1).await;
        let blank = until(&second, |entries| {
            entries.len() == round + 2 && entries[1..].iter().all(|entry| entry.stanza.is_empty())
        });
        let entries = blank.await;
        assert!(says(&entries[0], "of the archive"), "{entries:?}");
    }
    second.stop().await;

    let third = node(&with_archive(true), &table).await;
    let mut bob = Client::login(third.address(), "bob", "phone")
        .await
        .unwrap();
    bob.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
        .await
        .unwrap();
    let texts = bob.before_answer("after").await.unwrap();
    let found: Vec<_> = texts
        .iter()
        .filter(|text| name(text) == "message")
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("of the archive"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_kept_goes_from_the_log_when_it_was_handed_over() {
    let node = node(&with_archive(true), &Arc::new(MemoryTable::new())).await;
    node.accounts(["alice", "bob"]).await.unwrap();
    let hint = "<no-permanent-store xmlns='urn:xmpp:hints'/></message>";
    let secret = message(BOB, "1", "a secret").replace("</message>", hint);
    send(
        &node,
        &[secret.clone(), message(BOB, "2", "not one"), secret],
    )
    .await;
    let entries = log(&node).await;
    assert_eq!(
        entries
            .iter()
            .map(|it| says(it, "a secret"))
            .collect::<Vec<_>>(),
        [true, false, true]
    );
    // Not yet, if the store does not answer: it goes later.
    node.switchboard.add(
        |target| target.call == Call::Write && target.space == Some(Space::Log),
        When::Sequence([true].into()),
        Fault::Fail(ErrorKind::Unavailable),
    );
    take(&node, 3).await;
    while node.switchboard.hits() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    send(&node, &[message(BOB, "4", "one more")]).await;
    take(&node, 1).await;
    let entries = until(&node, |entries| {
        !entries.iter().any(|it| says(it, "a secret"))
    })
    .await;
    assert_eq!(node.switchboard.hits(), 1);
    assert!(says(&entries[1], "not one"));
    assert_eq!(entries[0].peer.bare_str(), BOB, "nor who sent it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retraction_is_tried_again() {
    let node = node(&with_archive(true), &Arc::new(MemoryTable::new())).await;
    node.accounts(["alice", "bob"]).await.unwrap();
    send(&node, &[message(BOB, "1", "said too much")]).await;
    let first_item = 1_u64.to_be_bytes();
    node.switchboard.add(
        move |target| {
            let of_bob = target.name.ends_with(BOB.as_bytes());
            target.call == Call::Write && of_bob && target.sort == first_item
        },
        When::Sequence([true, true, true].into()),
        Fault::Fail(ErrorKind::Unavailable),
    );
    let retraction = format!(
        "<message to='{BOB}' type='chat' id='2'><retract xmlns='urn:xmpp:message-retract:1' id='1'/></message>"
    );
    send(&node, &[retraction]).await;
    let entries = until(&node, |entries| !says(&entries[0], "said too much")).await;
    assert!(says(&entries[0], "retracted"), "{entries:?}");
    assert_eq!(node.switchboard.hits(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_wait_have_a_quota_and_its_sender_is_told() {
    let settings = Settings {
        offline_bytes: 3_000,
        ..Settings::default()
    };
    let table = Arc::new(MemoryTable::new());
    let large = |id: &str| message(BOB, id, &"x".repeat(1_000));
    let refused = async |node: &Local, id: &str| {
        let mut alice = Client::managed(node.address(), "alice", "phone")
            .await
            .unwrap();
        alice.send(&large(id)).await.unwrap();
        let mut texts = Vec::new();
        alice.acknowledged(&mut texts).await.unwrap();
        let error = texts.iter().find(|text| attr(text, "id") == Some(id));
        error.map(|text| condition(text))
    };
    let mut running = node(&settings, &table).await;
    running.accounts(["alice", "bob"]).await.unwrap();
    assert_eq!(refused(&running, "1").await, None);
    assert_eq!(refused(&running, "2").await, None);
    assert_eq!(refused(&running, "3").await, Some("service-unavailable"));
    // A home that was not in memory knows it too.
    running.stop().await;
    running = node(&settings, &table).await;
    assert_eq!(refused(&running, "4").await, Some("service-unavailable"));
    take(&running, 2).await;
    assert_eq!(refused(&running, "5").await, None);
}

/// Under a clock that stands still but for those who wait for it: the test takes no time.
#[tokio::test(start_paused = true)]
async fn who_sends_too_fast_is_read_slowly_and_loses_nothing() {
    let settings = Settings {
        session_bytes: 20_000,
        ..Settings::default()
    };
    // Its clock stands still, as no other store's would.
    let (table, blobs) = (Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
    let node = Local::over(&settings, 1, table, blobs).await.unwrap();
    node.accounts(["alice", "bob"]).await.unwrap();
    let mut bob = Client::online(node.address(), "bob", "phone")
        .await
        .unwrap();
    let mut alice = Client::login(node.address(), "alice", "phone")
        .await
        .unwrap();
    let start = tokio::time::Instant::now();
    let count = 300;
    for number in 0..count {
        let text = message(BOB, &number.to_string(), &"x".repeat(1_000));
        alice.send(&text).await.unwrap();
    }
    for number in 0..count {
        let text = bob.until(|text| name(text) == "message").await.unwrap();
        assert_eq!(attr(&text, "id"), Some(&*number.to_string()));
    }
    // The last read may be one buffer too large; it is paid for afterwards.
    assert!(
        start.elapsed() >= Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}
