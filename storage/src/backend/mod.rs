//! Backends: what implements the three shapes.

pub mod memory;
mod rule;
