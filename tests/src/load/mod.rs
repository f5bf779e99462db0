//! The load program: an XMPP client engine that costs far less than any server it measures, and the scenarios.
//!
//! Why an engine of its own: a client built on a tree and a task per direction spends more than the server under test,
//! and then measures itself. Here received bytes are scanned, never parsed into a tree; sent bytes are templates with
//! numbers filled in; TLS works in place on one scratch buffer per thread.
//!
//! From below: [`tls`] (records, no I/O), [`wire`] (TCP or TLS bytes), [`scanner`] and [`stanza`] (what arrived),
//! [`scram`] (proof of the password), [`session`] (from connect to an available resource), then one file per scenario.
//! [`procfs`] reads what the server spent, [`histogram`] and [`report`] say what it was.

pub mod chat;
pub mod clock;
pub mod histogram;
pub mod idle;
pub mod join;
pub mod login;
pub mod measure;
pub mod muc;
pub mod offline;
pub mod options;
pub mod presence;
pub mod procfs;
pub mod publish;
pub mod register;
pub mod report;
pub mod roster;
pub mod scanner;
pub mod scram;
pub mod session;
pub mod stanza;
pub mod tls;
pub mod wire;
