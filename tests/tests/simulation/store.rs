//! The store as one node sees it: each call takes its time, and some fail, or lose their answer.
//!
//! A call that takes time takes it before and after what it does, so that a node may die on either side of that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use storage::shape::{Batch, Consistency, Key, Page, Query, Record, Space, Table};
use storage::{Error, ErrorKind, Result};
use tests::faults::dice::Dice;
use tokio::time::sleep;

/// How the store is now, for all nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mood {
    /// How long a call may take more than usual, in milliseconds.
    pub slow_ms: u64,
    /// One call in so many fails; 0: none does.
    pub fails_one_in: u64,
}

enum Fate {
    Done,
    /// It is not done.
    Refused,
    /// It is done, and its caller does not hear of it.
    Lost,
}

/// See the file's head.
pub struct Slow {
    inner: Arc<dyn Table>,
    mood: Arc<Mutex<Mood>>,
    dice: Mutex<Dice>,
}

impl Slow {
    /// What a node sees of a table; its fate is drawn from these dice.
    pub fn new(inner: Arc<dyn Table>, mood: Arc<Mutex<Mood>>, dice: Dice) -> Self {
        Self {
            inner,
            mood,
            dice: Mutex::new(dice),
        }
    }

    fn draw(&self) -> (Duration, Duration, Fate) {
        let (mood, mut dice) = (*self.mood.lock(), self.dice.lock());
        let most = match dice.below(60) {
            0 => 80,
            1..20 => 0,
            _ => 4,
        };
        let mut time = || dice.between_ms(0, most + mood.slow_ms);
        let (before, after) = (time(), time());
        let fate = match mood.fails_one_in {
            0 => Fate::Done,
            times if !dice.once_in(times) => Fate::Done,
            _ if dice.once_in(2) => Fate::Refused,
            _ => Fate::Lost,
        };
        (before, after, fate)
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (before, after, fate) = self.draw();
        pause(before).await;
        if matches!(fate, Fate::Refused) {
            return Err(Error::new(ErrorKind::Unavailable, "it is not done"));
        }
        let result = work.await;
        pause(after).await;
        match fate {
            Fate::Lost => Err(Error::new(ErrorKind::Unavailable, "its answer is lost")),
            Fate::Done | Fate::Refused => result,
        }
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

#[async_trait]
impl Table for Slow {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        self.call(self.inner.get(key, consistency)).await
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        self.call(self.inner.query(query)).await
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        self.call(self.inner.write(batch)).await
    }

    fn trouble(&self) -> Option<Error> {
        None
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.call(self.inner.partitions(space, after, limit)).await
    }
}
