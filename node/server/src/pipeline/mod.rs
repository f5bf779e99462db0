//! What a stanza passes, in order.

pub mod delivery;
