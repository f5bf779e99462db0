//! What else DynamoDB makes special: contention, limits, expiry that lags, what calls cost.

use std::sync::Arc;

use crate::common::Dynamo;
use services::Fault;
use storage::{
    Clock, ErrorKind, ManualClock, Result, SystemClock,
    layer::{Call, Usage},
    repository::{EntryFlags, LogRange, LogRepository, NewEntry, TableLogs},
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};
use tokio::task::JoinSet;
use xmpp::{BareJid, Jid};

fn key(sort: impl Into<bytes::Bytes>) -> Key {
    Key {
        space: Space::Log,
        partition: "p".into(),
        sort: sort.into(),
    }
}

/// 32 writers count in one record, while answers are lost and calls refused: who was told of success is the only one who
/// made that version, and who was told of anything else but doubt made none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_record() {
    const WRITERS: u64 = 32;
    const STEPS: usize = 4;
    let dynamo = Dynamo::start().await;
    let table = Arc::new(dynamo.table().await);
    let put = Batch::new().put(key("counter"), "", Condition::Absent);
    table.write(put).await.unwrap();
    dynamo.faults.add(1_000_000, Fault::LoseAnswer, each(13));
    let throttling = Fault::dynamo(400, "ThrottlingException");
    dynamo.faults.add(1_000_000, throttling, each(7));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let table = table.clone();
        writers.spawn(async move {
            let (mut made, mut unknown, mut version) = (Vec::new(), 0, 1);
            while made.len() + unknown < STEPS {
                let batch = Batch::new().put(key("counter"), "x", Condition::Version(version));
                match table.write(batch).await {
                    Ok(()) => made.push(version + 1),
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        let current = error.conflict_at().unwrap().current.clone();
                        version = current.unwrap().version;
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::Throttled => continue,
                    Err(_) => unknown += 1,
                }
                let found = table.get(&key("counter"), Consistency::Strong).await;
                version = found.map_or(version, |found| found.unwrap().version);
            }
            (made, unknown)
        });
    }
    let (made, unknown): (Vec<_>, Vec<_>) = writers.join_all().await.into_iter().unzip();
    let (mut made, unknown) = (made.concat(), unknown.iter().sum::<usize>());
    dynamo.faults.clear();
    let found = table.get(&key("counter"), Consistency::Strong).await;
    let last = found.unwrap().unwrap().version;
    let told = format!("{made:?}, {unknown} unknown, {last} in the end");
    made.sort_unstable();
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{told}");
    assert!(made.last() <= Some(&last), "{told}");
    let changes = usize::try_from(last).unwrap() - 1;
    assert!(
        (made.len()..=made.len() + unknown).contains(&changes),
        "{told}"
    );
    assert!(made.len() >= 32, "{told}");
}

/// Every so manieth request.
fn each(nth: u64) -> impl FnMut(&services::faults::Asked<'_>) -> bool + Send + 'static {
    let mut asked = 0;
    move |_| {
        asked += 1;
        asked % nth == 0
    }
}

/// 32 writers append to one log, while answers are lost: every acknowledged message is in it, once, and numbers are dense.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_log() {
    const WRITERS: u64 = 32;
    let dynamo = Dynamo::start().await;
    let logs = Arc::new(TableLogs::new(
        Arc::new(dynamo.table().await),
        Arc::new(storage::backend::memory::MemoryBlobs::new()),
        usize::MAX,
    ));
    let archive = BareJid::parse("room@example.org").unwrap();
    dynamo.faults.add(1_000_000, Fault::LoseAnswer, each(6));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (logs, archive) = (logs.clone(), archive.clone());
        writers.spawn(async move {
            for n in 0..3 {
                let entry = NewEntry {
                    time_ms: 1,
                    flags: EntryFlags::ARCHIVED,
                    peer: Jid::parse("peer@example.org/x").unwrap(),
                    stanza: format!("{writer} {n}").into(),
                };
                let id = writer * 100 + n + 1;
                while append(&*logs, &archive, id, &entry).await.is_err() {}
            }
        });
    }
    writers.join_all().await;
    dynamo.faults.clear();
    let found = logs
        .read(&archive, LogRange::ALL, false, 1000)
        .await
        .unwrap();
    let numbers: Vec<u64> = found.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=WRITERS * 3).collect::<Vec<_>>());
    let mut bodies: Vec<_> = found.iter().map(|entry| entry.stanza.clone()).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len() as u64, WRITERS * 3);
}

/// As a home does it: to the head that it knows, and from the new one if somebody was faster. An answer that is not known
/// is looked for in the log, where the write id tells.
async fn append(
    logs: &dyn LogRepository,
    archive: &BareJid,
    id: u64,
    entry: &NewEntry,
) -> Result<()> {
    let head = logs.head(archive).await?;
    loop {
        match logs
            .append(archive, head, id, std::slice::from_ref(entry))
            .await
        {
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            ended => return ended.map(drop),
        }
    }
}

