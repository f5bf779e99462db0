//! A network in memory with delay, loss, cuts and deaths, under paused time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::super::*;
use crate::directory::{
    conformance::{Dice, Node},
    state::tests::member,
};

#[derive(Default)]
struct Wires {
    nodes: BTreeMap<u64, Weak<RaftDirectory>>,
    /// Whose calls do not reach whom, since when.
    cut: BTreeMap<(u64, u64), Instant>,
    dead: BTreeMap<u64, Instant>,
    /// Of a thousand messages so many are lost, each way.
    lost: u64,
    /// In milliseconds, at most, each way.
    delay: u64,
    record: Option<Record>,
    /// Who does not reach the record.
    blind: BTreeSet<u64>,
}

/// The network, and the record.
#[derive(Clone)]
pub(super) struct Net {
    wires: Arc<Mutex<Wires>>,
    dice: Arc<Mutex<Dice>>,
}

struct Port(Net, u64);

use tokio::time::Instant;

impl Net {
    pub(super) fn new(seed: u64) -> Self {
        let wires = Wires {
            delay: 2,
            ..Wires::default()
        };
        Self {
            wires: Arc::new(Mutex::new(wires)),
            dice: Arc::new(Mutex::new(Dice(seed))),
        }
    }

    /// Starts a node.
    pub(super) fn start(&self, node: u64) -> Arc<RaftDirectory> {
        self.start_with(node, Arc::new(Port(self.clone(), node)))
    }

    /// Starts a node with this founder instead of the record.
    pub(super) fn start_with(&self, node: u64, founder: Arc<dyn Founder>) -> Arc<RaftDirectory> {
        let directory = Arc::new(RaftDirectory::start(Setup {
            member: (*member(node)).clone(),
            peers: Arc::new(Port(self.clone(), node)),
            liveness: Arc::new(Port(self.clone(), node)),
            founder,
        }));
        let weak = Arc::downgrade(&directory);
        self.wires.lock().nodes.insert(node, weak);
        directory
    }

    pub(super) fn start_all(&self, nodes: std::ops::RangeInclusive<u64>) -> Vec<Node> {
        nodes
            .map(|n| (n, self.start(n) as Arc<dyn Directory>))
            .collect()
    }

    /// A node dies: connections to it are refused.
    pub(super) fn kill(&self, node: u64) {
        self.wires.lock().dead.insert(node, Instant::now());
    }

    /// Separates these from all others.
    pub(super) fn part(&self, side: &[u64]) {
        let mut wires = self.wires.lock();
        let all: Vec<u64> = wires.nodes.keys().copied().collect();
        for a in &all {
            for b in &all {
                if side.contains(a) != side.contains(b) {
                    wires.cut.entry((*a, *b)).or_insert_with(Instant::now);
                }
            }
        }
    }

    /// Cuts one direction.
    pub(super) fn cut(&self, from: u64, to: u64) {
        self.wires.lock().cut.insert((from, to), Instant::now());
    }

    pub(super) fn heal(&self) {
        let mut wires = self.wires.lock();
        wires.cut.clear();
        wires.lost = 0;
    }

    pub(super) fn lossy(&self, of_a_thousand: u64, delay: u64) {
        let mut wires = self.wires.lock();
        (wires.lost, wires.delay) = (of_a_thousand, delay);
    }

    pub(super) fn record(&self) -> Option<Record> {
        self.wires.lock().record
    }

    /// Whether a message passes.
    async fn pass(&self, from: u64, to: u64) -> Result<(), CallError> {
        let (lost, delay) = {
            let wires = self.wires.lock();
            (wires.lost, wires.delay)
        };
        let (lost, delay) = {
            let mut dice = self.dice.lock();
            (dice.below(1_000) < lost, dice.below(delay + 1))
        };
        sleep(Duration::from_millis(delay)).await;
        let cut = {
            let wires = self.wires.lock();
            wires.dead.contains_key(&from) || wires.cut.contains_key(&(from, to))
        };
        if lost || cut {
            std::future::pending::<()>().await;
        }
        let dead = self.wires.lock().dead.contains_key(&to);
        if dead {
            Err(CallError::NotSent)
        } else {
            Ok(())
        }
    }

    async fn carry(&self, from: u64, to: u64, body: Bytes) -> Result<Bytes, CallError> {
        self.pass(from, to).await?;
        let node = self.wires.lock().nodes.get(&to).and_then(Weak::upgrade);
        let node = node.ok_or(CallError::NotSent)?;
        // As over a real network, who asked may be gone and the work goes on.
        let handled = tokio::spawn(async move { node.handle(NodeId(from), body).await });
        let answer = handled.await.map_err(|_| CallError::Unknown)?;
        self.pass(to, from).await.map_err(|_| CallError::Unknown)?;
        Ok(answer)
    }
}

#[async_trait]
impl Peers for Port {
    fn known(&self) -> Vec<NodeId> {
        let wires = self.0.wires.lock();
        let others = wires.nodes.keys().filter(|n| **n != self.1);
        others.map(|n| NodeId(*n)).collect()
    }

    async fn call(&self, to: NodeId, body: Bytes, within: Duration) -> Result<Bytes, CallError> {
        timeout(within, self.0.carry(self.1, to.0, body))
            .await
            .unwrap_or(Err(CallError::Unknown))
    }
}

impl Liveness for Port {
    fn unreachable(&self) -> BTreeSet<NodeId> {
        let wires = self.0.wires.lock();
        let (silent, refused) = (Duration::from_millis(1_500), Duration::from_millis(300));
        let mut out = BTreeSet::new();
        for node in wires.nodes.keys().filter(|n| **n != self.1) {
            let ways = [(self.1, *node), (*node, self.1)];
            let is_cut = |way| wires.cut.get(way).is_some_and(|at| at.elapsed() >= silent);
            let dead = wires.dead.get(node);
            if ways.iter().any(is_cut) || dead.is_some_and(|at| at.elapsed() >= refused) {
                out.insert(NodeId(*node));
            }
        }
        out
    }
}

#[async_trait]
impl Founder for Port {
    async fn read(&self) -> Result<Option<Record>, OutOfReach> {
        sleep(Duration::from_millis(3)).await;
        let wires = self.0.wires.lock();
        if wires.blind.contains(&self.1) || wires.dead.contains_key(&self.1) {
            return Err(OutOfReach);
        }
        Ok(wires.record)
    }

    async fn swap(&self, seen: Option<Record>, next: Record) -> Result<bool, OutOfReach> {
        sleep(Duration::from_millis(3)).await;
        let mut wires = self.0.wires.lock();
        if wires.blind.contains(&self.1) || wires.dead.contains_key(&self.1) {
            return Err(OutOfReach);
        }
        let same = wires.record == seen;
        if same {
            wires.record = Some(next);
        }
        Ok(same)
    }
}
