//! Many writers of several nodes at once: every outcome is one that the conditions explain.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use storage::{
    ErrorKind, Stores,
    repository::Credentials,
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};
use storage_sql::{Sql, SqlTable};
use tokio::task::JoinSet;

use common::{Database, Kind, NOW, key, put};

const WRITERS: usize = 32;
const NODES: usize = 3;

/// Nodes that know nothing of each other.
async fn nodes(database: &Database) -> Vec<Sql> {
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(database.open().await);
    }
    nodes
}

/// Each change of a record is of the version that its writer saw, and none is lost.
async fn one_record(kind: Kind) {
    const CHANGES: u64 = 8;
    let database = Database::start(kind);
    let nodes = nodes(&database).await;
    let roster = key(Space::Core, "U#alice", "ROST");
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (table, roster) = (nodes[writer % NODES].table(), roster.clone());
        writers.spawn(async move {
            let (mut seen, mut done) = (0, Vec::new());
            while (done.len() as u64) < CHANGES {
                let condition = if seen == 0 {
                    Condition::Absent
                } else {
                    Condition::Version(seen)
                };
                let value = format!("{writer} saw {seen}");
                match table.write(put(&roster, value.clone(), condition)).await {
                    Ok(()) => {
                        done.push((seen + 1, value));
                        seen += 1;
                    }
                    Err(error) => {
                        let at = error.conflict_at().unwrap_or_else(|| panic!("{error}"));
                        let current = at.current.as_ref().expect("nobody removes it");
                        assert_ne!(current.version, seen, "what was seen is there");
                        seen = current.version;
                    }
                }
            }
            done
        });
    }
    let changes: BTreeMap<u64, String> = writers.join_all().await.into_iter().flatten().collect();
    let total = WRITERS as u64 * CHANGES;
    assert!(
        changes.keys().copied().eq(1..=total),
        "each version once: {changes:?}"
    );
    let last = nodes[0]
        .table()
        .get(&roster, Consistency::Strong)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (last.version, &last.value[..]),
        (total, changes[&total].as_bytes())
    );
}

async fn append(table: &SqlTable, log: &str, text: String, mut number: u64) -> u64 {
    loop {
        let at = key(Space::Log, log, number.to_be_bytes());
        match table.write(put(&at, text.clone(), Condition::Absent)).await {
            Ok(()) => return number,
            Err(error) => {
                let at = error.conflict_at().unwrap_or_else(|| panic!("{error}"));
                let current = at.current.as_ref().expect("somebody was faster");
                assert_ne!(current.value, text.as_bytes(), "a conflict with itself");
                number += 1;
            }
        }
    }
}

/// A log that all append to has every entry once, without gaps.
async fn one_log(kind: Kind) {
    const ENTRIES: usize = 8;
    let database = Database::start(kind);
    let nodes = nodes(&database).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let table = nodes[writer % NODES].table();
        writers.spawn(async move {
            let mut numbers = Vec::new();
            for entry in 0..ENTRIES {
                let from = numbers.last().map_or(1, |(number, _)| number + 1);
                let text = format!("{writer}:{entry}");
                numbers.push((append(&table, "A#alice", text.clone(), from).await, text));
            }
            numbers
        });
    }
    let told: BTreeMap<u64, String> = writers.join_all().await.into_iter().flatten().collect();
    let query = Query {
        space: Space::Log,
        partition: "A#alice".into(),
        from: None,
        until: None,
        reverse: false,
        limit: 1000,
        consistency: Consistency::Strong,
    };
    let page = nodes[1].table().query(&query).await.unwrap();
    let stored = page.records.iter().map(|record| {
        let number = u64::from_be_bytes(record.sort[..].try_into().unwrap());
        (number, String::from_utf8_lossy(&record.value).into_owned())
    });
    assert!(told.keys().copied().eq(1..=(WRITERS * ENTRIES) as u64));
    assert!(stored.eq(told));
}

/// A name is given to one.
async fn one_name(kind: Kind) {
    let database = Database::start(kind);
    let stores: Vec<Stores> = nodes(&database)
        .await
        .iter()
        .map(|node| Stores::over(Arc::new(node.table()), Arc::new(node.blobs())))
        .collect();
    for round in 0..4 {
        let name = xmpp::BareJid::parse(&format!("bob{round}@example.org")).unwrap();
        let mut rivals = JoinSet::new();
        for rival in 0..WRITERS {
            let (stores, name) = (stores[rival % NODES].clone(), name.clone());
            let at = NOW * 1000 + rival as u64;
            rivals.spawn(async move {
                let created = stores
                    .accounts
                    .create(&name, Credentials::default(), at)
                    .await;
                (
                    at,
                    created.map_err(|error| (error.kind(), error.to_string())),
                )
            });
        }
        let ends = rivals.join_all().await;
        let won: Vec<u64> = ends
            .iter()
            .filter(|(_, end)| end.is_ok())
            .map(|(at, _)| *at)
            .collect();
        let lost = ends
            .iter()
            .filter(|(_, end)| matches!(end, Err((ErrorKind::Conflict, _))));
        assert_eq!((won.len(), lost.count()), (1, WRITERS - 1), "{ends:?}");
        let account = stores[0].accounts.load(&name).await.unwrap().unwrap();
        assert_eq!(account.created_ms, won[0]);
    }
}

