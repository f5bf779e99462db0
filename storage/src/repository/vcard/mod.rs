//! vCards (XEP-0054) and the search over them (XEP-0055).
//!
//! Stored: `core` `U#domain#local` / `VC`, a large body as a blob with the photo's hash and what is searched beside the
//! pointer; `idx` `V#domain#field` / word, localpart, and field 0 for what is inside of words: the rows
//! change in the same batch as the vCard, so a search never finds what is gone.

mod table;
mod words;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use crate::error::Result;

pub use table::TableVcards;

/// Bytes of a value that a search tells.
pub const MAX_TOLD: usize = 256;
/// Characters that can be looked for within words.
pub const MIN_INSIDE: usize = words::MIN_INSIDE;

/// A field that can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum VcardField {
    /// `FN`.
    #[n(1)]
    FullName,
    /// `N/GIVEN`.
    #[n(2)]
    Given,
    /// `N/MIDDLE`.
    #[n(3)]
    Middle,
    /// `N/FAMILY`.
    #[n(4)]
    Family,
    /// `NICKNAME`.
    #[n(5)]
    Nickname,
    /// `EMAIL/USERID`.
    #[n(6)]
    Email,
    /// `ADR/LOCALITY`.
    #[n(7)]
    Locality,
    /// `ADR/CTRY`.
    #[n(8)]
    Country,
    /// `ORG/ORGNAME`.
    #[n(9)]
    Organisation,
    /// `ORG/ORGUNIT`.
    #[n(10)]
    Unit,
    /// `BDAY`.
    #[n(11)]
    Birthday,
}

impl VcardField {
    /// Its number in keys; never changes.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::FullName => 1,
            Self::Given => 2,
            Self::Middle => 3,
            Self::Family => 4,
            Self::Nickname => 5,
            Self::Email => 6,
            Self::Locality => 7,
            Self::Country => 8,
            Self::Organisation => 9,
            Self::Unit => 10,
            Self::Birthday => 11,
        }
    }
}

/// A vCard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vcard {
    /// The `vCard` element, serialised.
    pub xml: Bytes,
    /// SHA-1 of the photo in hexadecimal (XEP-0153).
    pub photo_sha1: Option<String>,
    /// What a search shall find it by: field and text, as the caller took them from the element. Stored as lowercased
    /// words, and read back as such.
    pub searchable: Vec<(VcardField, String)>,
    /// The version that changes must name; 0: nothing stored yet.
    pub version: u64,
}

/// The photo in a vCard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VcardPhoto {
    /// Its SHA-1 in hexadecimal (XEP-0153), if there is one.
    pub sha1: Option<String>,
    /// The version of the vCard.
    pub version: u64,
}

/// A page of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VcardPage {
    /// Owners of matching vCards, each once, ordered by the word that matched.
    pub owners: Vec<BareJid>,
    /// Where the next page goes on; `None`: this was the last.
    pub next: Option<Bytes>,
}

/// The contract.
#[async_trait]
pub trait VcardRepository: Send + Sync + 'static {
    /// Whether anything of a domain can be changed; else every change answers `NotAllowed`, and nobody is told that he
    /// could. Costs nothing.
    fn is_writable(&self, _domain: &str) -> bool {
        true
    }
    /// A vCard. One cached get, and a blob if it is large.
    async fn get(&self, owner: &BareJid) -> Result<Option<Vcard>>;
    /// The photo in a vCard, without the rest. One cached get of a small record.
    async fn photo(&self, owner: &BareJid) -> Result<Option<VcardPhoto>>;
    /// Stores a vCard with its index rows (`vcard.version` is ignored); returns the new version. One get, one batch.
    /// At most 48 words are indexed.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen` (0: there was none). `TooLarge` if it passes its bound.
    async fn put(&self, owner: &BareJid, vcard: &Vcard, seen: u64) -> Result<u64>;
    /// Removes a vCard with its index rows; absent is fine.
    async fn remove(&self, owner: &BareJid) -> Result<()>;
    /// What a vCard is found by, for who tells what was found: as it was put, values cut to [`MAX_TOLD`] bytes; of vCards that
    /// were put by an earlier version, or are another system's, as [`VcardRepository::get`] has it. One cached get of a small
    /// record.
    async fn told(&self, owner: &BareJid) -> Result<Option<Vec<(VcardField, String)>>> {
        Ok(self.get(owner).await?.map(|vcard| vcard.searchable))
    }
    /// Owners in a domain who have a word in any field in which `text`, of [`MIN_INSIDE`] characters at least, stands behind
    /// its beginning, as far as that is indexed: nobody where another system searches. As [`VcardRepository::search`].
    async fn search_inside(
        &self,
        _domain: &str,
        _text: &str,
        _after: Option<&Bytes>,
        _limit: usize,
    ) -> Result<VcardPage> {
        Ok(VcardPage::default())
    }
    /// Owners in a domain whose field has a word that starts with `prefix`. `after` is `next` of the page before. One
    /// eventual query a page.
    async fn search(
        &self,
        domain: &str,
        field: VcardField,
        prefix: &str,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<VcardPage>;
}
