//! Server.

pub mod c2s;
pub mod modules;
pub mod pipeline;