/// Two that each count on the absence of what the other puts are not both done.
async fn absence(kind: Kind) {
    let database = Database::start(kind);
    let nodes = nodes(&database).await;
    for round in 0..40 {
        let [x, y] = ["x", "y"].map(|name| key(Space::Core, &format!("absence{round}"), name));
        let one = put(&x, "1", Condition::Any).check(y.clone(), Condition::Absent);
        let other = put(&y, "1", Condition::Any).check(x.clone(), Condition::Absent);
        let (a, b) = (nodes[0].table(), nodes[1].table());
        let (one, other) = tokio::join!(a.write(one), b.write(other));
        assert_ne!(
            one.is_ok(),
            other.is_ok(),
            "round {round}: {one:?} {other:?}"
        );
        let left = [
            a.get(&x, Consistency::Strong).await,
            a.get(&y, Consistency::Strong).await,
        ];
        let left = left.map(|found| found.unwrap().map(|record| (record.value, record.version)));
        let there = Some((Bytes::from_static(b"1"), 1));
        let expected = if one.is_ok() {
            [there, None]
        } else {
            [None, there]
        };
        assert_eq!(left, expected, "nothing holds a place any more");
    }
}

/// A purse in one of three tables.
fn purse(n: u64) -> Key {
    let spaces = [Space::Idx, Space::Core, Space::Ctl];
    key(
        spaces[n as usize % 3],
        &format!("purse{}", n * 7 % 5),
        [n as u8],
    )
}

/// What is in it, and its version.
async fn holds(table: &SqlTable, n: u64) -> (u64, u64) {
    let record = table
        .get(&purse(n), Consistency::Strong)
        .await
        .unwrap()
        .unwrap();
    let coins = std::str::from_utf8(&record.value).unwrap().parse().unwrap();
    (coins, record.version)
}

/// Batches over the same rows in any order neither lose nor make anything, and none hangs in a deadlock.
async fn transfers(kind: Kind) {
    const PURSES: u64 = 6;
    let database = Database::start(kind);
    let nodes = nodes(&database).await;
    for n in 0..PURSES {
        nodes[0]
            .table()
            .write(put(&purse(n), "100", Condition::Absent))
            .await
            .unwrap();
    }
    let mut movers = JoinSet::new();
    for mover in 0..12u64 {
        let table = nodes[mover as usize % NODES].table();
        movers.spawn(async move {
            for step in 0..20 {
                let from = (mover * 5 + step) % PURSES;
                let to = (from + 1 + (mover + step * 3) % (PURSES - 1)) % PURSES;
                let ((a, at_a), (b, at_b)) = (holds(&table, from).await, holds(&table, to).await);
                if a == 0 {
                    continue;
                }
                let batch = Batch::new()
                    .put(purse(from), (a - 1).to_string(), Condition::Version(at_a))
                    .put(purse(to), (b + 1).to_string(), Condition::Version(at_b));
                match table.write(batch).await {
                    Ok(()) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        });
    }
    movers.join_all().await;
    let mut total = 0;
    for n in 0..PURSES {
        total += holds(&nodes[2].table(), n).await.0;
    }
    assert_eq!(total, PURSES * 100);
}

/// What one submits over the same key is done in its order, whatever shares a statement with it.
async fn order(kind: Kind) {
    const ROUNDS: u32 = 60;
    let database = Database::start(kind);
    let table = Arc::new(database.open().await.table());
    let (sender, mut ends) = tokio::sync::mpsc::channel(4 * ROUNDS as usize);
    for n in 0..ROUNDS {
        let at = key(Space::Core, "order", [(n % 5) as u8]);
        for batch in [
            put(&at, n.to_string(), Condition::Absent),
            put(&at, n.to_string(), Condition::Version(1)),
            Batch::new().delete(at.clone(), Condition::Version(2)),
            put(
                &key(Space::Core, "aside", n.to_be_bytes()),
                "x",
                Condition::Absent,
            ),
        ] {
            let sender = sender.clone();
            let done = Box::new(move |end| sender.try_send(end).unwrap());
            table.clone().submit(batch, done);
        }
    }
    drop(sender);
    let mut done = 0;
    while let Some(end) = ends.recv().await {
        end.unwrap();
        done += 1;
    }
    assert_eq!(done, 4 * ROUNDS);
}

on_each!(one_record, one_log, one_name, absence, transfers, order);
