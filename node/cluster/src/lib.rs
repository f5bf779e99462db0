//! Who is a member, who is where, who serves what. Knows keys, not XMPP.
//!
//! [`directory`] answers who is connected where; [`link`] carries frames to the other nodes; [`place`] says which node
//! serves a key.

pub mod directory;
pub mod link;
pub mod place;

/// One life of one node: never reused, so a message for a node that died reaches nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);
