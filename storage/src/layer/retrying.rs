//! Retrying: asks again where that cannot do harm.
//!
//! What was `Throttled` was not done, so it may be asked again. `Unavailable` may have been done, so only reads are, and
//! batches that the caller says are repeatable. How often and how soon: [`attempts`](super::attempts).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::attempts::{Attempts, Retries, RetryPolicy};
use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Consistency, Key, Page, Query, Record, Space, Table},
};

/// The layer.
pub struct Retrying {
    inner: Arc<dyn Table>,
    retries: Retries,
}

impl Retrying {
    /// Retries the calls to a table.
    pub fn new(inner: Arc<dyn Table>, policy: RetryPolicy) -> Self {
        Self {
            inner,
            retries: Retries::new(policy),
        }
    }

    /// A write that may be done twice: guarded so that its repetition fails a condition that the caller understands, or
    /// that changes nothing the second time.
    ///
    /// # Errors
    /// As [`Table::write`]. A `Conflict` may be with the caller's own first attempt.
    pub async fn write_repeatable(&self, batch: Batch) -> Result<()> {
        let mut attempts = self.start(true);
        loop {
            let result = self.inner.write(batch.clone()).await;
            if !attempts.again(&result).await {
                return result;
            }
        }
    }

    fn start(&self, repeatable: bool) -> Asking<'_> {
        Asking {
            attempts: self.retries.start(),
            repeatable,
        }
    }
}

/// A call that may be asked again.
struct Asking<'a> {
    attempts: Attempts<'a>,
    repeatable: bool,
}

impl Asking<'_> {
    /// Whether to try again; waits before it says yes.
    async fn again<T>(&mut self, result: &Result<T>) -> bool {
        let may = match result.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Throttled) => true,
            Err(ErrorKind::Unavailable) => self.repeatable,
            _ => false,
        };
        may && self.attempts.again().await
    }
}

#[async_trait]
impl Table for Retrying {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        let mut attempts = self.start(true);
        loop {
            let result = self.inner.get(key, consistency).await;
            if !attempts.again(&result).await {
                return result;
            }
        }
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        let mut attempts = self.start(true);
        loop {
            let result = self.inner.query(query).await;
            if !attempts.again(&result).await {
                return result;
            }
        }
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let mut attempts = self.start(false);
        loop {
            let result = self.inner.write(batch.clone()).await;
            if !attempts.again(&result).await {
                return result;
            }
        }
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
        let mut attempts = self.start(true);
        loop {
            let result = self.inner.partitions(space, after, limit).await;
            if !attempts.again(&result).await {
                return result;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::memory::MemoryTable,
        layer::faulty::{Fault, Faulty, Switchboard, When},
        shape::Condition,
    };

    fn key() -> Key {
        Key {
            space: Space::Core,
            partition: "p".into(),
            sort: "s".into(),
        }
    }

    /// A table whose first calls end like this.
    fn failing(kind: ErrorKind, times: usize, policy: RetryPolicy) -> (Retrying, Arc<Switchboard>) {
        let switchboard = Switchboard::new(1);
        switchboard.add(
            |_| true,
            When::Sequence(vec![true; times].into()),
            Fault::Fail(kind),
        );
        let faulty = Faulty::new(Arc::new(MemoryTable::new()), switchboard.clone());
        (Retrying::new(Arc::new(faulty), policy), switchboard)
    }

    async fn check(kind: ErrorKind, times: usize, expected: [Result<(), ErrorKind>; 3]) {
        let outcome = |result: Result<()>| result.map_err(|error| error.kind());
        let put = || Batch::new().put(key(), "x", Condition::Any);
        let (table, _) = failing(kind, times, RetryPolicy::default());
        let read = outcome(table.get(&key(), Consistency::Strong).await.map(drop));
        let (table, _) = failing(kind, times, RetryPolicy::default());
        let write = outcome(table.write(put()).await);
        let (table, _) = failing(kind, times, RetryPolicy::default());
        let repeatable = outcome(table.write_repeatable(put()).await);
        assert_eq!(
            [read, write, repeatable],
            expected,
            "{kind:?} {times} times"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_safe_is_asked_again() {
        use ErrorKind::{Conflict, Corrupt, Throttled, Unavailable};
        check(Throttled, 3, [Ok(()), Ok(()), Ok(())]).await;
        check(
            Throttled,
            4,
            [Err(Throttled), Err(Throttled), Err(Throttled)],
        )
        .await;
        check(Unavailable, 1, [Ok(()), Err(Unavailable), Ok(())]).await;
        check(
            Unavailable,
            4,
            [Err(Unavailable), Err(Unavailable), Err(Unavailable)],
        )
        .await;
        check(Corrupt, 1, [Err(Corrupt), Err(Corrupt), Err(Corrupt)]).await;
        check(Conflict, 1, [Err(Conflict), Err(Conflict), Err(Conflict)]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_bounds_retries_in_an_outage() {
        let policy = RetryPolicy {
            percent: 10,
            saved: 20,
            ..RetryPolicy::default()
        };
        let (table, switchboard) = failing(ErrorKind::Unavailable, 10_000, policy);
        for _ in 0..1000 {
            table.get(&key(), Consistency::Strong).await.unwrap_err();
        }
        let retries = switchboard.hits() - 1000;
        assert!(
            (100..=120).contains(&retries),
            "{retries} retries of 1000 calls"
        );
    }
}
