//! Embedded: the table of a node that has nothing but a directory.
//!
//! An engine of our own, a log-structured merge tree cut to this shape, because of these figures. Appends of 440 bytes,
//! each after a look whether the key is absent, spread over 10,000 partitions, synced in groups, one core, CPU time of
//! the process with its kernel part:
//!
//! | engine | group of 1 | 16 | 128 | peak memory |
//! |---|---|---|---|---|
//! | redb 4.5 | | 21 us | 15.5 us | 70 MB |
//! | fjall 3.1 | 56 us | 10.0 us | 9.5 us, 11.4 after 2 million | 136 MB |
//! | fjall 3.1, values apart | | | 8.8 us | 81 MB |
//! | a bare log and sorted table | 78 us | 7.3 us | 3.0 us | 23 MB |
//!
//! The budget is 5 to 8 us with everything. `examples/engine.rs` measures this engine with everything: the batch, the
//! tasks and their waking, conditions, log, sync, runs and merges, pinned to one core of a machine that others used too:
//!
//! | appenders | appends/s | CPU an append | p50 | p99 |
//! |---|---|---|---|---|
//! | 1 | 4,700 | 61 to 87 us | 0.2 ms | 0.4 ms |
//! | 16 | 14,000 | 9.3 to 11.8 us | 1.1 ms | 1.8 ms |
//! | 256 | 128,000 to 137,000 | 5.1 to 5.8 us | 1.1 ms | 11 ms |
//! | 1024 | 103,000 to 127,000 | 5.5 to 6.0 us | 6 to 9 ms | 27 to 31 ms |
//!
//! An idle store adds nothing to speak of; under this load the process has 55 MB, 32 of them cache. The newest 20
//! records of a log that is spread over all runs cost 22 us.
//!
//! | file | what | when read |
//! |---|---|---|
//! | `lock` | locked as long as the store is open | at open |
//! | `manifest` | which files count | at open |
//! | `*.wal` | groups of entries, one file for each table in memory | at open |
//! | `*.run` | sorted entries with index and filter | through the cache |
//!
//! `writer` decides and commits, `janitor` moves what is old to runs and merges them, readers look at a `View` without
//! waiting for either. Memory: up to three tables of [`EmbeddedOptions::memtable_bytes`], the cache, and 60 bytes for
//! each MiB on disk.
//!
//! What is damaged is `Corrupt`, never absent: blocks, logs and manifest carry sums, and a log that lost an answered
//! group is told from one whose last write was torn by a crash. After a failed write or sync nothing more is written
//! until the store is opened again; where only room was missing, the store goes on when there is room (`health`).

mod block;
mod disk;
mod entry;
mod filter;
mod health;
mod io;
mod janitor;
mod manifest;
mod memtable;
mod merge;
mod queue;
mod run;
mod view;
mod wal;
mod writer;

mod open;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, thread::JoinHandle, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::{
    disk::Disk,
    entry::{Entry, after_partition, partition_of, put_key, put_partition},
    health::Health,
    io::{BlockCache, Patience, ReadError},
    janitor::Backlog,
    queue::{Done, Queue, Submission},
    view::{Range, Scan, View},
    writer::live_record,
};
use crate::{
    backend::rule,
    clock::Clock,
    error::{Error, ErrorKind, Result},
    shape::{self, Batch, Consistency, Key, Operation, Page, Query, Record, Space, Table},
};

/// How many reads may wait for the disk at the same time.
const SLOW_READS: usize = 16;
/// A permit of the queue stands for this many bytes.
const PERMIT: usize = 1 << 10;

