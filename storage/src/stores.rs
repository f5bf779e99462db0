//! Every repository of a domain, built over one table and one blob store, and what concerns them all.

use std::sync::Arc;

use bytes::Bytes;
use xmpp::BareJid;

use crate::{
    error::{Error, ErrorKind, Result},
    key,
    layer::Guarded,
    maintenance::{Maintenance, MaintenanceOptions},
    repository::{
        AccountRepository, ArchivePreferencesRepository, Credentials, LogRepository,
        MailboxRepository, PrivacyRepository, PrivateXmlLimits, PrivateXmlRepository,
        RosterRepository, TableAccounts, TableArchivePreferences, TableLogs, TableMailboxes,
        TablePrivacy, TablePrivateXml, TableRosters, TableVcards, VcardRepository,
        account::mark_key, paging,
    },
    shape::{Blobs, Consistency, Key, Query, Space, Table},
    sweep::Sweep,
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
    /// Longest stanza that stands in its log. What is longer is a blob, which must then answer for the log to take it or
    /// to hand it over: above the longest stanza that clients may send nothing of a message waits for blobs.
    pub stanza_inline_max: usize,
    /// Bounds of private XML.
    pub private_xml: PrivateXmlLimits,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            inline_max: 8 << 10,
            roster_inline_max: 300 << 10,
            stanza_inline_max: 300 << 10,
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
    limits: StoreLimits,
}

impl Stores {
    /// Every repository over the same table and blobs, with the default limits.
    pub fn over(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>) -> Self {
        Self::with_limits(table, blobs, StoreLimits::default())
    }

    /// Every repository over the same table and blobs. What an account owns is written only while there is the account
    /// (`NotAllowed` otherwise), appends to logs apart.
    pub fn with_limits(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, limits: StoreLimits) -> Self {
        let guarded = Arc::new(Guarded::by_owner(table.clone()));
        Self {
            logs: Arc::new(TableLogs::new(
                table.clone(),
                blobs.clone(),
                limits.stanza_inline_max,
            )),
            table: table.clone(),
            ..Self::plain(guarded, blobs, limits)
        }
    }

    /// The same without asking whether there is the account: for an import, which makes it last.
    pub fn unguarded(&self) -> Self {
        Self::plain(self.table.clone(), self.blobs.clone(), self.limits)
    }

    fn plain(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, limits: StoreLimits) -> Self {
        let StoreLimits {
            inline_max,
            roster_inline_max,
            private_xml,
            ..
        } = limits;
        Self {
            accounts: Arc::new(TableAccounts::new(table.clone())),
            rosters: Arc::new(TableRosters::new(
                table.clone(),
                blobs.clone(),
                roster_inline_max,
            )),
            logs: Arc::new(TableLogs::new(
                table.clone(),
                blobs.clone(),
                limits.stanza_inline_max,
            )),
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
            limits,
        }
    }

    /// Makes an account. What is left of a former owner of its name is erased before, so that nobody inherits anything.
    /// One batch, and a look at everything that may be left.
    ///
    /// # Errors
    /// `Conflict` if it exists; of two racing creations one wins. `NotAllowed` for an address without localpart.
    pub async fn create(
        &self,
        account: &BareJid,
        credentials: Credentials,
        now_ms: u64,
    ) -> Result<()> {
        if !self.is_clean(account).await? {
            self.accounts.begin_erasure(account).await?;
            self.erase_rest(account).await?;
        }
        self.accounts.create(account, credentials, now_ms).await
    }

    /// Removes everything an account has: first the account itself, from when on nothing is written for it, in the end the
    /// mark that its name bears meanwhile. Repeatable after dying anywhere. End its sessions before.
    ///
    /// # Errors
    /// Any; what was removed until then is gone, and another call goes on, as the next creation does.
    pub async fn erase(&self, account: &BareJid) -> Result<()> {
        if !self.accounts.remove(account).await? {
            match self.accounts.begin_erasure(account).await {
                // Somebody has just made it: it is none of the former owner's.
                Err(error) if error.kind() == ErrorKind::Conflict => return Ok(()),
                begun => begun?,
            }
        }
        self.erase_rest(account).await?;
        self.accounts.end_erasure(account).await
    }

