//! Features: one module each.

pub mod blocking;
pub mod presence_rules;
pub mod roster;
