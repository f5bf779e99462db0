//! The backends over real interfaces: dynoxide and SeaweedFS, through a proxy that does what networks and services do.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;
mod conformance;
mod dynamo_faults;
mod dynamo_rest;
mod init;
mod s3_faults;
mod setup;
