//! A peer: one life of one other node, and what this node knows and keeps of it until that life is declared over.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::{
    Class, Limits,
    frame::Beat,
    hello::Hello,
    lane::Lane,
    monitor::Told,
    outbound::Unacknowledged,
    request::{Pending, Serving},
};
use crate::NodeId;

/// How long the side that was dialled waits before it dials what is missing itself: the other one is about to.
const FIRST_DIALS: Duration = Duration::from_millis(300);

/// See the file's head.
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) protocol: u16,
    pub(super) facts: Bytes,
    /// The number of this memory of the peer, and of the peer's memory of this node.
    pub(super) memory: u64,
    theirs: OnceLock<u64>,
    lanes: [Arc<Lane>; 3],
    pub(super) pending: Pending,
    pub(super) serving: Serving,
    pub(super) is_over: AtomicBool,
    started: Instant,
    /// When something came on the control connection, in microseconds since `started`.
    heard: AtomicU64,
    beat: Mutex<(u64, Instant)>,
    /// In microseconds; 0: not measured yet.
    latency: AtomicU64,
    /// Its process is gone, as was seen at its address since it was attached last.
    pub(super) gone: Mutex<Option<super::Gone>>,
    pub(super) told: Mutex<Told>,
}

impl Peer {
    pub(super) fn new(
        hello: &Hello,
        protocol: u16,
        limits: &Limits,
        is_dialler: bool,
        memory: u64,
    ) -> Self {
        let now = Instant::now();
        let dial_from = if is_dialler { now } else { now + FIRST_DIALS };
        let lane = |class: Class| {
            let limit = limits.of(class);
            Arc::new(Lane::new(class, limit, now, dial_from))
        };
        Self {
            node: hello.node(),
            name: hello.name.clone(),
            address: hello.advertised.clone(),
            protocol,
            facts: hello.facts(),
            memory,
            theirs: OnceLock::new(),
            lanes: Class::ALL.map(lane),
            pending: Pending::new(),
            serving: Serving::default(),
            is_over: AtomicBool::new(false),
            started: now,
            heard: AtomicU64::new(0),
            beat: Mutex::new((0, now)),
            latency: AtomicU64::new(0),
            gone: Mutex::new(None),
            told: Mutex::default(),
        }
    }

    pub(super) fn lane(&self, class: Class) -> &Arc<Lane> {
        &self.lanes[class as usize]
    }
    pub(super) fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.iter()
    }
    /// Whether the other side still has the memory of this node that it had at first.
    pub(super) fn is_remembered(&self, memory: u64) -> bool {
        *self.theirs.get_or_init(|| memory) == memory
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }
    /// Something came on the control connection.
    pub(super) fn hears(&self, now: Instant) {
        self.heard.fetch_max(self.micros(now), Relaxed);
    }
    /// When something came last.
    pub(super) fn heard(&self) -> Instant {
        self.started + Duration::from_micros(self.heard.load(Relaxed))
    }
    /// A beat came: the way there and back, without the time it was held there.
    pub(super) fn beats(&self, beat: Beat, now: Instant) {
        *self.beat.lock() = (beat.sent, now);
        if beat.echo > 0 {
            let way = self
                .micros(now)
                .saturating_sub(beat.echo.saturating_add(beat.held));
            self.latency.store(way.max(1), Relaxed);
        }
    }
    /// The beat to send.
    pub(super) fn beat(&self, now: Instant) -> Beat {
        let (echo, at) = *self.beat.lock();
        Beat {
            sent: self.micros(now).max(1),
            echo,
            held: u64::try_from(now.saturating_duration_since(at).as_micros()).unwrap_or(0),
        }
    }
    /// How long a beat goes there and back.
    pub(super) fn latency(&self) -> Option<Duration> {
        let micros = self.latency.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    /// Its life is over: the messages that were not acknowledged. Whoever waits for an answer gets [`super::LinkError::Closed`].
    pub(super) fn end(&self) -> Vec<Unacknowledged> {
        self.is_over.store(true, Relaxed);
        let left = self.lanes().flat_map(|lane| lane.close()).collect();
        self.pending.close();
        self.serving.cancel_all();
        left
    }
}
