//! A line: what one node is told of one session, and how far it has confirmed that.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use cluster::NodeId;
use parking_lot::Mutex;

use super::{millis, state::Delta, store::Update};
use crate::routing::{
    Order, Router, SessionHandle,
    peers::{Kind, frame},
};

/// What a node is told of one session.
pub(super) struct Line {
    pub(super) node: NodeId,
    /// The session; `None`: its home is not loaded yet.
    handle: Option<Arc<SessionHandle>>,
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
    /// The update with which all of the session was told.
    whole: AtomicU64,
    /// Who was told before: that node keeps what it knows until this one knows all.
    former: Mutex<Option<Stream>>,
}

impl Line {
    /// How many updates are not known there yet.
    pub(super) fn unconfirmed(&self) -> u64 {
        let sent = self.sent.load(Ordering::Acquire);
        sent.saturating_sub(self.confirmed.load(Ordering::Acquire))
    }

    /// The session is told that it may go on.
    pub(super) fn wake(&self) {
        if let Some(handle) = &self.handle {
            handle.mailbox.order(Order::Replicated);
        }
    }

    /// The other node knows all that was told up to this update.
    pub(super) fn confirm(&self, upto: u64) {
        self.confirmed.fetch_max(upto, Ordering::AcqRel);
        if upto >= self.whole.load(Ordering::Acquire) {
            self.forget_former();
        }
    }

    /// Whoever was told before need not know the session any more.
    pub(super) fn forget_former(&self) {
        // Not dropped while the lock is held: it tells that node.
        let former = self.former.lock().take();
        drop(former);
    }

    /// Whether all that was told is known.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire) == self.sent.load(Ordering::Acquire)
    }
}

/// What one node is told of the session. When it is dropped, that node forgets what it knows.
pub(in crate::c2s) struct Stream {
    router: Arc<Router>,
    pub(super) line: Arc<Line>,
    number: u64,
    pub(super) began_ms: u64,
}

impl Stream {
    /// Nothing is told yet. `former`: who was told until now.
    pub(super) fn new(
        router: &Arc<Router>,
        handle: Option<Arc<SessionHandle>>,
        node: NodeId,
        former: Option<Self>,
    ) -> Self {
        let former = former.and_then(Self::known);
        let replicas = &router.replicas;
        let number = replicas.next.fetch_add(1, Ordering::Relaxed) + 1;
        let line = Arc::new(Line {
            node,
            handle,
            sent: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
            late: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            whole: AtomicU64::new(u64::MAX),
            former: Mutex::new(former),
        });
        replicas.line(number).lock().insert(number, line.clone());
        Self {
            began_ms: router.now_ms(),
            router: router.clone(),
            line,
            number,
        }
    }

    /// It, if its node knows the session; otherwise who was told before.
    fn known(self) -> Option<Self> {
        let former = self.line.former.lock().take();
        match former.is_some() {
            true => former,
            false => Some(self),
        }
    }

    /// What was told until now is all of the session.
    pub(super) fn is_whole(&self) {
        let sent = self.line.sent.load(Ordering::Acquire);
        self.line.whole.store(sent, Ordering::Release);
        if self.line.is_confirmed() {
            self.line.forget_former();
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
        self.send(&Update { number, of, deltas })
    }

    /// The session goes elsewhere: nobody need ask for it here, but it is kept until the stream is dropped.
    pub(super) fn leaves(&self) {
        self.send(&Update::LEAVES);
    }

    fn send(&self, update: &Update) -> bool {
        let Ok(encoded) = minicbor::to_vec(update) else {
            return false;
        };
        let body = frame::numbered(self.number, &encoded);
        self.router.peers.send(self.line.node, Kind::Replica, body)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let lines = self.router.replicas.line(self.number);
        lines.lock().remove(&self.number);
        self.tell(None, vec![Delta::Closed]);
    }
}
