//! Backends: what implements the three shapes.

pub mod directory;
pub mod embedded;
pub mod memcached;
pub mod memory;
pub mod rule;
