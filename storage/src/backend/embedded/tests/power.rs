//! Processes killed and power cut at any operation: what was answered or read once is never lost, and the store opens.

use std::sync::Arc;

use super::{key, sim::Sim};
use crate::{
    backend::embedded::{Embedded, EmbeddedOptions},
    clock::SystemClock,
    error::{ErrorKind, Result},
    shape::{Batch, Condition, Consistency, Table},
};

const LIVES: u64 = 150;
const ROUNDS: u64 = 12;

fn open(disk: &Sim, directory: &std::path::Path, sync: bool) -> Result<Embedded> {
    let options = EmbeddedOptions {
        sync,
        memtable_bytes: 8 << 10,
        ..EmbeddedOptions::default()
    };
    Embedded::open_on(
        Arc::new(disk.clone()),
        directory,
        options,
        Arc::new(SystemClock),
    )
}

/// How many batches are there: all up to one, whole, and none beyond.
async fn count(store: &Embedded, written: u64) -> u64 {
    let mut count = 0;
    for n in 0..written + 2 {
        let a = store.get(&key("a", n), Consistency::Strong).await.unwrap();
        let b = store.get(&key("b", n), Consistency::Strong).await.unwrap();
        assert_eq!(a, b, "batch {n} is there by half");
        if a.is_some() {
            assert_eq!(count, n, "a gap before batch {n}");
            count += 1;
        }
    }
    count
}

/// One store, killed and cut off again and again.
async fn live(seed: u64, sync: bool) {
    let disk = Sim::new(seed);
    let mut directory = tempfile::tempdir().unwrap();
    let mut written = 0;
    let mut safe = 0;
    for round in 0..ROUNDS {
        disk.kill_after(match disk.below(3) {
            0 => disk.below(12),
            1 => disk.below(60),
            _ => u64::MAX,
        });
        match open(&disk, directory.path(), sync) {
            Err(error) => {
                assert!(disk.restart(), "seed {seed}, round {round}: {error}");
                assert_ne!(error.kind(), ErrorKind::Corrupt, "seed {seed}: {error}");
            }
            Ok(store) => {
                let found = count(&store, written).await;
                assert!(
                    found >= safe,
                    "seed {seed}, round {round}: {found} of {safe} batches"
                );
                // What was read was served and built upon, so it stays.
                safe = found;
                written = found;
                for _ in 0..disk.below(40) {
                    let value = vec![written as u8; 1 + disk.below(300) as usize];
                    let batch = ["a", "b"].iter().fold(Batch::new(), |batch, name| {
                        batch.put(key(name, written), value.clone(), Condition::Absent)
                    });
                    written += 1;
                    if store.write(batch).await.is_err() {
                        break;
                    }
                    if sync {
                        safe = written;
                    }
                }
                drop(store);
                if !disk.restart() {
                    safe = written;
                }
            }
        }
        if disk.below(2) == 0 {
            let after = tempfile::tempdir().unwrap();
            disk.cut_power(after.path());
            directory = after;
        }
    }
}

#[tokio::test]
async fn a_synced_store_loses_nothing_that_was_answered_or_read() {
    for seed in 0..LIVES {
        live(seed, true).await;
    }
}

#[tokio::test]
async fn an_unsynced_store_loses_an_end_at_most_and_nothing_that_was_closed_or_read() {
    for seed in 0..LIVES {
        live(seed, false).await;
    }
}
