//! Members and the view: who takes part, in which state, since when.

use std::sync::Arc;

use crate::{NodeId, place};

/// How many members a directory takes.
pub const MEMBERS_MAX: usize = 1_024;

/// One life of one node, as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Random, drawn at each start, never used again.
    pub node: NodeId,
    /// What operators call it.
    pub name: Arc<str>,
    /// Where other nodes reach it, the best first.
    pub links: Vec<Arc<str>>,
    /// Its share of what is placed, relative to the others; positive.
    pub weight: u32,
    /// What fails together with it.
    pub zone: Arc<str>,
    /// The oldest version of the protocol between nodes that it speaks.
    pub protocol_min: u32,
    /// The newest one.
    pub protocol_max: u32,
    /// Of its program.
    pub version: Arc<str>,
}

/// How far a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It is caught up; nothing is placed on it yet.
    Up,
    /// It serves what is placed on it.
    Ready,
    /// It hands over and leaves.
    Draining,
}

/// A member in a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub member: Arc<Member>,
    /// How far it is.
    pub stage: Stage,
    /// The epoch in which it came.
    pub since: u64,
}

/// The members at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Rises with each change, over generations too: the generation is its upper half.
    pub epoch: u64,
    /// By ascending node.
    pub seats: Vec<Seat>,
}

impl View {
    /// The seat of a node; `None` if it is not a member.
    pub fn seat(&self, node: NodeId) -> Option<&Seat> {
        let index = self.seats.binary_search_by_key(&node, |s| s.member.node);
        index.ok().map(|index| &self.seats[index])
    }

    /// The generation of the directory that this view belongs to.
    pub fn generation(&self) -> u64 {
        self.epoch >> 32
    }

    /// Who serves: the input of [`place::place`].
    pub fn ready(&self) -> Vec<place::Member> {
        let ready = self.seats.iter().filter(|s| s.stage == Stage::Ready);
        ready
            .map(|seat| place::Member {
                node: seat.member.node,
                weight: f64::from(seat.member.weight.max(1)),
            })
            .collect()
    }

    /// The newest version of the protocol that every member speaks; `None` without members, or if there is none.
    pub fn protocol(&self) -> Option<u32> {
        let newest = self.seats.iter().map(|s| s.member.protocol_max).min()?;
        let oldest = self.seats.iter().map(|s| s.member.protocol_min).max()?;
        (oldest <= newest).then_some(newest)
    }
}
