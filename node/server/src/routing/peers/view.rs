//! Views: which nodes serve accounts, now and a moment ago.
//!
//! A route is decided by the view and counts only if that is still the view when what it asks for is noted
//! ([`Views::decision`]): so who changes the view finds all that was asked under the one before.
//! Stored: nothing. Bounds: [`MAX_FORMER`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use cluster::{
    NodeId,
    place::{Member, first_two, place},
};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// How long after a change of the view an account may still be where it was before.
const MOVING: Duration = Duration::from_secs(60);
/// How long after it a home that is not in memory may be one with sessions, which it does not know of yet.
const SETTLING: Duration = Duration::from_secs(5);
/// Earlier views that are remembered.
const MAX_FORMER: usize = 16;

/// Who serves accounts. Every node computes the same places from the same view.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Grows with each change.
    pub epoch: u64,
    /// Those that serve accounts, this node among them unless it leaves; empty while there is no other.
    pub members: Vec<Member>,
}

impl View {
    /// The node that serves an account.
    pub fn home(&self, account: &str) -> Option<NodeId> {
        place(account.as_bytes(), &self.members)
    }

    /// Whether this node serves accounts.
    pub fn has(&self, node: NodeId) -> bool {
        self.members.iter().any(|member| member.node == node)
    }
}

/// The view, and those before it.
#[derive(Default)]
pub(super) struct Views {
    current: ArcSwap<View>,
    /// Counts the changes.
    generation: AtomicU64,
    /// Counts the changes, and what else asks for a new decision.
    decision: AtomicU64,
    former: Mutex<Vec<(Instant, Arc<View>)>>,
    /// Whether there are former ones, or homes here that belong elsewhere.
    moving: AtomicBool,
    misplaced: AtomicBool,
    settled: Mutex<Option<Instant>>,
    settling: AtomicBool,
    changed: Notify,
}

impl Views {
    pub(super) fn current(&self) -> arc_swap::Guard<Arc<View>> {
        self.current.load()
    }

    /// How many views there were.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// To be read before the view, and again when what was decided by it is noted.
    pub(super) fn decision(&self) -> u64 {
        self.decision.load(Ordering::SeqCst)
    }

    /// What is being decided by the view is decided once more.
    pub(super) fn decide_anew(&self) {
        self.decision.fetch_add(1, Ordering::SeqCst);
    }

    /// False: it is older than the one that counts.
    pub(super) fn set(&self, view: View) -> bool {
        let mut former = self.former.lock();
        let before = self.current.load_full();
        if view.epoch < before.epoch {
            return false;
        }
        let is_same = view.members == before.members;
        self.current.store(Arc::new(view));
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.decide_anew();
        let now = Instant::now();
        former.retain(|(until, _)| *until > now);
        if !before.members.is_empty() && !is_same {
            if former.len() == MAX_FORMER {
                former.remove(0);
            }
            former.push((now + MOVING, before));
            *self.settled.lock() = Some(now + SETTLING);
            self.settling.store(true, Ordering::Release);
        }
        self.moving.store(!former.is_empty(), Ordering::Release);
        self.changed.notify_waiters();
        true
    }

    /// Waits until the view is of this epoch or a later one.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn reached(&self, epoch: u64) {
        loop {
            let changed = self.changed.notified();
            if self.current().epoch >= epoch {
                return;
            }
            changed.await;
        }
    }

    /// Whether accounts may be where they were in an earlier view.
    pub(super) fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Acquire) || self.misplaced.load(Ordering::Acquire)
    }

    /// Whether homes here may have sessions that have not come yet.
    pub(super) fn is_settling(&self) -> bool {
        if !self.settling.load(Ordering::Acquire) {
            return false;
        }
        let settles = self
            .settled
            .lock()
            .is_some_and(|until| until > Instant::now());
        if !settles {
            self.settling.store(false, Ordering::Release);
        }
        settles
    }

    /// Whether homes are in memory here that belong elsewhere.
    pub(super) fn set_misplaced(&self, misplaced: bool) {
        self.misplaced.store(misplaced, Ordering::Release);
    }

    /// Whether a node served accounts a while ago and does no longer.
    pub(super) fn has_left(&self, node: NodeId) -> bool {
        !self.current().has(node) && self.former.lock().iter().any(|(_, view)| view.has(node))
    }

    /// The nodes that served an account a while ago.
    pub(super) fn homes(&self, account: &str) -> impl Iterator<Item = NodeId> + use<> {
        let now = Instant::now();
        let former = self.former.lock();
        let known = former.iter().filter(|(until, _)| *until > now);
        let homes: Vec<_> = known.filter_map(|(_, view)| view.home(account)).collect();
        homes.into_iter()
    }

    /// The other nodes where an account may still be: those that served it a while ago, the last first, and behind them those
    /// that would have done so next, which know its sessions (`c2s::replica`).
    pub(super) fn former(&self, account: &str, me: Option<NodeId>) -> Vec<NodeId> {
        if !self.moving.load(Ordering::Acquire) {
            return Vec::new();
        }
        let now = Instant::now();
        let mut former = self.former.lock();
        former.retain(|(until, _)| *until > now);
        self.moving.store(!former.is_empty(), Ordering::Release);
        let two = |(_, view): &(Instant, Arc<View>)| first_two(account.as_bytes(), &view.members);
        let all: Vec<_> = former.iter().rev().map(two).collect();
        let firsts = all.iter().filter_map(|two| two[0]);
        let mut nodes = Vec::new();
        for node in firsts.chain(all.iter().filter_map(|two| two[1])) {
            if Some(node) != me && !nodes.contains(&node) {
                nodes.push(node);
            }
        }
        nodes
    }
}