/// How the store is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Whether a write is answered only once it is on the disk. Without, it survives the process but not the machine.
    pub sync: bool,
    /// Memory for blocks that were read.
    pub cache_bytes: u64,
    /// Memory for what was written, before it goes to a run. Up to three times this while the disk is behind.
    pub memtable_bytes: usize,
    /// Memory for what waits to be written; beyond, `write` waits.
    pub queue_bytes: usize,
    /// Under load, the least time from one sync to the next.
    pub gather: Duration,
    /// When the disk is full, how long until it is looked at again.
    pub retry_after: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            sync: true,
            cache_bytes: 32 << 20,
            memtable_bytes: 8 << 20,
            queue_bytes: 16 << 20,
            gather: Duration::from_millis(1),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// What all threads of an open store share.
struct Store {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    health: Health,
    options: EmbeddedOptions,
    clock: Arc<dyn Clock>,
    cache: BlockCache,
    view: ArcSwap<View>,
}

/// An open store. Dropping it commits what waits, makes it durable and ends its threads.
pub struct Embedded {
    store: Arc<Store>,
    queue: Arc<Queue>,
    backlog: Arc<Backlog>,
    room: Arc<Semaphore>,
    slow_reads: Arc<Semaphore>,
    threads: Vec<JoinHandle<()>>,
    lost: Lost,
    lock: std::fs::File,
}

/// What a power cut took from a store that does not sync each write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Bytes that the logs are short of.
    pub bytes: u64,
    /// Logs that came after and were set aside.
    pub logs: u64,
}

impl Embedded {
    /// What was found to be lost when the store was opened.
    pub fn lost(&self) -> Lost {
        self.lost
    }

    fn push(&self, batch: Batch, size: usize, done: Done, permit: OwnedSemaphorePermit) {
        self.queue.push(Submission {
            batch,
            size,
            done,
            permit,
        });
    }

    /// A batch larger than the queue takes all of it.
    fn permits(&self, size: usize) -> u32 {
        let all = (self.store.options.queue_bytes / PERMIT).max(1);
        u32::try_from((size / PERMIT + 1).min(all)).unwrap_or(u32::MAX)
    }

    /// Reads at once if memory holds what is needed, else on a thread that may wait.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Store, Patience) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T> {
        match read(&self.store, Patience::Now) {
            Err(ReadError::WouldWait) => {}
            Err(ReadError::Failed(error)) => return Err(error),
            Ok(found) => return Ok(found),
        }
        let gone = |_| Error::new(ErrorKind::Unavailable, "the store is closed");
        let permit = self
            .slow_reads
            .clone()
            .acquire_owned()
            .await
            .map_err(gone)?;
        let store = self.store.clone();
        let waiting = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            read(&store, Patience::Wait)
        });
        let ended =
            |error| Error::new(ErrorKind::Unavailable, "a read was given up").with_source(error);
        Ok(waiting.await.map_err(ended)??)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.queue.close();
        self.backlog.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
        // Said aloud, because a process that is just being forked holds what is only closed.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "cannot unlock the store");
        }
    }
}

impl Store {
    fn get(
        &self,
        key: &[u8],
        sort: &[u8],
        patience: Patience,
    ) -> Result<Option<Record>, ReadError> {
        let now = self.clock.seconds();
        let found = self
            .view
            .load()
            .find(key, filter::hash(key), &self.cache, patience)?;
        Ok(found.and_then(|bytes| live_record(&bytes, sort, now)))
    }

    fn page(&self, query: &Query, patience: Patience) -> Result<Page, ReadError> {
        let now = self.clock.seconds();
        let mut prefix = Vec::new();
        put_partition(&mut prefix, query.space, &query.partition);
        let bound = |sort: &Bytes| [&prefix[..], sort].concat();
        let range = Range {
            from: query.from.as_ref().map_or_else(|| prefix.clone(), bound),
            until: query
                .until
                .as_ref()
                .map_or_else(|| after_partition(&prefix), bound),
            reverse: query.reverse,
        };
        let view = self.view.load_full();
        let mut scan = Scan::new(&view, range, &self.cache, patience)?;
        let mut page = Page {
            records: Vec::new(),
            more: false,
        };
        let mut bytes = 0;
        while let Some(entry) = scan.next()? {
            let sort =
                Entry::parse(&entry).map_or(&[][..], |(entry, _)| &entry.key[prefix.len()..]);
            let Some(record) = live_record(&entry, sort, now) else {
                continue;
            };
            if page.records.len() >= query.limit.max(1) || bytes >= rule::PAGE_BYTES {
                page.more = true;
                break;
            }
            bytes += record.value.len();
            page.records.push(record);
        }
        Ok(page)
    }

    fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
        patience: Patience,
    ) -> Result<Vec<Bytes>, ReadError> {
        let now = self.clock.seconds();
        let view = self.view.load_full();
        let until = vec![space as u8 + 1];
        let mut from = vec![space as u8];
        if let Some(after) = after {
            from.clear();
            put_partition(&mut from, space, after);
            from = after_partition(&from);
        }
        let mut found = Vec::new();
        while found.len() < limit {
            let range = Range {
                from: from.clone(),
                until: until.clone(),
                reverse: false,
            };
            let mut scan = Scan::new(&view, range, &self.cache, patience)?;
            let live = loop {
                let Some(entry) = scan.next()? else {
                    return Ok(found);
                };
                if live_record(&entry, &[], now).is_some() {
                    break entry;
                }
            };
            let partition = Entry::parse(&live)
                .and_then(|(entry, _)| Some((entry.key, partition_of(entry.key)?)));
            let Some((key, (length, partition))) = partition else {
                return Err(io::corrupt("a key without a partition", &self.directory).into());
            };
            from = after_partition(&key[..length]);
            found.push(Bytes::from(partition));
        }
        Ok(found)
    }
}

#[async_trait]
impl Table for Embedded {
    async fn get(&self, key: &Key, _: Consistency) -> Result<Option<Record>> {
        let mut bytes = Vec::with_capacity(key.partition.len() + key.sort.len() + 4);
        put_key(&mut bytes, key);
        let sort = key.sort.clone();
        self.read(move |store, patience| store.get(&bytes, &sort, patience))
            .await
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        let query = query.clone();
        self.read(move |store, patience| store.page(&query, patience))
            .await
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        rule::check_batch(&batch)?;
        let size = size_of(&batch);
        let gone = || Error::new(ErrorKind::Unavailable, "the store is closed");
        let permit = self
            .room
            .clone()
            .acquire_many_owned(self.permits(size))
            .await
            .map_err(|_| gone())?;
        let (sender, answer) = oneshot::channel();
        self.push(batch, size, Done::Future(sender), permit);
        answer.await.map_err(|_| gone())?
    }

    fn trouble(&self) -> Option<Error> {
        let writer = self.store.health.trouble();
        writer.or_else(|| self.backlog.trouble())
    }

    /// Calls `done` on the writer's thread. No future, no waking of a task.
    fn submit(self: Arc<Self>, batch: Batch, done: shape::Done) {
        let size = match rule::check_batch(&batch) {
            Ok(()) => size_of(&batch),
            Err(error) => return done(Err(error)),
        };
        match self.room.clone().try_acquire_many_owned(self.permits(size)) {
            Ok(permit) => self.push(batch, size, Done::Call(done), permit),
            Err(_) => done(Err(Error::new(
                ErrorKind::Throttled,
                "too many writes wait",
            ))),
        }
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        let after = after.map(<[u8]>::to_vec);
        self.read(move |store, patience| store.partitions(space, after.as_deref(), limit, patience))
            .await
    }
}

/// About how many bytes a batch becomes.
fn size_of(batch: &Batch) -> usize {
    let of = |operation: &Operation| {
        let value = if let Operation::Put { value, .. } = operation {
            value.len()
        } else {
            0
        };
        operation.key().partition.len() + operation.key().sort.len() + value + 32
    };
    batch.operations.iter().map(of).sum()
}
