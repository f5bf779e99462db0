//! Faulty: a store that fails as it is told, so that tests see what outages, lost answers and slowness do.
//!
//! All wrappers of a run share a [`Switchboard`] of rules, which may change at any time. Its numbers come from a seed,
//! so the same calls in the same order fail in the same way.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Call, random::Random};
use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Blob, Blobs, Consistency, Key, Page, PutIf, Query, Record, Space, Table},
};

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this kind and is not done.
    Fail(ErrorKind),
    /// The call is done, and its answer is lost: `Unavailable`.
    LoseAnswer,
    /// The call waits first.
    Delay(Duration),
}

/// When a rule applies, of the calls it is about.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// To each.
    Always,
    /// To each with this probability.
    Probability(f64),
    /// To those for which `true` is next; to none once the list is over.
    Sequence(VecDeque<bool>),
}

/// A call that may go wrong.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// What is called.
    pub call: Call,
    /// On which table.
    pub space: Option<Space>,
    /// The partition, or the key of the blob; for lists, what they start with.
    pub name: &'a [u8],
    /// The sort key, if there is one.
    pub sort: &'a [u8],
}

type About = Box<dyn Fn(&Target<'_>) -> bool + Send>;

struct Rule {
    about: About,
    when: When,
    fault: Fault,
    hits: u64,
}

struct State {
    on: bool,
    rules: Vec<Rule>,
}

/// What goes wrong with the stores that share it.
pub struct Switchboard {
    state: Mutex<State>,
    random: Random,
}

impl Switchboard {
    /// Without rules, switched on.
    pub fn new(seed: u64) -> Arc<Self> {
        let state = Mutex::new(State {
            on: true,
            rules: Vec::new(),
        });
        Arc::new(Self {
            state,
            random: Random::new(seed),
        })
    }
    /// Adds a rule about the calls for which `about` says so; of a batch, one operation is enough.
    pub fn add(
        &self,
        about: impl Fn(&Target<'_>) -> bool + Send + 'static,
        when: When,
        fault: Fault,
    ) {
        self.state.lock().rules.push(Rule {
            about: Box::new(about),
            when,
            fault,
            hits: 0,
        });
    }
    /// Removes all rules.
    pub fn clear(&self) {
        self.state.lock().rules.clear();
    }
    /// Switches all rules on or off.
    pub fn switch(&self, on: bool) {
        self.state.lock().on = on;
    }
    /// How many calls went wrong by the rules that stand.
    pub fn hits(&self) -> u64 {
        self.state.lock().rules.iter().map(|rule| rule.hits).sum()
    }

    fn faults(&self, targets: &[Target<'_>]) -> Vec<Fault> {
        let mut state = self.state.lock();
        if !state.on {
            return Vec::new();
        }
        let mut faults = Vec::new();
        for rule in &mut state.rules {
            let applies = targets.iter().any(|target| (rule.about)(target))
                && match &mut rule.when {
                    When::Always => true,
                    When::Probability(probability) => self.random.fraction() < *probability,
                    When::Sequence(list) => list.pop_front().unwrap_or(false),
                };
            if applies {
                rule.hits += 1;
                faults.push(rule.fault.clone());
            }
        }
        faults
    }

    /// What goes wrong before the call; whether its answer will be lost.
    async fn before(&self, targets: &[Target<'_>]) -> Result<bool> {
        let mut loses = false;
        for fault in self.faults(targets) {
            match fault {
                Fault::Delay(time) => tokio::time::sleep(time).await,
                Fault::Fail(ErrorKind::Conflict) => return Err(Error::conflict(0, None)),
                Fault::Fail(kind) => return Err(Error::new(kind, "a fault that was asked for")),
                Fault::LoseAnswer => loses = true,
            }
        }
        Ok(loses)
    }
}

fn after<T>(loses: bool, result: Result<T>) -> Result<T> {
    if loses {
        Err(Error::new(
            ErrorKind::Unavailable,
            "the answer was lost, as was asked for",
        ))
    } else {
        result
    }
}

/// A table that fails as it is told.
pub struct Faulty {
    inner: Arc<dyn Table>,
    switchboard: Arc<Switchboard>,
}

impl Faulty {
    /// Wraps a table.
    pub fn new(inner: Arc<dyn Table>, switchboard: Arc<Switchboard>) -> Self {
        Self { inner, switchboard }
    }
}

fn about_key(call: Call, key: &Key) -> Target<'_> {
    Target {
        call,
        space: Some(key.space),
        name: &key.partition,
        sort: &key.sort,
    }
}

#[async_trait]
impl Table for Faulty {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        let loses = self
            .switchboard
            .before(&[about_key(Call::Get, key)])
            .await?;
        after(loses, self.inner.get(key, consistency).await)
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        let target = Target {
            call: Call::Query,
            space: Some(query.space),
            name: &query.partition,
            sort: &[],
        };
        let loses = self.switchboard.before(&[target]).await?;
        after(loses, self.inner.query(query).await)
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let loses = {
            let keys = batch.operations.iter().map(crate::shape::Operation::key);
            let targets: Vec<Target<'_>> = keys.map(|key| about_key(Call::Write, key)).collect();
            self.switchboard.before(&targets).await?
        };
        after(loses, self.inner.write(batch).await)
    }

    fn trouble(&self) -> Option<Error> {
        self.inner.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        beyond: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        let target = Target {
            call: Call::Partitions,
            space: Some(space),
            name: beyond.unwrap_or_default(),
            sort: &[],
        };
        let loses = self.switchboard.before(&[target]).await?;
        after(loses, self.inner.partitions(space, beyond, limit).await)
    }
}

/// Blobs that fail as they are told.
pub struct FaultyBlobs {
    inner: Arc<dyn Blobs>,
    switchboard: Arc<Switchboard>,
}

impl FaultyBlobs {
    /// Wraps a store of blobs.
    pub fn new(inner: Arc<dyn Blobs>, switchboard: Arc<Switchboard>) -> Self {
        Self { inner, switchboard }
    }
    async fn before(&self, call: Call, key: &str) -> Result<bool> {
        self.switchboard
            .before(&[Target {
                call,
                space: None,
                name: key.as_bytes(),
                sort: &[],
            }])
            .await
    }
}

#[async_trait]
impl Blobs for FaultyBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>> {
        let loses = self.before(Call::BlobGet, key).await?;
        after(loses, self.inner.get(key).await)
    }

    async fn get_range(&self, key: &str, range: std::ops::Range<u64>) -> Result<Option<Bytes>> {
        let loses = self.before(Call::BlobGet, key).await?;
        after(loses, self.inner.get_range(key, range).await)
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String> {
        let loses = self.before(Call::BlobPut, key).await?;
        after(loses, self.inner.put(key, bytes, condition).await)
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let loses = self.before(Call::BlobRemove, key).await?;
        after(loses, self.inner.remove(key).await)
    }

    async fn list(&self, prefix: &str, beyond: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let loses = self.before(Call::BlobList, prefix).await?;
        after(loses, self.inner.list(prefix, beyond, limit).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backend::memory::MemoryTable, shape::Condition};

    fn key(partition: &'static str) -> Key {
        Key {
            space: Space::Core,
            partition: partition.into(),
            sort: "s".into(),
        }
    }
    fn put(partition: &'static str) -> Batch {
        Batch::new().put(key(partition), "x", Condition::Absent)
    }
    fn table(switchboard: &Arc<Switchboard>) -> Faulty {
        Faulty::new(Arc::new(MemoryTable::new()), switchboard.clone())
    }

    #[tokio::test]
    async fn rules_choose_calls_and_can_be_switched_off() {
        let switchboard = Switchboard::new(1);
        let table = table(&switchboard);
        let is_bad = |target: &Target<'_>| target.call == Call::Write && target.name == b"bad";
        switchboard.add(is_bad, When::Always, Fault::Fail(ErrorKind::Throttled));
        table.write(put("good")).await.unwrap();
        let both = put("better").put(key("bad"), "x", Condition::Any);
        assert_eq!(
            table.write(both).await.unwrap_err().kind(),
            ErrorKind::Throttled
        );
        assert_eq!(
            table
                .get(&key("better"), Consistency::Strong)
                .await
                .unwrap(),
            None
        );
        assert_eq!(
            table.get(&key("bad"), Consistency::Strong).await.unwrap(),
            None
        );
        assert_eq!(switchboard.hits(), 1);
        switchboard.switch(false);
        table.write(put("bad")).await.unwrap();
        switchboard.switch(true);
        table.write(put("bad")).await.unwrap_err();
        switchboard.clear();
        assert_eq!(
            table.write(put("bad")).await.unwrap_err().kind(),
            ErrorKind::Conflict
        );
    }

    #[tokio::test]
    async fn a_lost_answer_is_of_a_write_that_was_done() {
        let switchboard = Switchboard::new(1);
        let table = table(&switchboard);
        switchboard.add(
            |_| true,
            When::Sequence([false, true].into()),
            Fault::LoseAnswer,
        );
        table.write(put("a")).await.unwrap();
        assert_eq!(
            table.write(put("b")).await.unwrap_err().kind(),
            ErrorKind::Unavailable
        );
        assert!(
            table
                .get(&key("b"), Consistency::Strong)
                .await
                .unwrap()
                .is_some()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_comes_before_the_call() {
        let switchboard = Switchboard::new(1);
        let table = table(&switchboard);
        switchboard.add(|_| true, When::Always, Fault::Delay(Duration::from_secs(3)));
        let start = tokio::time::Instant::now();
        table.write(put("a")).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test]
    async fn a_seed_repeats_its_faults() {
        let outcomes = |seed: u64| async move {
            let switchboard = Switchboard::new(seed);
            let table = table(&switchboard);
            switchboard.add(
                |_| true,
                When::Probability(0.3),
                Fault::Fail(ErrorKind::Unavailable),
            );
            let mut outcomes = Vec::new();
            for _ in 0..200 {
                outcomes.push(table.get(&key("a"), Consistency::Strong).await.is_ok());
            }
            outcomes
        };
        let first = outcomes(7).await;
        assert_eq!(first, outcomes(7).await);
        assert_ne!(first, outcomes(8).await);
        let failed = first.iter().filter(|ok| !**ok).count();
        assert!((30..90).contains(&failed), "{failed} of 200");
    }
}
