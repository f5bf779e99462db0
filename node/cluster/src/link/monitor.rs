//! Watches the peers: who is heard, who is silent, whose process is gone; and ends connections that deliver nothing.
//!
//! One task compares what is with what was told, so that events come one by one and nothing that lasts is missed.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Duration, Instant, sleep};

use super::{Class, Event, Gone, inner::Inner, peer::Peer};
use crate::NodeId;

/// After so long without a word a peer is silent: three beats.
const SILENCE: Duration = Duration::from_millis(600);
/// After so long its control connection is given up for another one.
const DEAF: Duration = Duration::from_secs(2);
/// How often it is looked.
const LOOKS: Duration = Duration::from_millis(50);
/// If a look comes so much too late, this process itself did not run.
const STALL: Duration = Duration::from_millis(300);

/// What was told of a peer last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Told {
    #[default]
    Nothing,
    Up,
    Silent,
    Gone(Gone),
}

/// How a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// It is heard.
    Up,
    /// It is not, since then.
    Silent(Instant),
    /// Its process is gone.
    Gone(Gone),
}

/// A class of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneInfo {
    /// Which.
    pub class: Class,
    /// Whether there is a connection.
    pub is_connected: bool,
    /// Frames that were not acknowledged.
    pub queued_frames: usize,
    /// Their bytes.
    pub queued_bytes: usize,
}

/// A peer.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// Which life.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// What the link speaks.
    pub protocol: u16,
    /// What it told of itself.
    pub facts: Bytes,
    /// How it is.
    pub state: PeerState,
    /// How long a beat goes there and back, once it was measured.
    pub latency: Option<Duration>,
    /// Requests that wait for its answers.
    pub pending: usize,
    /// Its requests that are being worked on.
    pub serving: usize,
    /// Its classes.
    pub lanes: [LaneInfo; 3],
}

impl Inner {
    pub(super) fn peer_infos(&self) -> Vec<PeerInfo> {
        let now = Instant::now();
        let peers = self.peers();
        let mut infos: Vec<_> = peers.values().map(|peer| info(peer, now)).collect();
        infos.sort_by_key(|info| info.node);
        infos
    }
}

fn info(peer: &Peer, now: Instant) -> PeerInfo {
    let gone = *peer.gone.lock();
    let lane = |class| {
        let lane = peer.lane(class).outbound.lock();
        let (queued_frames, queued_bytes) = lane.queued();
        LaneInfo {
            class,
            is_connected: lane.is_attached,
            queued_frames,
            queued_bytes,
        }
    };
    PeerInfo {
        node: peer.node,
        name: peer.name.clone(),
        address: peer.address.clone(),
        protocol: peer.protocol,
        facts: peer.facts.clone(),
        state: match gone {
            Some(gone) => PeerState::Gone(gone),
            None if now.duration_since(peer.heard()) > SILENCE => PeerState::Silent(peer.heard()),
            None => PeerState::Up,
        },
        latency: peer.latency(),
        pending: peer.pending.count(),
        serving: peer.serving.count(),
        lanes: Class::ALL.map(lane),
    }
}

/// Watches until the links are stopped.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut changed = inner.changed.subscribe();
    let (mut looked, mut running_since) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            () = sleep(LOOKS) => {}
            // Its sender lives as long as this task.
            _ = changed.changed() => {}
        }
        let now = Instant::now();
        if now.duration_since(looked) > LOOKS + STALL {
            running_since = now;
            inner
                .handler
                .event(Event::Stalled(now.duration_since(looked)));
        }
        looked = now;
        let disowned = std::mem::take(&mut *inner.disowned.lock());
        for node in disowned {
            inner.handler.event(Event::Disowned(node));
        }
        for peer in inner.peers().values() {
            let heard = peer.heard().max(running_since);
            if let Some(event) = look(peer, heard, now) {
                inner.handler.event(event);
            }
            peer.lanes().for_each(|lane| lane.cut_if_stuck(now));
        }
    }
}

/// What is to be told of a peer that was heard last then.
fn look(peer: &Peer, heard: Instant, now: Instant) -> Option<Event> {
    let control = peer.lane(Class::Control);
    let (gone, is_away) = (*peer.gone.lock(), control.dial_from().is_some());
    let is_silent = now.duration_since(heard) > SILENCE;
    if !is_away && now.duration_since(heard) > DEAF {
        control.cut();
    }
    let mut told = peer.told.lock();
    let (next, event) = match (*told, gone) {
        // Also if its connection was gone at once: the caller must know whom it may have to forget.
        (Told::Nothing, _) => (Told::Up, Event::Up(peer.node)),
        (Told::Up | Told::Silent, Some(gone)) => (Told::Gone(gone), Event::Gone(peer.node, gone)),
        (Told::Up, _) if is_silent => (Told::Silent, Event::Silent(peer.node, heard)),
        (Told::Silent | Told::Gone(_), None) if !is_away && !is_silent => {
            (Told::Up, Event::Again(peer.node))
        }
        _ => return None,
    };
    *told = next;
    Some(event)
}
