//! Negotiation over loopback: every way from a connection to a session, and every way not to get there.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod accounts;
mod certificates;
mod crowd;
mod elsewhere;
mod external;
mod fast;
mod login;
mod peer;
mod register;
mod sasl2;
mod server;
mod stores;
mod streams;
