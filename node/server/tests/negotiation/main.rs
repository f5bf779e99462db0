//! Negotiation over loopback: every way from a connection to a session, and every way not to get there.

mod external;
mod fast;
mod login;
mod peer;
mod register;
mod router;
mod sasl2;
mod server;
mod streams;
