//! Janitor: one thread that writes full tables to runs and merges runs.
//!
//! Which runs are merged, says `merge`. A merge gives way to a table that waits and is given up when the store closes.

use std::{collections::VecDeque, sync::Arc, thread::JoinHandle, time::Duration};

use parking_lot::{Condvar, Mutex};

use super::{
    Store,
    entry::Entry,
    io::corrupt,
    manifest::Manifest,
    memtable::Memtable,
    merge::choose,
    run::{Run, RunWriter},
    view::{Range, Scan, View},
    wal::Wal,
};
use crate::{backend::rule, error::Result};

/// How many full tables may wait before the writer does.
const SEALED: usize = 2;
/// After a merge failed, the next attempt: at first, and at most. One that finds no room fills the disk each time.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(32);
/// A merge looks up from its work after this many entries.
const LOOK_UP: u64 = 1024;

struct Sealed {
    table: Arc<Memtable>,
    /// The first log that is still needed once the table is on disk.
    next_log: u64,
}

#[derive(Default)]
struct State {
    sealed: VecDeque<Sealed>,
    failing: Option<crate::Error>,
    closing: bool,
}

/// What waits for the janitor.
#[derive(Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    changed: Condvar,
}

impl Backlog {
    /// Waits until one more table may be added; not while the store closes, for then nobody makes room.
    ///
    /// # Errors
    /// What keeps the janitor from writing.
    pub(super) fn wait_for_room(&self) -> Result<()> {
        let mut state = self.state.lock();
        while state.sealed.len() >= SEALED && !state.closing {
            if let Some(error) = &state.failing {
                return Err(error.clone());
            }
            self.changed.wait(&mut state);
        }
        Ok(())
    }
    /// Adds a table.
    pub(super) fn add(&self, table: Arc<Memtable>, next_log: u64) {
        self.state
            .lock()
            .sealed
            .push_back(Sealed { table, next_log });
        self.changed.notify_all();
    }
    /// Ends the thread.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }
    /// What keeps the writer waiting for room, if it cannot be done.
    pub(super) fn trouble(&self) -> Option<crate::Error> {
        let state = self.state.lock();
        let is_stuck = state.sealed.len() >= SEALED;
        state.failing.clone().filter(|_| is_stuck)
    }
    fn is_closing(&self) -> bool {
        self.state.lock().closing
    }
    fn is_waiting(&self) -> bool {
        !self.state.lock().sealed.is_empty()
    }
}

/// The thread's state.
pub(super) struct Janitor {
    store: Arc<Store>,
    backlog: Arc<Backlog>,
    manifest: Manifest,
}

impl Janitor {
    /// Starts the thread.
    pub(super) fn start(
        store: Arc<Store>,
        backlog: Arc<Backlog>,
        manifest: Manifest,
    ) -> std::io::Result<JoinHandle<()>> {
        let janitor = Self {
            store,
            backlog,
            manifest,
        };
        std::thread::Builder::new()
            .name("store-janitor".into())
            .spawn(move || janitor.run())
    }

    fn run(mut self) {
        let mut again = AGAIN;
        while !self.backlog.is_closing() {
            let worked = self.work();
            let mut state = self.backlog.state.lock();
            match worked {
                Ok(true) => {
                    again = AGAIN;
                    state.failing = None;
                }
                Ok(false) if state.sealed.is_empty() && !state.closing => {
                    self.backlog.changed.wait(&mut state)
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot tidy the store, trying again");
                    state.failing = Some(error);
                    self.backlog.changed.notify_all();
                    while self.store.health.is_broken() && !state.closing {
                        self.backlog.changed.wait(&mut state);
                    }
                    let wait = if state.sealed.is_empty() {
                        again = (again * 2).min(AGAIN_AT_MOST);
                        again / 2
                    } else {
                        self.store.options.retry_after
                    };
                    if !state.closing {
                        self.backlog.changed.wait_for(&mut state, wait);
                    }
                }
            }
        }
    }

    /// Does what is most needed; `false` if nothing is.
    fn work(&mut self) -> Result<bool> {
        if self.flush()? {
            return Ok(true);
        }
        let runs = self.store.view.load().runs.clone();
        let Some(range) = choose(&runs, self.store.options.memtable_bytes as u64) else {
            return Ok(false);
        };
        self.merge(&runs[range.clone()], range.end == runs.len())?;
        Ok(true)
    }

