//! One generation as this node lives it: its Raft, the ways to the others, and when a quorum was heard of.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use openraft::{
    Config, EmptyNode, Raft, RaftNetwork, RaftNetworkFactory, ServerState, Snapshot, SnapshotMeta,
    SnapshotPolicy, Vote,
    error::{
        Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
    },
    network::{Backoff, RPCOption},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest,
        InstallSnapshotResponse, SnapshotResponse, VoteRequest, VoteResponse,
    },
};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout};

use super::{
    CallError, Peers,
    speech::{Answer, Kind, message},
    store::{Entries, Machine, Types},
};
use crate::{
    NodeId,
    directory::{replica::Frozen, submit::Core, wire},
};

/// The leader's heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(100);
/// So long after a word of its leader nobody votes for another, and in so many more at most a voter asks for votes.
pub(super) const LEASE: Duration = Duration::from_millis(450);
/// How long one message of Raft may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many entries the log keeps behind a snapshot, and about how many more until the next. A batch has up to 512 commands,
/// some 64 KiB; most have far fewer.
const LOG_KEEP: u64 = 1_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("the peer does not answer")]
struct NoAnswer;

/// Parts of a snapshot that have come so far: from one leader at a time.
#[derive(Default)]
struct Incoming {
    id: u64,
    next: u32,
    frozen: Frozen,
}

/// What all parts of a generation share.
pub(super) struct Ways {
    me: NodeId,
    /// The generation.
    pub(super) generation: u64,
    peers: Arc<dyn Peers>,
    /// When each voter last answered this leader.
    acks: Mutex<BTreeMap<u64, Instant>>,
    voters: Mutex<Vec<BTreeSet<u64>>>,
    /// When a quorum was last heard of through a leader.
    contact: Mutex<Option<Instant>>,
    /// When this node last looked at everything: one that was stopped for a while knows nothing until it has.
    looked: Mutex<Instant>,
    /// The newest generation heard of.
    pub(super) newer: AtomicU64,
    incoming: Mutex<Incoming>,
    /// Whom the others cannot reach, and since when that counts.
    pub(super) reports: Mutex<BTreeMap<NodeId, (Instant, BTreeSet<NodeId>)>>,
}

/// One generation.
pub(super) struct Live {
    /// What its parts share.
    pub(super) ways: Arc<Ways>,
    /// Its Raft.
    pub(super) raft: Raft<Types>,
}

impl Live {
    /// A node of this generation that knows nothing yet.
    ///
    /// # Errors
    /// Raft does not start.
    pub(super) async fn begin(
        core: &Arc<Core>,
        peers: Arc<dyn Peers>,
        generation: u64,
    ) -> Result<Self, Fatal<u64>> {
        let ways = Arc::new(Ways {
            me: core.me(),
            generation,
            peers,
            acks: Mutex::default(),
            voters: Mutex::default(),
            contact: Mutex::default(),
            looked: Mutex::new(Instant::now()),
            newer: AtomicU64::new(generation),
            incoming: Mutex::default(),
            reports: Mutex::default(),
        });
        let config = Config {
            cluster_name: format!("directory-{generation}"),
            heartbeat_interval: HEARTBEAT.as_millis() as u64,
            election_timeout_min: 250,
            election_timeout_max: LEASE.as_millis() as u64,
            install_snapshot_timeout: 60_000,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(LOG_KEEP),
            max_in_snapshot_log_to_keep: LOG_KEEP,
            replication_lag_threshold: 2 * LOG_KEEP,
            purge_batch_size: 64,
            ..Config::default()
        };
        core.begin(generation);
        let machine = Machine::new(core.clone(), generation);
        let raft = Raft::new(
            core.me().0,
            Arc::new(config),
            Factory(ways.clone()),
            Entries::default(),
            machine,
        )
        .await?;
        Ok(Self { ways, raft })
    }

