//! Rosters over a table and blobs.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::BareJid;

use super::{Roster, RosterRepository};
use crate::{
    error::Result,
    key,
    repository::{record, value::Values},
    shape::{Batch, Blobs, Table},
};

/// The implementation over a table and blobs.
pub struct TableRosters {
    values: Values,
}

impl TableRosters {
    /// Rosters in this table; those that compress to more than `inline_max` bytes in these blobs.
    pub fn new(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, inline_max: usize) -> Self {
        Self {
            values: Values::new(table, blobs, inline_max),
        }
    }
}

#[async_trait]
impl RosterRepository for TableRosters {
    async fn load(&self, owner: &BareJid) -> Result<Roster> {
        let Some(found) = self
            .values
            .load_cached(&key::of_account(owner, key::ROSTER))
            .await?
        else {
            return Ok(Roster::default());
        };
        let roster: Roster = record::from_cbor(&found.body)?;
        Ok(Roster {
            version: found.version,
            ..roster
        })
    }

    async fn store(&self, owner: &BareJid, roster: &Roster, seen_version: u64) -> Result<u64> {
        let body = record::to_cbor(roster);
        self.values
            .store(
                owner,
                key::of_account(owner, key::ROSTER),
                &body,
                seen_version,
                Batch::new(),
            )
            .await
    }
}
