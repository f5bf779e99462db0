//! The directory over Redis (or Valkey): the log is a stream, and Redis alone orders it.
//!
//! Every node reads the stream and applies it; who appends waits until its own entry came back. A node in contact renews a
//! lease of [`LEASE`]; whoever sees that one ran out appends, once, that its node is down. Where most of the others say that a
//! process is gone its lease is taken away. Correct it is without clocks and
//! leases: what counts is that all apply the same entries, and that the state machine refuses nodes that are not members.
//!
//! Redis may lose what it acknowledged (a restart, a failover). Each node knows index and mark of what it applied last, so it
//! sees that: then it founds a new generation, conditionally, and all say again what they hold.

mod place;
mod script;
mod session;

use std::{collections::BTreeSet, hash::BuildHasher, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep};

pub use place::Place;
use place::Way;

use super::{
    Command, Directory, Entry, Events, FENCE, Member, Reply, Role, Status, SubmitError, View,
    submit::{AppendError, Core, Log},
};
use crate::NodeId;

/// How long a lease lasts. Above [`FENCE`], so that a node is fenced before it is declared down.
pub const LEASE: Duration = Duration::from_millis(1_500);

/// What the links of this node know of others.
pub trait Witness: Send + Sync + 'static {
    /// Whose process is gone: its host refuses connections.
    fn gone(&self) -> BTreeSet<NodeId>;
}

/// What it needs.
pub struct Setup {
    /// This node.
    pub member: Member,
    /// Who may see that a process is gone before its lease runs out.
    pub witness: Arc<dyn Witness>,
    /// Where Redis is.
    pub place: Place,
    /// Whom to trust with TLS, as PEM; the system's roots if it is not said.
    pub roots: Option<Vec<u8>>,
    /// What the keys begin with; clusters that share a Redis differ in it.
    pub name: String,
}

/// How far this node is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    generation: u64,
    index: u64,
    mark: String,
    /// The last index that Redis was known to have.
    known: u64,
}

struct Inner {
    core: Arc<Core>,
    member: Arc<Member>,
    witness: Arc<dyn Witness>,
    way: Way,
    /// With the hash tag.
    name: String,
    connection: ArcSwapOption<Mutex<MultiplexedConnection>>,
    position: Mutex<Position>,
    contact: Mutex<Option<Instant>>,
}

/// The directory over Redis.
pub struct RedisDirectory {
    inner: Arc<Inner>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl RedisDirectory {
    /// Starts; it finds or founds the directory and becomes a member by itself. [`Command::NodeReady`] is the caller's.
    ///
    /// With `rediss://` the process must have a default provider of rustls.
    pub fn start(setup: Setup) -> Self {
        let name = format!("{{{}}}", setup.name);
        let inner = Arc::new(Inner {
            core: Core::new(setup.member.node),
            member: Arc::new(setup.member),
            witness: setup.witness,
            way: Way::new(setup.place, setup.roots, format!("{name}:tip")),
            name,
            connection: ArcSwapOption::empty(),
            position: Mutex::default(),
            contact: Mutex::default(),
        });
        let (sender, keeper) = (inner.clone(), inner.clone());
        let tasks = vec![
            tokio::spawn(async move { sender.core.run(&*sender).await }),
            tokio::spawn(async move { run(keeper).await }),
        ];
        Self { inner, tasks }
    }

    /// Ends it, without a word to the others: its lease runs out.
    pub fn stop(&self) {
        self.inner.core.set_open(false);
        self.inner.core.end();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for RedisDirectory {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Until this life is over: connects, and connects again.
async fn run(inner: Arc<Inner>) {
    while !inner.core.is_over() {
        match session::serve(&inner).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "the directory's Redis"),
        }
        inner.connection.store(None);
        inner.close_if_silent();
        sleep(Duration::from_millis(100)).await;
    }
}

impl Inner {
    fn key(&self, what: &str) -> String {
        format!("{}:{what}", self.name)
    }

    fn lease(&self, node: NodeId) -> String {
        self.key(&format!("live:{:016x}", node.0))
    }

    fn silence(&self) -> Duration {
        let contact = *self.contact.lock();
        contact.map_or(Duration::MAX, |at| at.elapsed())
    }

    fn close_if_silent(&self) {
        if self.silence() >= FENCE {
            self.core.set_open(false);
        }
    }

    fn is_member(&self) -> bool {
        self.core.replica().view().seat(self.core.me()).is_some()
    }
}

/// A mark that no other entry has.
fn mark() -> String {
    let random = foldhash::quality::RandomState::default();
    format!("{:016x}", random.hash_one(Instant::now()))
}

/// Whether a call that failed may have been done: not if the server itself refused it.
fn fate(error: &RedisError) -> AppendError {
    if error.code().is_some() {
        AppendError::Not
    } else {
        AppendError::Unknown
    }
}

#[async_trait]
impl Log for Inner {
    async fn append(&self, batch: Bytes) -> Result<(), AppendError> {
        let connection = self.connection.load_full().ok_or(AppendError::Not)?;
        let mut connection = connection.lock().clone();
        let generation = self.position.lock().generation;
        let mut call = script::APPEND.key(self.key("tip"));
        call.key(self.key("log")).key(self.lease(self.core.me()));
        call.arg(generation).arg(mark()).arg(&batch[..]);
        let index: i64 = call
            .invoke_async(&mut connection)
            .await
            .map_err(|error| fate(&error))?;
        if index < 0 {
            return Err(AppendError::Not);
        }
        let mut position = self.position.lock();
        if position.generation == generation {
            position.known = position.known.max(index.unsigned_abs());
        }
        Ok(())
    }
}

#[async_trait]
impl Directory for RedisDirectory {
    fn lookup(&self, account: &str) -> Option<Arc<[Entry]>> {
        self.inner.core.replica().lookup(account)
    }

    fn view(&self) -> Arc<View> {
        self.inner.core.replica().view()
    }

    async fn submit(&self, command: Command) -> Result<Reply, SubmitError> {
        // Fenced from the moment that contact is old, not from the next look at it.
        if self.inner.silence() >= FENCE && !self.inner.core.is_over() {
            return Err(SubmitError::Unavailable);
        }
        self.inner.core.submit(command).await
    }

    fn events(&self) -> Events {
        self.inner.core.replica().hub().listen()
    }

    fn status(&self) -> Status {
        let position = self.inner.position.lock().clone();
        let silence = self.inner.silence();
        Status {
            role: if self.inner.is_member() {
                Role::Observer
            } else {
                Role::Joining
            },
            leader: None,
            generation: position.generation,
            lag: position.known.saturating_sub(position.index),
            silence,
            fenced: !self.inner.core.is_open() || silence >= FENCE,
            fallen: self.inner.core.is_over(),
        }
    }
}

#[cfg(test)]
mod tests;
