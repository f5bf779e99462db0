//! Whatever the network and DynamoDB do to a call, it is done once or told not to be known.

use std::{sync::Arc, time::Duration};

use crate::common::Dynamo;
use services::{Fault, faults::Asked};
use storage::{
    Error, ErrorKind, Result,
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};
use storage_aws::{DynamoOptions, DynamoTable, Timeouts};
use tokio::sync::Semaphore;

/// A call of each sort that DynamoDB sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Get,
    Query,
    Scan,
    Create,
    Change,
    Overwrite,
    Require,
    Check,
    Delete,
    Transaction,
}

const ALL: [Op; 10] = [
    Op::Get,
    Op::Query,
    Op::Scan,
    Op::Create,
    Op::Change,
    Op::Overwrite,
    Op::Require,
    Op::Check,
    Op::Delete,
    Op::Transaction,
];

fn key(case: &str, sort: &'static str) -> Key {
    Key {
        space: Space::Ctl,
        partition: case.to_owned().into(),
        sort: sort.into(),
    }
}

impl Op {
    fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Query | Self::Scan | Self::Check)
    }

    /// What is there before.
    async fn prepare(self, table: &DynamoTable, case: &str) {
        let mut batch = Batch::new().put(key(case, "b"), "old", Condition::Absent);
        if self != Self::Create {
            batch = batch.put(key(case, "a"), "old", Condition::Absent);
        }
        table.write(batch).await.unwrap();
    }

    async fn run(self, table: &DynamoTable, case: &str) -> Result<()> {
        let at = key(case, "a");
        let new = Batch::new();
        match self {
            Self::Get => {
                let found = table.get(&at, Consistency::Strong).await?;
                assert_eq!(found.unwrap().value, "old");
                Ok(())
            }
            Self::Query => {
                let page = table.query(&all_of(case)).await?;
                assert_eq!(page.records.len(), 2);
                Ok(())
            }
            Self::Scan => {
                let mut found = Vec::new();
                loop {
                    let after = found.last().cloned();
                    let page = table.partitions(Space::Ctl, after.as_deref(), 100).await?;
                    if page.is_empty() {
                        break;
                    }
                    found.extend(page);
                }
                assert!(found.contains(&at.partition));
                Ok(())
            }
            Self::Create => table.write(new.put(at, "new", Condition::Absent)).await,
            Self::Change => table.write(new.put(at, "new", Condition::Version(1))).await,
            Self::Overwrite => table.write(new.put(at, "new", Condition::Any)).await,
            Self::Require => table.write(new.put(at, "new", Condition::Exists)).await,
            Self::Check => table.write(new.check(at, Condition::Version(1))).await,
            Self::Delete => table.write(new.delete(at, Condition::Version(1))).await,
            Self::Transaction => {
                let batch = new
                    .put(at, "new", Condition::Any)
                    .put(key(case, "c"), "new", Condition::Absent)
                    .delete(key(case, "b"), Condition::Version(1));
                table.write(batch).await
            }
        }
    }

    /// What is there afterwards, by whether it was done.
    fn expected(self, done: bool) -> Vec<(&'static str, &'static str, u64)> {
        let old = [("a", "old", 1), ("b", "old", 1)];
        match self {
            Self::Create if !done => vec![("b", "old", 1)],
            _ if !done || self.is_read() => old.to_vec(),
            Self::Create => vec![("a", "new", 1), ("b", "old", 1)],
            Self::Delete => vec![("b", "old", 1)],
            Self::Transaction => vec![("a", "new", 2), ("c", "new", 1)],
            _ => vec![("a", "new", 2), ("b", "old", 1)],
        }
    }
}

fn all_of(case: &str) -> Query {
    Query {
        space: Space::Ctl,
        partition: case.to_owned().into(),
        from: None,
        until: None,
        reverse: false,
        limit: 100,
        consistency: Consistency::Strong,
    }
}

async fn contents(table: &DynamoTable, case: &str) -> Vec<(String, String, u64)> {
    let page = table.query(&all_of(case)).await.unwrap();
    assert!(!page.more);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    page.records
        .iter()
        .map(|record| (text(&record.sort), text(&record.value), record.version))
        .collect()
}

async fn assert_contents(table: &DynamoTable, case: &str, expected: &[(&str, &str, u64)]) {
    let found = contents(table, case).await;
    let found: Vec<_> = found
        .iter()
        .map(|(sort, value, version)| (sort.as_str(), value.as_str(), *version))
        .collect();
    assert_eq!(found, expected, "{case}");
}

fn anything(_: &Asked<'_>) -> bool {
    true
}

