//! The registry over rows in memory, and over rows that fail.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::UNIX_EPOCH,
};

use super::*;
use crate::{Error, ErrorKind};

/// Rows that can be out of reach.
#[derive(Clone, Default)]
struct Flaky {
    rows: MemoryRows,
    no_reads: Arc<AtomicBool>,
    no_writes: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
}

impl Flaky {
    fn unless(&self, fails: &AtomicBool) -> Result<()> {
        if fails.load(Ordering::SeqCst) {
            let sentence = "as was asked for";
            return Err(Error::new(ErrorKind::Throttled, "registry", sentence));
        }
        Ok(())
    }
}

#[async_trait]
impl RegistryRows for Flaky {
    async fn list(&self) -> Result<Vec<Row>> {
        self.unless(&self.no_reads)?;
        self.rows.list().await
    }
    async fn put(&self, row: &Row) -> Result<()> {
        self.unless(&self.no_writes)?;
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.rows.put(row).await
    }
    async fn remove(&self, node: &str) -> Result<()> {
        self.unless(&self.no_writes)?;
        self.rows.remove(node).await
    }
}

const LIFETIME: Duration = Duration::from_secs(900);

/// A node of the registry, whose wall clock is ahead by so many seconds.
fn node(rows: &Flaky, port: u16, ahead: u64) -> Registry {
    let me = Me {
        node: format!("node-{port}").into(),
        address: ([10, 0, 0, 1], port).into(),
        instance: Some(format!("i-{port}").into()),
        zone: Some("eu-west-1a".into()),
    };
    let start = Instant::now();
    let now = move || UNIX_EPOCH + Duration::from_secs(1_800_000_000 + ahead) + start.elapsed();
    Registry::new(Arc::new(rows.clone()), me, LIFETIME, Arc::new(now))
}

async fn ports(registry: &Registry) -> Vec<u16> {
    let answer = registry.candidates().await.unwrap();
    answer.candidates.iter().map(|c| c.address.port()).collect()
}

#[tokio::test(start_paused = true)]
async fn nodes_find_each_other_until_they_leave_or_die() {
    let rows = Flaky::default();
    let (one, two) = (node(&rows, 1, 0), node(&rows, 2, 0));
    assert!(ports(&one).await.is_empty());
    assert_eq!(ports(&two).await, [1]);
    let answer = one.candidates().await.unwrap();
    let expected = Candidate {
        instance: Some("i-2".into()),
        zone: Some("eu-west-1a".into()),
        ..Candidate::at(([10, 0, 0, 1], 2).into()).named("node-2")
    };
    assert_eq!(answer.candidates, [expected]);

    // Two leaves; it still looks, and is not seen again.
    two.withdraw().await.unwrap();
    assert_eq!(ports(&two).await, [1]);
    assert!(ports(&one).await.is_empty());

    // Three dies.
    let three = node(&rows, 3, 0);
    ports(&three).await;
    drop(three);
    tokio::time::advance(LIFETIME - Duration::from_secs(1)).await;
    assert_eq!(ports(&one).await, [3]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(ports(&one).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_row_is_renewed_in_every_third_of_its_life() {
    let rows = Flaky::default();
    let one = node(&rows, 1, 0);
    for _ in 0..901 {
        ports(&one).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(rows.writes.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn clocks_may_differ_by_ten_minutes() {
    let rows = Flaky::default();
    let (behind, ahead) = (node(&rows, 1, 0), node(&rows, 2, 600));
    for _ in 0..100 {
        ports(&behind).await;
        assert_eq!(ports(&ahead).await, [1]);
        assert_eq!(ports(&behind).await, [2]);
        tokio::time::advance(Duration::from_secs(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_write_still_reads() {
    let rows = Flaky::default();
    let (one, two) = (node(&rows, 1, 0), node(&rows, 2, 0));
    ports(&one).await;
    rows.no_writes.store(true, Ordering::SeqCst);
    let answer = two.candidates().await.unwrap();
    assert_eq!(answer.candidates.len(), 1);
    assert_eq!(answer.troubles[0].kind(), ErrorKind::Throttled);
    assert!(two.withdraw().await.is_err());

    rows.no_writes.store(false, Ordering::SeqCst);
    rows.no_reads.store(true, Ordering::SeqCst);
    let error = one.candidates().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
}
