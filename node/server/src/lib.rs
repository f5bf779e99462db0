//! The Starling server.
//!
//! `app` builds every part by hand and stops them in reverse. A connection (`net`) becomes a stream and then a session
//! (`c2s`); what it sends passes `pipeline::outbound`, is routed (`routing`) to a home (`home`), passes the rules of its
//! recipient (`pipeline`) and is posted to sessions. Features are `modules`, built on the contract in `module`.
//!
//! Around it: `cli` reads the command, `config` what the operator wrote, `serve` runs a node until it is told to stop,
//! `admin` is what can be done to a node, and to accounts whether it runs or not, `api` serves it over HTTP, `transfer` moves them between servers.

pub mod admin;
pub mod api;
pub mod app;
pub mod attempts;
pub mod c2s;
pub mod certificates;
pub mod cli;
pub mod clock;
pub mod config;
pub mod first_start;
pub mod gauges;
pub mod home;
pub mod http;
pub mod instance;
pub mod intake;
pub mod keys;
pub mod log;
pub mod maintenance;
pub mod membership;
pub mod metrics;
pub mod module;
pub mod modules;
pub mod net;
pub mod pipeline;
mod poll_once;
pub mod random;
pub mod ready_file;
pub mod routing;
pub mod serve;
pub mod shape;
pub mod shutdown;
pub mod specs;
pub mod status;
pub mod stores;
pub mod sweep;
pub mod transfer;
pub mod turns;
#[cfg(test)]
mod versions;
