//! A verification says what is wrong, and that nothing is.

use super::*;
use crate::{
    key,
    repository::{
        log::verify::{Problem, Report},
        object::{self, Kind},
    },
    shape::{Batch, Condition, Key, PutIf, Space},
};

struct Subject {
    table: Arc<MemoryTable>,
    blobs: Arc<MemoryBlobs>,
    logs: TableLogs,
}

impl Subject {
    /// 2,500 entries: segments of 1,000, and all rows of contacts.
    async fn new() -> Self {
        let (table, blobs) = memory();
        let logs = TableLogs::new(table.clone(), blobs.clone(), 1_000);
        let archive = archive();
        append_up_to(&logs, &archive, 2_400, 10).await;
        let long = NewEntry {
            stanza: vec![b'x'; 3_000].into(),
            ..entry(2_401, "")
        };
        logs.append(&archive, 2_400, 9, &[long]).await.unwrap();
        append_up_to(&logs, &archive, 2_500, 10).await;
        let when = Compaction {
            tail_entries: 300,
            ..eager(1_000)
        };
        assert_eq!(compact_all(&logs, &archive, &when).await, 3);
        let nobody = BareJid::parse("nobody@example.org").unwrap();
        let none = logs.read_with(&archive, &nobody, LogRange::ALL, false, 1);
        assert_eq!(none.await.unwrap(), []);
        Self { table, blobs, logs }
    }

    async fn verify(&self) -> Report {
        let archive = archive();
        let mut told = 0;
        let report = self
            .logs
            .verify(&keeping(&archive), &mut |_| told += 1)
            .await;
        assert!(told > 3, "{told}");
        report.unwrap()
    }

    async fn segments(&self) -> Vec<String> {
        let prefix = object::prefix(&archive(), Kind::Segment);
        self.blobs.list(&prefix, None, 99).await.unwrap()
    }

    async fn write(&self, batch: Batch) {
        self.table.write(batch).await.unwrap();
    }
}

fn item(number: u64) -> Key {
    Key {
        space: Space::Log,
        partition: key::log(&archive()),
        sort: key::number(number),
    }
}

#[tokio::test]
async fn a_sound_archive_is_sound() {
    let subject = Subject::new().await;
    let report = subject.verify().await;
    assert_eq!(report.problems, []);
    assert!(report.is_sound());
    assert_eq!((report.in_table, report.in_segments), (300, 2_200));
    assert_eq!((report.segments, report.large, report.rows), (3, 1, 2));
    assert_eq!(report.frames, 16 + 16 + 4);
    assert_eq!((report.head, report.overlapping_items), (2_500, 0));
}

