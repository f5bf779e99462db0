//! Backends: what implements the three shapes.

pub mod embedded;
pub mod memory;
mod rule;
