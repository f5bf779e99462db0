//! What is to be written, and the few tasks that write it.
//!
//! Nothing waits for company: a writer that is free takes what is there. Only while all are at work batches gather, and the
//! next one takes many. A batch over a key that somebody is writing waits, so that no connection waits for a lock of this
//! node; and batches over the same key are done in the order in which they came.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use storage::{
    Error, ErrorKind, Result,
    shape::{Batch, Done, Key, Operation, Space},
};

use super::commit::{Committer, append};
use crate::dialect::Dialect;

/// A group that is larger has one batch.
const GROUP_BYTES: usize = 1 << 20;
/// A group that names more keys has one batch.
const GROUP_KEYS: usize = 256;
/// So many batches are looked at for a group.
const LOOKED_AT: usize = 1024;
/// What a batch costs besides its values.
const OVERHEAD: usize = 256;
/// A write that failed is remembered for so long: whether there is room again is seen only by trying.
const TROUBLE: Duration = Duration::from_secs(10);

/// The queue.
pub(super) struct Queue {
    committer: Committer,
    state: Mutex<State>,
    /// Why the last write to a file of this machine failed.
    trouble: Mutex<Option<(Instant, Error)>>,
}

#[derive(Default)]
struct State {
    /// At most `waiting` of the options.
    waiting: VecDeque<Job>,
    bytes: usize,
    /// Keys that are being written.
    busy: HashSet<Key>,
    writers: usize,
}

struct Job {
    batch: Batch,
    done: Done,
    bytes: usize,
    since: Instant,
}

impl Job {
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.batch.operations.iter().map(Operation::key)
    }

    /// What can share a statement: appends to one table, or everything else.
    fn kind(&self) -> Option<Space> {
        append(&self.batch)
    }
}

/// What a writer is to do next.
#[derive(Default)]
struct Work {
    group: Vec<Job>,
    /// They have waited for too long.
    expired: Vec<Job>,
}

impl State {
    fn take(&mut self, gather: usize, patience: Duration) -> Work {
        let mut work = Work::default();
        while self
            .waiting
            .front()
            .is_some_and(|job| job.since.elapsed() > patience)
        {
            work.expired.extend(self.remove(0));
        }
        let (mut bytes, mut keys, mut at) = (0, 0, 0);
        // Whoever comes later over a key of these waits as well.
        let mut passed: HashSet<Key> = HashSet::new();
        for _ in 0..LOOKED_AT.min(self.waiting.len()) {
            if work.group.len() >= gather.max(1) {
                break;
            }
            let job = &self.waiting[at];
            let free = job
                .keys()
                .all(|key| !self.busy.contains(key) && !passed.contains(key));
            let fits = work.group.first().is_none_or(|first: &Job| {
                first.kind() == job.kind()
                    && bytes + job.bytes <= GROUP_BYTES
                    && keys + job.batch.operations.len() <= GROUP_KEYS
            });
            if free && fits {
                bytes += job.bytes;
                keys += job.batch.operations.len();
                work.group.extend(self.remove(at));
            } else {
                passed.extend(job.keys().cloned());
                at += 1;
            }
        }
        let keys = work.group.iter().flat_map(Job::keys);
        self.busy.extend(keys.cloned());
        work
    }

    fn remove(&mut self, at: usize) -> Option<Job> {
        let job = self.waiting.remove(at)?;
        self.bytes -= job.bytes;
        Some(job)
    }
}

impl Queue {
    pub(super) fn new(committer: Committer) -> Self {
        Self {
            committer,
            state: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// What kept the last write from the disk of this machine.
    pub(super) fn trouble(&self) -> Option<Error> {
        let trouble = self.trouble.lock();
        let (since, error) = trouble.as_ref()?;
        (since.elapsed() < TROUBLE).then(|| error.clone())
    }

    /// Adds a batch that was checked.
    pub(super) fn add(self: &Arc<Self>, batch: Batch, done: Done) {
        if batch.operations.is_empty() {
            return done(Ok(()));
        }
        let value = |operation: &Operation| match operation {
            Operation::Put { value, .. } => value.len(),
            Operation::Delete { .. } | Operation::Check { .. } => 0,
        };
        let bytes = batch.operations.iter().map(value).sum::<usize>() + OVERHEAD;
        let options = &self.committer.inner.options;
        let mut state = self.state.lock();
        let full = state.waiting.len() >= options.waiting
            || (state.bytes + bytes > options.waiting_bytes && !state.waiting.is_empty());
        if full {
            drop(state);
            let sentence = "too much waits to be written to the database";
            return done(Err(Error::new(ErrorKind::Throttled, sentence)));
        }
        state.bytes += bytes;
        state.waiting.push_back(Job {
            batch,
            done,
            bytes,
            since: Instant::now(),
        });
        self.employ(&mut state);
    }

    /// One more writer, if there may be one.
    fn employ(self: &Arc<Self>, state: &mut State) {
        if state.writers < self.committer.inner.writers.size() {
            state.writers += 1;
            let shift = Shift {
                queue: self.clone(),
                keys: Vec::new(),
                over: false,
            };
            tokio::spawn(shift.work());
        }
    }
}

/// A writer at work. Whatever happens to it, what it held is given back.
struct Shift {
    queue: Arc<Queue>,
    keys: Vec<Key>,
    /// It is no longer among the writers.
    over: bool,
}

impl Shift {
    async fn work(mut self) {
        let queue = self.queue.clone();
        let options = &queue.committer.inner.options;
        loop {
            let Work { group, expired } = {
                let mut state = queue.state.lock();
                let work = state.take(options.gather, options.timeout);
                if work.group.is_empty() {
                    // Before anybody adds what this one would not see.
                    state.writers -= 1;
                    self.over = true;
                } else if !state.waiting.is_empty() {
                    queue.employ(&mut state);
                }
                work
            };
            for job in expired {
                (job.done)(Err(queue.committer.inner.writers.too_late()));
            }
            if group.is_empty() {
                return;
            }
            self.commit(group).await;
        }
    }

    async fn commit(&mut self, group: Vec<Job>) {
        self.keys = group.iter().flat_map(Job::keys).cloned().collect();
        let (batches, dones): (Vec<Batch>, Vec<Done>) =
            group.into_iter().map(|job| (job.batch, job.done)).unzip();
        let results = self.queue.committer.commit(&batches).await;
        self.queue.notice(&results);
        self.give_back();
        for (done, result) in dones.into_iter().zip(results) {
            done(result);
        }
    }

    fn give_back(&mut self) {
        let mut state = self.queue.state.lock();
        for key in self.keys.drain(..) {
            state.busy.remove(&key);
        }
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        self.give_back();
        if !self.over {
            self.queue.state.lock().writers -= 1;
        }
    }
}

impl Queue {
    /// Remembers what keeps a file of this machine from being written. A server's trouble is everybody's.
    fn notice(&self, results: &[Result<()>]) {
        if self.committer.inner.writers.dialect() != Dialect::Sqlite {
            return;
        }
        let failed = results
            .iter()
            .find_map(|result| result.as_ref().err())
            .filter(|error| {
                matches!(
                    error.kind(),
                    ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Corrupt
                )
            });
        *self.trouble.lock() = failed.map(|error| (Instant::now(), error.clone()));
    }
}
