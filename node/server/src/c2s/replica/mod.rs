//! Replicas: another node knows each session that can be resumed, so that it outlives the node where it is.
//!
//! Why: a session is in the memory of its account's home. When that dies the next in the order of places becomes the home;
//! that node was told of the session all the time, and goes on with it as with one that has moved.
//!
//! **Nothing leaves before it is known.** What a session writes is held back until the other node has confirmed what that
//! implies: then no client ever saw more than is known, and its counters are exact. A node that does not confirm for
//! [`PATIENCE`] is waited for no longer, unless no other is heard either; the session goes on, which is counted, and is told
//! of anew later.
//!
//! **What its home did and could not tell.** A stanza of the client may be done and its home dead before `h` said so. The
//! client sends it again, and for a while what a session sends that was left behind is *in doubt*: looked for in the
//! logs before it is appended (`home::account::doubt`).
//!
//! Source: XEP-0198 §5. Stored: nothing. Bounds: `store`; a session holds back what a slow reader may leave unsent.

mod doubtful;
mod following;
mod frames;
mod giving;
mod line;
mod orphans;
mod snapshot;
mod state;
mod store;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::NodeId;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::time::Instant;

pub use following::Following;
pub(super) use following::{commit, parked};
pub use frames::{confirmed, taken};
pub use giving::Giving;
pub(super) use line::Stream;
pub use orphans::{give_up, load_left, view_changed};
pub(super) use snapshot::standing;

use self::{
    line::Line,
    orphans::Early,
    store::{Name, Store},
};
use crate::routing::{Peers, Router};

/// How long a session waits for the other node.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long if nobody at all is heard meanwhile: then it may be this node that is cut off, and replaced.
const DEAF: Duration = Duration::from_secs(10);
/// Who was not swept for so long, in milliseconds, stood still: others may have gone on meanwhile, and its patience begins anew.
const STOOD_STILL_MS: u64 = 750;
/// After how long a node that did not follow a session is told of it anew.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked whether something came for sessions without connection.
const LAP: Duration = Duration::from_secs(1);
const SHARDS: usize = 16;

/// What is told to other nodes of sessions here, and what is known of theirs.
#[derive(Default)]
pub struct Replicas {
    next: AtomicU64,
    /// When it was last looked what is late, in milliseconds since the node started.
    swept_ms: AtomicU64,
    lines: [Mutex<HashMap<u64, Arc<Line>>>; SHARDS],
    /// Nodes that did not answer: nobody waits for them until they do.
    silent: Mutex<HashSet<NodeId>>,
    store: Mutex<Store>,
    /// Sessions that left, until they are known where they went: when that is waited for no longer, and who knew them.
    leaving: Mutex<HashMap<Name, (Instant, Stream)>>,
    /// By SM id, what the next node is told of sessions that were left behind, until their home does so.
    early: Mutex<HashMap<String, Early>>,
    /// When sessions without connection were looked after.
    looked: Mutex<Option<Instant>>,
    /// When another node was last heard, in milliseconds since this one started.
    heard_ms: AtomicU64,
    /// What other nodes are to be told, by node: numbers of lines, and up to which update they are known; 0: not at all.
    owed: Mutex<HashMap<NodeId, Vec<(u64, u64)>>>,
}

impl Replicas {
    fn line(&self, number: u64) -> &Mutex<HashMap<u64, Arc<Line>>> {
        &self.lines[number as usize % SHARDS]
    }

    /// Another node is heard.
    pub fn hear(&self, router: &Router) {
        self.heard_ms.store(millis(router), Ordering::Relaxed);
    }

    fn is_silent(&self, node: NodeId) -> bool {
        self.silent.lock().contains(&node)
    }

    /// Whether a node has been told more than it takes in, and has not answered.
    fn is_slow(&self, node: NodeId) -> bool {
        self.is_silent(node)
            && self.lines.iter().any(|lines| {
                let lines = lines.lock();
                let mut of_node = lines.values().filter(|line| line.node == node);
                of_node.any(|line| !line.is_confirmed())
            })
    }

    /// What is due by time.
    pub fn sweep(&self, router: &Arc<Router>, now: Instant) {
        if router.peers.generation() == 0 {
            return;
        }
        self.store.lock().expire(now);
        self.forget_left(now);
        let mut looked = self.looked.lock();
        if looked.is_none_or(|at| now.duration_since(at) >= LAP) {
            *looked = Some(now);
            router.parked.look_after_all(router);
        }
        drop(looked);
        let now_ms = millis(router);
        let (patience, deaf) = (PATIENCE.as_millis() as u64, DEAF.as_millis() as u64);
        let heard_ms = self.heard_ms.load(Ordering::Relaxed);
        let swept_ms = self.swept_ms.swap(now_ms, Ordering::Relaxed);
        let stood_still = now_ms.saturating_sub(swept_ms) > STOOD_STILL_MS;
        for shard in &self.lines {
            if stood_still {
                let lines = shard.lock();
                let begin_anew = |line: &Arc<Line>| line.since_ms.store(now_ms, Ordering::Relaxed);
                lines.values().for_each(begin_anew);
            }
            let late = |line: &&Arc<Line>| {
                let since_ms = line.since_ms.load(Ordering::Relaxed);
                let patience = if heard_ms > since_ms { patience } else { deaf };
                !line.is_confirmed()
                    && now_ms.saturating_sub(since_ms) > patience
                    && !line.late.load(Ordering::Relaxed)
            };
            let late: Vec<Arc<Line>> = shard.lock().values().filter(late).cloned().collect();
            for line in late {
                line.late.store(true, Ordering::Release);
                self.silent.lock().insert(line.node);
                line.wake();
            }
        }
    }

    /// The sessions of an account that other nodes left behind, for its home: this node, or the one that is named.
    pub fn take(
        &self,
        peers: &Peers,
        account: &str,
        to: Option<NodeId>,
        now_ms: u64,
    ) -> Vec<Vec<u8>> {
        let taken = self
            .store
            .lock()
            .take(account, to, |node| peers.has_left(node), now_ms);
        let encoded = taken.into_iter().filter_map(|session| {
            if to.is_some() {
                drop(self.take_early(&session.sm_id));
            }
            minicbor::to_vec(&session).ok()
        });
        encoded.collect()
    }

    /// What the next node was told of a session while its home was not loaded.
    fn take_early(&self, sm_id: &str) -> Option<Stream> {
        let early = self.early.lock().remove(sm_id);
        early.map(|early| early.stream)
    }

    /// How many sessions of others are known here, and how many bytes they take.
    pub fn held(&self) -> (usize, usize) {
        self.store.lock().size()
    }
}

fn millis(router: &Router) -> u64 {
    router.started.elapsed().as_millis() as u64
}
