//! Follow: from what the directory says to what the router knows.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use cluster::{
    NodeId,
    directory::{Command, Notice, Stage, View, raft::Liveness as _},
    link::{PeerInfo, PeerState},
};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep};

use super::{Inner, hands::Hands, serving::Serving, status::Phase};
use crate::routing::peers::View as Serves;

/// How often is looked without being told: reachability is a matter of time.
const TICK: Duration = Duration::from_millis(200);
/// How often this node looks whether it is to go on to its next stage.
const STEP: Duration = Duration::from_millis(50);
/// How long a node that is not yet to serve waits for its links to all members.
const LINKED: Duration = Duration::from_secs(5);
/// How long a process that is gone and was no member is remembered.
const STRANGER: Duration = Duration::from_secs(60);

/// What this node goes by.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) serving: Serving,
    /// The generation of the directory, and since when.
    generation: Option<(u64, Instant)>,
    /// Peers that are gone and no members, and since when.
    strangers: HashMap<NodeId, Instant>,
}

/// Follows until the task is ended.
pub(super) async fn run(inner: Arc<Inner>, hands: Arc<Hands>) {
    let Some(seat) = inner.seat() else { return };
    let mut events = seat.directory().events();
    let mut changed = hands.changed.subscribe();
    let mut fallen = inner.fallen.clone();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_over = tokio::select! {
            notice = events.next() => matches!(notice, Some(Notice::Fallen) | None),
            _ = fallen.wait_for(|fallen| *fallen) => true,
            _ = changed.changed() => false,
            _ = ticks.tick() => seat.directory().status().fallen,
        };
        if is_over {
            inner.fall();
            return;
        }
        inner.look();
    }
}

impl Inner {
    fn fall(&self) {
        if self.leaving.has_begun() {
            // It is over because this node said so.
            return;
        }
        tracing::error!("this life of the node is over: others take over what it served");
        self.phase.send_replace(Phase::Fallen);
    }

    /// Looks at everything once.
    fn look(&self) {
        let Some(seat) = self.seat() else { return };
        let view = seat.directory().view();
        let peers = self.lines.peers();
        let members = view.seats.iter().map(|seat| seat.member.node);
        let others = members.filter(|node| *node != self.me()).collect();
        let met = peers.iter().map(|peer| peer.node).collect();
        self.liveness.look(&others, &met);
        if let Some(watcher) = self.watcher.get() {
            let up = peers.iter().filter(|peer| peer.state == PeerState::Up);
            watcher.set_peers(up.count());
        }
        self.go_on(&view);
        self.forget_strangers(&view, &peers);
    }

    /// Serves by this view from now on, unless what was is to count on.
    fn go_on(&self, view: &View) {
        let mut followed = self.followed.lock();
        let now = Instant::now();
        let since = match followed.generation {
            Some((generation, since)) if generation == view.generation() => since,
            _ => followed.generation.insert((view.generation(), now)).1,
        };
        let unreachable = self.liveness.unreachable();
        let step = followed.serving.go_on(view, now - since, &unreachable);
        let stage = followed.serving.stage(self.me());
        drop(followed);
        let Some(step) = step else { return };
        for seat in &view.seats {
            if seat.member.node != self.me() {
                seat.member
                    .links
                    .iter()
                    .for_each(|at| self.lines.connect(at));
            }
        }
        if step.dead.contains(&self.me()) {
            return self.fall();
        }
        // In this order: nothing more comes from it, nothing more is placed on it, and what it was asked is asked of others.
        for node in &step.dead {
            tracing::info!(node = %super::status::hex(*node), "a node is gone");
            self.lines.forget(*node);
        }
        if step.changes {
            tracing::info!(
                epoch = view.epoch,
                members = step.members.len(),
                "who serves has changed"
            );
        }
        let serving = Serves {
            epoch: view.epoch,
            members: step.members,
        };
        self.intake.view_changed(serving, &step.dead);
        if stage == Some(Stage::Ready) {
            self.phase.send_if_modified(|phase| {
                let joins = *phase == Phase::Joining;
                if joins {
                    *phase = Phase::Serving;
                }
                joins
            });
        }
    }

    /// Processes that came and went without becoming members.
    fn forget_strangers(&self, view: &View, peers: &[PeerInfo]) {
        let mut followed = self.followed.lock();
        let gone = peers.iter().filter(|peer| {
            let is_known = view.seat(peer.node).is_some();
            let is_kept = followed.serving.stage(peer.node).is_some();
            matches!(peer.state, PeerState::Gone(_)) && !is_known && !is_kept
        });
        let gone: BTreeSet<NodeId> = gone.map(|peer| peer.node).collect();
        followed.strangers.retain(|node, _| gone.contains(node));
        for node in gone {
            let since = *followed.strangers.entry(node).or_insert_with(Instant::now);
            if since.elapsed() >= STRANGER {
                self.lines.forget(node);
            }
        }
    }

    /// Whether there are links to all who can be reached.
    fn is_linked(&self, view: &View) -> bool {
        let peers = self.lines.peers();
        let unreachable = self.liveness.unreachable();
        view.seats.iter().all(|seat| {
            let node = seat.member.node;
            let is_linked = |peer: &PeerInfo| {
                peer.node == node
                    && peer.state == PeerState::Up
                    && peer.lanes.iter().all(|lane| lane.is_connected)
            };
            node == self.me() || unreachable.contains(&node) || peers.iter().any(is_linked)
        })
    }
}

/// Brings this node from one stage to the next, in each generation of the directory.
pub(super) async fn keep_stage(inner: Arc<Inner>) {
    let Some(seat) = inner.seat() else { return };
    let mut waited: Option<Instant> = None;
    loop {
        sleep(STEP).await;
        let view = seat.directory().view();
        let stage = view.seat(inner.me()).map(|seat| seat.stage);
        let command = match (stage, inner.leaving.has_begun()) {
            (Some(Stage::Up), false) => {
                let since = *waited.get_or_insert_with(Instant::now);
                if !inner.is_linked(&view) && since.elapsed() < LINKED {
                    continue;
                }
                Command::NodeReady(inner.me())
            }
            (Some(Stage::Ready), true) => Command::NodeDraining(inner.me()),
            _ => {
                waited = None;
                continue;
            }
        };
        if let Err(error) = seat.directory().submit(command).await {
            tracing::debug!(%error, "a change of this node's stage waits");
        }
    }
}
