//! Conditions, batches, versions, limits, races, expiry.

use std::time::Duration;

use tokio::{sync::oneshot, task::JoinSet};

use super::{Subject, assert_conflict, assert_kind};
use crate::{
    error::ErrorKind,
    shape::{Batch, Condition, Space},
};

/// Each condition against nothing, against version 1 and against version 2, as put, delete and check.
pub(super) async fn conditions(subject: &Subject) {
    let cases = [
        (Condition::Any, [true, true, true]),
        (Condition::Absent, [true, false, false]),
        (Condition::Exists, [false, true, true]),
        (Condition::Version(1), [false, true, false]),
        (Condition::Version(2), [false, false, true]),
        (Condition::Version(0), [false, false, false]),
    ];
    for (case, (condition, expected)) in cases.into_iter().enumerate() {
        for (stored, holds) in expected.into_iter().enumerate() {
            for operation in ["put", "delete", "check"] {
                let key = subject.key("conditions", format!("{case} {stored} {operation}"));
                for value in ["one", "two"].into_iter().take(stored) {
                    subject.put(&key, value).await;
                }
                let batch = match operation {
                    "put" => Batch::new().put(key.clone(), "new", condition),
                    "delete" => Batch::new().delete(key.clone(), condition),
                    _ => Batch::new().check(key.clone(), condition),
                };
                let result = subject.table.write(batch).await;
                let before = [None, Some(("one", 1)), Some(("two", 2))][stored];
                let after = match (holds, operation) {
                    (true, "put") => Some(("new", stored as u64 + 1)),
                    (true, "delete") => None,
                    _ => before,
                };
                if holds {
                    result.unwrap_or_else(|error| {
                        panic!("{operation} {condition:?} over {before:?}: {error}")
                    });
                } else {
                    assert_conflict(
                        result,
                        0,
                        before.map(|(value, version)| (value.as_bytes(), version)),
                    );
                }
                let found = subject.value(&key).await;
                assert_eq!(
                    found,
                    after.map(|(value, version)| (value.into(), version)),
                    "{operation} {condition:?}"
                );
            }
        }
    }
}

/// A refused operation anywhere in a batch leaves everything, in every space, as it was.
pub(super) async fn all_or_nothing(subject: &Subject) {
    let there = subject.key("whole", "there");
    subject.put(&there, "old").await;
    let fresh = |n: usize| {
        subject.key_in(
            [Space::Core, Space::Log, Space::Idx][n % 3],
            b"whole",
            &[n as u8],
        )
    };
    for (total, refused) in [
        (2, 0),
        (2, 1),
        (3, 1),
        (10, 9),
        (100, 0),
        (100, 50),
        (100, 99),
    ] {
        let mut batch = Batch::new();
        for n in 0..total {
            batch = if n == refused {
                batch.put(there.clone(), "new", Condition::Absent)
            } else {
                batch.put(fresh(n), "new", Condition::Absent)
            };
        }
        assert_conflict(subject.table.write(batch).await, refused, Some((b"old", 1)));
        for n in 0..total {
            assert_eq!(
                subject.get(&fresh(n)).await,
                None,
                "operation {n} of a refused batch was done"
            );
        }
    }
    // Of two, the first is named.
    let batch = Batch::new()
        .check(there.clone(), Condition::Exists)
        .check(subject.key("whole", "absent"), Condition::Exists)
        .delete(subject.key("whole", "nor this"), Condition::Version(1));
    assert_conflict(subject.table.write(batch).await, 1, None);
    // And what holds is done everywhere.
    let mut batch = Batch::new().delete(there.clone(), Condition::Version(1));
    for n in 1..Batch::MAX {
        batch = batch.put(fresh(n), n.to_string(), Condition::Absent);
    }
    subject.table.write(batch).await.expect("a batch of 100");
    assert_eq!(subject.get(&there).await, None);
    for n in 1..Batch::MAX {
        assert_eq!(
            subject.value(&fresh(n)).await,
            Some((n.to_string().into(), 1))
        );
    }
    subject
        .table
        .write(Batch::new())
        .await
        .expect("an empty batch");
}

/// Versions count the changes of a record's life and start again after it.
pub(super) async fn versions(subject: &Subject) {
    let key = subject.key("versions", "v");
    for version in 1..=5 {
        subject.put(&key, "same").await;
        assert_eq!(subject.value(&key).await, Some(("same".into(), version)));
    }
    let delete = || Batch::new().delete(key.clone(), Condition::Any);
    subject.table.write(delete()).await.expect("delete");
    assert_eq!(subject.get(&key).await, None);
    subject
        .table
        .write(delete())
        .await
        .expect("deleting twice is fine");
    subject
        .table
        .write(Batch::new().put(key.clone(), "again", Condition::Absent))
        .await
        .expect("put");
    assert_eq!(subject.value(&key).await, Some(("again".into(), 1)));
}

