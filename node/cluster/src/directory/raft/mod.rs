//! The directory over Raft: 1, 3 or 5 voters order the batches, all other members are observers.
//!
//! Memory only. A life has one Raft in a generation and never a second; when the majority is lost for good a new generation
//! is founded through the record of the [`founder`], which all who live join under their ids, and re-assert.

mod duties;
pub mod founder;
mod keeper;
mod live;
mod speech;
mod store;
mod verdict;
mod voters;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use openraft::ServerState;
use tokio::time::timeout;

pub use founder::{Fixed, Founder, NOBODY, OutOfReach, Record};
use live::Live;
use speech::{Answer, Kind};
use store::Logged;

use super::{
    Command, Directory, Entry, Events, FENCE, Member, Reply, Role, Status, SubmitError, View,
    submit::{AppendError, Core, Log},
};
use crate::NodeId;

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It was not sent.
    #[error("the call was not sent")]
    NotSent,
    /// It may have been.
    #[error("the call was not answered")]
    Unknown,
}

/// The way to other nodes. The other end gives what comes to [`RaftDirectory::handle`].
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Whom this node knows, members or not.
    fn known(&self) -> Vec<NodeId>;

    /// Asks one of them. Bodies have up to 1.5 MiB.
    ///
    /// # Errors
    /// [`CallError`].
    async fn call(&self, to: NodeId, body: Bytes, within: Duration) -> Result<Bytes, CallError>;
}

/// What the links of this node know of others.
pub trait Liveness: Send + Sync + 'static {
    /// Who cannot be reached now: silent for 1.5 s, or connections refused for 0.1 s.
    fn unreachable(&self) -> BTreeSet<NodeId>;
}

/// How often it is tried to write that nobody is there any more.
const RELEASES: usize = 3;

/// What it needs.
pub struct Setup {
    /// This node.
    pub member: Member,
    /// The way to the others.
    pub peers: Arc<dyn Peers>,
    /// What the links know.
    pub liveness: Arc<dyn Liveness>,
    /// Who founds.
    pub founder: Arc<dyn Founder>,
}

pub(super) struct Inner {
    core: Arc<Core>,
    member: Arc<Member>,
    peers: Arc<dyn Peers>,
    liveness: Arc<dyn Liveness>,
    founder: Arc<dyn Founder>,
    live: ArcSwapOption<Live>,
}

