//! What the end-to-end tests stand on.
//!
//! [`server`] starts Starling or a peer of it, [`client`] is a stream under full control, [`dialogue`] reads and plays
//! the scripts in `tests/dialogues`. [`xml`] and [`credentials`] are written apart from the server's, on purpose.
//! [`load`] is the client engine and its scenarios (`cargo run -p tests --bin load`); [`bench`] starts the servers,
//! runs the same scenarios on each and compares (`cargo run -p tests --bin bench`); [`faults`] is what the fault tests
//! are made of; [`cost`] asks what operations cost where a store is paid by the request (`--bin cost`). [`api`] asks a node's
//! HTTP API, [`browser`] looks at its console.

#![allow(
    clippy::large_futures,
    reason = "a test holds one future; nobody weighs it"
)]

pub mod api;
pub mod backend;
pub mod bench;
pub mod browser;
pub mod client;
pub mod cluster;
pub mod cost;
pub mod credentials;
pub mod dialogue;
pub mod faults;
pub mod load;
pub mod processes;
pub mod server;
pub mod xml;
