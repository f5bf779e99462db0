//! What the pages tell of the store.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use storage::{
    Error, ErrorKind, Result,
    backend::memory::MemoryTable,
    shape::{Batch, Consistency, Key, Page, Query, Record, Space},
};

use super::*;
use crate::metrics::Metrics;

/// A table that says what keeps it from writing.
#[derive(Default)]
struct Troubled {
    table: MemoryTable,
    trouble: Mutex<Option<Error>>,
}

#[async_trait]
impl Table for Troubled {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        self.table.get(key, consistency).await
    }
    async fn query(&self, query: &Query) -> Result<Page> {
        self.table.query(query).await
    }
    async fn write(&self, batch: Batch) -> Result<()> {
        self.table.write(batch).await
    }
    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.table.partitions(space, after, limit).await
    }
    fn trouble(&self) -> Option<Error> {
        self.trouble.lock().clone()
    }
}

#[test]
fn a_store_that_takes_no_writes_is_told_and_so_is_its_end() {
    let table = Arc::new(Troubled::default());
    let (health, metrics) = (Health::default(), Metrics::default());
    watch_store(&health, table.clone());
    gauges::watch_store(&metrics, table.clone());
    health.started();
    let check = |reasons: &[&str], writable: i64| {
        assert_eq!(health.reasons(), reasons);
        let line = format!("xmpp_store_writable {writable}");
        let text = metrics.render();
        assert!(text.lines().any(|it| it == line), "{text}");
    };
    check(&[], 1);
    let cause = io::Error::from(io::ErrorKind::StorageFull);
    let error = Error::new(ErrorKind::Throttled, "the disk is full").with_source(cause);
    *table.trouble.lock() = Some(error);
    check(&["the disk is full (no storage space)"], 0);
    *table.trouble.lock() = None;
    check(&[], 1);
}