    /// Who leads, as far as this node knows.
    pub(super) fn leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow().current_leader.map(NodeId)
    }

    /// Whether this node leads, and is to.
    pub(super) fn leads(&self) -> bool {
        self.is_leader() == (true, true)
    }

    /// Raft 0.9 leaves a leader that lost its vote in office. It falls silent, so that the voters elect one of them.
    pub(super) fn retire(&self) {
        let retires = self.is_leader() == (true, false);
        self.raft.runtime_config().heartbeat(!retires);
    }

    /// Whether Raft has this node lead, and whether it votes.
    fn is_leader(&self) -> (bool, bool) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let mut voters = metrics.membership_config.membership().voter_ids();
        let votes = voters.any(|v| v == self.ways.me.0);
        (metrics.state == ServerState::Leader, votes)
    }

    /// How long ago a quorum was heard of; `None` if never.
    pub(super) fn silence(&self) -> Option<Duration> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let config = metrics.membership_config.membership().get_joint_config();
        self.ways.voters.lock().clone_from(config);
        let heard = if metrics.state == ServerState::Leader {
            self.ways.quorum_age()
        } else {
            (*self.ways.contact.lock()).map(|at| at.elapsed())
        };
        heard.map(|silence| silence.max(self.ways.absence()))
    }

    /// Answers a message of this generation that is Raft's.
    pub(super) async fn answer(&self, kind: Kind, body: Bytes) -> Answer {
        match kind {
            Kind::Append => self.append(body).await,
            Kind::Vote => match unpack::<VoteRequest<u64>>(&body) {
                Some(request) => match self.raft.vote(request).await {
                    Ok(response) => Answer::Done(pack(&response)),
                    Err(_) => Answer::Away,
                },
                None => Answer::Away,
            },
            Kind::Part => self.part(&body).await,
            _ => Answer::Away,
        }
    }

    async fn append(&self, body: Bytes) -> Answer {
        let Some(age) = body.get(..4).and_then(|b| b.try_into().ok()) else {
            return Answer::Away;
        };
        let age = Duration::from_millis(u32::from_be_bytes(age).into());
        let Some(request) = unpack::<AppendEntriesRequest<Types>>(&body[4..]) else {
            return Answer::Away;
        };
        let Ok(response) = self.raft.append_entries(request).await else {
            return Answer::Away;
        };
        if !matches!(response, AppendEntriesResponse::HigherVote(_))
            && let Some(at) = Instant::now().checked_sub(age)
        {
            let mut contact = self.ways.contact.lock();
            *contact = Some(contact.map_or(at, |before| before.max(at)));
        }
        Answer::Done(pack(&response))
    }

    async fn part(&self, body: &Bytes) -> Answer {
        let Some((head, part)) = body.split_at_checked(13) else {
            return Answer::Away;
        };
        let mut id = [0; 8];
        id.copy_from_slice(&head[..8]);
        let mut index = [0; 4];
        index.copy_from_slice(&head[8..12]);
        let (id, index, last) = (
            u64::from_be_bytes(id),
            u32::from_be_bytes(index),
            head[12] == 1,
        );
        let whole = {
            let mut incoming = self.ways.incoming.lock();
            if index == 0 {
                *incoming = Incoming {
                    id,
                    ..Incoming::default()
                };
            }
            if incoming.id != id || incoming.next != index {
                return Answer::Away;
            }
            incoming.next += 1;
            if !last {
                return match wire::take_part(&mut incoming.frozen, part) {
                    Ok(()) => Answer::Done(Bytes::new()),
                    Err(_) => Answer::Away,
                };
            }
            std::mem::take(&mut *incoming).frozen
        };
        let Some((vote, meta)) = unpack::<(Vote<u64>, SnapshotMeta<u64, EmptyNode>)>(part) else {
            return Answer::Away;
        };
        let snapshot = Snapshot {
            meta,
            snapshot: Box::new(whole),
        };
        match self.raft.install_full_snapshot(vote, snapshot).await {
            Ok(response) => Answer::Done(pack(&response)),
            Err(_) => Answer::Away,
        }
    }
}

impl Ways {
    /// How long ago a majority of each half of the voters answered this leader.
    fn quorum_age(&self) -> Option<Duration> {
        let acks = self.acks.lock();
        let now = Instant::now();
        let of = |voters: &BTreeSet<u64>| {
            let age = |voter: &u64| {
                if *voter == self.me.0 {
                    return Duration::ZERO;
                }
                acks.get(voter).map_or(Duration::MAX, |at| now - *at)
            };
            let mut ages: Vec<_> = voters.iter().map(age).collect();
            ages.sort_unstable();
            ages.get(voters.len() / 2).copied()
        };
        let worst = self.voters.lock().iter().filter_map(of).max()?;
        (worst < Duration::MAX).then_some(worst)
    }

    /// How long this node has not looked at anything: it may have been stopped.
    pub(super) fn absence(&self) -> Duration {
        self.looked.lock().elapsed()
    }

    /// It looks now.
    pub(super) fn look(&self) {
        *self.looked.lock() = Instant::now();
    }

    /// Notes a generation that somebody spoke of.
    pub(super) fn heard_of(&self, generation: u64) {
        self.newer.fetch_max(generation, Ordering::AcqRel);
    }

