//! Stanzas that do not fit an item.

use super::*;
use crate::{key, shape::Consistency};

const INLINE: usize = 1_000;

fn long(number: u64, length: usize) -> NewEntry {
    NewEntry {
        stanza: vec![b'a' + (number % 26) as u8; length].into(),
        ..entry(number, "")
    }
}

fn bounded(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>) -> TableLogs {
    TableLogs::new(table, blobs, INLINE)
}

async fn stanzas(logs: &TableLogs, archive: &BareJid) -> Vec<usize> {
    let found = all(logs, archive).await;
    found.iter().map(|entry| entry.stanza.len()).collect()
}

#[tokio::test]
async fn long_stanzas_are_objects_and_read_as_any() {
    let (table, blobs) = memory();
    let (logs, archive) = (bounded(table.clone(), blobs.clone()), archive());
    let new = [long(1, 10), long(2, 5_000), long(3, 1_000), long(4, 1_001)];
    logs.append(&archive, 0, 7, &new).await.unwrap();
    let (done, answer) = tokio::sync::oneshot::channel();
    let done = Box::new(move |result| done.send(result).unwrap());
    logs.submit_append(&archive, 4, 8, &[long(5, 9_000)], done);
    answer.await.unwrap().unwrap();
    assert_eq!(
        stanzas(&logs, &archive).await,
        [10, 5_000, 1_000, 1_001, 9_000]
    );
    assert_eq!(blobs.list("", None, 9).await.unwrap().len(), 3);
    let item = crate::shape::Key {
        space: crate::shape::Space::Log,
        partition: key::log(&archive),
        sort: key::number(1),
    };
    let item = table
        .get(&item, Consistency::Strong)
        .await
        .unwrap()
        .unwrap();
    assert!(item.value.len() < 2_000, "{}", item.value.len());
    let contact = BareJid::parse("peer2@example.org").unwrap();
    let with = logs.read_with(&archive, &contact, LogRange::ALL, true, 9);
    let with: Vec<_> = with
        .await
        .unwrap()
        .iter()
        .map(|it| it.stanza.len())
        .collect();
    assert_eq!(with, [9_000, 5_000]);

    // They stay where they are when their log is compacted, and go when they are rewritten, blanked, dropped.
    append_up_to(&logs, &archive, 20, 4).await;
    compact_all(&logs, &archive, &eager(10)).await;
    assert_eq!(
        stanzas(&logs, &archive).await[..5],
        [10, 5_000, 1_000, 1_001, 9_000]
    );
    let count = async |expected: usize| {
        let prefix =
            crate::repository::object::prefix(&archive, crate::repository::object::Kind::Stanza);
        assert_eq!(blobs.list(&prefix, None, 99).await.unwrap().len(), expected);
    };
    let shorter = |entry: &LogEntry| {
        assert_eq!(entry.stanza.len(), 5_000);
        Some(long(2, 20))
    };
    assert!(logs.rewrite(&archive, 2, &shorter).await.unwrap());
    count(2).await;
    let other = |_: &LogEntry| {
        Some(NewEntry {
            flags: EntryFlags::NONE,
            ..long(4, 3_000)
        })
    };
    assert!(logs.rewrite(&archive, 4, &other).await.unwrap());
    count(2).await;
    assert_eq!(
        stanzas(&logs, &archive).await[..5],
        [10, 20, 1_000, 3_000, 9_000]
    );
    logs.blank(&archive, &[4]).await.unwrap();
    count(1).await;
    let report = logs.verify(&keeping(&archive), &mut |_| {}).await.unwrap();
    assert_eq!((report.problems, report.large), (vec![], 1));
    logs.erase(&archive).await.unwrap();
    assert_eq!(blobs.list("", None, 9).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn an_append_of_long_stanzas_is_all_or_nothing_wherever_it_dies() {
    let new = [long(1, 5_000), long(2, 10), long(3, 4_000)];
    let mut deaths = 0;
    for at in 0..8 {
        for fault in [
            Fault::DieBefore(at),
            Fault::DieAfter(at),
            Fault::RepeatWrites,
        ] {
            let (table, blobs) = memory();
            let (healthy, archive) = (bounded(table.clone(), blobs.clone()), archive());
            let unruly = Arc::new(Unruly::over(table.clone(), blobs.clone()).with_fault(fault));
            let dying = bounded(unruly.clone(), unruly);
            let died = dying.append(&archive, 0, 5, &new).await.is_err();
            deaths += usize::from(died);
            let head = healthy.head(&archive).await.unwrap();
            assert!(head == 0 && died || head == 3, "{head}");
            // Its repeat is recognised, and what both wrote is there once.
            healthy.append(&archive, 0, 5, &new).await.unwrap();
            assert_eq!(stanzas(&healthy, &archive).await, [5_000, 10, 4_000]);
            let refused = healthy.append(&archive, 0, 6, &new).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            assert_eq!(stanzas(&healthy, &archive).await, [5_000, 10, 4_000]);
        }
    }
    assert!(deaths >= 6, "{deaths}");
}

#[tokio::test]
async fn who_was_refused_leaves_no_object() {
    let (table, blobs) = memory();
    let (logs, archive) = (bounded(table, blobs.clone()), archive());
    logs.append(&archive, 0, 1, &[long(1, 10)]).await.unwrap();
    let refused = logs.append(&archive, 0, 2, &[long(1, 5_000)]).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(blobs.list("", None, 9).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn an_entry_that_changes_under_a_reader_is_read_as_it_became() {
    let (table, blobs) = memory();
    let (logs, archive) = (bounded(table.clone(), blobs.clone()), archive());
    for number in 1..=3 {
        let new = [long(number, 5_000)];
        logs.append(&archive, number - 1, number, &new)
            .await
            .unwrap();
    }
    // The reader has its entries and is about to ask for the object of the first one, then of the second one.
    for (at, expected) in [(1, vec![7, 5_000, 5_000]), (2, vec![5_000])] {
        let sleeper = Arc::new(Unruly::over(table.clone(), blobs.clone()).with_pause(at));
        let reader = bounded(sleeper.clone(), sleeper.clone());
        let meanwhile = async {
            sleeper.sleeps().await;
            if at == 1 {
                let shorter = |_: &LogEntry| Some(long(1, 7));
                assert!(logs.rewrite(&archive, 1, &shorter).await.unwrap());
            } else {
                assert_eq!(logs.truncate(&archive, 3).await.unwrap(), 3);
            }
            sleeper.wake();
        };
        let range = LogRange {
            from: at as u64,
            to: u64::MAX,
        };
        let read = reader.read(&archive, range, false, 9);
        let (found, ()) = tokio::join!(read, meanwhile);
        let found: Vec<_> = found.unwrap().iter().map(|it| it.stanza.len()).collect();
        assert_eq!(found, expected);
    }
}