/// The faults: by name, whether what met it was not done, how it ends when it does not end.
fn faults() -> Vec<(&'static str, Fault, bool, ErrorKind)> {
    use ErrorKind::{Throttled, Unavailable};
    let throughput = Fault::dynamo(400, "ProvisionedThroughputExceededException");
    vec![
        ("throughput", throughput, true, Throttled),
        (
            "throttling",
            Fault::dynamo(400, "ThrottlingException"),
            true,
            Throttled,
        ),
        (
            "limit",
            Fault::dynamo(400, "RequestLimitExceeded"),
            true,
            Throttled,
        ),
        (
            "internal",
            Fault::dynamo(500, "InternalServerError"),
            true,
            Unavailable,
        ),
        (
            "service",
            Fault::dynamo(503, "ServiceUnavailable"),
            true,
            Unavailable,
        ),
        (
            "gateway",
            Fault::Answer(502, "text/html", "<html/>".into()),
            true,
            Unavailable,
        ),
        ("reset", Fault::Reset, true, Unavailable),
        ("lost", Fault::LoseAnswer, false, Unavailable),
        ("cut", Fault::CutAnswer, false, Unavailable),
    ]
}

/// Each call under each fault: once, twice, and for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_on_every_call() {
    let dynamo = Dynamo::start().await;
    let (direct, table) = (dynamo.direct().await, dynamo.table().await);
    for (name, fault, not_done, kind) in faults() {
        for op in ALL {
            for times in [1, 2, 1000] {
                let case = format!("{name} {op:?} {times}");
                op.prepare(&direct, &case).await;
                dynamo.faults.clear();
                dynamo.faults.add(times, fault.clone(), anything);
                let result = op.run(&table, &case).await;
                let ended = result.map_err(|error| error.kind());
                assert_eq!(
                    ended,
                    if times < 1000 { Ok(()) } else { Err(kind) },
                    "{case}"
                );
                assert!(dynamo.faults.hits() >= times.min(6), "{case}");
                let done = ended.is_ok() || !not_done;
                assert_contents(&direct, &case, &op.expected(done)).await;
            }
        }
    }
}

/// A condition that does not hold is a conflict with what is there, also after an answer that was not given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_under_faults() {
    let dynamo = Dynamo::start().await;
    let (direct, table) = (dynamo.direct().await, dynamo.table().await);
    for (name, fault, _, _) in faults() {
        for (at, batch) in [
            Batch::new().put(key(name, "a"), "new", Condition::Absent),
            Batch::new().delete(key(name, "a"), Condition::Version(7)),
            Batch::new().check(key(name, "a"), Condition::Absent),
            Batch::new()
                .put(key(name, "b"), "new", Condition::Any)
                .check(key(name, "a"), Condition::Version(3)),
        ]
        .into_iter()
        .enumerate()
        {
            if at == 0 {
                let put = Batch::new().put(key(name, "a"), "old", Condition::Absent);
                direct.write(put).await.unwrap();
            }
            let index = batch.operations.len() - 1;
            dynamo.faults.clear();
            dynamo.faults.add(1, fault.clone(), anything);
            let error = table.write(batch).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{name} {at}: {error}");
            let conflict = error.conflict_at().unwrap();
            let current = conflict.current.as_ref().unwrap();
            assert_eq!((conflict.index, &current.value[..]), (index, &b"old"[..]));
            assert_contents(&direct, name, &[("a", "old", 1)]).await;
        }
    }
}

/// What only transactions meet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_in_each_others_way() {
    let dynamo = Dynamo::start().await;
    let (direct, table) = (dynamo.direct().await, dynamo.table().await);
    let conflict = Fault::cancelled(&["None", "TransactionConflict", "None"]);
    let throttled = Fault::cancelled(&["ThrottlingError", "None", "None"]);
    let in_progress = Fault::dynamo(400, "TransactionInProgressException");
    let alone = Fault::dynamo(400, "TransactionConflictException");
    for (name, fault, op, kind) in [
        ("conflict", conflict, Op::Transaction, ErrorKind::Throttled),
        (
            "throttled",
            throttled,
            Op::Transaction,
            ErrorKind::Throttled,
        ),
        (
            "in progress",
            in_progress,
            Op::Transaction,
            ErrorKind::Unavailable,
        ),
        ("alone", alone, Op::Change, ErrorKind::Throttled),
    ] {
        for times in [2, 1000] {
            let case = format!("{name} {times}");
            op.prepare(&direct, &case).await;
            dynamo.faults.clear();
            dynamo.faults.add(times, fault.clone(), anything);
            dynamo.spent.take();
            let ended = op.run(&table, &case).await.map_err(|error| error.kind());
            assert_eq!(ended, if times == 2 { Ok(()) } else { Err(kind) }, "{case}");
            let spent = dynamo.spent.take();
            assert!(spent.iter().any(|usage| usage.retries > 0), "{case}");
            let is_throttled = spent.iter().any(|usage| usage.throttled > 0);
            assert_eq!(is_throttled, name == "throttled", "{case}: {spent:?}");
            assert_contents(&direct, &case, &op.expected(times == 2)).await;
        }
    }
}

