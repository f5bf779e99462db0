//! The directory: which sessions an account has, and on which node.
//!
//! The node that holds the socket owns the truth; the directory needs order, not durability, and is rebuilt by
//! re-assertion. [`state`] is the pure machine behind every implementation; [`local`] is the one for a single node.

pub mod local;
pub mod state;

use std::sync::Arc;

pub use local::Local;
pub use state::{Command, DirState, Event, Reply};

use crate::NodeId;

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
