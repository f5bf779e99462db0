//! A small service that keeps accounts, rosters and logs, as `docs/backends/http-api.yaml` says: what the client is tested
//! against, and an example of how such a service is built. It keeps everything in memory.
//!
//! `server` takes requests and remembers answers by their keys; `routes` says who answers what; `accounts`, `rosters`
//! and `logs` answer. Tests tell it to fail ([`Fault`]) and read what went over the wire ([`Exchange`]).

mod accounts;
mod logs;
mod record;
mod reply;
mod rosters;
mod routes;
mod server;

pub use record::Exchange;
pub use server::{Fault, Options, Service};
