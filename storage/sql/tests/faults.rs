//! The server is killed or frozen under load: what was acknowledged is there, errors say so, and afterwards all goes on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use storage::{
    Error, ErrorKind, ManualClock,
    shape::Blobs,
    shape::{Batch, Condition, Consistency, PutIf, Space, Table},
};
use storage_sql::{Sql, SqlTable};
use tokio::{task::JoinSet, time::timeout};

use common::{Database, Kind, NOW, key, put};

/// Nothing may hang; this is far beyond every time-out.
const HANG: Duration = Duration::from_secs(60);

async fn impatient(database: &Database) -> Sql {
    let mut options = database.options();
    options.timeout = Duration::from_secs(1);
    options.connect = Duration::from_secs(1);
    options.acquire = Duration::from_secs(3);
    database
        .open_with(options, Arc::new(ManualClock::at(NOW)))
        .await
}

fn unavailable(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
}

/// What a writer knows of a record: acknowledged, or perhaps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    There,
    Perhaps,
}

/// Appends, pairs and changes until it is told to stop; what became of each key.
async fn write(
    table: SqlTable,
    writer: usize,
    stop: Arc<AtomicBool>,
    acks: Arc<AtomicUsize>,
) -> BTreeMap<u64, Known> {
    let mut known = BTreeMap::new();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let log = key(Space::Log, &format!("A#{writer}"), u64::to_be_bytes(number));
        let batch = put(&log, number.to_string(), Condition::Absent);
        let batch = if number % 3 == 0 {
            let index = key(Space::Idx, &format!("W#{writer}"), u64::to_be_bytes(number));
            batch.put(index, number.to_string(), Condition::Any)
        } else {
            batch
        };
        let end = match timeout(HANG, table.write(batch)).await.expect("a hang") {
            Ok(()) => {
                acks.fetch_add(1, Ordering::Relaxed);
                Known::There
            }
            Err(error) => {
                unavailable(&error);
                // Nothing is learnt from asking a server that is gone more often.
                tokio::time::sleep(Duration::from_millis(5)).await;
                Known::Perhaps
            }
        };
        known.insert(number, end);
        if number > 1 && known[&(number - 1)] == Known::There {
            let before = key(
                Space::Log,
                &format!("A#{writer}"),
                u64::to_be_bytes(number - 1),
            );
            match timeout(HANG, table.get(&before, Consistency::Strong))
                .await
                .expect("a hang")
            {
                Ok(found) => assert!(found.is_some(), "a false absence of {number}"),
                Err(error) => unavailable(&error),
            }
        }
    }
    known
}

async fn until(acks: &AtomicUsize, count: usize) {
    let wait = async {
        while acks.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(HANG, wait).await.expect("the writers go on");
}

/// Under load the server ends and comes back, three times.
async fn killed(kind: Kind) {
    let mut database = Database::start(kind);
    let sql = impatient(&database).await;
    let (stop, acks) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let written = write(sql.table(), writer, stop.clone(), acks.clone());
        writers.spawn(async move { (writer, written.await) });
    }
    for _ in 0..3 {
        until(&acks, acks.load(Ordering::Relaxed) + 200).await;
        database.kill();
        let object = timeout(HANG, sql.blobs().put("a/b", "x".into(), PutIf::Any)).await;
        unavailable(&object.expect("a hang").unwrap_err());
        let account = key(Space::Core, "U#nobody", "ACC");
        let read = timeout(HANG, sql.table().get(&account, Consistency::Strong)).await;
        unavailable(&read.expect("a hang").unwrap_err());
        database = tokio::task::spawn_blocking(move || {
            database.restart();
            database
        })
        .await
        .unwrap();
    }
    until(&acks, acks.load(Ordering::Relaxed) + 200).await;
    stop.store(true, Ordering::Relaxed);
    for (writer, known) in writers.join_all().await {
        for (number, known) in known {
            let value = number.to_string();
            let mut found = Vec::new();
            for (space, partition) in [(Space::Log, "A"), (Space::Idx, "W")] {
                let at = key(
                    space,
                    &format!("{partition}#{writer}"),
                    number.to_be_bytes(),
                );
                let record = sql.table().get(&at, Consistency::Strong).await.unwrap();
                found.push(record.map(|record| (record.value, record.version)));
            }
            let whole = Some((value.clone().into(), 1));
            if known == Known::There {
                assert_eq!(
                    found[0], whole,
                    "an acknowledged write of {writer}: {number}"
                );
            }
            if number % 3 == 0 {
                assert_eq!(found[0], found[1], "half a batch of {writer}: {number}");
            } else {
                assert!(found[0].is_none() || found[0] == whole);
            }
        }
    }
}

/// A server that stands still is Unavailable, and goes on as if nothing had been.
async fn frozen(kind: Kind) {
    let database = Database::start(kind);
    let sql = impatient(&database).await;
    let before = key(Space::Core, "before", "s");
    sql.table()
        .write(put(&before, "x", Condition::Absent))
        .await
        .unwrap();
    database.freeze();
    let mut calls = JoinSet::new();
    for n in 0..64u8 {
        let (table, before) = (sql.table(), before.clone());
        calls.spawn(async move {
            let at = key(Space::Log, "frozen", [n]);
            let end = match n % 4 {
                0 => table.get(&before, Consistency::Strong).await.map(drop),
                1 => table.write(put(&at, "x", Condition::Absent)).await,
                2 => {
                    table
                        .write(put(&at, "x", Condition::Any).check(before, Condition::Exists))
                        .await
                }
                _ => {
                    table
                        .write(Batch::new().delete(before, Condition::Version(9)))
                        .await
                }
            };
            unavailable(&end.expect_err("nobody answers"));
        });
    }
    timeout(HANG, calls.join_all()).await.expect("a hang");
    database.thaw();
    // What was sent before may be done now. Then all is as ever.
    let found = sql.table().get(&before, Consistency::Strong).await.unwrap();
    assert_eq!(found.map(|record| record.value), Some("x".into()));
    for n in 0..64u8 {
        let at = key(Space::Log, "thawed", [n]);
        sql.table()
            .write(put(&at, "x", Condition::Absent))
            .await
            .unwrap();
    }
}

mod postgres {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed() {
        super::killed(Kind::Postgres).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frozen() {
        super::frozen(Kind::Postgres).await;
    }
}

mod mariadb {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed() {
        super::killed(Kind::MariaDb).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn frozen() {
        super::frozen(Kind::MariaDb).await;
    }
}