/// What no backend takes.
pub(super) async fn limits(subject: &Subject) {
    let key = |n: usize| subject.key("limits", n.to_be_bytes());
    let many = (0..=Batch::MAX).fold(Batch::new(), |batch, n| {
        batch.put(key(n), "", Condition::Any)
    });
    assert_kind(subject.table.write(many).await, ErrorKind::TooLarge);
    for others in [0, 20] {
        let batch = Batch::new()
            .put(key(900), "a", Condition::Any)
            .delete(key(900), Condition::Any);
        let batch = (0..others).fold(batch, |batch, n| batch.put(key(n), "", Condition::Any));
        assert_kind(subject.table.write(batch).await, ErrorKind::NotAllowed);
    }
    assert_eq!(subject.get(&key(0)).await, None);
    assert_eq!(subject.get(&key(900)).await, None);
}

/// Of those who write the same thing at once, one does.
pub(super) async fn races(subject: &Subject) {
    const RIVALS: u64 = 32;
    for round in 0..8u64 {
        let key = subject.key_in(Space::Log, b"races", &round.to_be_bytes());
        let mut rivals = JoinSet::new();
        for rival in 0..RIVALS {
            let (table, key) = (subject.table.clone(), key.clone());
            let batch = Batch::new().put(key, rival.to_string(), Condition::Absent);
            rivals.spawn(async move { (rival, table.write(batch).await) });
        }
        let outcomes = rivals.join_all().await;
        let winners: Vec<u64> = outcomes
            .iter()
            .filter(|(_, result)| result.is_ok())
            .map(|(rival, _)| *rival)
            .collect();
        let [winner] = winners[..] else {
            panic!("{winners:?} all won")
        };
        let winner = winner.to_string();
        assert_eq!(subject.value(&key).await, Some((winner.clone().into(), 1)));
        for (_, lost) in outcomes.into_iter().filter(|(_, result)| result.is_err()) {
            assert_conflict(lost, 0, Some((winner.as_bytes(), 1)));
        }
    }
    // A counter under compare-and-set loses no step.
    let counter = subject.key("races", "counter");
    subject.put(&counter, "0").await;
    let mut steps = JoinSet::new();
    for _ in 0..RIVALS {
        let (table, key) = (subject.table.clone(), counter.clone());
        steps.spawn(async move {
            let mut version = 1;
            loop {
                let batch = Batch::new().put(
                    key.clone(),
                    version.to_string(),
                    Condition::Version(version),
                );
                match table.write(batch).await {
                    Ok(()) => return,
                    Err(error) => {
                        let current = error.conflict_at().and_then(|at| at.current.clone());
                        version = current.expect("a conflict over the counter").version;
                    }
                }
            }
        });
    }
    steps.join_all().await;
    assert_eq!(
        subject.value(&counter).await,
        Some((RIVALS.to_string().into(), RIVALS + 1))
    );
}

/// A batch that is submitted ends as one that is written.
pub(super) async fn submissions(subject: &Subject) {
    let key = subject.key("submissions", "s");
    let submit = async |batch: Batch| {
        let (sender, answer) = oneshot::channel();
        let done = Box::new(|result| sender.send(result).expect("who submits waits"));
        subject.table.clone().submit(batch, done);
        answer.await.expect("done is called")
    };
    let put = || Batch::new().put(key.clone(), "x", Condition::Absent);
    submit(put()).await.expect("put");
    assert_eq!(subject.value(&key).await, Some(("x".into(), 1)));
    assert_conflict(submit(put()).await, 0, Some((b"x", 1)));
    let twice = put().delete(key.clone(), Condition::Any);
    assert_kind(submit(twice).await, ErrorKind::NotAllowed);
}

/// What has expired is absent to every reader and every condition, whether or not it is gone.
pub(super) async fn expiry(subject: &Subject) {
    let now = subject.now();
    let put = |sort: &str, expires: u64| {
        let key = subject.key("expiry", sort);
        let batch = Batch::new().put_until(key, sort.to_owned(), Condition::Any, expires);
        async { subject.table.write(batch).await.expect("put") }
    };
    put("past", now - 10).await;
    put("soon", now + 100).await;
    put("later", now + 10_000).await;
    let sorts = || async {
        let records = subject.all(subject.query("expiry")).await;
        records
            .into_iter()
            .map(|record| String::from_utf8_lossy(&record.sort).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(sorts().await, ["later", "soon"]);
    assert_eq!(subject.get(&subject.key("expiry", "past")).await, None);
    let soon = subject
        .get(&subject.key("expiry", "soon"))
        .await
        .expect("not yet expired");
    assert_eq!((soon.expires, soon.version), (Some(now + 100), 1));
    let past = subject.key("expiry", "past");
    let exists = Batch::new().check(past.clone(), Condition::Exists);
    assert_conflict(subject.table.write(exists).await, 0, None);
    subject
        .table
        .write(Batch::new().put(past.clone(), "new", Condition::Absent))
        .await
        .expect("the old one expired");
    assert_eq!(subject.value(&past).await, Some(("new".into(), 1)));

    let Some(clock) = &subject.clock else { return };
    clock.advance(Duration::from_secs(99));
    assert_eq!(sorts().await, ["later", "past", "soon"]);
    clock.advance(Duration::from_secs(1));
    assert_eq!(sorts().await, ["later", "past"]);
    put("soon", now + 10_000).await;
    assert_eq!(
        subject.value(&subject.key("expiry", "soon")).await,
        Some(("soon".into(), 1))
    );
}
