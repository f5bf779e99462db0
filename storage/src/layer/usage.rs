//! Usage: what a call cost, for backends that are paid by the call.
//!
//! The backend itself tells it, because only there requests, retries and units are known. An observer adds them up by
//! table, call and outcome, and knows the prices.

use super::{Call, Class};
use crate::{error::ErrorKind, shape::Space};

/// What a call cost, over all its attempts. A transaction over several tables is told once for each, and what cannot
/// be split (requests, bytes) with the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// What was called.
    pub call: Call,
    /// On which table; `None` for blobs.
    pub space: Option<Space>,
    /// What was asked for, in words ([`key::record_name`](crate::key::record_name)); of a batch its first record.
    pub record: &'static str,
    /// Of which class, where calls have one ([`Class::current`]).
    pub class: Option<Class>,
    /// How it ended.
    pub outcome: Result<(), ErrorKind>,
    /// Requests sent.
    pub requests: u32,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Requests that were refused because there were too many; not those that others were in the way of.
    pub throttled: u32,
    /// Units of reading. A request that failed tells none.
    pub read_units: f64,
    /// Units of writing. Of a refused condition the backend tells none; then it is reckoned from what stood in the way.
    pub write_units: f64,
    /// Bytes of request bodies.
    pub sent: u64,
    /// Bytes of response bodies.
    pub received: u64,
}
