//! Features: one module each.

pub mod roster;