/// The directory over Raft.
pub struct RaftDirectory {
    inner: Arc<Inner>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl RaftDirectory {
    /// Starts; it finds or founds the directory and becomes a member by itself. [`Command::NodeReady`] is the caller's.
    pub fn start(setup: Setup) -> Self {
        let inner = Arc::new(Inner {
            core: Core::new(setup.member.node),
            member: Arc::new(setup.member),
            peers: setup.peers,
            liveness: setup.liveness,
            founder: setup.founder,
            live: ArcSwapOption::empty(),
        });
        let (sender, keeper) = (inner.clone(), inner.clone());
        let tasks = vec![
            tokio::spawn(async move { sender.core.run(&*sender).await }),
            tokio::spawn(async move { keeper::run(keeper).await }),
        ];
        Self { inner, tasks }
    }

    /// Answers what another node asks.
    pub async fn handle(&self, from: NodeId, body: Bytes) -> Bytes {
        self.inner.handle(from, body).await.encode()
    }

    /// Ends it when this life was declared over by itself. Where that was the last member, the record says so, and who comes
    /// next founds at once; should that not be written, it waits as after a death.
    pub async fn sign_off(&self) {
        let is_last = || {
            let live = self.inner.live.load_full()?;
            let in_contact = live.silence().is_some_and(|silence| silence < FENCE);
            let is_last = live.leads() && in_contact && self.view().seats.is_empty();
            is_last.then_some(live.ways.generation)
        };
        let generation = is_last();
        self.stop().await;
        if let Some(generation) = generation {
            self.release(generation).await;
        }
    }

    /// Says in the record that nobody keeps a generation any more, unless there is another one.
    async fn release(&self, generation: u64) {
        let founder = &self.inner.founder;
        // A beat may be under way.
        for _ in 0..RELEASES {
            match founder.read().await {
                Ok(Some(record)) if record.generation == generation => {
                    let next = Record {
                        founder: NOBODY,
                        beat: record.beat + 1,
                        ..record
                    };
                    if founder.swap(Some(record), next).await != Ok(false) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Ends it, without a word to the others.
    pub async fn stop(&self) {
        self.inner.core.set_open(false);
        self.inner.core.end();
        for task in &self.tasks {
            task.abort();
        }
        if let Some(live) = self.inner.live.swap(None) {
            // What Raft's tasks say at their end changes nothing.
            let _ = live.raft.shutdown().await;
        }
    }
}

impl Drop for RaftDirectory {
    fn drop(&mut self) {
        self.inner.core.end();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Inner {
    async fn handle(&self, from: NodeId, body: Bytes) -> Answer {
        let Some((kind, generation, body)) = speech::read(&body) else {
            return Answer::Away;
        };
        let Some(live) = self.live.load_full() else {
            return Answer::Away;
        };
        if kind == Kind::Probe {
            let mut told = live.ways.generation.to_be_bytes().to_vec();
            told.push(u8::from(self.core.is_open()));
            return Answer::Done(told.into());
        }
        if generation < live.ways.generation {
            return Answer::Newer(live.ways.generation);
        }
        live.ways.heard_of(generation);
        if generation > live.ways.generation || self.core.is_over() {
            return Answer::Away;
        }
        match kind {
            Kind::Forward if live.leads() => match write(&live, body).await {
                Ok(()) => Answer::Done(Bytes::new()),
                Err(_) => Answer::Away,
            },
            Kind::Join if live.leads() => duties::admit(self, &live, from).await,
            Kind::Report if live.leads() => {
                duties::take_report(&live, from, &body);
                Answer::Done(Bytes::new())
            }
            Kind::Forward | Kind::Join | Kind::Report => Answer::NotLeader,
            kind => live.answer(kind, body).await,
        }
    }

    fn is_member(&self) -> bool {
        self.core.replica().view().seat(self.core.me()).is_some()
    }
}

/// Puts a batch into the log, as its leader.
async fn write(live: &Live, batch: Bytes) -> Result<(), AppendError> {
    let written = live.raft.client_write(Logged(batch));
    // Whoever loses the lead meanwhile cannot say what becomes of it.
    match timeout(Duration::from_secs(2), written).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(AppendError::Unknown),
    }
}

#[async_trait]
impl Log for Inner {
    async fn append(&self, batch: Bytes) -> Result<(), AppendError> {
        let live = self.live.load_full().ok_or(AppendError::Not)?;
        let leader = live.leader().ok_or(AppendError::Not)?;
        if live.leads() {
            return write(&live, batch).await;
        }
        if leader == self.core.me() {
            return Err(AppendError::Not);
        }
        // A batch is done once, so a lost answer is asked for again soon.
        let within = Duration::from_millis(400);
        match live.ways.ask(leader, Kind::Forward, &batch, within).await {
            Ok(Answer::Done(_)) => Ok(()),
            Ok(Answer::NotLeader | Answer::Newer(_)) | Err(CallError::NotSent) => {
                Err(AppendError::Not)
            }
            _ => Err(AppendError::Unknown),
        }
    }
}

#[async_trait]
impl Directory for RaftDirectory {
    fn lookup(&self, account: &str) -> Option<Arc<[Entry]>> {
        self.inner.core.replica().lookup(account)
    }

    fn view(&self) -> Arc<View> {
        self.inner.core.replica().view()
    }

    async fn submit(&self, command: Command) -> Result<Reply, SubmitError> {
        // Fenced from the moment that contact is old, not from the next look at it.
        let live = self.inner.live.load_full();
        let silence = live.and_then(|l| l.silence());
        if silence.is_none_or(|s| s >= FENCE) && !self.inner.core.is_over() {
            return Err(SubmitError::Unavailable);
        }
        self.inner.core.submit(command).await
    }

    fn events(&self) -> Events {
        self.inner.core.replica().hub().listen()
    }

    fn status(&self) -> Status {
        let core = &self.inner.core;
        let live = self.inner.live.load_full();
        let silence = live.as_ref().and_then(|l| l.silence());
        let silence = silence.unwrap_or(Duration::MAX);
        let metrics = live.as_ref().map(|l| l.raft.metrics().borrow().clone());
        let votes = metrics.as_ref().is_some_and(|m| {
            let mut voters = m.membership_config.membership().voter_ids();
            voters.any(|v| v == core.me().0)
        });
        let role = match &metrics {
            _ if !self.inner.is_member() => Role::Joining,
            Some(m) if m.state == ServerState::Leader && votes => Role::Leader,
            Some(_) if votes => Role::Voter,
            Some(_) => Role::Observer,
            None => Role::Joining,
        };
        let applied = |m: &openraft::RaftMetrics<u64, openraft::EmptyNode>| {
            m.last_applied.map_or(0, |id| id.index + 1)
        };
        Status {
            role,
            leader: live.as_ref().and_then(|l| l.leader()),
            generation: live.as_ref().map_or(0, |l| l.ways.generation),
            lag: metrics.as_ref().map_or(0, |m| {
                m.last_log_index
                    .map_or(0, |i| i + 1)
                    .saturating_sub(applied(m))
            }),
            silence,
            fenced: !core.is_open() || silence >= FENCE,
            fallen: core.is_over(),
        }
    }
}

#[cfg(test)]
mod tests;
