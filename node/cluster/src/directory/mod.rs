//! The directory: which sessions an account has, and on which node; and who the nodes are.
//!
//! The node that holds the socket owns the truth; the directory needs order, not durability, and is rebuilt by
//! re-assertion. [`state`] is the pure machine behind every implementation: [`local`] for a single node, [`raft`] and
//! [`redis`] for several. Those two are an ordered log of batches over the same machine ([`replica`]): they differ in how a
//! batch gets into the log, and [`submit`] is the way from a command to its reply in both.

pub mod events;
pub mod local;
pub mod member;
pub mod raft;
pub mod redis;
pub mod replica;
pub mod state;
pub mod submit;
pub mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use events::{Events, Notice};
pub use local::Local;
pub use member::{Member, Seat, Stage, View};
pub use replica::Replica;
pub use state::{Command, DirState, Event, REASSERT_MAX, Reply};

use crate::NodeId;

/// Who is where, and who takes part; in as many copies as there are nodes.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The sessions of an account, from the local replica; `None` if there are none.
    fn lookup(&self, account: &str) -> Option<Arc<[Entry]>>;

    /// The members, from the local replica.
    fn view(&self) -> Arc<View>;

    /// Has a change done; returns when the local replica has it, so that who asked reads what it wrote.
    ///
    /// # Errors
    /// [`SubmitError`]; only [`SubmitError::Unknown`] leaves open whether it was or will be done.
    async fn submit(&self, command: Command) -> Result<Reply, SubmitError>;

    /// What happens from now on, in order.
    fn events(&self) -> Events;

    /// How it is.
    fn status(&self) -> Status;
}

/// Why a change was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Nothing was done and nothing will be: no contact with those who order changes.
    #[error("the directory is out of reach")]
    Unavailable,
    /// Nothing was done: as many changes wait as may.
    #[error("too many changes wait")]
    Busy,
    /// Contact was lost meanwhile: it may have been done, or still be.
    #[error("it is not known whether the change was done")]
    Unknown,
    /// Nothing was done: the command is beyond a bound.
    #[error("a re-assertion of more than {REASSERT_MAX} entries")]
    TooLarge,
    /// Nothing was done: this life was declared down, or the directory was stopped.
    #[error("this life of the node is over")]
    Over,
}

/// What a node is to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The only one.
    Alone,
    /// Has the last word on the order.
    Leader,
    /// Votes on it.
    Voter,
    /// Is told it.
    Observer,
    /// Is not there yet.
    Joining,
}

/// How a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What this node is.
    pub role: Role,
    /// Who leads, where somebody does.
    pub leader: Option<NodeId>,
    /// Of the directory; rises when it is founded anew.
    pub generation: u64,
    /// How many entries of the log are known of and not applied yet.
    pub lag: u64,
    /// How long ago a quorum, or redis, was heard of.
    pub silence: Duration,
    /// No contact for [`FENCE`]: changes are refused, lookups go on.
    pub fenced: bool,
    /// This life was declared down.
    pub fallen: bool,
}

/// A node that has had no contact for this long takes no changes.
pub const FENCE: Duration = Duration::from_millis(1_200);

/// Whether a command keeps its bounds.
pub(crate) fn check(command: &Command) -> Result<(), SubmitError> {
    match command {
        Command::Reassert { entries, .. } if entries.len() > REASSERT_MAX => {
            Err(SubmitError::TooLarge)
        }
        _ => Ok(()),
    }
}

/// A session: a node's life and a number that this life never uses twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionRef {
    /// The node that holds it.
    pub node: NodeId,
    /// Its number there.
    pub number: u64,
}

/// What others must know of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which session.
    pub session: SessionRef,
    /// Its name under the account: the resourcepart.
    pub resource: Arc<str>,
    /// Its priority while available; `None` while it is not.
    pub priority: Option<i8>,
    /// What it asked for; the bits belong to the caller.
    pub flags: u16,
}

/// What to do when a resource is already taken (RFC 6120 §7.7.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// The new session wins, the old one ends.
    Replace,
    /// The old session stays, the new one is refused.
    Refuse,
    /// Both stay: the new one gets this other name.
    Rename,
}

/// The outcome of a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Bound under this name; the session that had it before must end.
    As {
        /// The name.
        resource: Arc<str>,
        /// Who lost it.
        replaced: Option<SessionRef>,
    },
    /// The name is taken.
    Taken,
    /// The account has as many sessions as it may.
    TooMany,
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod history;