/// The answer to a put is lost, and others write before its repeat arrives.
async fn others_between(dynamo: &Dynamo, case: &str, op: Op, others: u64) -> Result<(), ErrorKind> {
    let (direct, table) = (dynamo.direct().await, Arc::new(dynamo.table().await));
    op.prepare(&direct, case).await;
    let gate = Arc::new(Semaphore::new(0));
    dynamo.faults.clear();
    dynamo.faults.add(1, Fault::LoseAnswer, anything);
    dynamo.faults.add(1, Fault::Hold(gate.clone()), anything);
    let writing = {
        let (table, case) = (table.clone(), case.to_owned());
        tokio::spawn(async move { op.run(&table, &case).await })
    };
    while dynamo.faults.hits() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_contents(&direct, case, &op.expected(true)).await;
    for n in 0..others {
        let put = Batch::new().put(key(case, "a"), format!("other {n}"), Condition::Exists);
        direct.write(put).await.unwrap();
    }
    gate.add_permits(1);
    let ended = writing.await.unwrap();
    let version = op.expected(true)[0].2 + others;
    let last = format!("other {}", others.saturating_sub(1));
    let expected = if others == 0 { "new" } else { &last };
    assert_contents(&direct, case, &[("a", expected, version), ("b", "old", 1)]).await;
    ended.map_err(|error| error.kind())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_and_others_in_between() {
    let dynamo = Dynamo::start().await;
    for op in [Op::Create, Op::Change, Op::Overwrite, Op::Require] {
        for (others, expected) in [(0, Ok(())), (1, Ok(()))] {
            let case = format!("{op:?} {others}");
            let ended = others_between(&dynamo, &case, op, others).await;
            assert_eq!(ended, expected, "{case}");
        }
    }
    // Nobody can tell any more; it is not called a conflict.
    for op in [Op::Create, Op::Change] {
        let case = format!("{op:?} 2");
        let ended = others_between(&dynamo, &case, op, 2).await;
        assert_eq!(ended, Err(ErrorKind::Unavailable), "{case}");
    }
}

/// A delete whose answer was lost does not take away what another made since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_delete() {
    let dynamo = Dynamo::start().await;
    let (direct, table) = (dynamo.direct().await, Arc::new(dynamo.table().await));
    for condition in [Condition::Any, Condition::Version(1), Condition::Exists] {
        let case = format!("{condition:?}");
        Op::Get.prepare(&direct, &case).await;
        let gate = Arc::new(Semaphore::new(0));
        dynamo.faults.clear();
        dynamo.faults.add(1, Fault::LoseAnswer, anything);
        dynamo.faults.add(1, Fault::Hold(gate.clone()), anything);
        let (deleting, at) = (table.clone(), key(&case, "a"));
        let deleting =
            tokio::spawn(async move { deleting.write(Batch::new().delete(at, condition)).await });
        while dynamo.faults.hits() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let put = Batch::new().put(key(&case, "a"), "other", Condition::Absent);
        direct.write(put).await.unwrap();
        gate.add_permits(1);
        deleting.await.unwrap().unwrap();
        assert_contents(&direct, &case, &[("a", "other", 1), ("b", "old", 1)]).await;
    }
}

/// A slow answer is waited for; one that does not come in time is asked for again, and a write is done once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers() {
    let dynamo = Dynamo::start().await;
    let direct = dynamo.direct().await;
    let options = DynamoOptions {
        timeouts: Timeouts {
            attempt: Duration::from_millis(700),
            ..dynamo.options.timeouts
        },
        ..dynamo.options.clone()
    };
    let table = DynamoTable::open(&options).await;
    let long = Duration::from_secs(20);
    for (name, fault) in [
        ("a little", Fault::Delay(Duration::from_millis(50))),
        ("before", Fault::Delay(long)),
        ("behind", Fault::DelayAnswer(long)),
    ] {
        for op in ALL {
            let case = format!("{name} {op:?}");
            op.prepare(&direct, &case).await;
            dynamo.faults.clear();
            dynamo.faults.add(1, fault.clone(), anything);
            op.run(&table, &case)
                .await
                .unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_contents(&direct, &case, &op.expected(true)).await;
        }
    }
}

fn sentence(error: &Error) -> String {
    format!("{error}")
}

/// What no repeat helps is told at once, in a sentence; it is never `None`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_must_mend() {
    let dynamo = Dynamo::start().await;
    let (direct, table) = (dynamo.direct().await, dynamo.table().await);
    let missing = DynamoOptions {
        prefix: "nobodys-".into(),
        ..dynamo.options.clone()
    };
    let missing = DynamoTable::open(&missing).await;
    for op in ALL {
        let case = format!("denied {op:?}");
        op.prepare(&direct, &case).await;
        dynamo.faults.clear();
        dynamo
            .faults
            .add(1000, Fault::dynamo(400, "AccessDeniedException"), anything);
        let error = op.run(&table, &case).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}");
        let text = "DynamoDB table starling-ctl: not permitted for these credentials";
        assert_eq!(sentence(&error), text);
        assert_eq!(dynamo.faults.asked(), 1, "{case}");
        assert_contents(&direct, &case, &op.expected(false)).await;

        dynamo.faults.clear();
        let error = op.run(&missing, &case).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{case}");
        let text = "DynamoDB table nobodys-ctl: does not exist; `starling init` creates it";
        assert_eq!(sentence(&error), text);
    }
}
