//! Asks a source again and again, keeps its last good answer, tells what changed.
//!
//! A failure changes nothing: what was known stays known, and the next round comes later. A candidate goes after several
//! good answers in a row without it, since lists of clouds lag.

mod known;
mod pace;
mod task;

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use pace::Pace;
use task::Task;

use crate::{Candidate, Discovery, Error, ErrorKind, candidate::Candidates};

/// How a source is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How often it is asked.
    pub pace: Pace,
    /// How long one round may take.
    pub patience: Duration,
    /// After how many good answers in a row without it a candidate is gone.
    pub gone_after: u32,
    /// How many candidates stand at most; of more, those with the smallest addresses, and trouble is told.
    pub most: usize,
    /// How many events may wait for their reader. More are not made: what changed is told when there is room, as it is then.
    pub events: usize,
    /// This node's own addresses, which are no candidates.
    pub own: BTreeSet<SocketAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            patience: Duration::from_secs(15),
            gone_after: 3,
            most: 10_000,
            events: 256,
            own: BTreeSet::new(),
        }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A candidate is new, or something of it changed.
    Found(Candidate),
    /// A candidate is not in the answers any more. Says nothing of who is connected.
    Gone(Candidate),
    /// A round failed, or a part of it. What is known stays known. Of several that nobody read, the last is told.
    Trouble(Error),
}

/// Told of each round, for metrics. `source` is a [name](Discovery::name), of a part if a part failed.
pub trait Observer: Send + Sync + 'static {
    /// A source was asked.
    fn asked(&self, source: &'static str) {
        let _ = source;
    }
    /// It failed, or a part of it.
    fn failed(&self, source: &'static str, kind: ErrorKind) {
        let _ = (source, kind);
    }
    /// It answered, and this many candidates stand now.
    fn found(&self, source: &'static str, candidates: usize) {
        let _ = (source, candidates);
    }
}

/// Who watches for nobody's metrics.
impl Observer for () {}

/// A source under watch. Watching ends when this is dropped.
pub struct Watcher {
    commands: watch::Sender<Commands>,
    current: watch::Receiver<Arc<Candidates>>,
    task: JoinHandle<()>,
}

/// What the task is told.
#[derive(Debug, Clone, Copy, Default)]
struct Commands {
    /// How often it was told to ask at once.
    pokes: u64,
    /// How many peers this node has links to.
    peers: usize,
}

impl Watcher {
    /// Watches a source. Its events come in the receiver, which may also be dropped.
    pub fn start(
        source: Arc<dyn Discovery>,
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(options.events.max(1));
        let (publish, current) = watch::channel(Arc::default());
        let (commands, told) = watch::channel(Commands::default());
        let task = Task::new(source, options, observer, events, publish, told);
        let watcher = Self {
            commands,
            current,
            task: tokio::spawn(task.run()),
        };
        (watcher, receiver)
    }

    /// The candidates that stand, now and at each change.
    pub fn current(&self) -> watch::Receiver<Arc<Candidates>> {
        self.current.clone()
    }

    /// Asks at once, or as soon as the source's rate allows: for who knows that something changed.
    pub fn poke(&self) {
        self.commands.send_modify(|told| told.pokes += 1);
    }

    /// Says how many peers this node has links to. While there are none, it asks more often.
    pub fn set_peers(&self, peers: usize) {
        self.commands.send_if_modified(|told| {
            let changed = told.peers != peers;
            told.peers = peers;
            changed
        });
    }

    /// Ends watching, and waits until it has ended.
    pub async fn stop(mut self) {
        self.task.abort();
        // It was aborted: how it ended says nothing.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
