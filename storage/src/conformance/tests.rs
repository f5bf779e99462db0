//! Every backend and every transparent layer, one line each.

use std::sync::Arc;

use super::{Subject, blobs, cache, control, table};
use crate::{
    backend::{
        directory::DirectoryBlobs,
        embedded::{Embedded, EmbeddedOptions},
        memory::{MemoryBlobs, MemoryCache, MemoryTable},
    },
    clock::{Clock, ManualClock},
    layer::{CacheLimits, Cached, CachedBlobs, Faulty, FaultyBlobs, Retrying, Switchboard},
    stores::Stores,
};

fn clock() -> ManualClock {
    ManualClock::at(1_800_000_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_table() {
    let clock = clock();
    table(Subject::new(
        MemoryTable::with_clock(Arc::new(clock.clone())),
        clock,
    ))
    .await;
}

async fn embedded(options: EmbeddedOptions) {
    let (directory, clock) = (tempfile::tempdir().unwrap(), clock());
    let opened =
        Embedded::open_with_clock(directory.path(), options, Arc::new(clock.clone())).unwrap();
    table(Subject::new(opened, clock)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_table() {
    embedded(EmbeddedOptions::default()).await;
}

/// Small tables and hardly a cache, so that all is read from runs and merged many times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_table_on_disk() {
    embedded(EmbeddedOptions {
        memtable_bytes: 4 << 10,
        cache_bytes: 1,
        sync: false,
        ..EmbeddedOptions::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_blobs() {
    blobs(Arc::new(MemoryBlobs::new()), "run").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_cache() {
    let clock = clock();
    cache(
        Arc::new(MemoryCache::with_clock(1 << 20, Arc::new(clock.clone()))),
        Some(&clock),
        "run",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directory_blobs() {
    let directory = tempfile::tempdir().unwrap();
    blobs(
        Arc::new(DirectoryBlobs::open(directory.path()).unwrap()),
        "run",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_of_a_table() {
    let clock = clock();
    let memory = Arc::new(MemoryTable::with_clock(Arc::new(clock.clone())));
    let faulty = Arc::new(Faulty::new(memory, Switchboard::new(1)));
    table(Subject::new(
        Retrying::new(faulty, Default::default()),
        clock,
    ))
    .await;
}

fn cached(clock: &ManualClock) -> (Cached, CachedBlobs) {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let memory = Arc::new(MemoryTable::with_clock(clock.clone()));
    let cache = Arc::new(MemoryCache::with_clock(1 << 20, clock.clone()));
    let limits = CacheLimits::default();
    let table = Cached::new(memory, cache.clone(), limits, clock.clone(), Arc::new(()));
    let blobs = CachedBlobs::new(
        Arc::new(MemoryBlobs::new()),
        cache,
        limits,
        clock,
        Arc::new(()),
    );
    (table, blobs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cached_table_and_cached_blobs() {
    let clock = clock();
    let (cached_table, cached_blobs) = cached(&clock);
    table(Subject::new(cached_table, clock)).await;
    blobs(Arc::new(cached_blobs), "run").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_over_a_cache() {
    let (table, blobs) = cached(&clock());
    super::stores(&Stores::over(Arc::new(table), Arc::new(blobs))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_of_blobs() {
    blobs(
        Arc::new(FaultyBlobs::new(
            Arc::new(MemoryBlobs::new()),
            Switchboard::new(1),
        )),
        "run",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clusters_share() {
    let clock = clock();
    let memory = || Arc::new(MemoryTable::with_clock(Arc::new(clock.clone())));
    control(memory(), clock.clone()).await;
    let faulty = Arc::new(Faulty::new(memory(), Switchboard::new(1)));
    let retrying = Retrying::new(faulty, Default::default());
    control(Arc::new(retrying), clock.clone()).await;
    control(Arc::new(cached(&clock).0), clock.clone()).await;
    let directory = tempfile::tempdir().unwrap();
    let (options, its) = (EmbeddedOptions::default(), Arc::new(clock.clone()));
    let embedded = Embedded::open_with_clock(directory.path(), options, its).unwrap();
    control(Arc::new(embedded), clock.clone()).await;
}
