//! A table and blobs that misbehave as real ones do: short pages, interleaving, failures, lost answers, repeats.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Blob, Blobs, Consistency, Key, Page, PutIf, Query, Record, Space, Table},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// From this operation on nothing answers and nothing happens.
    DieBefore(usize),
    /// This operation happens, its answer is lost, and nothing answers from then on.
    DieAfter(usize),
    /// Every write happens, and is tried again; the second answer counts.
    RepeatWrites,
}

pub(super) struct Unruly {
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
    page: usize,
    fault: Fault,
    operations: AtomicUsize,
    /// Before which operation it sleeps until it is woken.
    pause: usize,
    asleep: Semaphore,
    woken: Semaphore,
}

impl Unruly {
    pub(super) fn over(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>) -> Self {
        Self {
            table,
            blobs,
            page: usize::MAX,
            fault: Fault::None,
            operations: AtomicUsize::new(0),
            pause: usize::MAX,
            asleep: Semaphore::new(0),
            woken: Semaphore::new(0),
        }
    }
    pub(super) fn with_pause(self, pause: usize) -> Self {
        Self { pause, ..self }
    }
    /// Waits until it sleeps.
    pub(super) async fn sleeps(&self) {
        self.asleep.acquire().await.unwrap().forget();
    }
    pub(super) fn wake(&self) {
        self.woken.add_permits(1);
    }
    pub(super) fn with_page(self, page: usize) -> Self {
        Self { page, ..self }
    }
    pub(super) fn with_fault(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }
    async fn run<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::task::yield_now().await;
        let at = self.operations.fetch_add(1, Ordering::SeqCst);
        if at == self.pause {
            self.asleep.add_permits(1);
            self.woken.acquire().await.unwrap().forget();
        }
        match self.fault {
            Fault::DieBefore(first) if at >= first => Err(outage()),
            Fault::DieAfter(last) if at > last => Err(outage()),
            Fault::DieAfter(last) if at == last => operation.await.and(Err(outage())),
            _ => operation.await,
        }
    }
}

fn outage() -> Error {
    Error::new(ErrorKind::Unavailable, "an outage")
}

#[async_trait]
impl Table for Unruly {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        self.run(self.table.get(key, consistency)).await
    }
    async fn query(&self, query: &Query) -> Result<Page> {
        let query = Query {
            limit: query.limit.min(self.page),
            ..query.clone()
        };
        self.run(self.table.query(&query)).await
    }
    async fn write(&self, batch: Batch) -> Result<()> {
        if self.fault == Fault::RepeatWrites {
            self.table.write(batch.clone()).await?;
        }
        self.run(self.table.write(batch)).await
    }
    fn trouble(&self) -> Option<Error> {
        self.table.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.run(self.table.partitions(space, after, limit)).await
    }
}

#[async_trait]
impl Blobs for Unruly {
    async fn get(&self, key: &str) -> Result<Option<Blob>> {
        self.run(self.blobs.get(key)).await
    }
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.run(self.blobs.get_range(key, range)).await
    }
    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String> {
        self.run(self.blobs.put(key, bytes, condition)).await
    }
    async fn remove(&self, key: &str) -> Result<()> {
        self.run(self.blobs.remove(key)).await
    }
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.run(self.blobs.list(prefix, after, limit.min(self.page)))
            .await
    }
}
