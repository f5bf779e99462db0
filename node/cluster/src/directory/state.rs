//! DirState: the directory as a pure state machine, and the oracle of every implementation's tests.
//!
//! Each change names the session it expects; a stale one does nothing, and neither does one of a node that is no member.

pub mod members;
pub mod sessions;

use std::sync::Arc;

pub use members::Members;
pub use sessions::Sessions;

use super::{Bound, Conflict, Entry, SessionRef, member::Member};
use crate::NodeId;

/// How many entries one [`Command::Reassert`] carries at most; callers say more in several.
pub const REASSERT_MAX: usize = 1_024;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A session takes a name under an account.
    Bind {
        /// The account.
        account: Arc<str>,
        /// The name asked for.
        resource: Arc<str>,
        /// The name to take instead under [`Conflict::Rename`].
        alternative: Arc<str>,
        /// Who.
        session: SessionRef,
        /// What to do if the name is taken.
        conflict: Conflict,
        /// How many sessions the account may have.
        limit: usize,
    },
    /// A session's priority or flags changed.
    Update {
        /// The account.
        account: Arc<str>,
        /// Who.
        session: SessionRef,
        /// Priority while available.
        priority: Option<i8>,
        /// The caller's bits.
        flags: u16,
    },
    /// A session goes on elsewhere.
    Relocate {
        /// The account.
        account: Arc<str>,
        /// Who it was.
        from: SessionRef,
        /// Who it is.
        to: SessionRef,
        /// Its priority and flags, if they changed with that.
        changed: Option<(Option<i8>, u16)>,
    },
    /// A session ended.
    Unbind {
        /// The account.
        account: Arc<str>,
        /// Who.
        session: SessionRef,
    },
    /// A node says again what it holds: each entry is put where nobody else took the name meanwhile.
    Reassert {
        /// The node; entries of others are not taken.
        node: NodeId,
        /// The epoch of the view that it saw itself in.
        epoch: u64,
        /// The entries as the node has them; [`REASSERT_MAX`] at most.
        entries: Vec<(Arc<str>, Entry)>,
    },
    /// A node is caught up and becomes a member.
    NodeUp(Arc<Member>),
    /// A member begins to serve.
    NodeReady(NodeId),
    /// A member hands over and will go.
    NodeDraining(NodeId),
    /// A member is gone with all its sessions, for good: this life never comes again.
    NodeDown(NodeId),
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// To a bind.
    Bound(Bound),
    /// To a re-assertion: whose names others have; those must end.
    Reasserted(Vec<SessionRef>),
    /// The session named is not the one that is there, or its node is not a member (any more).
    Stale,
    /// There are as many members as there may be.
    Full,
}

/// What others must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This session lost its name to another and must end.
    Ended(SessionRef),
    /// This account lost a session with its node.
    Lost(Arc<str>, Entry),
}

/// Members and the sessions of all accounts.
#[derive(Debug, Default, Clone)]
pub struct DirState {
    /// Who is a member.
    pub members: Members,
    /// Who is connected.
    pub sessions: Sessions,
}

impl DirState {
    /// An empty directory of this generation.
    pub fn founded(generation: u64) -> Self {
        Self {
            members: Members::founded(generation),
            sessions: Sessions::default(),
        }
    }

    /// The sessions of an account; `None` if there are none.
    pub fn lookup(&self, account: &str) -> Option<&Arc<[Entry]>> {
        self.sessions.lookup(account)
    }

    /// Applies a change.
    pub fn apply(&mut self, command: Command) -> (Reply, Vec<Event>) {
        if !self.members.admits(&command) {
            return (Reply::Stale, Vec::new());
        }
        match command {
            Command::NodeDown(node) => match self.members.apply(command) {
                Reply::Done => (Reply::Done, self.sessions.node_down(node)),
                other => (other, Vec::new()),
            },
            Command::NodeUp(_) | Command::NodeReady(_) | Command::NodeDraining(_) => {
                (self.members.apply(command), Vec::new())
            }
            Command::Reassert { node, entries, .. } => reassert(node, entries, |account, entry| {
                self.sessions.reassert(account, entry)
            }),
            command => {
                let (reply, event) = self.sessions.apply(command);
                (reply, event.into_iter().collect())
            }
        }
    }

    /// Applies a node's batch, once: a repeat is `None`.
    pub fn apply_batch(
        &mut self,
        origin: NodeId,
        number: u64,
        commands: Vec<Command>,
    ) -> Option<Vec<(Reply, Vec<Event>)>> {
        if !self.members.is_new(origin, number) {
            return None;
        }
        let replies = commands.into_iter().map(|c| self.apply(c)).collect();
        self.members.note(origin, number);
        Some(replies)
    }
}

/// Puts what a node holds, entry by entry; who cannot stay must end.
pub(crate) fn reassert(
    node: NodeId,
    entries: Vec<(Arc<str>, Entry)>,
    mut put: impl FnMut(Arc<str>, Entry) -> bool,
) -> (Reply, Vec<Event>) {
    let mut refused = Vec::new();
    for (account, entry) in entries {
        let session = entry.session;
        if session.node != node || !put(account, entry) {
            refused.push(session);
        }
    }
    let events = refused.iter().copied().map(Event::Ended).collect();
    (Reply::Reasserted(refused), events)
}

#[cfg(test)]
pub(crate) mod tests;
