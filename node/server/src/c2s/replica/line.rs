//! A line: what one node is told of one session, and how far it has confirmed that.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use cluster::NodeId;

use super::{millis, state::Delta, store::Update};
use crate::{
    c2s::session::SessionCore,
    routing::{
        Router, SessionHandle,
        peers::{Kind, frame},
    },
};

/// What a node is told of one session.
pub(super) struct Line {
    pub(super) node: NodeId,
    pub(super) handle: Arc<SessionHandle>,
    /// The number of the last update.
    pub(super) sent: AtomicU64,
    /// Up to which it is known there.
    pub(super) confirmed: AtomicU64,
    /// Since when confirmation is waited for, in milliseconds since the node started.
    pub(super) since_ms: AtomicU64,
    /// It has been waited for too long.
    pub(super) late: AtomicBool,
    /// The other node does not follow.
    pub(super) refused: AtomicBool,
}

impl Line {
    /// How many updates are not known there yet.
    pub(super) fn unconfirmed(&self) -> u64 {
        let sent = self.sent.load(Ordering::Acquire);
        sent.saturating_sub(self.confirmed.load(Ordering::Acquire))
    }

    /// Whether all that was told is known.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire) == self.sent.load(Ordering::Acquire)
    }
}

/// What one node is told of the session. When it is dropped, that node forgets what it knows.
pub(super) struct Stream {
    router: Arc<Router>,
    pub(super) line: Arc<Line>,
    number: u64,
    pub(super) began_ms: u64,
}

impl Stream {
    /// Nothing is told yet.
    pub(super) fn new(core: &SessionCore, node: NodeId) -> Self {
        let router = core.router.clone();
        let replicas = &router.replicas;
        let number = replicas.next.fetch_add(1, Ordering::Relaxed) + 1;
        let line = Arc::new(Line {
            node,
            handle: core.handle.clone(),
            sent: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
            late: AtomicBool::new(false),
            refused: AtomicBool::new(false),
        });
        replicas.line(number).lock().insert(number, line.clone());
        Self {
            began_ms: router.now_ms(),
            router,
            line,
            number,
        }
    }

    /// Tells something. False: it is not on its way.
    pub(super) fn tell(&self, of: Option<(String, u64)>, deltas: Vec<Delta>) -> bool {
        let line = &self.line;
        if line.is_confirmed() {
            let now = millis(&self.router);
            line.since_ms.store(now, Ordering::Relaxed);
        }
        let number = line.sent.fetch_add(1, Ordering::AcqRel) + 1;
        let update = Update { number, of, deltas };
        let Ok(encoded) = minicbor::to_vec(&update) else {
            return false;
        };
        let body = frame::numbered(self.number, &encoded);
        self.router.peers.send(line.node, Kind::Replica, body)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let lines = self.router.replicas.line(self.number);
        lines.lock().remove(&self.number);
        self.tell(None, vec![Delta::Closed]);
    }
}