    /// Asks a peer.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) async fn ask(
        &self,
        to: NodeId,
        kind: Kind,
        body: &[u8],
        within: Duration,
    ) -> Result<Answer, CallError> {
        let call = self
            .peers
            .call(to, message(kind, self.generation, body), within);
        // A transport that forgets its own limit must not hold Raft up.
        let bytes = timeout(within, call)
            .await
            .map_err(|_| CallError::Unknown)??;
        let answer = Answer::decode(&bytes);
        if let Answer::Newer(generation) = answer {
            self.heard_of(generation);
        }
        Ok(answer)
    }
}

struct Factory(Arc<Ways>);

impl RaftNetworkFactory<Types> for Factory {
    type Network = Way;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Way {
        Way {
            ways: self.0.clone(),
            target,
        }
    }
}

/// The way to one peer.
struct Way {
    ways: Arc<Ways>,
    target: u64,
}

type Rpc<T> = Result<T, RPCError<u64, EmptyNode, RaftError<u64>>>;

impl Way {
    async fn exchange(&self, kind: Kind, body: &[u8], within: Duration) -> Result<Bytes, NoAnswer> {
        match self.ways.ask(NodeId(self.target), kind, body, within).await {
            Ok(Answer::Done(bytes)) => Ok(bytes),
            _ => Err(NoAnswer),
        }
    }

    async fn rpc<T: DeserializeOwned>(
        &self,
        kind: Kind,
        body: &[u8],
        option: &RPCOption,
    ) -> Rpc<T> {
        let within = option.hard_ttl().min(PATIENCE);
        let bytes = self
            .exchange(kind, body, within)
            .await
            .map_err(|e| RPCError::Unreachable(Unreachable::new(&e)))?;
        unpack(&bytes).ok_or_else(|| RPCError::Network(NetworkError::new(&NoAnswer)))
    }

    async fn send_snapshot(
        &self,
        vote: Vote<u64>,
        snapshot: Snapshot<Types>,
    ) -> Result<SnapshotResponse<u64>, NoAnswer> {
        let id = foldhash::fast::RandomState::default();
        let id = std::hash::BuildHasher::hash_one(&id, self.target);
        let mut index = 0u32;
        let numbered = |index: u32, last: bool, part: &[u8]| {
            let mut body = BytesMut::with_capacity(13 + part.len());
            body.put_u64(id);
            body.put_u32(index);
            body.put_u8(last.into());
            body.put_slice(part);
            body.freeze()
        };
        for part in wire::parts(&snapshot.snapshot) {
            let body = numbered(index, false, &part);
            self.exchange(Kind::Part, &body, PATIENCE).await?;
            index += 1;
        }
        let body = numbered(index, true, &pack(&(vote, snapshot.meta)));
        // The other one builds its replica from it.
        let bytes = self.exchange(Kind::Part, &body, 5 * PATIENCE).await?;
        unpack(&bytes).ok_or(NoAnswer)
    }
}

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<u64>> {
        let sent = Instant::now();
        let age = self.ways.quorum_age().unwrap_or(Duration::MAX);
        let age = u32::try_from(age.as_millis()).unwrap_or(u32::MAX);
        let mut body = age.to_be_bytes().to_vec();
        body.extend_from_slice(&pack(&rpc));
        let response = self.rpc(Kind::Append, &body, &option).await?;
        if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
            self.ways.acks.lock().insert(self.target, sent);
        }
        Ok(response)
    }

    async fn install_snapshot(
        &mut self,
        _: InstallSnapshotRequest<Types>,
        _: RPCOption,
    ) -> Result<
        InstallSnapshotResponse<u64>,
        RPCError<u64, EmptyNode, RaftError<u64, openraft::error::InstallSnapshotError>>,
    > {
        // Snapshots go whole, by `full_snapshot`.
        Err(RPCError::Unreachable(Unreachable::new(&NoAnswer)))
    }

    async fn vote(&mut self, rpc: VoteRequest<u64>, option: RPCOption) -> Rpc<VoteResponse<u64>> {
        self.rpc(Kind::Vote, &pack(&rpc), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot) =>
                sent.map_err(|e| StreamingError::Unreachable(Unreachable::new(&e))),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(HEARTBEAT))
    }
}

fn pack<T: Serialize>(value: &T) -> Bytes {
    minicbor_serde::to_vec(value)
        .expect("memory takes all")
        .into()
}

fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    minicbor_serde::from_slice(bytes).ok()
}
