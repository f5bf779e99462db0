//! Readers, an appender, a rewriter and two compactors at once, over a store whose every answer takes its own time.
//!
//! Time is paused and the delays come from a seed: what happens is the same each time, and each seed is another order.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use super::*;
use crate::layer::{
    Faulty, FaultyBlobs, Switchboard,
    faulty::{Fault as Slow, When},
};

const ENTRIES: u64 = 400;
const SEEDS: u64 = 60;

/// What everybody knows.
struct Stage {
    logs: TableLogs,
    table: Arc<MemoryTable>,
    /// Entries that were taken back, and that was answered.
    gone: Mutex<BTreeSet<u64>>,
    head: AtomicU64,
}

impl Stage {
    fn new(seed: u64) -> Arc<Self> {
        let (table, blobs) = memory();
        let switchboard = Switchboard::new(seed);
        for (chance, millis) in [(0.5, 1), (0.3, 3), (0.2, 11), (0.05, 70)] {
            let delay = Slow::Delay(Duration::from_millis(millis));
            switchboard.add(|_| true, When::Probability(chance), delay);
        }
        let slow = Faulty::new(table.clone(), switchboard.clone());
        let slow_blobs = FaultyBlobs::new(blobs, switchboard);
        Arc::new(Self {
            logs: TableLogs::new(Arc::new(slow), Arc::new(slow_blobs), usize::MAX),
            table,
            gone: Mutex::default(),
            head: AtomicU64::new(0),
        })
    }

    fn is_over(&self) -> bool {
        self.head.load(Ordering::SeqCst) >= ENTRIES
    }

    async fn append(self: Arc<Self>) {
        let archive = archive();
        let mut head = 0;
        while head < ENTRIES {
            let count = (head % 5 + 1).min(ENTRIES - head);
            let new: Vec<_> = (head + 1..=head + count)
                .map(|n| entry(n, "hello"))
                .collect();
            self.logs.append(&archive, head, head, &new).await.unwrap();
            head += count;
            self.head.store(head, Ordering::SeqCst);
        }
    }

    async fn rewrite(self: Arc<Self>, seed: u64) {
        let mut number = seed;
        while !self.is_over() {
            let head = self.head.load(Ordering::SeqCst);
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (number >> 33) % (head + 1);
            if at == 0 {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            let change = |entry: &LogEntry| {
                Some(NewEntry {
                    time_ms: entry.time_ms,
                    flags: entry.flags | EntryFlags::TOMBSTONE,
                    peer: entry.peer.clone(),
                    stanza: Bytes::from_static(b"gone"),
                })
            };
            match self.logs.rewrite(&archive(), at, &change).await {
                Ok(done) => {
                    assert!(done, "{at} is there");
                    self.gone.lock().insert(at);
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
    }

    async fn compact(self: Arc<Self>, segment_entries: u64) -> usize {
        let when = Compaction {
            tail_entries: 12,
            ..eager(segment_entries)
        };
        let mut segments = 0;
        while !self.is_over() {
            match self.logs.compact(&keeping(&archive()), &when).await {
                Ok(Compacted::Segment { .. }) => segments += 1,
                Ok(_) => sleep(Duration::from_millis(2)).await,
                Err(error) => panic!("{:?}: {error}", error.kind()),
            }
        }
        segments
    }

    /// Ends claims before their time, so that who works with one meets others.
    async fn expire(self: Arc<Self>) {
        while !self.is_over() {
            sleep(Duration::from_millis(150)).await;
            end_claims(&*self.table, &archive()).await;
        }
    }

    fn check(&self, found: &[LogEntry], from: u64, to: u64, gone: &BTreeSet<u64>) {
        let numbers: Vec<_> = found.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (from..=to).collect::<Vec<_>>());
        for found in found {
            let is_gone = found.flags.contains(EntryFlags::TOMBSTONE);
            let original = entry(found.number, "hello");
            assert_eq!(found.time_ms, original.time_ms);
            assert_eq!(found.peer, original.peer);
            if is_gone {
                assert_eq!(found.stanza, "gone");
            } else {
                assert_eq!(found.stanza, original.stanza);
                assert!(!gone.contains(&found.number), "{} came back", found.number);
            }
        }
    }

    async fn read(self: Arc<Self>, turn: u64) -> usize {
        let archive = archive();
        let mut reads = 0;
        while !self.is_over() {
            let (head, gone) = (self.head.load(Ordering::SeqCst), self.gone.lock().clone());
            if head < 20 {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            let from = (turn * 7 + reads as u64 * 13) % (head / 2) + 1;
            let range = LogRange { from, to: head };
            match reads % 4 {
                0 => {
                    let found = self.logs.read(&archive, range, false, 1_000).await.unwrap();
                    self.check(&found, from, head, &gone);
                }
                1 => {
                    let mut found = self.logs.read(&archive, range, true, 1_000).await.unwrap();
                    found.reverse();
                    self.check(&found, from, head, &gone);
                }
                2 => {
                    let time = from * 10 - 5;
                    let since = self.logs.first_since(&archive, time).await.unwrap();
                    assert_eq!(since, from);
                }
                _ => {
                    let all = LogRange::after(from - 1);
                    let found = self.logs.read(&archive, all, false, 1_000).await.unwrap();
                    let to = found.last().map_or(0, |last| last.number);
                    assert!(to >= head);
                    self.check(&found, from, to, &gone);
                }
            }
            reads += 1;
        }
        reads
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_ever_sees_a_gap_a_double_or_what_was_taken_back() {
    let (mut segments, mut reads, mut rewrites) = (0, 0, 0);
    for seed in 0..SEEDS {
        let stage = Stage::new(seed);
        let compactors = [
            tokio::spawn(stage.clone().compact(40)),
            tokio::spawn(stage.clone().compact(25)),
        ];
        let readers = [
            tokio::spawn(stage.clone().read(seed)),
            tokio::spawn(stage.clone().read(seed + 3)),
        ];
        let others = [
            tokio::spawn(stage.clone().append()),
            tokio::spawn(stage.clone().rewrite(seed)),
            tokio::spawn(stage.clone().rewrite(seed + 1_000)),
            tokio::spawn(stage.clone().expire()),
        ];
        let all = async {
            for task in others {
                task.await.unwrap();
            }
            for task in compactors {
                segments += task.await.unwrap();
            }
            for task in readers {
                reads += task.await.unwrap();
            }
        };
        timeout(Duration::from_secs(100_000), all).await.unwrap();
        let (archive, gone) = (archive(), stage.gone.lock().clone());
        rewrites += gone.len();
        end_claims(&*stage.table, &archive).await;
        compact_all(&stage.logs, &archive, &eager(40)).await;
        let found = super::all(&stage.logs, &archive).await;
        stage.check(&found, 1, ENTRIES, &gone);
    }
    // It was a race.
    assert!(segments > 5 * SEEDS as usize, "{segments} segments");
    assert!(reads > 20 * SEEDS as usize, "{reads} reads");
    assert!(rewrites > 20 * SEEDS as usize, "{rewrites} rewrites");
}