#[tokio::test]
async fn every_damage_is_named() {
    let check = async |expected: &[&str], damage: &dyn Fn(Subject) -> BoxFuture| {
        let subject = damage(Subject::new().await).await;
        let report = subject.verify().await;
        let found: Vec<_> = report.problems.iter().map(|it| it.to_string()).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found:?} for {expected:?}");
        }
    };
    // A frame of the first segment: told where it is read, and where it is stored.
    check(&["65 cannot be read", "65 cannot be read"], &|subject| {
        Box::pin(async move {
            let name = subject.segments().await.remove(0);
            let mut bytes = subject
                .blobs
                .get(&name)
                .await
                .unwrap()
                .unwrap()
                .bytes
                .to_vec();
            // The first frame is some 600 bytes; so deep is the second one.
            bytes[700] ^= 0x40;
            subject
                .blobs
                .put(&name, bytes.into(), PutIf::Any)
                .await
                .unwrap();
            subject
        })
    })
    .await;
    check(
        &["2200 to 2249 are missing"
            .replace("2200", "2231")
            .replace("2249", "2240")
            .as_str()],
        &|subject| {
            Box::pin(async move {
                subject
                    .write(Batch::new().delete(item(2_231), Condition::Any))
                    .await;
                subject
            })
        },
    )
    .await;
    check(&["the stanza of 2401 is missing"], &|subject| {
        Box::pin(async move {
            let prefix = object::prefix(&archive(), Kind::Stanza);
            for name in subject.blobs.list(&prefix, None, 9).await.unwrap() {
                subject.blobs.remove(&name).await.unwrap();
            }
            subject
        })
    })
    .await;
    check(&["block 1 does not name all"], &|subject| {
        Box::pin(async move {
            let row = Key {
                space: Space::Idx,
                partition: key::log_contacts(&archive()),
                sort: key::number(1),
            };
            subject
                .write(Batch::new().put(row, vec![1], Condition::Any))
                .await;
            subject
        })
    })
    .await;
    check(&["nobody points at"], &|subject| {
        Box::pin(async move {
            let name = format!(
                "{}000000000001-0000000000000005-0000000000000001",
                object::prefix(&archive(), Kind::Segment)
            );
            subject
                .blobs
                .put(&name, "x".into(), PutIf::Any)
                .await
                .unwrap();
            subject
        })
    })
    .await;
    // An item that a writer with a head of long ago put into the middle.
    check(
        &["the item of 501 is not what its segment was made of"],
        &|subject| {
            Box::pin(async move {
                let stale = NewEntry {
                    time_ms: 5_010,
                    ..entry(9_999, "stale")
                };
                subject
                    .logs
                    .append(&archive(), 500, 77, &[stale])
                    .await
                    .unwrap();
                // Its time is that of the entry, but it is one of another day.
                let late = NewEntry {
                    time_ms: 5_011,
                    ..entry(9_999, "stale")
                };
                let rewrite = |_: &LogEntry| Some(late.clone());
                subject
                    .logs
                    .rewrite(&archive(), 501, &rewrite)
                    .await
                    .unwrap();
                subject
            })
        },
    )
    .await;
    check(&["600 is earlier"], &|subject| {
        Box::pin(async move {
            let early = NewEntry {
                time_ms: 5,
                ..entry(600, "early")
            };
            let rewrite = |_: &LogEntry| Some(early.clone());
            subject
                .logs
                .rewrite(&archive(), 600, &rewrite)
                .await
                .unwrap();
            subject
        })
    })
    .await;
}

type BoxFuture = std::pin::Pin<Box<dyn Future<Output = Subject>>>;

#[tokio::test]
async fn a_missing_object_is_told_by_its_frames() {
    let subject = Subject::new().await;
    let name = subject.segments().await.remove(1);
    subject.blobs.remove(&name).await.unwrap();
    let report = subject.verify().await;
    assert!(report.problems.iter().all(|it| matches!(
        it,
        Problem::Unreadable { number, why } if (1_001..=2_000).contains(number) && why.contains("missing")
    )), "{:?}", report.problems);
    assert_eq!(report.in_segments, 1_200);
    assert_eq!(report.problem_count, 17);
}

#[tokio::test]
async fn what_waits_must_not_be_in_a_segment() {
    let (table, blobs) = memory();
    let (logs, archive) = (logs(&table, &blobs), archive());
    let new: Vec<_> = (1..=50)
        .map(|n| NewEntry {
            flags: EntryFlags::DELIVER,
            ..entry(n, "x")
        })
        .collect();
    for (at, some) in new.chunks(10).enumerate() {
        logs.append(&archive, at as u64 * 10, 1, some)
            .await
            .unwrap();
    }
    compact_all(&logs, &archive, &eager(40)).await;
    let mailboxes = crate::repository::TableMailboxes::new(table.clone());
    let mailbox = crate::repository::Mailbox {
        acked: 37,
        ..Default::default()
    };
    use crate::repository::MailboxRepository;
    mailboxes.store(&archive, &mailbox, 0).await.unwrap();
    let keeping = Keeping {
        mailboxes: Some(&mailboxes),
        ..keeping(&archive)
    };
    let report = logs.verify(&keeping, &mut |_| {}).await.unwrap();
    let expected: Vec<_> = (38..=40)
        .map(|number| Problem::WaitsInSegment { number })
        .collect();
    assert_eq!(report.problems, expected);
}
