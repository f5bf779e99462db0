//! Leaving: how a node goes without losing anything. Its steps, in order:
//!
//! 1. the directory is told, so that nothing is placed on it any more and the others ask for what it has;
//! 2. accounts with sessions go to their new homes, as at any change of the view;
//! 3. (the caller) connections end, some at a time, and what is under way finishes, while the links still carry it;
//! 4. the links have delivered what was sent, and this life is declared over by itself.
//!
//! Each step has a deadline. What is not handed over by then is as after a death: what was promised is in the store.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use cluster::{
    directory::{Command, Stage},
    link::{PeerInfo, PeerState},
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Inner, Membership,
    facts::Facts,
    status::{Leaving, Phase, Step},
};
use crate::intake;

/// How long the directory may take to let this node drain.
const TOLD: Duration = Duration::from_secs(5);
/// How often is looked what is left.
const LOOK: Duration = Duration::from_millis(50);
/// How often new homes are told again that there is something for them.
const NUDGE: Duration = Duration::from_millis(500);
/// How long it may be that no account goes, before those that are left are given up: longer than a new generation of the
/// directory waits for members, since nobody takes over meanwhile.
const STALLED: Duration = Duration::from_secs(20);
/// How long the links may take to deliver what was sent.
const SETTLED: Duration = Duration::from_secs(5);
/// How long the directory may take to declare this life over.
const SIGNED_OFF: Duration = Duration::from_secs(3);

/// How far leaving is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    now: Mutex<Option<(Step, usize, Instant)>>,
    /// Accounts that were not handed over in time.
    given_up: AtomicUsize,
    /// Until when handing over is to end, if somebody is in a greater hurry than the configuration.
    hurry: Mutex<Option<Instant>>,
}

impl Progress {
    pub(super) fn has_begun(&self) -> bool {
        self.now.lock().is_some()
    }

    fn set(&self, step: Step, accounts: usize) {
        let mut progress = self.now.lock();
        let (accounts, since) = match *progress {
            Some((_, accounts, since)) => (accounts, since),
            None => (accounts, Instant::now()),
        };
        *progress = Some((step, accounts, since));
    }

    /// With so many accounts left.
    pub(super) fn told(&self, left: usize) -> Option<Leaving> {
        let (step, accounts, since) = (*self.now.lock())?;
        Some(Leaving {
            step,
            accounts,
            left,
            elapsed_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            given_up: self.given_up.load(Ordering::Relaxed),
        })
    }
}

impl Membership {
    /// Handing over is to end then, whatever is configured.
    pub fn hurry(&self, until: Instant) {
        *self.0.leaving.hurry.lock() = Some(until);
    }

    /// Hands over what this node has: steps 1 and 2. How many accounts with sessions it had not handed over in time.
    pub async fn hand_over(&self) -> usize {
        let inner = &self.0;
        // Before anybody hears of it: sessions end from then on.
        inner.name_others();
        inner.leaving.set(Step::Told, inner.left());
        inner.phase.send_replace(Phase::Leaving);
        let told = timeout(TOLD, async {
            while inner.stage() == Some(Stage::Ready) {
                sleep(LOOK).await;
            }
        });
        if told.await.is_err() {
            tracing::warn!("the others do not hear that this node leaves");
        }
        inner.leaving.set(Step::HandingOver, 0);
        let until = Instant::now() + inner.cluster.hand_over;
        let (mut nudged, mut moved) = (Instant::now(), (usize::MAX, Instant::now()));
        let until = || inner.leaving.hurry.lock().map_or(until, |it| it.min(until));
        while Instant::now() < until() && inner.has_heirs() {
            let left = inner.left();
            if left < moved.0 {
                moved = (left, Instant::now());
            }
            if left == 0 || moved.1.elapsed() >= STALLED {
                break;
            }
            sleep(LOOK).await;
            if nudged.elapsed() >= NUDGE {
                nudged = Instant::now();
                inner.name_others();
                intake::nudge(&inner.router);
            }
        }
        inner.leaving.set(Step::Closing, 0);
        inner.name_others();
        // The last one of a cluster has nobody to hand over to, and gives nothing up.
        let left = if inner.has_heirs() { inner.left() } else { 0 };
        inner.leaving.given_up.store(left, Ordering::Relaxed);
        left
    }

    /// How many connections of clients are closed in a second when this node leaves.
    pub fn close_per_second(&self) -> u32 {
        self.0.cluster.close_per_second
    }

    /// Says good-bye: step 4. This node is no member after it.
    pub async fn sign_off(self) {
        let inner = &self.0;
        inner.leaving.set(Step::SigningOff, 0);
        if let Some(registry) = &inner.registry
            && let Err(error) = registry.withdraw().await
        {
            tracing::warn!(%error, "this node's row stays until it expires");
        }
        let settled = timeout(SETTLED, async {
            while inner.lines.owes() {
                sleep(LOOK).await;
            }
        });
        if settled.await.is_err() {
            tracing::warn!("not all that was sent to other nodes was acknowledged");
        }
        match (timeout(SIGNED_OFF, inner.end_life()).await, inner.seat()) {
            (Ok(true), Some(seat)) => {
                inner.hang_up();
                // Whether it could say that it was the last is a matter of time for who comes next, and of nothing else.
                let _ = timeout(SIGNED_OFF, seat.sign_off()).await;
            }
            (Ok(true), None) => {}
            _ => tracing::warn!("the others will find out by themselves that this node is gone"),
        }
        inner.close().await;
        inner.leaving.set(Step::Gone, 0);
    }
}

impl Inner {
    /// How far this node is, by what it goes by.
    fn stage(&self) -> Option<Stage> {
        self.followed.lock().serving.stage(self.me())
    }

    /// Has this life declared over; whether it is.
    async fn end_life(&self) -> bool {
        let Some(seat) = self.seat() else {
            return true;
        };
        let mut fallen = self.fallen.clone();
        let down = Command::NodeDown(self.me());
        tokio::select! {
            submitted = seat.directory().submit(down) => submitted.is_ok(),
            // Who hears of it first closes its links, and by that this node knows.
            heard = fallen.wait_for(|fallen| *fallen) => heard.is_ok(),
        }
    }

    /// Accounts with sessions that are here.
    pub(super) fn left(&self) -> usize {
        self.router.directory.accounts()
    }

    /// Says where clients are to go that cannot go on: to nodes that stay, as far as those say where they are reached.
    fn name_others(&self) {
        let stays = |peer: &PeerInfo| {
            let stage = self.followed.lock().serving.stage(peer.node);
            stage == Some(Stage::Ready) && peer.state == PeerState::Up
        };
        let peers = self.lines.peers();
        let staying = peers.iter().filter(|peer| stays(peer));
        let addresses = staying.filter_map(|peer| Facts::of(&peer.facts).client_address);
        self.router.peers.set_other_hosts(addresses.collect());
    }

    /// Whether somebody can take over what is here.
    fn has_heirs(&self) -> bool {
        self.followed.lock().serving.has_others(self.me())
    }
}
