//! What the end-to-end tests stand on.
//!
//! [`server`] starts Starling or a peer of it, [`client`] is a stream under full control, [`dialogue`] reads and plays
//! the scripts in `tests/dialogues`. [`xml`] and [`credentials`] are written apart from the server's, on purpose.
//! [`load`] puts a server under load and [`bench`] compares Starling with others.

pub mod bench;
pub mod client;
pub mod credentials;
pub mod dialogue;
pub mod load;
pub mod server;
pub mod xml;
