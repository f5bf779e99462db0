//! Rosters (RFC 6121 §2) with versions (§2.6), as one compressed value.
//!
//! Why one value: presence needs all of it, and a compare-and-set on one record is all the concurrency there is.
//! Stored: `core` `U#domain#local` / `ROST`; the record's version is the roster's. Ten thousand contacts pass the limit
//! of a record: then the body is a blob and the record points at it.

mod table;

use async_trait::async_trait;
use bytes::Bytes;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use crate::error::Result;

pub use table::TableRosters;

/// The four lasting subscription states (RFC 6121 §2.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Subscription {
    /// Neither.
    #[default]
    #[n(0)]
    None,
    /// The owner sees the contact's presence.
    #[n(1)]
    To,
    /// The contact sees the owner's presence.
    #[n(2)]
    From,
    /// Each sees the other's.
    #[n(3)]
    Both,
}

/// One contact.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterItem {
    /// The contact.
    #[cbor(n(0), with = "crate::repository::record::jid")]
    pub jid: BareJid,
    /// Whether it is in the roster proper; `false` keeps a pending request of a stranger (RFC 6121 §3.1.3).
    #[n(1)]
    pub in_roster: bool,
    /// What the owner calls it.
    #[n(2)]
    pub name: Option<String>,
    /// Where the owner puts it.
    #[n(3)]
    pub groups: Vec<String>,
    /// Who sees whom.
    #[n(4)]
    pub subscription: Subscription,
    /// The owner asked and waits (`ask='subscribe'`).
    #[n(5)]
    pub ask: bool,
    /// The owner approved in advance (RFC 6121 §3.4).
    #[n(6)]
    pub approved: bool,
    /// The contact asked and waits: the stanza, kept for delivery.
    #[cbor(n(7), with = "crate::repository::record::bytes_option", has_nil)]
    pub pending_in: Option<Bytes>,
    /// The roster version that changed this item last.
    #[n(8)]
    pub revision: u64,
}

impl RosterItem {
    /// A contact in the roster with no name, group or subscription.
    pub fn new(jid: BareJid) -> Self {
        Self {
            jid,
            in_roster: true,
            name: None,
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: false,
            approved: false,
            pending_in: None,
            revision: 0,
        }
    }
}

/// A roster: version 0 and empty if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Roster {
    /// One more with each store.
    #[cbor(skip)]
    pub version: u64,
    /// Sorted by address.
    #[n(0)]
    pub items: Vec<RosterItem>,
    /// Removed contacts and the version that removed them, oldest first; at most [`Roster::MAX_REMOVED`].
    #[n(1)]
    pub removed: Vec<(String, u64)>,
    /// Changes since this version or a later one are completely known.
    #[n(2)]
    pub floor: u64,
    /// What is in it that its owner did not put there, in a few bytes; 0: nothing. Never stored.
    #[cbor(skip)]
    pub given: u64,
}

impl Roster {
    /// How many removals are remembered.
    pub const MAX_REMOVED: usize = 256;

    /// A contact, in the roster proper or not.
    pub fn get(&self, jid: &BareJid) -> Option<&RosterItem> {
        self.position(jid).ok().map(|at| &self.items[at])
    }

    /// Puts a contact in its place, as changed by the version that the next store makes.
    pub fn put(&mut self, item: RosterItem) {
        let item = RosterItem {
            revision: self.version + 1,
            ..item
        };
        if item.in_roster {
            self.removed.retain(|(jid, _)| jid != item.jid.as_str());
        }
        match self.position(&item.jid) {
            Ok(at) => self.items[at] = item,
            Err(at) => self.items.insert(at, item),
        }
    }

    /// Takes a contact out, as removed by the version that the next store makes; what it was. A pending request of it
    /// is forgotten too; put an item with `in_roster: false` to keep one.
    pub fn remove(&mut self, jid: &BareJid) -> Option<RosterItem> {
        let item = self.items.remove(self.position(jid).ok()?);
        if item.in_roster {
            self.removed
                .push((jid.as_str().to_owned(), self.version + 1));
            if self.removed.len() > Self::MAX_REMOVED {
                self.floor = self.floor.max(self.removed.remove(0).1);
            }
        }
        Some(item)
    }

    /// What changed since a version (RFC 6121 §2.6.2): contacts as they are now, and addresses that were removed.
    /// `None`: that is no longer known, or never was a version; send everything.
    pub fn since(&self, version: u64) -> Option<(Vec<&RosterItem>, Vec<&str>)> {
        if version < self.floor || version > self.version {
            return None;
        }
        let changed = self
            .items
            .iter()
            .filter(|item| item.in_roster && item.revision > version)
            .collect();
        let removed = self
            .removed
            .iter()
            .filter(|(_, at)| *at > version)
            .map(|(jid, _)| jid.as_str())
            .collect();
        Some((changed, removed))
    }

    fn position(&self, jid: &BareJid) -> Result<usize, usize> {
        self.items.binary_search_by(|item| item.jid.cmp(jid))
    }
}

/// The contract.
#[async_trait]
pub trait RosterRepository: Send + Sync + 'static {
    /// Whether anything of a domain can be changed; else every change answers `NotAllowed`, and nobody is told that he
    /// could. Costs nothing.
    fn is_writable(&self, _domain: &str) -> bool {
        true
    }
    /// A roster; version 0 and empty if there is none. One cached get, and a blob if it is huge: never older than what
    /// this node stored or found in its way. Who stores meets a conflict if it is old, and then loads what is stored.
    async fn load(&self, owner: &BareJid) -> Result<Roster>;
    /// Stores new content (`roster.version` is ignored); returns its version, `seen_version + 1`. One conditional write.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen_version`.
    async fn store(&self, owner: &BareJid, roster: &Roster, seen_version: u64) -> Result<u64>;
}

#[cfg(test)]
mod tests;
