//! Conformance: what every implementation of a shape must pass, as plain async functions that panic when it does not.
//!
//! Each backend and each layer calls its suite in one line. Names are made from the `run`, so that a suite may be run
//! again against a store that keeps what it is given.

mod blobs;
mod cache;
mod table;

pub use blobs::blobs;
pub use cache::cache;
pub use table::{Subject, table};

#[cfg(test)]
mod tests;
