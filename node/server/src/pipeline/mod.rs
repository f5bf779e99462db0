//! What a stanza passes, in order.

pub mod archive_rule;
pub mod delivery;
