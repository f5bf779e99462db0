//! What the fault and hostility tests are made of.
//!
//! Why here: the tests are in `tests/tests/faults`; they say what must hold. How a server is started, broken and spoken
//! to stands here: [`node`] (a server in this process, or as a process that can be killed), [`settings`] (how it is
//! configured), [`client`] (a client that says exactly what it is told to), [`actor`] (one that chats with stream
//! management through whatever happens), [`ledger`] (what was promised, and whether it was kept),
//! [`owners`] (who had a full JID when), [`times`] (how long that took).

pub mod actor;
pub mod client;
pub mod dice;
pub mod ledger;
pub mod node;
pub mod owners;
pub mod settings;
pub mod times;
