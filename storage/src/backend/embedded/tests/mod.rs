//! Tests of the embedded store beyond the conformance suite: crashes, damage, space, and a model.

mod crash;
mod damage;
mod full;
mod model;
mod power;
mod sim;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Embedded, EmbeddedOptions};
use crate::{
    error::ErrorKind,
    shape::{Batch, Condition, Consistency, Key, Space, Table},
};

/// Tables so small that almost everything goes to runs.
fn small() -> EmbeddedOptions {
    EmbeddedOptions {
        memtable_bytes: 8 << 10,
        cache_bytes: 16 << 10,
        sync: false,
        ..EmbeddedOptions::default()
    }
}

fn open(directory: &Path, options: EmbeddedOptions) -> Embedded {
    Embedded::open(directory, options).expect("the store opens")
}

fn key(partition: &str, n: u64) -> Key {
    Key {
        space: Space::Log,
        partition: partition.to_owned().into(),
        sort: n.to_be_bytes().to_vec().into(),
    }
}

/// Waits until the janitor has nothing to do.
fn settle(store: &Embedded) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let view = store.store.view.load_full();
        if view.sealed.is_empty()
            && super::merge::choose(&view.runs, store.store.options.memtable_bytes as u64).is_none()
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the janitor does not come to rest"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn entries(store: &Embedded) -> u64 {
    store
        .store
        .view
        .load()
        .runs
        .iter()
        .map(|run| run.entries)
        .sum()
}

#[tokio::test]
async fn a_directory_opens_once() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), small());
    let Err(error) = Embedded::open(directory.path(), small()) else {
        panic!("opened twice")
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("in use"), "{error}");
    drop(first);
    open(directory.path(), small());
}

#[tokio::test]
async fn what_is_replaced_or_removed_leaves_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), small());
    for round in 0..100u64 {
        for n in 0..50 {
            let value = vec![round as u8; 500];
            store
                .write(Batch::new().put(key("p", n), value, Condition::Any))
                .await
                .unwrap();
        }
    }
    settle(&store);
    assert!(
        entries(&store) <= 100,
        "{} entries for 50 records",
        entries(&store)
    );
    let record = store
        .get(&key("p", 7), Consistency::Strong)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((record.version, record.value[0]), (100, 99));
    for n in 0..50 {
        store
            .write(Batch::new().delete(key("p", n), Condition::Exists))
            .await
            .unwrap();
    }
    for n in 0..100 {
        store
            .write(Batch::new().put(key("q", n), vec![0; 500], Condition::Absent))
            .await
            .unwrap();
    }
    settle(&store);
    assert!(
        entries(&store) <= 150,
        "{} entries for 100 records",
        entries(&store)
    );
    let files = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let logs = files
        .filter(|name| name.to_string_lossy().ends_with(".wal"))
        .count();
    assert!(logs <= 2, "{logs} logs are kept");
}

#[tokio::test]
async fn a_full_queue_throttles_those_who_do_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(
        directory.path(),
        EmbeddedOptions {
            queue_bytes: 1 << 10,
            ..small()
        },
    ));
    let taken = store.room.clone().acquire_owned().await.unwrap();
    let submit = async || {
        let (sender, answer) = tokio::sync::oneshot::channel();
        let batch = Batch::new().put(key("p", 1), "x", Condition::Absent);
        let done = Box::new(|result| sender.send(result).unwrap());
        store.clone().submit(batch, done);
        answer.await.unwrap()
    };
    assert_eq!(submit().await.unwrap_err().kind(), ErrorKind::Throttled);
    drop(taken);
    submit().await.unwrap();
    // One that is larger than the queue takes all of it and passes.
    store
        .write(Batch::new().put(key("p", 2), vec![0; 100_000], Condition::Absent))
        .await
        .unwrap();
}

#[tokio::test]
async fn restarts_do_not_pile_up_logs() {
    let directory = tempfile::tempdir().unwrap();
    for n in 0..30 {
        let store = open(directory.path(), EmbeddedOptions::default());
        let batch = Batch::new().put(key("p", n), "x", Condition::Absent);
        store.write(batch).await.unwrap();
        settle(&store);
    }
    let files = std::fs::read_dir(directory.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    let logs = names.filter(|name| name.to_string_lossy().ends_with(".wal"));
    assert!(logs.count() <= 10);
    let store = open(directory.path(), EmbeddedOptions::default());
    for n in 0..30 {
        let record = store.get(&key("p", n), Consistency::Strong).await;
        assert!(record.unwrap().is_some(), "record {n}");
    }
}
