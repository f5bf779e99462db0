//! Measured: tells an observer what each call to a table was, how it ended and how long it took.
//!
//! The server's observer keeps metrics; this crate knows nothing of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Call, Usage};
use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Consistency, Done, Key, Page, Query, Record, Space, Table},
};

/// A call that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// What was called.
    pub call: Call,
    /// On which table; for a batch, that of its first operation. `None` for an empty batch.
    pub space: Option<Space>,
    /// How it ended.
    pub outcome: Result<(), ErrorKind>,
    /// How long it took.
    pub elapsed: Duration,
    /// How many records were found, or operations asked for.
    pub records: usize,
}

/// Who wants to know. Called on the caller's task, so it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// A call ended. A call whose future was dropped is not told.
    fn observe(&self, observation: &Observation);
    /// The store was opened and found that it had lost so many bytes.
    fn lost(&self, _bytes: u64) {}
    /// What a call to a backend cost that is paid by the call.
    fn spent(&self, _usage: &Usage) {}
}

/// The layer.
pub struct Measured {
    inner: Arc<dyn Table>,
    observer: Arc<dyn Observer>,
}

impl Measured {
    /// Measures the calls to a table.
    pub fn new(inner: Arc<dyn Table>, observer: Arc<dyn Observer>) -> Self {
        Self { inner, observer }
    }

    fn tell<T>(
        &self,
        call: Call,
        space: Option<Space>,
        start: Instant,
        result: &Result<T>,
        records: usize,
    ) {
        let outcome = result.as_ref().map(drop).map_err(Error::kind);
        self.observer.observe(&Observation {
            call,
            space,
            outcome,
            elapsed: start.elapsed(),
            records,
        });
    }
}

#[async_trait]
impl Table for Measured {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        let start = Instant::now();
        let result = self.inner.get(key, consistency).await;
        let found = result
            .as_ref()
            .map_or(0, |record| usize::from(record.is_some()));
        self.tell(Call::Get, Some(key.space), start, &result, found);
        result
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        let start = Instant::now();
        let result = self.inner.query(query).await;
        let found = result.as_ref().map_or(0, |page| page.records.len());
        self.tell(Call::Query, Some(query.space), start, &result, found);
        result
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let start = Instant::now();
        let (space, operations) = (
            batch.operations.first().map(|first| first.key().space),
            batch.operations.len(),
        );
        let result = self.inner.write(batch).await;
        self.tell(Call::Write, space, start, &result, operations);
        result
    }

    fn submit(self: Arc<Self>, batch: Batch, done: Done) {
        let start = Instant::now();
        let first = batch.operations.first();
        let (space, operations) = (first.map(|first| first.key().space), batch.operations.len());
        let table = self.inner.clone();
        let tell = Box::new(move |result| {
            self.tell(Call::Write, space, start, &result, operations);
            done(result);
        });
        table.submit(batch, tell);
    }

    fn trouble(&self) -> Option<Error> {
        self.inner.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        let start = Instant::now();
        let result = self.inner.partitions(space, after, limit).await;
        let found = result.as_ref().map_or(0, Vec::len);
        self.tell(Call::Partitions, Some(space), start, &result, found);
        result
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::{backend::memory::MemoryTable, shape::Condition};

    type Note = (Call, Option<Space>, Result<(), ErrorKind>, usize);

    #[derive(Default)]
    struct Notes(Mutex<Vec<Note>>);

    impl Observer for Notes {
        fn observe(&self, seen: &Observation) {
            self.0
                .lock()
                .push((seen.call, seen.space, seen.outcome, seen.records));
        }
    }

    #[tokio::test]
    async fn each_call_is_told() {
        let notes = Arc::new(Notes::default());
        let table = Measured::new(Arc::new(MemoryTable::new()), notes.clone());
        let key = Key {
            space: Space::Log,
            partition: "p".into(),
            sort: "s".into(),
        };
        let put = || Batch::new().put(key.clone(), "x", Condition::Absent);
        table.write(put()).await.unwrap();
        table.write(put()).await.unwrap_err();
        table.write(Batch::new()).await.unwrap();
        table.get(&key, Consistency::Strong).await.unwrap();
        table.partitions(Space::Ctl, None, 10).await.unwrap();
        let log = Some(Space::Log);
        let expected = [
            (Call::Write, log, Ok(()), 1),
            (Call::Write, log, Err(ErrorKind::Conflict), 1),
            (Call::Write, None, Ok(()), 0),
            (Call::Get, log, Ok(()), 1),
            (Call::Partitions, Some(Space::Ctl), Ok(()), 0),
        ];
        assert_eq!(*notes.0.lock(), expected);
    }
}
