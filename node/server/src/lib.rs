//! The Starling server.
//!
//! `app` builds every part by hand and stops them in reverse. A connection (`net`) becomes a stream and then a session
//! (`c2s`); what it sends passes `pipeline::outbound`, is routed (`routing`) to a home (`home`), passes the rules of its
//! recipient (`pipeline`) and is posted to sessions. Features are `modules`, built on the contract in `module`.

pub mod app;
pub mod c2s;
pub mod clock;
pub mod config;
pub mod home;
pub mod metrics;
pub mod module;
pub mod modules;
pub mod net;
pub mod pipeline;
mod poll_once;
pub mod random;
pub mod routing;
pub mod shutdown;