/// What is too large is refused before anything is sent, or as DynamoDB refuses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits() {
    let dynamo = Dynamo::start().await;
    let table = dynamo.table().await;
    let value = |size: usize| vec![7; size];
    let kind = async |batch: Batch| table.write(batch).await.map_err(|error| error.kind());
    let put = |sort: &'static str, size| Batch::new().put(key(sort), value(size), Condition::Any);
    assert_eq!(kind(put("fits", 408_000)).await, Ok(()));
    assert_eq!(kind(put("grows", 409_600)).await, Err(ErrorKind::TooLarge));
    // A few bytes over: only DynamoDB knows.
    for over in (0..40).step_by(4) {
        let ended = kind(put("edge", 409_600 - 60 + over)).await;
        assert!(
            matches!(ended, Ok(()) | Err(ErrorKind::TooLarge)),
            "{ended:?}"
        );
    }
    let many = (0..11u8).fold(Batch::new(), |batch, n| {
        batch.put(key(vec![n]), value(400_000), Condition::Any)
    });
    assert_eq!(kind(many).await, Err(ErrorKind::TooLarge));
    let fits = (0..10u8).fold(Batch::new(), |batch, n| {
        batch.put(key(vec![n]), value(400_000), Condition::Any)
    });
    assert_eq!(kind(fits).await, Ok(()));
    let empty = Batch::new().put(key(""), "x", Condition::Any);
    assert_eq!(kind(empty).await, Err(ErrorKind::NotAllowed));
    assert_eq!(
        table.get(&key(""), Consistency::Strong).await.unwrap(),
        None
    );

    // Pages end after a megabyte, whatever limit is asked for.
    let query = Query {
        space: Space::Log,
        partition: "p".into(),
        from: None,
        until: None,
        reverse: false,
        limit: 1000,
        consistency: Consistency::Eventual,
    };
    let page = table.query(&query).await.unwrap();
    assert!(page.more && page.records.len() < 10);
}

/// What has expired and is still shown is absent everywhere, also where a page holds nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expired_is_still_shown() {
    let dynamo = Dynamo::start().await;
    let clock = ManualClock::at(SystemClock.seconds());
    let table = dynamo.table().await.with_clock(Arc::new(clock.clone()));
    let soon = clock.seconds() + 10;
    for first in (0..300u16).step_by(100) {
        let batch = (first..first + 100).fold(Batch::new(), |batch, n| {
            batch.put_until(key(n.to_be_bytes().to_vec()), "x", Condition::Absent, soon)
        });
        table.write(batch).await.unwrap();
    }
    let last = Batch::new().put(key("zz"), "x", Condition::Absent);
    table.write(last).await.unwrap();
    clock.advance(std::time::Duration::from_secs(10));
    let query = Query {
        space: Space::Log,
        partition: "p".into(),
        from: None,
        until: None,
        reverse: false,
        limit: 3,
        consistency: Consistency::Strong,
    };
    let page = table.query(&query).await.unwrap();
    let sorts: Vec<_> = page.records.iter().map(|record| &record.sort[..]).collect();
    assert_eq!((sorts, page.more), (vec![&b"zz"[..]], false));
    let partitions = table.partitions(Space::Log, None, 10).await.unwrap();
    assert_eq!(partitions, ["p"]);
    // In a transaction a put over what expired begins a new life; and it is done once when its answer is lost.
    let at = |n: u16| key(n.to_be_bytes().to_vec());
    dynamo.faults.add(1, Fault::LoseAnswer, |asked| {
        asked.operation == "TransactWriteItems"
    });
    let batch = Batch::new()
        .put(at(0), "new", Condition::Any)
        .put(at(1), "new", Condition::Absent)
        .delete(at(2), Condition::Absent)
        .put(key("zz"), "new", Condition::Any);
    table.write(batch).await.unwrap();
    let version = async |key: &Key| {
        let found = table.get(key, Consistency::Strong).await.unwrap();
        found.map(|found| found.version)
    };
    assert_eq!(version(&at(0)).await, Some(1));
    assert_eq!(version(&at(1)).await, Some(1));
    assert_eq!(version(&at(2)).await, None);
    assert_eq!(version(&key("zz")).await, Some(2));
}

/// An observer hears what calls cost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_are_told() {
    let dynamo = Dynamo::start().await;
    let table = dynamo.table().await;
    let told = |call| -> Usage {
        let spent = dynamo.spent.take();
        assert_eq!(spent.len(), 1, "{spent:?}");
        assert_eq!((spent[0].call, spent[0].space), (call, Some(Space::Log)));
        spent[0]
    };
    let put = |condition| Batch::new().put(key("a"), vec![1; 1500], condition);
    table.write(put(Condition::Absent)).await.unwrap();
    let usage = told(Call::Write);
    assert_eq!(
        (usage.write_units, usage.requests, usage.retries),
        (2.0, 1, 0)
    );
    assert!((1500..4000).contains(&usage.sent), "{usage:?}");

    table.write(put(Condition::Absent)).await.unwrap_err();
    let usage = told(Call::Write);
    assert_eq!(
        (usage.write_units, usage.outcome),
        (2.0, Err(ErrorKind::Conflict))
    );
    assert!(usage.received > 1500, "{usage:?}");

    dynamo
        .faults
        .add(2, Fault::dynamo(400, "ThrottlingException"), |_| true);
    table.get(&key("a"), Consistency::Strong).await.unwrap();
    let usage = told(Call::Get);
    assert_eq!((usage.read_units, usage.requests), (1.0, 3));
    assert_eq!((usage.retries, usage.throttled), (2, 2));
    table.get(&key("a"), Consistency::Eventual).await.unwrap();
    assert_eq!(told(Call::Get).read_units, 0.5);

    let other = Key {
        space: Space::Idx,
        ..key("b")
    };
    let both = put(Condition::Any).put(other, "x", Condition::Any);
    table.write(both).await.unwrap();
    let mut spent = dynamo.spent.take();
    spent.sort_by_key(|usage| usage.space);
    let told: Vec<_> = spent
        .iter()
        .map(|usage| (usage.space, usage.write_units, usage.requests))
        .collect();
    assert_eq!(
        told,
        [(Some(Space::Log), 4.0, 1), (Some(Space::Idx), 2.0, 0)]
    );
}
