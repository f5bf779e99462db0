//! Whose messages an account keeps in its archive (XEP-0441).
//!
//! Stored: `core` `U#domain#local` / `MAMP`.

use async_trait::async_trait;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use crate::error::Result;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivePreferences {
    /// What holds for those on neither list.
    pub default: ArchiveDefault,
    /// Kept in any case.
    pub always: Vec<String>,
    /// Kept in no case.
    pub never: Vec<String>,
    /// The version that changes must name.
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
