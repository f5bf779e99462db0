//! The mailbox: how far an account's log was handed over (XEP-0160), when the account was last active.
//!
//! Stored: `core` `U#domain#local` / `META`. Written at session end and per 50 acknowledgements or 60 s.

use std::sync::Arc;

use async_trait::async_trait;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use super::record::Records;
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    shape::Table,
};

/// How far the log was handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mailbox {
    /// Every deliverable entry up to this number was handed over, but for `undelivered`.
    #[n(0)]
    pub acked: u64,
    /// Numbers at or below `acked` that are still to be handed over, ascending; at most [`Mailbox::MAX_UNDELIVERED`].
    #[n(1)]
    pub undelivered: Vec<u64>,
    /// When a resource of the account was last there (XEP-0012), in milliseconds since 1970; 0: never.
    #[n(2)]
    pub last_active_ms: u64,
    /// The status of its last unavailable presence.
    #[n(3)]
    pub last_status: Option<Box<str>>,
    // 4 was who drains the log.
    /// The version that changes must name; 0: nothing stored yet.
    #[cbor(skip)]
    pub version: u64,
}

impl Mailbox {
    /// Bound of `undelivered`.
    pub const MAX_UNDELIVERED: usize = 256;

    /// The oldest number that is still to be handed over, or may be: nothing below it is.
    pub fn floor(&self) -> u64 {
        let next = self.acked + 1;
        self.undelivered
            .first()
            .map_or(next, |&first| first.min(next))
    }
}

/// The contract.
#[async_trait]
pub trait MailboxRepository: Send + Sync + 'static {
    /// The mailbox of an account; the default if nothing is stored. One strong get.
    async fn load(&self, account: &BareJid) -> Result<Mailbox>;
    /// Stores it (`mailbox.version` is ignored); returns the new version. One conditional write.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen_version`. `TooLarge` if `undelivered` passes its bound.
    async fn store(&self, account: &BareJid, mailbox: &Mailbox, seen_version: u64) -> Result<u64>;
}

/// The implementation over a table.
pub struct TableMailboxes {
    records: Records,
}

impl TableMailboxes {
    /// Mailboxes in this table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self {
            records: Records { table },
        }
    }
}

#[async_trait]
impl MailboxRepository for TableMailboxes {
    async fn load(&self, account: &BareJid) -> Result<Mailbox> {
        let found = self
            .records
            .load::<Mailbox>(&key::of_account(account, key::MAILBOX))
            .await?;
        Ok(
            found.map_or_else(Mailbox::default, |(mailbox, version)| Mailbox {
                version,
                ..mailbox
            }),
        )
    }

    async fn store(&self, account: &BareJid, mailbox: &Mailbox, seen_version: u64) -> Result<u64> {
        if mailbox.undelivered.len() > Mailbox::MAX_UNDELIVERED {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "too many undelivered numbers for a mailbox",
            ));
        }
        self.records
            .store(
                key::of_account(account, key::MAILBOX),
                mailbox,
                seen_version,
            )
            .await
    }
}
