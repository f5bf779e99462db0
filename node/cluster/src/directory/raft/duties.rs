//! What the leader does beside ordering: lets nodes in, declares the dead, chooses voters, keeps the record's beat.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use openraft::{ChangeMembers, EmptyNode};
use tokio::time::{Instant, timeout};

use super::{
    Inner, Live, Record,
    speech::Answer,
    verdict::{self, FRESH},
    voters,
};
use crate::{NodeId, directory::Command};

/// How long a change of voters may take before the next look at it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the record is told that this generation lives.
const BEAT: Duration = Duration::from_secs(1);

/// Lets a node in as an observer. The answer says up to where it must have applied the log to be caught up.
pub(super) async fn admit(inner: &Inner, live: &Live, from: NodeId) -> Answer {
    if inner.core.replica().is_fallen(from) {
        return Answer::Fallen;
    }
    let known = {
        let metrics = live.raft.metrics();
        let metrics = metrics.borrow();
        metrics
            .membership_config
            .membership()
            .get_node(&from.0)
            .is_some()
    };
    if !known {
        let added = live.raft.add_learner(from.0, EmptyNode {}, false);
        if !matches!(timeout(PATIENCE, added).await, Ok(Ok(_))) {
            return Answer::Away;
        }
    }
    let applied = live.raft.metrics().borrow().last_applied;
    let until = applied.map_or(0, |id| id.index + 1);
    Answer::Done(Bytes::copy_from_slice(&until.to_be_bytes()))
}

/// Notes whom another member cannot reach.
pub(super) fn take_report(live: &Live, from: NodeId, body: &Bytes) {
    let nodes = body.chunks_exact(8).map(|b| {
        let mut number = [0; 8];
        number.copy_from_slice(b);
        NodeId(u64::from_be_bytes(number))
    });
    let report = (Instant::now(), nodes.collect());
    live.ways.reports.lock().insert(from, report);
}

/// The leader's work; each part runs once at a time.
#[derive(Default)]
pub(super) struct Duties {
    changing: Arc<AtomicBool>,
    declaring: Arc<AtomicBool>,
    beating: Arc<AtomicBool>,
    beaten: Option<Instant>,
}

/// Marks a part as running until it is dropped.
struct Running(Arc<AtomicBool>);

impl Running {
    fn begin(mark: &Arc<AtomicBool>) -> Option<Self> {
        let free = !mark.swap(true, Ordering::AcqRel);
        free.then(|| Self(mark.clone()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Duties {
    /// Looks at everything once.
    pub(super) fn look(&mut self, inner: &Arc<Inner>, live: &Arc<Live>) {
        let unreachable = inner.liveness.unreachable();
        self.declare(inner, live, &unreachable);
        self.choose(inner, live, &unreachable);
        self.beat(inner, live);
    }

    fn declare(&self, inner: &Arc<Inner>, live: &Arc<Live>, mine: &BTreeSet<NodeId>) {
        let view = inner.core.replica().view();
        let members = view.seats.iter().map(|s| s.member.node).collect();
        let reports: BTreeMap<_, _> = {
            let mut reports = live.ways.reports.lock();
            reports.retain(|_, (at, _)| at.elapsed() < FRESH);
            reports.iter().map(|(n, (_, r))| (*n, r.clone())).collect()
        };
        let down = verdict::down(&members, inner.core.me(), mine, &reports);
        if down.is_empty() {
            return;
        }
        let Some(running) = Running::begin(&self.declaring) else {
            return;
        };
        let inner = inner.clone();
        tokio::spawn(async move {
            for node in down {
                tracing::warn!(node = node.0, "a node is declared down");
                // Who leads next looks again.
                let _ = inner.core.submit_closed(Command::NodeDown(node)).await;
            }
            drop(running);
        });
    }

    fn choose(&self, inner: &Arc<Inner>, live: &Arc<Live>, unreachable: &BTreeSet<NodeId>) {
        let me = inner.core.me();
        let replica = inner.core.replica();
        let view = replica.view();
        let (current, nodes): (BTreeSet<_>, BTreeSet<_>) = {
            let metrics = live.raft.metrics();
            let metrics = metrics.borrow();
            let membership = metrics.membership_config.membership();
            let voters = membership.voter_ids().map(NodeId).collect();
            (
                voters,
                membership.nodes().map(|(id, _)| NodeId(*id)).collect(),
            )
        };
        let wanted = voters::wanted(&view, &current, me, unreachable);
        let change = if wanted != current && wanted.is_subset(&nodes) {
            ChangeMembers::ReplaceAllVoters(wanted.iter().map(|n| n.0).collect())
        } else {
            let gone: BTreeSet<u64> = nodes
                .difference(&current)
                .filter(|n| view.seat(**n).is_none())
                .filter(|n| unreachable.contains(n) || replica.is_fallen(**n))
                .map(|n| n.0)
                .collect();
            if gone.is_empty() {
                return;
            }
            ChangeMembers::RemoveNodes(gone)
        };
        let Some(running) = Running::begin(&self.changing) else {
            return;
        };
        let live = live.clone();
        tokio::spawn(async move {
            let changed = timeout(PATIENCE, live.raft.change_membership(change, true)).await;
            if !matches!(changed, Ok(Ok(_))) {
                tracing::debug!("a change of voters waits");
            }
            drop(running);
        });
    }

    fn beat(&mut self, inner: &Arc<Inner>, live: &Arc<Live>) {
        if self.beaten.is_some_and(|at| at.elapsed() < BEAT) {
            return;
        }
        let Some(running) = Running::begin(&self.beating) else {
            return;
        };
        self.beaten = Some(Instant::now());
        let (inner, live) = (inner.clone(), live.clone());
        tokio::spawn(async move {
            let Ok(Some(record)) = inner.founder.read().await else {
                return;
            };
            live.ways.heard_of(record.generation);
            if record.generation == live.ways.generation {
                let next = Record {
                    beat: record.beat + 1,
                    ..record
                };
                // Whoever was faster is seen at the next beat.
                let _ = inner.founder.swap(Some(record), next).await;
            }
            drop(running);
        });
    }
}
