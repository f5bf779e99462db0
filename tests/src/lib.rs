//! What the end-to-end tests stand on.
//!
//! [`server`] starts Starling or a peer of it, [`client`] is a stream under full control, [`dialogue`] reads and plays
//! the scripts in `tests/dialogues`. [`xml`] and [`credentials`] are written apart from the server's, on purpose.

pub mod client;
pub mod credentials;
pub mod dialogue;
pub mod server;
pub mod xml;
