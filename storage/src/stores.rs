//! Every repository of a domain, built over one table and one blob store, and what concerns them all.

use std::sync::Arc;

use xmpp::BareJid;

use crate::{
    error::Result,
    repository::{
        AccountRepository, ArchivePreferencesRepository, LogRepository, MailboxRepository,
        PrivacyRepository, PrivateXmlRepository, RosterRepository, VcardRepository,
    },
    shape::{Blobs, Table},
};

/// The repositories.
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
}

impl Stores {
    /// Every repository over the same table and blobs.
    pub fn over(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>) -> Self {
        let _ = (table, blobs);
        todo!()
    }

    /// Removes everything an account has, the account itself last, so that its name is free only when nothing is left.
    /// Repeatable after dying anywhere.
    pub async fn erase(&self, account: &BareJid) -> Result<()> {
        let _ = account;
        todo!()
    }
}
