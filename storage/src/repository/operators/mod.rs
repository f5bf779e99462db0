//! Operators: who may administer from elsewhere, and what was done by whom.
//!
//! Stored in `ctl`, so that every node of a store has the same:
//!
//! | partition | sort | what | file |
//! |---|---|---|---|
//! | `O#tokens` | id | a token: its hash, what it may, until when; expires by itself | `tokens` |
//! | `O#audit` | `HEAD` | how many entries were ever written | `audit` |
//! | `O#audit` | `E#` slot | an entry: a ring of [`Operators::MAX_ENTRIES`], the oldest is written over | `audit` |
//!
//! Nothing here is read or written for a message, and nothing of it is a secret that could be used.

mod audit;
mod tokens;

use std::sync::Arc;

use super::record::Records;
use crate::shape::Table;

pub use audit::{AuditEntry, AuditOutcome};
pub use tokens::{ApiToken, TokenHash};

/// Tokens, and the log of what was done.
#[derive(Clone)]
pub struct Operators {
    records: Records,
}

impl Operators {
    /// Tokens there may be.
    pub const MAX_TOKENS: usize = 256;
    /// Entries that are kept.
    pub const MAX_ENTRIES: u64 = 10_000;

    /// Those of this store.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self {
            records: Records { table },
        }
    }
}

#[cfg(test)]
mod tests;
