//! Links in one process, over a network in memory, in time that is not real.

mod flow;
mod handshake;
mod network;
mod node;
mod requests;
mod watch;

pub(super) use node::config;
