//! Membership: this process as one of several nodes.

pub mod status;

pub use status::{Board, Status};