    /// Makes way for an import: as [`Stores::erase`], but the name stays marked until the account is made, so that what an
    /// import wrote that died is erased.
    ///
    /// # Errors
    /// `Conflict` if there is such an account.
    pub async fn begin_import(&self, account: &BareJid) -> Result<()> {
        self.accounts.begin_erasure(account).await?;
        self.erase_rest(account).await
    }

    /// The maintenance of a domain: to be stepped now and then, on any node. `swept` names the domains whose objects are
    /// swept: those whose records are all in this table.
    pub fn maintenance(
        &self,
        domain: &str,
        swept: &[&str],
        options: MaintenanceOptions,
    ) -> Maintenance {
        let (table, blobs) = (self.table.clone(), self.blobs.clone());
        let sweep = options.sweep.map(|grace| {
            let domains = swept.iter().map(|domain| (*domain).to_owned()).collect();
            Sweep::new(table.clone(), blobs, domains, grace)
        });
        let logs = self.table_logs(table);
        let (accounts, mailboxes) = (self.accounts.clone(), self.mailboxes.clone());
        Maintenance::new(domain.to_owned(), accounts, mailboxes, logs, sweep, options)
    }

    /// The logs themselves, over this table.
    pub(crate) fn table_logs(&self, table: Arc<dyn Table>) -> TableLogs {
        TableLogs::new(table, self.blobs.clone(), self.limits.stanza_inline_max)
    }

    /// Whether a name has nothing.
    async fn is_clean(&self, account: &BareJid) -> Result<bool> {
        let mark = mark_key(account)?;
        if self.table.get(&mark, Consistency::Strong).await?.is_some() {
            return Ok(false);
        }
        let nothing = async |space, partition| {
            let query = Query {
                limit: 1,
                ..everything(space, partition)
            };
            let found = self.table.query(&query).await?;
            Ok::<_, Error>(found.records.is_empty() && !found.more)
        };
        let prefix = key::account_blobs(account);
        Ok(nothing(Space::Core, key::account(account)).await?
            && nothing(Space::Log, key::log(account)).await?
            && nothing(Space::Log, key::log_segments(account)).await?
            && self.blobs.list(&prefix, None, 1).await?.is_empty())
    }

    /// Erases what a marked name has. It ends when the mark is taken away: then somebody else has done it, and what is
    /// there is a new owner's.
    pub(crate) async fn erase_rest(&self, account: &BareJid) -> Result<()> {
        let mark = mark_key(account)?;
        let table: Arc<dyn Table> = Arc::new(Guarded::by_record(self.table.clone(), mark.clone()));
        let erase = async {
            // Before its record, which alone knows the rows of its index.
            TableVcards::new(table.clone(), self.blobs.clone(), self.limits.inline_max)
                .remove(account)
                .await?;
            erase_records(&*table, account).await?;
            self.table_logs(table).erase_records(account).await?;
            // After the records: none is left that points at a blob.
            self.erase_blobs(account, &mark).await
        };
        match erase.await {
            Err(error) if error.kind() == ErrorKind::NotAllowed => Ok(()),
            other => other,
        }
    }

    async fn erase_blobs(&self, account: &BareJid, mark: &Key) -> Result<()> {
        let prefix = key::account_blobs(account);
        loop {
            let found = self.blobs.list(&prefix, None, ERASED_AT_ONCE).await?;
            // What was there while the mark was is not of a new owner.
            let marked = self.table.get(mark, Consistency::Strong).await?.is_some();
            if found.is_empty() || !marked {
                return Ok(());
            }
            for blob in found {
                self.blobs.remove(&blob).await?;
            }
        }
    }
}

async fn erase_records(table: &dyn Table, account: &BareJid) -> Result<()> {
    let partition = key::account(account);
    let mut query = everything(Space::Core, partition.clone());
    loop {
        let (records, more) = paging::next_page(table, &mut query).await?;
        paging::delete_all(table, Space::Core, &partition, records).await?;
        if !more {
            return Ok(());
        }
    }
}

fn everything(space: Space, partition: Bytes) -> Query {
    Query {
        space,
        partition,
        from: None,
        until: None,
        reverse: false,
        limit: ERASED_AT_ONCE,
        consistency: Consistency::Strong,
    }
}
