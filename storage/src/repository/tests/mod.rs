//! The repositories over memory, and over memory that misbehaves.

mod at_rest;
mod contacts;
mod erase;
mod faults;
mod unruly;

use std::sync::Arc;

use unruly::{Fault, Unruly};
use xmpp::BareJid;

use crate::{
    backend::{
        embedded::{Embedded, EmbeddedOptions},
        memory::{MemoryBlobs, MemoryTable},
    },
    clock::ManualClock,
    conformance,
    repository::Vcard,
    shape::Blobs,
    stores::Stores,
};

fn memory() -> (Arc<MemoryTable>, Arc<MemoryBlobs>) {
    (Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()))
}

/// A table whose clock can be moved.
fn clocked() -> (Arc<MemoryTable>, ManualClock) {
    let clock = ManualClock::at(1_800_000_000);
    let table = MemoryTable::with_clock(Arc::new(clock.clone()));
    (Arc::new(table), clock)
}

#[tokio::test]
async fn memory_conforms() {
    let (table, blobs) = memory();
    conformance::stores(&Stores::over(table, blobs)).await;
}

#[tokio::test]
async fn the_embedded_table_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        sync: false,
        ..EmbeddedOptions::default()
    };
    let table = Embedded::open(directory.path(), options).unwrap();
    conformance::stores(&Stores::over(Arc::new(table), memory().1)).await;
}

#[tokio::test]
async fn a_table_of_short_pages_that_lets_others_in_between_conforms() {
    for page in [1, 2, 7] {
        let (table, blobs) = memory();
        let unruly = Arc::new(Unruly::over(table, blobs).with_page(page));
        conformance::stores(&Stores::over(unruly.clone(), unruly)).await;
        let (table, clock) = clocked();
        let unruly = Unruly::over(table, memory().1).with_page(page);
        conformance::control(Arc::new(unruly), clock).await;
    }
}

#[tokio::test]
async fn a_layer_that_repeats_every_write_conforms() {
    // As after a lost answer: the repeat meets the record that the first try wrote.
    let (table, blobs) = memory();
    let unruly = Arc::new(Unruly::over(table, blobs).with_fault(Fault::RepeatWrites));
    conformance::stores(&Stores::over(unruly.clone(), unruly)).await;
    let (table, clock) = clocked();
    let unruly = Unruly::over(table, memory().1).with_fault(Fault::RepeatWrites);
    conformance::control(Arc::new(unruly), clock).await;
}

#[tokio::test]
async fn replaced_blobs_are_removed() {
    let (table, blobs) = memory();
    let stores = Stores::over(table, blobs.clone()).unguarded();
    let bob = BareJid::parse("bob@example.org").unwrap();
    let large = |seed: u32| {
        (0..20_000_u32)
            .map(|n| ((n * seed) >> 7) as u8 ^ (n >> 3) as u8)
            .collect::<Vec<_>>()
    };
    for (version, (xml, left)) in [
        (large(7_919), 1),
        (large(104_729), 1),
        (vec![1], 0),
        (large(31), 1),
    ]
    .into_iter()
    .enumerate()
    {
        let vcard = Vcard {
            xml: xml.into(),
            ..Vcard::default()
        };
        stores
            .vcards
            .put(&bob, &vcard, version as u64)
            .await
            .unwrap();
        stores
            .vcards
            .put(&bob, &vcard, version as u64)
            .await
            .unwrap_err();
        stores.private.put(&bob, "a", "b", vcard.xml).await.unwrap();
        assert_eq!(blobs.list("", None, 9).await.unwrap().len(), 2 * left);
    }
    stores.vcards.remove(&bob).await.unwrap();
    stores.private.remove(&bob, "a", "b").await.unwrap();
    assert_eq!(blobs.list("", None, 9).await.unwrap(), [""; 0]);
}
