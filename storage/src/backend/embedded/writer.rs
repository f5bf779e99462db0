//! Writer: one thread that takes all waiting batches at once, decides them in order, and commits them with one sync.
//!
//! A batch sees those before it, of its own group too; readers see it once it is durable. While a disk syncs, the next
//! group gathers. Under load that is not enough: a fast disk would make groups of ten, and a sync costs 50 us of CPU
//! time. So when the last group was not small, the next one starts no sooner than [`EmbeddedOptions::gather`] after it.

use std::{
    mem,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{
    Store,
    entry::{Content, Entry, put_key},
    filter,
    io::{Patience, corrupt},
    janitor::Backlog,
    memtable::Memtable,
    queue::{Queue, Submission, Taken},
    view::View,
    wal::{Unwritten, Wal},
};
use crate::{
    backend::rule,
    error::{Error, Result},
    shape::{Batch, Operation, Record},
};

/// A group of this many batches shows that more are coming.
const BUSY: usize = 8;
/// A group ends after this many bytes.
const GROUP_BYTES: usize = 8 << 20;
/// What an entry costs in memory beside its bytes.
const OVERHEAD: usize = 160;

/// Closes the queue when the writer ends, also by a panic.
struct CloseAtEnd(Arc<Queue>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// An entry that the group has written so far.
struct Staged {
    hash: u64,
    start: usize,
    end: usize,
}

/// The thread's state.
pub(super) struct Writer {
    store: Arc<Store>,
    backlog: Arc<Backlog>,
    wal: Wal,
    /// Memory of the active table.
    filled: usize,
    staged: HashTable<Staged>,
    keys: Vec<u8>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        store: Arc<Store>,
        backlog: Arc<Backlog>,
        queue: Arc<Queue>,
        wal: Wal,
        filled: usize,
    ) -> std::io::Result<JoinHandle<()>> {
        let writer = Self {
            store,
            backlog,
            wal,
            filled,
            staged: HashTable::new(),
            keys: Vec::new(),
        };
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&queue))
    }

    fn run(mut self, queue: &Arc<Queue>) {
        let _close = CloseAtEnd(queue.clone());
        let gather = self.store.options.gather;
        let mut list = Vec::new();
        let mut gather_until = None;
        loop {
            let looks_again = self.store.health.looks_again();
            let wake = looks_again.map(|(again, _)| again);
            if queue.take(&mut list, gather_until, wake) == Taken::Closed {
                break;
            }
            if let Some((again, bytes)) = looks_again
                && Instant::now() >= again
            {
                self.look_for_room(bytes);
            }
            gather_until =
                (list.len() >= BUSY && gather > Duration::ZERO).then(|| Instant::now() + gather);
            let mut group = Vec::with_capacity(list.len());
            let mut bytes = 0;
            for submission in list.drain(..) {
                bytes += submission.size;
                group.push(submission);
                if bytes >= GROUP_BYTES {
                    self.commit(mem::take(&mut group), mem::take(&mut bytes));
                }
            }
            self.commit(group, bytes);
        }
        if !self.wal.is_synced()
            && !self.store.health.is_broken()
            && let Err(error) = self.wal.seal()
        {
            tracing::error!(%error, "the store was closed, and what was written last may not be on the disk");
        }
    }

    /// Does again what the disk did not take: a frame of so many bytes, or the next log.
    fn look_for_room(&mut self, bytes: usize) {
        let done = if self.filled < self.store.options.memtable_bytes {
            self.wal.look_for_room(bytes)
        } else {
            self.begin_log()
        };
        match done {
            Ok(()) => self.store.health.goes_on(),
            Err(why) => drop(self.unwritten(why)),
        }
    }

    /// Notes why a frame was not written; what writers are told.
    fn unwritten(&self, why: Unwritten) -> Error {
        match why {
            Unwritten::Nothing { error, bytes } => {
                let again = Instant::now() + self.store.options.retry_after;
                self.store.health.pause(error, bytes, again)
            }
            Unwritten::Lost(error) => self.store.health.broken(error),
        }
    }

    /// Decides, writes, and answers a group.
    fn commit(&mut self, group: Vec<Submission>, bytes: usize) {
        if group.is_empty() {
            return;
        }
        if let Err(error) = self.make_room() {
            for submission in group {
                submission.done.answer(Err(error.clone()));
            }
            return;
        }
        let now = self.store.clock.seconds();
        let view = self.store.view.load_full();
        let mut frame = Wal::begin(bytes);
        let empty = frame.len();
        self.staged.clear();
        let outcomes: Vec<_> = group
            .iter()
            .map(|submission| self.stage(&view, &submission.batch, &mut frame, now))
            .collect();
        let written = if frame.len() > empty {
            self.write(&view, frame)
        } else {
            Ok(())
        };
        for (submission, outcome) in group.into_iter().zip(outcomes) {
            let Submission { done, permit, .. } = submission;
            drop(permit);
            done.answer(written.clone().and(outcome));
        }
    }

    fn write(&mut self, view: &View, frame: Vec<u8>) -> Result<()> {
        let payload = match self.wal.append(frame) {
            Ok(payload) => payload,
            Err(why) => return Err(self.unwritten(why)),
        };
        self.filled += payload.len() + OVERHEAD * self.staged.len();
        view.active.insert(&payload).ok_or_else(|| {
            let error = corrupt("an entry that was just made", &self.store.directory);
            self.store.health.broken(error)
        })
    }

    /// Decides a batch; appends its entries to the frame if all conditions hold.
    fn stage(&mut self, view: &View, batch: &Batch, frame: &mut Vec<u8>, now: u64) -> Result<()> {
        let mut keys = mem::take(&mut self.keys);
        keys.clear();
        let decided = self.decide(view, batch, frame, &mut keys, now);
        let staged = decided.map(|plan| {
            for (operation, step) in batch.operations.iter().zip(plan) {
                self.append(operation, &step, &keys, frame);
            }
        });
        self.keys = keys;
        staged
    }

    fn decide(
        &self,
        view: &View,
        batch: &Batch,
        frame: &[u8],
        keys: &mut Vec<u8>,
        now: u64,
    ) -> Result<SmallVec<[Step; 4]>> {
        let mut plan = SmallVec::with_capacity(batch.operations.len());
        for (index, operation) in batch.operations.iter().enumerate() {
            let start = keys.len();
            put_key(keys, operation.key());
            let key = &keys[start..];
            let hash = filter::hash(key);
            let found = match self.staged_entry(frame, key, hash) {
                Some(staged) => Some(Bytes::copy_from_slice(staged)),
                None => view.find(key, hash, &self.store.cache, Patience::Wait)?,
            };
            let current = found.as_deref().and_then(live_content(now));
            if !operation
                .condition()
                .holds_for(current.map(|content| content.version))
            {
                let record = current.map(|content| content.to_record(&operation.key().sort));
                return Err(Error::conflict(index, record));
            }
            let version = current.map_or(0, |content| content.version);
            plan.push(Step {
                start,
                end: keys.len(),
                hash,
                version,
                is_known: found.is_some(),
            });
        }
        Ok(plan)
    }

    fn staged_entry<'a>(&self, frame: &'a [u8], key: &[u8], hash: u64) -> Option<&'a [u8]> {
        let is_same = |staged: &Staged| {
            staged.hash == hash && key_of(&frame[staged.start..staged.end]) == Some(key)
        };
        self.staged
            .find(hash, is_same)
            .map(|staged| &frame[staged.start..staged.end])
    }

    fn append(&mut self, operation: &Operation, step: &Step, keys: &[u8], frame: &mut Vec<u8>) {
        let key = &keys[step.start..step.end];
        let content = match operation {
            Operation::Put { value, expires, .. } => Some(Content {
                version: step.version + 1,
                expires: *expires,
                value,
            }),
            // What was never there needs no tombstone.
            Operation::Delete { .. } if step.is_known => None,
            Operation::Delete { .. } | Operation::Check { .. } => return,
        };
        let start = frame.len();
        Entry { key, content }.encode(frame);
        let staged = Staged {
            hash: step.hash,
            start,
            end: frame.len(),
        };
        let is_same = |other: &Staged| {
            other.hash == step.hash && key_of(&frame[other.start..other.end]) == Some(key)
        };
        match self.staged.find_mut(step.hash, is_same) {
            Some(other) => *other = staged,
            None => drop(
                self.staged
                    .insert_unique(step.hash, staged, |staged| staged.hash),
            ),
        }
    }

    /// Seals the active table when it is full; waits while the janitor is behind.
    fn make_room(&mut self) -> Result<()> {
        if let Some(error) = self.store.health.trouble() {
            return Err(error);
        }
        if self.filled < self.store.options.memtable_bytes {
            return Ok(());
        }
        self.begin_log().map_err(|why| self.unwritten(why))
    }

    /// Begins another log and another table. If that fails nothing was written to them.
    fn begin_log(&mut self) -> Result<(), Unwritten> {
        let nothing = |error| Unwritten::Nothing { error, bytes: 0 };
        self.backlog.wait_for_room().map_err(nothing)?;
        if !self.wal.is_synced() {
            self.wal.seal().map_err(Unwritten::Lost)?;
        }
        let next = Wal::create(
            &*self.store.disk,
            &self.store.directory,
            self.wal.id + 1,
            self.wal.end(),
            self.store.options.sync,
        );
        self.wal = next.map_err(nothing)?;
        self.filled = 0;
        let table = self.store.view.load().active.clone();
        let fresh = Arc::new(Memtable::default());
        self.store.view.rcu(|view| {
            let mut view = View::clone(view);
            view.sealed
                .insert(0, mem::replace(&mut view.active, fresh.clone()));
            view
        });
        self.backlog.add(table, self.wal.id);
        Ok(())
    }
}

/// What is to be done for an operation whose condition holds.
struct Step {
    /// The key's place among the keys of the batch.
    start: usize,
    end: usize,
    hash: u64,
    /// Of the live record; 0 if there is none.
    version: u64,
    /// Whether anything, dead or alive, is stored under the key.
    is_known: bool,
}

fn key_of(entry: &[u8]) -> Option<&[u8]> {
    Entry::parse(entry).map(|(entry, _)| entry.key)
}

/// Reads an entry's record, unless it is a tombstone or has expired.
pub(super) fn live_content(now: u64) -> impl Fn(&[u8]) -> Option<Content<'_>> {
    move |bytes| {
        let content = Entry::parse(bytes)?.0.content?;
        rule::is_live(content.expires, now).then_some(content)
    }
}

/// A record of an entry's bytes, if it is live.
pub(super) fn live_record(bytes: &[u8], sort: &[u8], now: u64) -> Option<Record> {
    live_content(now)(bytes).map(|content| content.to_record(sort))
}
