//! A disk without room, and one that fails: nothing is lost, everybody is told, and what can go on by itself does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{key, sim::Sim};
use crate::{
    backend::embedded::{Embedded, EmbeddedOptions},
    clock::SystemClock,
    error::{ErrorKind, Result},
    shape::{Batch, Condition, Consistency, Table},
};

fn open(disk: &Sim, directory: &std::path::Path, options: EmbeddedOptions) -> Embedded {
    let disk = Arc::new(disk.clone());
    Embedded::open_on(disk, directory, options, Arc::new(SystemClock)).unwrap()
}

fn options(sync: bool, retry_after: Duration) -> EmbeddedOptions {
    EmbeddedOptions {
        sync,
        memtable_bytes: 16 << 10,
        retry_after,
        ..EmbeddedOptions::default()
    }
}

async fn put(store: &Embedded, n: u64) -> Result<()> {
    let batch = Batch::new().put(key("p", n), vec![n as u8; 700], Condition::Any);
    store.write(batch).await
}

async fn is_there(store: &Embedded, n: u64) -> bool {
    let found = store.get(&key("p", n), Consistency::Strong).await.unwrap();
    found.is_some_and(|found| found.value == vec![n as u8; 700])
}

/// Waits until the store takes writes.
fn recovered(store: &Embedded) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.trouble().is_some() {
        assert!(Instant::now() < deadline, "the store does not go on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_store_goes_on_when_there_is_room_again() {
    for (seed, sync) in [(1, true), (2, false), (3, true), (4, true)] {
        let disk = Sim::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let store = open(&disk, directory.path(), options(sync, Duration::ZERO));
        let mut answered = Vec::new();
        let mut next = 0;
        for _ in 0..4 {
            disk.set_capacity(Some(disk.used() + 20_000 + disk.below(9_000)));
            let error = loop {
                next += 1;
                match put(&store, next).await {
                    Ok(()) => answered.push(next),
                    Err(error) => break error,
                }
                assert!(next < 100_000, "there is always room");
            };
            assert_ne!(error.kind(), ErrorKind::Corrupt);
            assert!(is_there(&store, answered[0]).await, "it can still be read");
            disk.set_capacity(None);
            recovered(&store);
            next += 1;
            put(&store, next).await.expect("there is room");
            answered.push(next);
        }
        drop(store);
        let after = tempfile::tempdir().unwrap();
        disk.cut_power(after.path());
        let store = open(&disk, after.path(), options(sync, Duration::ZERO));
        for &n in &answered {
            assert!(is_there(&store, n).await, "record {n} was answered");
        }
    }
}

#[tokio::test]
async fn a_full_store_tells_and_leaves_the_disk_alone_for_a_while() {
    let disk = Sim::new(5);
    let directory = tempfile::tempdir().unwrap();
    let long = Duration::from_secs(86_400);
    let store = open(&disk, directory.path(), options(true, long));
    put(&store, 1).await.unwrap();
    assert!(store.trouble().is_none());
    disk.set_capacity(Some(disk.used()));
    let refused = async |n| put(&store, n).await.unwrap_err();
    let error = refused(2).await;
    // It is known that nothing was written.
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(store.trouble().unwrap().to_string(), error.to_string());
    let operations = disk.operations();
    disk.set_capacity(None);
    assert_eq!(refused(3).await.kind(), ErrorKind::Throttled);
    assert_eq!(disk.operations(), operations);
    drop(store);
    let store = open(&disk, directory.path(), options(true, long));
    assert_eq!(
        (is_there(&store, 1).await, is_there(&store, 2).await),
        (true, false)
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_begun_is_told_and_begun_later() {
    let disk = Sim::new(7);
    let directory = tempfile::tempdir().unwrap();
    let small = EmbeddedOptions {
        memtable_bytes: 1,
        ..options(true, Duration::ZERO)
    };
    let store = open(&disk, directory.path(), small);
    put(&store, 1).await.unwrap();
    disk.refuse_names(true);
    let error = put(&store, 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(store.trouble().is_some());
    disk.refuse_names(false);
    recovered(&store);
    put(&store, 3).await.unwrap();
    for (n, expected) in [(1, true), (2, false), (3, true)] {
        assert_eq!(is_there(&store, n).await, expected, "record {n}");
    }
}

#[tokio::test]
async fn a_failed_sync_ends_writing_and_is_told() {
    let disk = Sim::new(6);
    let directory = tempfile::tempdir().unwrap();
    let store = open(&disk, directory.path(), options(true, Duration::ZERO));
    put(&store, 1).await.unwrap();
    disk.fail_syncs(true);
    assert_eq!(
        put(&store, 2).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    // A sync that succeeds now would say nothing of what the failed one forgot.
    disk.fail_syncs(false);
    assert_eq!(
        put(&store, 3).await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    let trouble = store.trouble().expect("it is told").to_string();
    assert!(trouble.contains("start the node again"), "{trouble}");
    drop(store);
    // What was never durable is not shown by the next start either.
    let store = open(&disk, directory.path(), options(true, Duration::ZERO));
    put(&store, 4).await.unwrap();
    drop(store);
    let after = tempfile::tempdir().unwrap();
    disk.cut_power(after.path());
    let store = open(&disk, after.path(), options(true, Duration::ZERO));
    for (n, expected) in [(1, true), (2, false), (3, false), (4, true)] {
        assert_eq!(is_there(&store, n).await, expected, "record {n}");
    }
}
