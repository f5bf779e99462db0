//! What a stanza passes, in order.

pub mod archive_rule;
pub mod delivery;
pub mod events;
pub mod groups;
pub mod inbound;
pub mod iq;
pub mod lifecycle;
pub mod outbound;
pub mod probe;
