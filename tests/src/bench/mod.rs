//! The comparison: the same load on Starling, ejabberd, Prosody and a bare relay, in one run on one machine.
//!
//! Each server runs alone on core 0, from a configuration written into a directory of its own, on loopback; the load
//! program runs on core 1. What counts is process time per message or login, because a shared machine makes rates and
//! latencies wander; those are reported too, together with the time that others took.
//!
//! [`install`] gets the rivals' packages, [`provision`] says which accounts exist, [`server`] starts and ends a server,
//! [`ejabberd`], [`prosody`], [`starling`] write configurations, [`plan`] lists the scenarios, [`rows`] what matters, [`table`] and [`plot`]
//! show what came out.

pub mod ejabberd;
pub mod install;
pub mod plan;
pub mod plot;
pub mod prosody;
pub mod provision;
pub mod rows;
pub mod server;
pub mod starling;
pub mod table;
