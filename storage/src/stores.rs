//! Every repository of a domain, built over one table and one blob store, and what concerns them all.

use std::sync::Arc;

use xmpp::BareJid;

use crate::{
    error::Result,
    key,
    repository::{
        AccountRepository, ArchivePreferencesRepository, LogRepository, MailboxRepository,
        PrivacyRepository, PrivateXmlLimits, PrivateXmlRepository, RosterRepository, TableAccounts,
        TableArchivePreferences, TableLogs, TableMailboxes, TablePrivacy, TablePrivateXml,
        TableRosters, TableVcards, VcardRepository, paging,
    },
    shape::{Blobs, Consistency, Query, Space, Table},
};

/// How much an erasure removes at once.
const ERASED_AT_ONCE: usize = 50;

/// What is a record and what is a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Longest private XML or vCard that is a record; a table that charges by the kilobyte wants it small.
    pub inline_max: usize,
    /// Longest roster that is a record: higher, because presence waits for rosters.
    pub roster_inline_max: usize,
    /// Bounds of private XML.
    pub private_xml: PrivateXmlLimits,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            inline_max: 8 << 10,
            roster_inline_max: 300 << 10,
            private_xml: PrivateXmlLimits::default(),
        }
    }
}

/// The repositories. Each can be replaced by one over another backend.
#[derive(Clone)]
pub struct Stores {
    /// Accounts and tokens.
    pub accounts: Arc<dyn AccountRepository>,
    /// Rosters.
    pub rosters: Arc<dyn RosterRepository>,
    /// Logs.
    pub logs: Arc<dyn LogRepository>,
    /// How far logs were handed over.
    pub mailboxes: Arc<dyn MailboxRepository>,
    /// Privacy and block lists.
    pub privacy: Arc<dyn PrivacyRepository>,
    /// Private XML.
    pub private: Arc<dyn PrivateXmlRepository>,
    /// vCards.
    pub vcards: Arc<dyn VcardRepository>,
    /// Archive preferences.
    pub archive_preferences: Arc<dyn ArchivePreferencesRepository>,
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
}

impl Stores {
    /// Every repository over the same table and blobs, with the default limits.
    pub fn over(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>) -> Self {
        Self::with_limits(table, blobs, StoreLimits::default())
    }

    /// Every repository over the same table and blobs.
    pub fn with_limits(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, limits: StoreLimits) -> Self {
        let StoreLimits {
            inline_max,
            roster_inline_max,
            private_xml,
        } = limits;
        Self {
            accounts: Arc::new(TableAccounts::new(table.clone())),
            rosters: Arc::new(TableRosters::new(
                table.clone(),
                blobs.clone(),
                roster_inline_max,
            )),
            logs: Arc::new(TableLogs::new(table.clone())),
            mailboxes: Arc::new(TableMailboxes::new(table.clone())),
            privacy: Arc::new(TablePrivacy::new(table.clone())),
            private: Arc::new(TablePrivateXml::new(
                table.clone(),
                blobs.clone(),
                inline_max,
                private_xml,
            )),
            vcards: Arc::new(TableVcards::new(table.clone(), blobs.clone(), inline_max)),
            archive_preferences: Arc::new(TableArchivePreferences::new(table.clone())),
            table,
            blobs,
        }
    }

    /// Removes everything an account has, the account itself last, so that its name is free only when nothing is left.
    /// Repeatable after dying anywhere. End its sessions before: what they write afterwards stays.
    ///
    /// # Errors
    /// Any; what was removed until then is gone, and another call goes on.
    pub async fn erase(&self, account: &BareJid) -> Result<()> {
        // Nobody logs in while it goes.
        if let Some(found) = self
            .accounts
            .load(account)
            .await?
            .filter(|found| !found.disabled)
        {
            self.accounts
                .set_disabled(account, true, found.version)
                .await?;
        }
        // Before its record, which alone knows the rows of its index.
        self.vcards.remove(account).await?;
        self.erase_records(account).await?;
        // After the records: none is left that points at a blob.
        self.erase_blobs(account).await?;
        self.logs.erase(account).await?;
        self.accounts.remove(account).await?;
        Ok(())
    }

    async fn erase_records(&self, account: &BareJid) -> Result<()> {
        let partition = key::account(account);
        let mut query = Query {
            space: Space::Core,
            partition: partition.clone(),
            from: None,
            until: None,
            reverse: false,
            limit: ERASED_AT_ONCE,
            consistency: Consistency::Strong,
        };
        loop {
            let (mut records, more) = paging::next_page(&*self.table, &mut query).await?;
            records.retain(|record| record.sort != key::ACCOUNT);
            paging::delete_all(&*self.table, Space::Core, &partition, records).await?;
            if !more {
                return Ok(());
            }
        }
    }

    async fn erase_blobs(&self, account: &BareJid) -> Result<()> {
        let prefix = key::account_blobs(account);
        loop {
            let found = self.blobs.list(&prefix, None, ERASED_AT_ONCE).await?;
            if found.is_empty() {
                return Ok(());
            }
            for blob in found {
                self.blobs.remove(&blob).await?;
            }
        }
    }
}
