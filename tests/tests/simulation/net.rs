//! The network: frames between nodes and bytes between clients and nodes, each on its way for as long as the dice say.
//!
//! Frames of a pair keep their order, as those of the links do; nothing is lost between two processes that live and know each
//! other. Who forgets a node gets nothing more of it, and gives up what it had not acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use cluster::NodeId;
use parking_lot::Mutex;
use starling::routing::peers::{Carried, Carrier, Kind};
use tests::faults::dice::Dice;

use crate::cable::Cables;
use crate::story;

/// What a link takes.
const MAX_FRAME: usize = 1 << 20;

/// A frame that has arrived.
pub struct Frame {
    /// When, and the how-manieth of all.
    pub at: (u64, u64),
    pub from: NodeId,
    pub kind: Kind,
    pub body: Bytes,
}

#[derive(Default)]
struct Link {
    frames: VecDeque<Frame>,
    /// When the last of them arrives.
    last_ms: u64,
    /// Until then nothing comes through.
    held_ms: u64,
}

/// See the file's head.
pub struct State {
    /// The time, in milliseconds since the beginning.
    pub now_ms: u64,
    pub dice: Dice,
    sent: u64,
    /// By sender and receiver.
    links: BTreeMap<(NodeId, NodeId), Link>,
    alive: BTreeSet<NodeId>,
    /// How each life is called, in the order in which they began.
    names: Vec<NodeId>,
    /// Who has forgotten whom.
    forgotten: BTreeSet<(NodeId, NodeId)>,
    /// One in so many frames that may be refused is; 0: none.
    pub refuses_one_in: u64,
    /// Where clients may come in.
    pub doors: Vec<NodeId>,
    pub cables: Cables,
}

/// Shared by all nodes and clients of a run.
pub struct Net(pub Mutex<State>);

impl Net {
    pub fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            now_ms: 0,
            dice,
            sent: 0,
            links: BTreeMap::new(),
            alive: BTreeSet::new(),
            names: Vec::new(),
            forgotten: BTreeSet::new(),
            refuses_one_in: 0,
            doors: Vec::new(),
            cables: Cables::default(),
        })))
    }
}

impl State {
    /// How long something is on its way.
    pub fn latency_ms(&mut self) -> u64 {
        match self.dice.below(50) {
            0 => self.dice.below(120),
            1..25 => self.dice.below(2),
            _ => self.dice.below(8),
        }
    }

    pub fn begins(&mut self, node: NodeId) {
        self.alive.insert(node);
        self.names.push(node);
    }

    /// How a life is called: 1 is the first.
    pub fn name(&self, node: NodeId) -> usize {
        let place = self.names.iter().position(|it| *it == node);
        place.map_or(0, |place| place + 1)
    }

    /// A process ends: it says nothing more. What it said is on its way, or some of it.
    pub fn ends(&mut self, node: NodeId) {
        self.alive.remove(&node);
        self.lose_some(node, None);
    }

    /// Drops an end of what is on its way from a node, to this one or to all.
    fn lose_some(&mut self, from: NodeId, to: Option<NodeId>) {
        let Self { links, dice, .. } = self;
        for ((sender, receiver), link) in links {
            if *sender == from && to.is_none_or(|to| to == *receiver) {
                let kept = dice.below(link.frames.len() as u64 + 1);
                link.frames.truncate(kept as usize);
            }
        }
    }

    /// A node knows that the life of another is over.
    pub fn forget(&mut self, by: NodeId, whom: NodeId) {
        if self.forgotten.insert((by, whom)) {
            self.links.remove(&(whom, by));
            self.lose_some(by, Some(whom));
        }
    }

    /// A node says nothing to others any more and hears nothing of them.
    pub fn hang_up(&mut self, node: NodeId) {
        let others: Vec<_> = self.alive.iter().copied().collect();
        for other in others {
            self.forget(node, other);
        }
    }

    /// From one node to another nothing comes through until then.
    pub fn hold(&mut self, from: NodeId, to: NodeId, until_ms: u64) {
        let link = self.links.entry((from, to)).or_default();
        link.held_ms = link.held_ms.max(until_ms);
    }

    /// Everything comes through again.
    pub fn release_all(&mut self) {
        self.links.values_mut().for_each(|link| link.held_ms = 0);
    }

    /// Whether something of a node is on its way to another that lives and knows it.
    pub fn owes(&self, node: NodeId) -> bool {
        let mut links = self.links.iter();
        links.any(|((from, to), link)| {
            *from == node && self.alive.contains(to) && !link.frames.is_empty()
        })
    }

    fn send(&mut self, from: NodeId, to: NodeId, kind: Kind, body: Bytes) -> Carried {
        assert!(body.len() <= MAX_FRAME, "{kind:?} of {} bytes", body.len());
        if !self.alive.contains(&from) || self.forgotten.contains(&(from, to)) || from == to {
            return Carried::Gone;
        }
        if !self.alive.contains(&to) && !self.links.contains_key(&(from, to)) {
            return Carried::Gone;
        }
        let refuses = self.refuses_one_in;
        if refuses > 0 && kind.may_be_refused() && self.dice.once_in(refuses) {
            return Carried::Full;
        }
        self.sent += 1;
        story::frame((self.name(from), "->", self.name(to)), kind, &body);
        let due_ms = self.now_ms + self.latency_ms();
        let link = self.links.entry((from, to)).or_default();
        link.last_ms = link.last_ms.max(due_ms);
        link.frames.push_back(Frame {
            at: (link.last_ms, self.sent),
            from,
            kind,
            body,
        });
        Carried::Yes
    }

    /// What has arrived at a node, in order.
    pub fn arrived(&mut self, at: NodeId) -> Vec<Frame> {
        let (now, mut arrived) = (self.now_ms, Vec::new());
        for ((from, to), link) in &mut self.links {
            if *to != at || link.held_ms > now || self.forgotten.contains(&(at, *from)) {
                continue;
            }
            while link.frames.front().is_some_and(|frame| frame.at.0 <= now) {
                arrived.extend(link.frames.pop_front());
            }
        }
        arrived.sort_by_key(|frame| frame.at);
        for Frame {
            from, kind, body, ..
        } in &arrived
        {
            story::frame((self.name(at), "<-", self.name(*from)), *kind, body);
        }
        arrived
    }
}

/// A node's way to the others.
pub struct Way {
    pub me: NodeId,
    pub net: Arc<Net>,
}

impl Carrier for Way {
    fn send(&self, to: NodeId, kind: Kind, body: Bytes) -> Carried {
        self.net.0.lock().send(self.me, to, kind, body)
    }

    fn is_known_to(&self, _: NodeId, _: Kind) -> bool {
        true
    }
}