    /// Writes the oldest waiting table to a run; `false` if none waits.
    fn flush(&mut self) -> Result<bool> {
        let waiting = self
            .backlog
            .state
            .lock()
            .sealed
            .front()
            .map(|sealed| (sealed.table.clone(), sealed.next_log));
        let Some((table, next_log)) = waiting else {
            return Ok(false);
        };
        let mut writer = self.new_run()?;
        let written = table.try_each(|entry, bytes| writer.push(entry, bytes));
        let run = finish(writer, written)?.map(Arc::new);
        let mut manifest = self.manifest.clone();
        manifest.log = next_log;
        manifest.runs.splice(0..0, run.iter().map(|run| run.id));
        let logs = self.manifest.log..next_log;
        self.replace(manifest, run.as_deref())?;
        self.store.view.rcu(|view| {
            let mut view = View::clone(view);
            view.sealed.retain(|other| !Arc::ptr_eq(other, &table));
            view.runs.splice(0..0, run.clone());
            view
        });
        self.backlog.state.lock().sealed.pop_front();
        self.backlog.changed.notify_all();
        for log in logs {
            Wal::retire(&*self.store.disk, &self.store.directory, log)?;
        }
        Ok(true)
    }

    /// Merges neighbours into one run. `to_the_end`: nothing older is left, so what is dead needs no tombstone.
    fn merge(&mut self, inputs: &[Arc<Run>], to_the_end: bool) -> Result<()> {
        let mut writer = self.new_run()?;
        let copied = self.copy(inputs, to_the_end, &mut writer);
        let run = match copied {
            Ok(false) => {
                writer.discard();
                return Ok(());
            }
            Ok(true) => finish(writer, Ok(()))?,
            Err(error) => finish(writer, Err(error))?,
        };
        let run = run.map(Arc::new);
        let is_input = |id: u64| inputs.iter().any(|input| input.id == id);
        let mut manifest = self.manifest.clone();
        let at = manifest
            .runs
            .iter()
            .position(|&id| is_input(id))
            .unwrap_or(0);
        manifest
            .runs
            .splice(at..at + inputs.len(), run.iter().map(|run| run.id));
        self.replace(manifest, run.as_deref())?;
        self.store.view.rcu(|view| {
            let mut view = View::clone(view);
            view.runs.splice(at..at + inputs.len(), run.clone());
            view
        });
        for input in inputs {
            if let Err(error) = self.store.disk.remove(&input.path) {
                tracing::warn!(path = %input.path.display(), %error, "cannot remove a merged run; the next start does");
            }
        }
        Ok(())
    }

    /// Copies what is alive; `false` if the store closes meanwhile.
    fn copy(
        &mut self,
        inputs: &[Arc<Run>],
        to_the_end: bool,
        writer: &mut RunWriter,
    ) -> Result<bool> {
        let everything = Range {
            from: Vec::new(),
            until: vec![0xff],
            reverse: false,
        };
        let mut scan = Scan::of_runs(inputs, everything)?;
        let now = self.store.clock.seconds();
        let mut tombstone = Vec::new();
        let mut count = 0;
        while let Some(bytes) = scan.next()? {
            count += 1;
            if count % LOOK_UP == 0 {
                if self.backlog.is_closing() {
                    return Ok(false);
                }
                while self.backlog.is_waiting() {
                    self.flush()?;
                }
            }
            let Some((entry, _)) = Entry::parse(&bytes) else {
                return Err(corrupt(
                    "an entry that cannot be read",
                    &self.store.directory,
                ));
            };
            let is_live = entry
                .content
                .is_some_and(|content| rule::is_live(content.expires, now));
            if is_live {
                writer.push(&entry, &bytes)?;
            } else if !to_the_end {
                let dead = Entry {
                    key: entry.key,
                    content: None,
                };
                tombstone.clear();
                dead.encode(&mut tombstone);
                writer.push(&dead, &tombstone)?;
            }
        }
        Ok(true)
    }

    /// Starts a run under a number that was never used.
    fn new_run(&mut self) -> Result<RunWriter> {
        let id = self.manifest.next;
        self.manifest.next += 1;
        RunWriter::create(&self.store.disk, &self.store.directory, id)
    }

    /// Puts a manifest in force that names this run. If that cannot be begun the run goes again.
    fn replace(&mut self, manifest: Manifest, run: Option<&Run>) -> Result<()> {
        let (disk, directory) = (&*self.store.disk, &self.store.directory);
        let prepared = match manifest.prepare(disk, directory) {
            Ok(prepared) => prepared,
            Err(error) => {
                if let Some(run) = run
                    && let Err(error) = disk.remove(&run.path)
                {
                    tracing::warn!(path = %run.path.display(), %error, "cannot remove a run in vain; the next start does");
                }
                return Err(error);
            }
        };
        let published = prepared.publish(disk);
        published.map_err(|error| self.store.health.broken(error))?;
        self.manifest = manifest;
        Ok(())
    }
}

fn finish(writer: RunWriter, written: Result<()>) -> Result<Option<Run>> {
    match written {
        Ok(()) => writer.finish(),
        Err(error) => {
            writer.discard();
            Err(error)
        }
    }
}
