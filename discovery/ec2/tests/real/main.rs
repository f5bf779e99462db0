//! Tags and life cycle over a real interface: moto, through a proxy that does what networks and services do.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;
mod ec2;
mod lifecycle;
