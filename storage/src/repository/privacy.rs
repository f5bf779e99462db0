//! Privacy lists (XEP-0016) and, as one of them, the block list (XEP-0191).
//!
//! Why one record: both features are views of the same data (XEP-0191 §5), and one strong read at home load decides.
//! Stored: `core` `U#domain#local` / `PRIV`.

use std::{collections::BTreeMap, ops::BitOr, sync::Arc};

use async_trait::async_trait;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use super::{record::Records, roster::Subscription};
use crate::{error::Result, key, shape::Table};

/// What happens to a matching stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum PrivacyAction {
    /// It passes.
    #[n(0)]
    Allow,
    /// It does not.
    #[n(1)]
    Deny,
}

/// Which other side a rule is about (XEP-0016 §2.1).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PrivacyMatch {
    /// Everybody: the fall-through rule.
    #[n(0)]
    All,
    /// An address: full, bare, `domain/resource` or domain.
    #[n(1)]
    Jid(#[n(0)] String),
    /// Contacts in a group of the roster.
    #[n(2)]
    Group(#[n(0)] String),
    /// Contacts with a subscription state.
    #[n(3)]
    Subscription(#[n(0)] Subscription),
}

/// Which stanzas a rule is about: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct StanzaKinds(#[n(0)] u8);

impl StanzaKinds {
    /// Incoming messages.
    pub const MESSAGE: Self = Self(1);
    /// Incoming requests.
    pub const IQ: Self = Self(1 << 1);
    /// Incoming presence.
    pub const PRESENCE_IN: Self = Self(1 << 2);
    /// Outgoing presence.
    pub const PRESENCE_OUT: Self = Self(1 << 3);
    /// Everything, both ways: a rule that names no kind. Not the same as all four kinds (XEP-0016 §2.1).
    pub const ALL: Self = Self(0xff);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether all of `other` are in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Whether none is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for StanzaKinds {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One rule of a list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PrivacyItem {
    /// Its place; unique in a list.
    #[n(0)]
    pub order: u32,
    /// What happens.
    #[n(1)]
    pub action: PrivacyAction,
    /// To whom.
    #[n(2)]
    pub matches: PrivacyMatch,
    /// With what.
    #[n(3)]
    pub stanzas: StanzaKinds,
}

/// The privacy lists of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PrivacyData {
    /// By name, each in order.
    #[n(0)]
    pub lists: BTreeMap<String, Vec<PrivacyItem>>,
    /// The one that holds for sessions without an active list.
    #[n(1)]
    pub default: Option<String>,
    /// The version that changes must name; 0: nothing stored yet.
    #[cbor(skip)]
    pub version: u64,
}

/// The contract.
#[async_trait]
pub trait PrivacyRepository: Send + Sync + 'static {
    /// The lists of an account; the default if nothing is stored. One strong get.
    async fn load(&self, owner: &BareJid) -> Result<PrivacyData>;
    /// Stores them (`data.version` is ignored); returns the new version. One conditional write.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen_version`.
    async fn store(&self, owner: &BareJid, data: &PrivacyData, seen_version: u64) -> Result<u64>;
}

/// The implementation over a table.
pub struct TablePrivacy {
    records: Records,
}

impl TablePrivacy {
    /// Privacy lists in this table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self {
            records: Records { table },
        }
    }
}

#[async_trait]
impl PrivacyRepository for TablePrivacy {
    async fn load(&self, owner: &BareJid) -> Result<PrivacyData> {
        let found = self
            .records
            .load::<PrivacyData>(&key::of_account(owner, key::PRIVACY))
            .await?;
        Ok(
            found.map_or_else(PrivacyData::default, |(data, version)| PrivacyData {
                version,
                ..data
            }),
        )
    }

    async fn store(&self, owner: &BareJid, data: &PrivacyData, seen_version: u64) -> Result<u64> {
        self.records
            .store(key::of_account(owner, key::PRIVACY), data, seen_version)
            .await
    }
}
