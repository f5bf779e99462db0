//! Writes of what is cached: marked before, settled after.

use std::time::Duration;

use super::{
    CacheEvent, Cacheable, Cached, name_of, policy,
    recent::Writing,
    shelf::{Mark, Settled},
};
use crate::{
    error::{Error, ErrorKind, Result},
    join::join_all,
    shape::{Batch, Condition, Key, Operation, Record},
};

impl Cached {
    pub(super) async fn write_marked(&self, batch: Batch, changes: Vec<Change>) -> Result<()> {
        let writing: Vec<Writing<'_>> = changes
            .iter()
            .map(|change| self.recent.write(&change.key))
            .collect();
        let marks = join_all(changes.iter().map(|change| self.shelf.mark(&change.name))).await;
        let at = self.clock.now();
        let result = self.inner.write(batch).await;
        let ends = changes.iter().zip(&marks);
        match result.as_ref().map_err(Error::kind) {
            // A conflict may be with this very write, done by an attempt before whose answer was lost.
            Ok(()) | Err(ErrorKind::Conflict) => {
                let is_done = result.is_ok();
                let settle = |(change, mark)| self.settle(change, mark, is_done, at);
                join_all(ends.map(|(change, mark)| settle((change, *mark)))).await;
            }
            Err(ErrorKind::Unavailable) => {
                for (change, mark) in ends {
                    if self.shelf.abandon(&change.name, *mark) {
                        self.observer.observe(change.what, CacheEvent::Distrusted);
                    }
                }
            }
            Err(_) => {
                join_all(ends.map(|(change, mark)| self.shelf.release(&change.name, *mark))).await;
            }
        }
        for (writing, change) in writing.into_iter().zip(&changes) {
            let known = change.made.as_ref().filter(|_| result.is_ok());
            writing.end(known.map(|made| self.recent.fact(made.as_ref())));
        }
        result
    }

    async fn settle(&self, change: &Change, mark: Mark, is_done: bool, at: Duration) {
        let made = change.made.clone().filter(|_| is_done);
        let made = made.map(|record| (record, at));
        let event = match self.shelf.settle(&change.name, mark, made).await {
            Settled::Published => CacheEvent::Published,
            Settled::Closed => CacheEvent::Closed,
            Settled::Distrusted => CacheEvent::Distrusted,
        };
        self.observer.observe(change.what, event);
    }
}

/// A cached key that a batch changes.
pub(super) struct Change {
    key: Key,
    name: String,
    what: Cacheable,
    /// What the batch makes of it, if that can be told before: a record or its absence.
    made: Option<Option<Record>>,
}

impl Change {
    pub(super) fn of(operation: &Operation) -> Option<Self> {
        let key = operation.key();
        let what = policy::record(key)?;
        let made = match operation {
            Operation::Check { .. } => return None,
            Operation::Delete { .. } => Some(None),
            Operation::Put {
                value,
                condition,
                expires,
                ..
            } => version_after(*condition).map(|version| {
                Some(Record {
                    sort: key.sort.clone(),
                    value: value.clone(),
                    version,
                    expires: *expires,
                })
            }),
        };
        Some(Self {
            name: name_of(key),
            key: key.clone(),
            what,
            made,
        })
    }
}

/// The version that a put makes, if its condition says so.
fn version_after(condition: Condition) -> Option<u64> {
    match condition {
        Condition::Absent => Some(1),
        Condition::Version(version) => Some(version + 1),
        Condition::Any | Condition::Exists => None,
    }
}
