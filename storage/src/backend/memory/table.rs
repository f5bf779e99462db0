//! Table in memory: a sorted map of partitions, each a sorted map of records, under one lock.
//!
//! Why one lock: a batch may span partitions and spaces, and no lock is held longer than a few map operations.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use crate::{
    backend::rule,
    clock::{Clock, SystemClock},
    error::{Error, Result},
    shape::{Batch, Consistency, Key, Operation, Page, Query, Record, Space, Table},
};

/// Sweeps are no closer together than this many puts.
const SWEEP_AFTER: usize = 4096;

struct Stored {
    value: Bytes,
    version: u64,
    expires: Option<u64>,
}

impl Stored {
    fn record(&self, sort: &Bytes) -> Record {
        Record {
            sort: sort.clone(),
            value: self.value.clone(),
            version: self.version,
            expires: self.expires,
        }
    }
}

#[derive(Default)]
struct State {
    spaces: [BTreeMap<Bytes, BTreeMap<Bytes, Stored>>; 4],
    records: usize,
    puts_since_sweep: usize,
}

/// The table.
pub struct MemoryTable {
    state: RwLock<State>,
    clock: Arc<dyn Clock>,
}

impl Default for MemoryTable {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTable {
    /// An empty table under the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }
    /// An empty table under this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            state: RwLock::default(),
            clock,
        }
    }
}

impl State {
    fn partitions(&self, space: Space) -> &BTreeMap<Bytes, BTreeMap<Bytes, Stored>> {
        &self.spaces[space as usize]
    }

    fn find(&self, key: &Key, now: u64) -> Option<&Stored> {
        let stored = self
            .partitions(key.space)
            .get(&key.partition)?
            .get(&key.sort)?;
        rule::is_live(stored.expires, now).then_some(stored)
    }

    fn apply(&mut self, operation: Operation, now: u64) {
        match operation {
            Operation::Put {
                key,
                value,
                expires,
                ..
            } => {
                let version = self.find(&key, now).map_or(1, |stored| stored.version + 1);
                let partition = self.spaces[key.space as usize]
                    .entry(key.partition)
                    .or_default();
                if partition
                    .insert(
                        key.sort,
                        Stored {
                            value,
                            version,
                            expires,
                        },
                    )
                    .is_none()
                {
                    self.records += 1;
                }
                self.puts_since_sweep += 1;
            }
            Operation::Delete { key, .. } => {
                let partitions = &mut self.spaces[key.space as usize];
                let Some(partition) = partitions.get_mut(&key.partition) else {
                    return;
                };
                if partition.remove(&key.sort).is_some() {
                    self.records -= 1;
                }
                if partition.is_empty() {
                    partitions.remove(&key.partition);
                }
            }
            Operation::Check { .. } => {}
        }
    }

    /// Drops what has expired, as often as keeps the cost of a put constant.
    fn sweep(&mut self, now: u64) {
        if self.puts_since_sweep < SWEEP_AFTER.max(self.records) {
            return;
        }
        self.puts_since_sweep = 0;
        self.records = 0;
        for partitions in &mut self.spaces {
            partitions.retain(|_, partition| {
                partition.retain(|_, stored| rule::is_live(stored.expires, now));
                self.records += partition.len();
                !partition.is_empty()
            });
        }
    }
}

#[async_trait]
impl Table for MemoryTable {
    async fn get(&self, key: &Key, _: Consistency) -> Result<Option<Record>> {
        let now = self.clock.seconds();
        Ok(self
            .state
            .read()
            .find(key, now)
            .map(|stored| stored.record(&key.sort)))
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        let now = self.clock.seconds();
        let state = self.state.read();
        let nothing = Page {
            records: Vec::new(),
            more: false,
        };
        let Some(partition) = state.partitions(query.space).get(&query.partition) else {
            return Ok(nothing);
        };
        if matches!((&query.from, &query.until), (Some(from), Some(until)) if from >= until) {
            return Ok(nothing);
        }
        let from = query.from.as_ref().map_or(Unbounded, Included);
        let until = query.until.as_ref().map_or(Unbounded, Excluded);
        let range = partition.range::<Bytes, _>((from, until));
        let live = |(_, stored): &(&Bytes, &Stored)| rule::is_live(stored.expires, now);
        Ok(if query.reverse {
            cut(range.rev().filter(live), query.limit)
        } else {
            cut(range.filter(live), query.limit)
        })
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        rule::check_batch(&batch)?;
        let now = self.clock.seconds();
        let mut state = self.state.write();
        for (index, operation) in batch.operations.iter().enumerate() {
            let key = operation.key();
            let current = state.find(key, now);
            if !operation
                .condition()
                .holds_for(current.map(|stored| stored.version))
            {
                return Err(Error::conflict(
                    index,
                    current.map(|stored| stored.record(&key.sort)),
                ));
            }
        }
        for operation in batch.operations {
            state.apply(operation, now);
        }
        state.sweep(now);
        Ok(())
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
        let now = self.clock.seconds();
        let state = self.state.read();
        let range = state
            .partitions(space)
            .range::<[u8], _>((after.map_or(Unbounded, Excluded), Unbounded));
        let live = range.filter(|(_, records)| {
            records
                .values()
                .any(|stored| rule::is_live(stored.expires, now))
        });
        Ok(live
            .take(limit)
            .map(|(partition, _)| partition.clone())
            .collect())
    }
}

/// The first records of a range, up to the limits of a page.
fn cut<'a>(mut range: impl Iterator<Item = (&'a Bytes, &'a Stored)>, limit: usize) -> Page {
    let mut records = Vec::new();
    let mut bytes = 0;
    while records.len() < limit.max(1) && bytes < rule::PAGE_BYTES {
        let Some((sort, stored)) = range.next() else {
            return Page {
                records,
                more: false,
            };
        };
        bytes += stored.value.len();
        records.push(stored.record(sort));
    }
    Page {
        records,
        more: range.next().is_some(),
    }
}
