//! Batches that share a transaction end as if each had one of its own.

use std::sync::Arc;

use storage::{
    ManualClock,
    backend::memory::MemoryTable,
    shape::{Consistency, Space, Table},
};

use super::*;

const NOW: u64 = 1_800_000_000;

fn key(name: &str) -> Key {
    Key {
        space: Space::Core,
        partition: "p".into(),
        sort: Bytes::copy_from_slice(name.as_bytes()),
    }
}

/// `a` has version 3, `b` has expired, `c` is absent; the batches after each other, here and by the table in memory.
async fn check(batches: &[Batch]) -> Changes {
    let memory = MemoryTable::with_clock(Arc::new(ManualClock::at(NOW)));
    for _ in 0..3 {
        let put = Batch::new().put(key("a"), "old", Condition::Any);
        memory.write(put).await.unwrap();
    }
    let put = Batch::new().put_until(key("b"), "old", Condition::Any, NOW - 1);
    memory.write(put).await.unwrap();

    let mut slots: Slots = ["a", "b", "c"]
        .map(|name| (StoredKey::of(&key(name)), Slot::absent(&key(name))))
        .into();
    for (name, version, expires) in [("a", 3, None), ("b", 7, Some(NOW - 1))] {
        let slot = slots.get_mut(&StoredKey::of(&key(name))).unwrap();
        slot.found(version, expires, NOW);
    }
    let verdicts = decide(&batches.iter().collect::<Vec<_>>(), &mut slots);
    for (batch, verdict) in batches.iter().zip(verdicts) {
        match (memory.write(batch.clone()).await, verdict) {
            (Ok(()), Verdict::Done) => {}
            (Err(error), Verdict::Conflict { index, current }) => {
                let expected = error.conflict_at().expect("a conflict");
                assert_eq!(index, expected.index);
                match (&expected.current, current) {
                    (None, Current::Nothing) => {}
                    (Some(expected), Current::Put(record)) => assert_eq!(*expected, record),
                    (Some(expected), Current::Stored(key)) => {
                        assert_eq!(
                            (&expected.sort, &expected.value[..]),
                            (&key.sort, &b"old"[..])
                        );
                    }
                    (expected, found) => panic!("{found:?} instead of {expected:?}"),
                }
            }
            (expected, found) => panic!("{found:?} instead of {expected:?} of {batch:?}"),
        }
    }
    let changes = changes(&slots);
    let written = |name: &str| {
        let key = StoredKey::of(&key(name));
        let mut rows = changes.insert.iter().chain(&changes.replace);
        let gone = changes.delete.contains(&key);
        let row = rows.find(|row| row.key == key).filter(|_| !gone);
        (row.map(|row| (row.value.clone(), row.version)), gone)
    };
    for name in ["a", "b", "c"] {
        let expected = memory.get(&key(name), Consistency::Strong).await.unwrap();
        let expected = expected.map(|record| (record.value, stored::signed(record.version)));
        match (written(name), expected) {
            ((Some(row), _), expected) => assert_eq!(Some(row), expected, "{name}"),
            ((None, true), expected) => assert_eq!(expected, None, "{name}"),
            // Nothing is written: it is as it was.
            ((None, false), Some(expected)) => {
                assert_eq!((name, &expected.0[..]), ("a", &b"old"[..]))
            }
            ((None, false), None) => assert_ne!(name, "a"),
        }
    }
    changes
}

#[tokio::test]
async fn batches_see_what_those_before_them_leave() {
    use Condition::{Absent, Any, Exists, Version};
    let put = |name, condition| Batch::new().put(key(name), "new", condition);
    let delete = |name, condition| Batch::new().delete(key(name), condition);
    check(&[
        put("a", Version(3)),
        put("a", Version(3)),
        put("a", Version(4)),
    ])
    .await;
    check(&[put("c", Absent), put("c", Absent), put("c", Any)]).await;
    check(&[
        put("b", Absent),
        put("b", Version(1)),
        delete("b", Version(2)),
        put("b", Absent),
    ])
    .await;
    check(&[delete("a", Any), put("a", Absent), put("a", Exists)]).await;
    check(&[
        delete("a", Version(2)),
        delete("c", Exists),
        delete("b", Exists),
    ])
    .await;
    check(&[put("c", Any), delete("c", Exists), delete("c", Any)]).await;
    check(&[put("b", Any).put(key("c"), "x", Exists), put("c", Absent)]).await;
    check(&[put("a", Any).delete(key("c"), Absent), put("c", Absent)]).await;
}

#[tokio::test]
async fn an_absence_that_counts_is_held() {
    let held = |changes: &Changes| (changes.insert.len(), changes.delete.len());
    let put = || Batch::new().put(key("a"), "new", Condition::Any);
    let guarded = put().check(key("c"), Condition::Absent);
    assert_eq!(held(&check(&[guarded]).await), (1, 1));
    // What has expired is there and locked.
    let guarded = put().check(key("b"), Condition::Absent);
    assert_eq!(held(&check(&[guarded]).await), (0, 0));
    // Alone it guards nothing.
    let alone = Batch::new().check(key("c"), Condition::Absent);
    assert_eq!(held(&check(&[alone]).await), (0, 0));
    // What is put there holds it as well.
    let taken = [
        put().check(key("c"), Condition::Absent),
        Batch::new().put(key("c"), "x", Condition::Any),
    ];
    assert_eq!(held(&check(&taken).await), (1, 0));
}
