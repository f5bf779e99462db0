//! Whose messages an account keeps in its archive (XEP-0441).
//!
//! Stored: `core` `U#domain#local` / `MAMP`.

use std::sync::Arc;

use async_trait::async_trait;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use super::record::Records;
use crate::{error::Result, key, shape::Table};

/// What holds for those on neither list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ArchiveDefault {
    /// Kept.
    #[n(0)]
    Always,
    /// Not kept.
    #[n(1)]
    Never,
    /// Kept for contacts in the roster.
    #[n(2)]
    Roster,
}

/// The preferences.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ArchivePreferences {
    /// What holds for those on neither list.
    #[n(0)]
    pub default: ArchiveDefault,
    /// Kept in any case.
    #[n(1)]
    pub always: Vec<String>,
    /// Kept in no case.
    #[n(2)]
    pub never: Vec<String>,
    /// The version that changes must name.
    #[cbor(skip)]
    pub version: u64,
}

/// The contract.
#[async_trait]
pub trait ArchivePreferencesRepository: Send + Sync + 'static {
    /// What the account chose; `None`: nothing, the configuration's default holds. One strong get.
    async fn load(&self, owner: &BareJid) -> Result<Option<ArchivePreferences>>;
    /// Stores them (`preferences.version` is ignored); `seen_version` is 0 for the first. Returns the new version.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen_version`.
    async fn store(
        &self,
        owner: &BareJid,
        preferences: &ArchivePreferences,
        seen_version: u64,
    ) -> Result<u64>;
}

/// The implementation over a table.
pub struct TableArchivePreferences {
    records: Records,
}

impl TableArchivePreferences {
    /// Archive preferences in this table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self {
            records: Records { table },
        }
    }
}

#[async_trait]
impl ArchivePreferencesRepository for TableArchivePreferences {
    async fn load(&self, owner: &BareJid) -> Result<Option<ArchivePreferences>> {
        let found = self
            .records
            .load::<ArchivePreferences>(&key::of_account(owner, key::ARCHIVE_PREFERENCES))
            .await?;
        Ok(found.map(|(preferences, version)| ArchivePreferences {
            version,
            ..preferences
        }))
    }

    async fn store(
        &self,
        owner: &BareJid,
        preferences: &ArchivePreferences,
        seen_version: u64,
    ) -> Result<u64> {
        self.records
            .store(
                key::of_account(owner, key::ARCHIVE_PREFERENCES),
                preferences,
                seen_version,
            )
            .await
    }
}
