//! A model: whatever is done to a log, and however it is compacted meanwhile, it reads as one that never was.

use proptest::{prelude::*, test_runner::TestCaseError};

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Rewrite(u64),
    Blank(Vec<u64>),
    Truncate(u64),
    TruncateUnarchived(u64),
    /// Of so many entries a segment, dying at an operation, before it or after.
    Compact(u64, Option<(usize, bool)>),
}

fn step() -> impl Strategy<Value = Step> {
    let death = prop::option::weighted(0.6, (0_usize..16, any::<bool>()));
    prop_oneof![
        4 => (1_u64..70).prop_map(Step::Append),
        3 => (1_u64..200).prop_map(Step::Rewrite),
        1 => prop::collection::btree_set(1_u64..200, 1..8).prop_map(|set| Step::Blank(set.into_iter().collect())),
        1 => (1_u64..80).prop_map(Step::Truncate),
        1 => (1_u64..80).prop_map(Step::TruncateUnarchived),
        6 => (1_u64..90, death).prop_map(|(entries, death)| Step::Compact(entries, death)),
    ]
}

/// Every fifth entry is of no archive.
fn new(number: u64) -> NewEntry {
    let flags = if number.is_multiple_of(5) {
        EntryFlags::DELIVER
    } else {
        EntryFlags::ARCHIVED
    };
    NewEntry {
        flags,
        ..entry(number, "text")
    }
}

fn tombstone(entry: &LogEntry) -> Option<NewEntry> {
    Some(NewEntry {
        time_ms: entry.time_ms,
        flags: entry.flags | EntryFlags::TOMBSTONE,
        peer: entry.peer.clone(),
        stanza: Bytes::from(format!("<gone n='{}'/>", entry.stanza.len())),
    })
}

struct Pair {
    plain: TableLogs,
    compacted: TableLogs,
    table: Arc<MemoryTable>,
    blobs: Arc<MemoryBlobs>,
}

impl Pair {
    fn new() -> Self {
        let (table, blobs) = memory();
        let (other, nothing) = memory();
        Self {
            plain: logs(&other, &nothing),
            compacted: logs(&table, &blobs),
            table,
            blobs,
        }
    }

    async fn run(&self, step: &Step) {
        let archive = archive();
        let head = self.plain.head(&archive).await.unwrap();
        match step {
            Step::Append(count) => {
                let entries: Vec<_> = (head + 1..=head + count).map(new).collect();
                for logs in [&self.plain, &self.compacted] {
                    logs.append(&archive, head, head, &entries).await.unwrap();
                }
            }
            Step::Rewrite(number) => {
                let plain = self.plain.rewrite(&archive, *number, &tombstone).await;
                let compacted = self.compacted.rewrite(&archive, *number, &tombstone).await;
                // What was cut by the item in one was cut by the number in the other.
                let lowest = self.lowest().await;
                if *number >= lowest {
                    assert_eq!(plain.unwrap(), compacted.unwrap(), "{number}");
                }
            }
            Step::Blank(numbers) => {
                for logs in [&self.plain, &self.compacted] {
                    logs.blank(&archive, numbers).await.unwrap();
                }
            }
            Step::Truncate(before) => {
                let plain = self.plain.truncate(&archive, *before).await.unwrap();
                let compacted = self.compacted.truncate(&archive, *before).await.unwrap();
                assert_eq!(compacted, self.lowest().await.max(1));
                assert!(plain <= compacted.max(*before), "{plain} {compacted}");
            }
            Step::TruncateUnarchived(before) => {
                for logs in [&self.plain, &self.compacted] {
                    logs.truncate_unarchived(&archive, *before).await.unwrap();
                }
            }
            Step::Compact(entries, death) => {
                let fault = match death {
                    None => Fault::None,
                    Some((at, false)) => Fault::DieBefore(*at),
                    Some((at, true)) => Fault::DieAfter(*at),
                };
                let unruly = Unruly::over(self.table.clone(), self.blobs.clone());
                let dying = over(&Arc::new(unruly.with_page(7).with_fault(fault)));
                let result = dying.compact(&keeping(&archive), &eager(*entries)).await;
                if let Err(error) = result {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                }
                end_claims(&*self.table, &archive).await;
            }
        }
    }

    /// The lowest number that the compacted log has.
    async fn lowest(&self) -> u64 {
        let first = self
            .compacted
            .read(&archive(), LogRange::ALL, false, 1)
            .await;
        first.unwrap().first().map_or(1, |entry| entry.number)
    }

    /// Every way to read finds the same; the fronts apart, which are cut in items here and in numbers there.
    async fn compare(&self) -> Result<(), TestCaseError> {
        let archive = archive();
        prop_assert_eq!(
            self.plain.tip(&archive).await.unwrap(),
            self.compacted.tip(&archive).await.unwrap()
        );
        let plain = all(&self.plain, &archive).await;
        let compacted = all(&self.compacted, &archive).await;
        let lowest = |list: &[LogEntry]| list.first().map_or(0, |entry| entry.number);
        let common = lowest(&plain).max(lowest(&compacted));
        let from = |list: &[LogEntry]| -> Vec<LogEntry> {
            let kept = list.iter().filter(|entry| entry.number >= common);
            kept.cloned().collect()
        };
        let expected = from(&plain);
        prop_assert_eq!(&from(&compacted), &expected);
        for window in compacted.windows(2) {
            prop_assert_eq!(window[0].number + 1, window[1].number, "dense");
        }
        let Some(head) = expected.last().map(|entry| entry.number) else {
            return Ok(());
        };
        for at in [common, common + 1, common + 17, head / 2, head, head + 1] {
            let up = LogRange {
                from: at.max(common),
                to: head.saturating_sub(3),
            };
            let down = LogRange {
                from: common,
                to: at,
            };
            for limit in [1, 5, 300] {
                let want = |list: Vec<LogEntry>, range: LogRange| -> Vec<LogEntry> {
                    let within = |it: &LogEntry| (range.from..=range.to).contains(&it.number);
                    list.into_iter().filter(within).take(limit).collect()
                };
                let found = self.compacted.read(&archive, up, false, limit).await;
                prop_assert_eq!(found.unwrap(), want(expected.clone(), up));
                let reversed = expected.iter().rev().cloned().collect();
                let found = self.compacted.read(&archive, down, true, limit).await;
                prop_assert_eq!(found.unwrap(), want(reversed, down));
            }
            let time = (at * 10).saturating_sub(3);
            let since = self.compacted.first_since(&archive, time).await.unwrap();
            let first = expected.iter().find(|entry| entry.time_ms >= time);
            let first = first.map_or(head + 1, |entry| entry.number);
            prop_assert!(since == first || since < common, "{} {}", since, first);
        }
        for contact in ["peer0@example.org", "peer2@example.org", "x@y"] {
            let contact = BareJid::parse(contact).unwrap();
            let range = LogRange {
                from: common,
                to: u64::MAX,
            };
            let found = self
                .compacted
                .read_with(&archive, &contact, range, false, 500);
            let wanted = expected
                .iter()
                .filter(|entry| entry.peer.bare_str() == contact.as_str());
            prop_assert_eq!(found.await.unwrap(), wanted.cloned().collect::<Vec<_>>());
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_compacted_log_reads_as_one_that_is_not(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let pair = Pair::new();
            for step in &steps {
                pair.run(step).await;
                pair.compare().await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}
