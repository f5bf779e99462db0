//! What a page of one contact costs in a long log.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::memory;
use crate::{
    layer::{Measured, Observer, measured::Observation},
    repository::{EntryFlags, LogRange, NewEntry},
    stores::Stores,
};

#[derive(Default)]
struct Records(AtomicUsize);

impl Observer for Records {
    fn observe(&self, observation: &Observation) {
        self.0.fetch_add(observation.records, Ordering::Relaxed);
    }
}

const ITEMS: u64 = 3_000;

#[tokio::test]
async fn a_rare_contact_is_found_without_reading_the_log_again() {
    let (table, blobs) = memory();
    let records = Arc::new(Records::default());
    let measured = Arc::new(Measured::new(table, records.clone()));
    let logs = Stores::over(measured, blobs).logs;
    let archive = BareJid::parse("a@b").unwrap();
    for item in 0..ITEMS {
        let entry = |n: u64| NewEntry {
            time_ms: 1,
            flags: EntryFlags::ARCHIVED,
            peer: Jid::parse(if item == 7 && n == 3 {
                "rare@b"
            } else {
                "often@b"
            })
            .unwrap(),
            stanza: Bytes::new(),
        };
        let entries: Vec<_> = (0..8).map(entry).collect();
        logs.append(&archive, item * 8, item, &entries)
            .await
            .unwrap();
    }
    let rare = BareJid::parse("rare@b").unwrap();
    let cost = async |reverse| {
        let before = records.0.load(Ordering::Relaxed);
        let found = logs.read_with(&archive, &rare, LogRange::ALL, reverse, 2);
        assert_eq!(found.await.unwrap().len(), 1);
        records.0.load(Ordering::Relaxed) - before
    };
    assert!(
        cost(true).await as u64 > ITEMS,
        "the first one goes through all"
    );
    for reverse in [false, true] {
        // A row for each block, the block it is in, and the one that is not full.
        let (blocks, block) = (ITEMS * 8 / 1_024 + 1, 1_024 / 8 + 32);
        let cost = cost(reverse).await as u64;
        assert!(cost <= blocks + 2 * block, "{cost} records");
    }
}
