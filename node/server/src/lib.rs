//! Server.

pub mod net;
