//! Retrying: asks again where that cannot do harm.
//!
//! What was `Throttled` was not done, so it may be asked again. `Unavailable` may have been done, so only reads are, and
//! batches that the caller says are repeatable. The wait doubles and is drawn from between nothing and that. A budget
//! keeps retries to a fraction of all calls: when a store is down, retries must not be what keeps it down.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::random::Random;
use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Consistency, Key, Page, Query, Record, Space, Table},
};

/// A retry costs this much of the budget.
const RETRY: u64 = 100;

/// How often and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// At most this many attempts, the first included.
    pub attempts: u32,
    /// The longest first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Retries for each hundred calls, in the long run.
    pub percent: u64,
    /// Retries that may be saved up.
    pub saved: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first: Duration::from_millis(20),
            longest: Duration::from_millis(500),
            percent: 10,
            saved: 100,
        }
    }
}

/// The layer.
pub struct Retrying {
    inner: Arc<dyn Table>,
    policy: RetryPolicy,
    budget: AtomicU64,
    random: Random,
}

impl Retrying {
    /// Retries the calls to a table.
    pub fn new(inner: Arc<dyn Table>, policy: RetryPolicy) -> Self {
        let budget = AtomicU64::new(policy.saved * RETRY);
        Self {
            inner,
            policy,
            budget,
            random: Random::new(RandomState::new().hash_one("jitter")),
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

    fn start(&self, repeatable: bool) -> Attempts<'_> {
        let full = self.policy.saved * RETRY;
        let earn = |budget: u64| Some((budget + self.policy.percent).min(full));
        // It only fails where the closure says `None`.
        let _ = self
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
        Attempts {
            layer: self,
            repeatable,
            made: 0,
            wait: self.policy.first,
        }
    }
}

/// The attempts at a call.
struct Attempts<'a> {
    layer: &'a Retrying,
    repeatable: bool,
    made: u32,
    wait: Duration,
}

impl Attempts<'_> {
    /// Whether to try again; waits before it says yes.
    async fn again<T>(&mut self, result: &Result<T>) -> bool {
        self.made += 1;
        let may = match result.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Throttled) => true,
            Err(ErrorKind::Unavailable) => self.repeatable,
            _ => false,
        };
        if !may || self.made >= self.layer.policy.attempts {
            return false;
        }
        let spend = |budget: u64| budget.checked_sub(RETRY);
        if self
            .layer
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_err()
        {
            return false;
        }
        tokio::time::sleep(self.wait.mul_f64(self.layer.random.fraction())).await;
        self.wait = (self.wait * 2).min(self.layer.policy.longest);
        true
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
