//! The members: who may change anything, and what was applied of whom.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{Command, Reply};
use crate::{
    NodeId,
    directory::member::{MEMBERS_MAX, Member, Seat, Stage, View},
};

/// How many of those declared down are remembered, so that a late message does not make one of them a member again.
pub const FALLEN_MAX: usize = 4_096;

/// A member and the number of its last batch that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// As the view has it.
    pub seat: Seat,
    /// Batches up to this one are done: a repeat is not done again.
    pub applied: u64,
}

/// Who is a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The epoch of the view.
    pub epoch: u64,
    /// The members.
    pub kept: BTreeMap<NodeId, Kept>,
    /// Who was declared down, the last at the end; [`FALLEN_MAX`] at most.
    pub fallen: VecDeque<NodeId>,
}

impl Members {
    /// Nobody yet, in this generation.
    pub fn founded(generation: u64) -> Self {
        Self {
            epoch: generation << 32,
            ..Self::default()
        }
    }

    /// The view as it is now.
    pub fn view(&self) -> View {
        View {
            epoch: self.epoch,
            seats: self.kept.values().map(|k| k.seat.clone()).collect(),
        }
    }

    /// Whether a command about sessions may be done: an old life changes nothing.
    pub fn admits(&self, command: &Command) -> bool {
        match command {
            Command::Bind { session, .. }
            | Command::Update { session, .. }
            | Command::Unbind { session, .. } => self.kept.contains_key(&session.node),
            Command::Relocate { to, .. } => self.kept.contains_key(&to.node),
            // What was said to an older directory is not said to this one.
            Command::Reassert { node, epoch, .. } => self
                .kept
                .get(node)
                .is_some_and(|kept| (kept.seat.since..=self.epoch).contains(epoch)),
            _ => true,
        }
    }

    /// Whether this batch of a node was not applied yet.
    pub fn is_new(&self, origin: NodeId, number: u64) -> bool {
        // Before it is a member it can only become one, which may be repeated.
        self.kept.get(&origin).is_none_or(|k| k.applied < number)
    }

    /// Remembers that this batch of a node was applied.
    pub fn note(&mut self, origin: NodeId, number: u64) {
        if let Some(kept) = self.kept.get_mut(&origin) {
            kept.applied = kept.applied.max(number);
        }
    }

    /// Applies a change of members; sessions of who goes are the caller's.
    pub fn apply(&mut self, command: Command) -> Reply {
        match command {
            Command::NodeUp(member) => self.up(member),
            Command::NodeReady(node) => self.stage(node, Stage::Up, Stage::Ready),
            Command::NodeDraining(node) => self.stage(node, Stage::Ready, Stage::Draining),
            Command::NodeDown(node) => {
                if self.kept.remove(&node).is_none() {
                    return Reply::Stale;
                }
                if self.fallen.len() == FALLEN_MAX {
                    self.fallen.pop_front();
                }
                self.fallen.push_back(node);
                self.epoch += 1;
                Reply::Done
            }
            _ => Reply::Stale,
        }
    }

    fn up(&mut self, member: Arc<Member>) -> Reply {
        if self.fallen.contains(&member.node) {
            return Reply::Stale;
        }
        if self.kept.contains_key(&member.node) {
            return Reply::Done;
        }
        if self.kept.len() == MEMBERS_MAX {
            return Reply::Full;
        }
        self.epoch += 1;
        let seat = Seat {
            member: member.clone(),
            stage: Stage::Up,
            since: self.epoch,
        };
        self.kept.insert(member.node, Kept { seat, applied: 0 });
        Reply::Done
    }

    /// Moves a member on to a stage from the one before it; a member never goes back.
    fn stage(&mut self, node: NodeId, latest: Stage, to: Stage) -> Reply {
        let Some(kept) = self.kept.get_mut(&node) else {
            return Reply::Stale;
        };
        if kept.seat.stage == to {
            return Reply::Done;
        }
        if kept.seat.stage > latest {
            return Reply::Stale;
        }
        kept.seat.stage = to;
        self.epoch += 1;
        Reply::Done
    }
}
