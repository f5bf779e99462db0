//! By domain: one repository for some domains, another for the rest.
//!
//! Why here: an operator names a backend per domain and feature, and whoever uses a repository knows only one.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::BareJid;

use super::{
    Account, AccountCapabilities, AccountRepository, AgentTokens, ArchivePreferences,
    ArchivePreferencesRepository, Credentials, LogEntry, LogRange, LogRepository, Mailbox,
    MailboxRepository, NewEntry, PasswordVerdict, PrivacyData, PrivacyRepository, PrivateXml,
    PrivateXmlRepository, PubsubChange, PubsubHead, PubsubItem, PubsubNode, PubsubRepository,
    Rewrite, Roster, RosterRepository, Tip, Vcard, VcardField, VcardPage, VcardPhoto,
    VcardRepository,
    shared_groups::{GroupMember, SharedGroup, SharedGroupRepository},
};
use crate::{error::Result, shape::Done};

/// Repositories by domain.
pub struct ByDomain<R: ?Sized> {
    domains: HashMap<String, Arc<R>>,
    others: Arc<R>,
}

impl<R: ?Sized> ByDomain<R> {
    /// `others` for every domain that has none of its own.
    pub fn new(domains: impl IntoIterator<Item = (String, Arc<R>)>, others: Arc<R>) -> Self {
        Self {
            domains: domains.into_iter().collect(),
            others,
        }
    }

    fn of(&self, domain: &str) -> &R {
        self.domains.get(domain).unwrap_or(&self.others)
    }

    fn by(&self, jid: &BareJid) -> &R {
        self.of(jid.domain())
    }
}

#[async_trait]
impl AccountRepository for ByDomain<dyn AccountRepository> {
    fn capabilities(&self, domain: &str) -> AccountCapabilities {
        self.of(domain).capabilities(domain)
    }
    async fn check_password(&self, account: &BareJid, password: &str) -> Result<PasswordVerdict> {
        self.by(account).check_password(account, password).await
    }
    async fn load(&self, account: &BareJid) -> Result<Option<Account>> {
        self.by(account).load(account).await
    }
    async fn create(&self, account: &BareJid, keys: Credentials, now_ms: u64) -> Result<()> {
        self.by(account).create(account, keys, now_ms).await
    }
    async fn set_credentials(
        &self,
        account: &BareJid,
        keys: Credentials,
        seen: u64,
    ) -> Result<u64> {
        self.by(account).set_credentials(account, keys, seen).await
    }
    async fn set_disabled(&self, account: &BareJid, disabled: bool, seen: u64) -> Result<u64> {
        self.by(account).set_disabled(account, disabled, seen).await
    }
    async fn remove(&self, account: &BareJid) -> Result<bool> {
        self.by(account).remove(account).await
    }
    async fn begin_erasure(&self, account: &BareJid) -> Result<()> {
        self.by(account).begin_erasure(account).await
    }
    async fn end_erasure(&self, account: &BareJid) -> Result<()> {
        self.by(account).end_erasure(account).await
    }
    async fn is_being_removed(&self, account: &BareJid) -> Result<bool> {
        self.by(account).is_being_removed(account).await
    }
    async fn removals(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.of(domain).removals(domain, after, limit).await
    }
    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.of(domain).list(domain, after, limit).await
    }
    async fn tokens(&self, account: &BareJid, agent: &str) -> Result<Option<AgentTokens>> {
        self.by(account).tokens(account, agent).await
    }
    async fn put_tokens(
        &self,
        account: &BareJid,
        agent: &str,
        tokens: &AgentTokens,
        seen: u64,
    ) -> Result<u64> {
        self.by(account)
            .put_tokens(account, agent, tokens, seen)
            .await
    }
    async fn remove_tokens(&self, account: &BareJid, agent: &str) -> Result<()> {
        self.by(account).remove_tokens(account, agent).await
    }
    async fn remove_all_tokens(&self, account: &BareJid) -> Result<()> {
        self.by(account).remove_all_tokens(account).await
    }
}

#[async_trait]
impl RosterRepository for ByDomain<dyn RosterRepository> {
    fn is_writable(&self, domain: &str) -> bool {
        self.of(domain).is_writable(domain)
    }
    async fn load(&self, owner: &BareJid) -> Result<Roster> {
        self.by(owner).load(owner).await
    }
    async fn store(&self, owner: &BareJid, roster: &Roster, seen_version: u64) -> Result<u64> {
        self.by(owner).store(owner, roster, seen_version).await
    }
}

#[async_trait]
impl VcardRepository for ByDomain<dyn VcardRepository> {
    fn is_writable(&self, domain: &str) -> bool {
        self.of(domain).is_writable(domain)
    }
    async fn get(&self, owner: &BareJid) -> Result<Option<Vcard>> {
        self.by(owner).get(owner).await
    }
    async fn photo(&self, owner: &BareJid) -> Result<Option<VcardPhoto>> {
        self.by(owner).photo(owner).await
    }
    async fn put(&self, owner: &BareJid, vcard: &Vcard, seen: u64) -> Result<u64> {
        self.by(owner).put(owner, vcard, seen).await
    }
    async fn remove(&self, owner: &BareJid) -> Result<()> {
        self.by(owner).remove(owner).await
    }
    async fn search(
        &self,
        domain: &str,
        field: VcardField,
        prefix: &str,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<VcardPage> {
        let of = self.of(domain);
        of.search(domain, field, prefix, after, limit).await
    }
    async fn told(&self, owner: &BareJid) -> Result<Option<Vec<(VcardField, String)>>> {
        self.by(owner).told(owner).await
    }
    async fn search_inside(
        &self,
        domain: &str,
        text: &str,
        after: Option<&Bytes>,
        limit: usize,
    ) -> Result<VcardPage> {
        let of = self.of(domain);
        of.search_inside(domain, text, after, limit).await
    }
}

#[async_trait]
impl SharedGroupRepository for ByDomain<dyn SharedGroupRepository> {
    fn is_writable(&self, domain: &str) -> bool {
        self.of(domain).is_writable(domain)
    }
    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.of(domain).list(domain, after, limit).await
    }
    async fn all(&self, domain: &str) -> Result<Vec<SharedGroup>> {
        self.of(domain).all(domain).await
    }
    async fn load(&self, domain: &str, group: &str) -> Result<Option<SharedGroup>> {
        self.of(domain).load(domain, group).await
    }
    async fn members(
        &self,
        domain: &str,
        group: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<GroupMember>> {
        self.of(domain).members(domain, group, after, limit).await
    }
    async fn shown_to(&self, account: &BareJid) -> Result<Vec<String>> {
        self.by(account).shown_to(account).await
    }
    async fn put(&self, domain: &str, group: &SharedGroup, seen: u64) -> Result<u64> {
        self.of(domain).put(domain, group, seen).await
    }
    async fn remove(&self, domain: &str, group: &str) -> Result<()> {
        self.of(domain).remove(domain, group).await
    }
    async fn put_members(&self, domain: &str, group: &str, members: &[GroupMember]) -> Result<()> {
        self.of(domain).put_members(domain, group, members).await
    }
    async fn remove_members(&self, domain: &str, group: &str, members: &[BareJid]) -> Result<()> {
        self.of(domain).remove_members(domain, group, members).await
    }
    async fn leave(&self, account: &BareJid) -> Result<()> {
        self.by(account).leave(account).await
    }
}

#[async_trait]
impl MailboxRepository for ByDomain<dyn MailboxRepository> {
    async fn load(&self, account: &BareJid) -> Result<Mailbox> {
        self.by(account).load(account).await
    }
    async fn store(&self, account: &BareJid, mailbox: &Mailbox, seen: u64) -> Result<u64> {
        self.by(account).store(account, mailbox, seen).await
    }
}

#[async_trait]
impl PrivacyRepository for ByDomain<dyn PrivacyRepository> {
    async fn load(&self, owner: &BareJid) -> Result<PrivacyData> {
        self.by(owner).load(owner).await
    }
    async fn store(&self, owner: &BareJid, data: &PrivacyData, seen: u64) -> Result<u64> {
        self.by(owner).store(owner, data, seen).await
    }
}

#[async_trait]
impl PrivateXmlRepository for ByDomain<dyn PrivateXmlRepository> {
    async fn get(
        &self,
        owner: &BareJid,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PrivateXml>> {
        self.by(owner).get(owner, namespace, name).await
    }
    async fn put(&self, owner: &BareJid, namespace: &str, name: &str, xml: Bytes) -> Result<u64> {
        self.by(owner).put(owner, namespace, name, xml).await
    }
    async fn remove(&self, owner: &BareJid, namespace: &str, name: &str) -> Result<()> {
        self.by(owner).remove(owner, namespace, name).await
    }
    async fn list(&self, owner: &BareJid) -> Result<Vec<(String, String)>> {
        self.by(owner).list(owner).await
    }
}

/// A service has what the rest of the domains has.
#[async_trait]
impl PubsubRepository for ByDomain<dyn PubsubRepository> {
    async fn heads(&self, account: &BareJid, limit: usize) -> Result<Vec<PubsubHead>> {
        self.by(account).heads(account, limit).await
    }
    async fn names(
        &self,
        service: &BareJid,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.by(service).names(service, after, limit).await
    }
    async fn names_of(
        &self,
        service: &BareJid,
        address: &BareJid,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.by(service).names_of(service, address, limit).await
    }
    async fn load(&self, service: &BareJid, node: &str) -> Result<Option<PubsubNode>> {
        self.by(service).load(service, node).await
    }
    async fn item(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        id: &str,
    ) -> Result<Option<PubsubItem>> {
        self.by(service).item(service, head, id).await
    }
    async fn items(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        limit: usize,
    ) -> Result<Vec<PubsubItem>> {
        self.by(service).items(service, head, limit).await
    }
    async fn store(
        &self,
        service: &BareJid,
        head: &PubsubHead,
        change: &PubsubChange,
    ) -> Result<u64> {
        self.by(service).store(service, head, change).await
    }
    async fn remove(&self, service: &BareJid, node: &PubsubNode) -> Result<()> {
        self.by(service).remove(service, node).await
    }
}

#[async_trait]
impl ArchivePreferencesRepository for ByDomain<dyn ArchivePreferencesRepository> {
    async fn load(&self, owner: &BareJid) -> Result<Option<ArchivePreferences>> {
        self.by(owner).load(owner).await
    }
    async fn store(
        &self,
        owner: &BareJid,
        preferences: &ArchivePreferences,
        seen: u64,
    ) -> Result<u64> {
        self.by(owner).store(owner, preferences, seen).await
    }
}

#[async_trait]
impl LogRepository for ByDomain<dyn LogRepository> {
    async fn head(&self, archive: &BareJid) -> Result<u64> {
        self.by(archive).head(archive).await
    }
    async fn tip(&self, archive: &BareJid) -> Result<Tip> {
        self.by(archive).tip(archive).await
    }
    async fn append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
    ) -> Result<()> {
        let of = self.by(archive);
        of.append(archive, head, write_id, entries).await
    }
    fn submit_append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
        done: Done,
    ) {
        let of = self.by(archive);
        of.submit_append(archive, head, write_id, entries, done);
    }
    async fn read(
        &self,
        archive: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        self.by(archive).read(archive, range, reverse, limit).await
    }
    async fn read_with(
        &self,
        archive: &BareJid,
        contact: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        let of = self.by(archive);
        of.read_with(archive, contact, range, reverse, limit).await
    }
    async fn first_since(&self, archive: &BareJid, time_ms: u64) -> Result<u64> {
        self.by(archive).first_since(archive, time_ms).await
    }
    async fn rewrite(&self, archive: &BareJid, number: u64, change: &Rewrite<'_>) -> Result<bool> {
        self.by(archive).rewrite(archive, number, change).await
    }
    async fn truncate(&self, archive: &BareJid, before: u64) -> Result<u64> {
        self.by(archive).truncate(archive, before).await
    }
    async fn truncate_unarchived(&self, archive: &BareJid, before: u64) -> Result<u64> {
        self.by(archive).truncate_unarchived(archive, before).await
    }
    async fn blank(&self, archive: &BareJid, numbers: &[u64]) -> Result<()> {
        self.by(archive).blank(archive, numbers).await
    }
    async fn erase(&self, archive: &BareJid) -> Result<()> {
        self.by(archive).erase(archive).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Stores,
        backend::memory::{MemoryBlobs, MemoryTable},
        conformance,
    };

    fn stores() -> Stores {
        Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new())).unguarded()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_asks_sees_one() {
        let (some, others) = (stores(), stores());
        let domains = ["a.example", "life.example", "log.example", "vcard.example"];
        let of = |domain: &str| domain.to_owned();
        let mut both = others.clone();
        both.accounts = Arc::new(ByDomain::<dyn AccountRepository>::new(
            domains.map(|it| (of(it), some.accounts.clone())),
            others.accounts.clone(),
        ));
        both.rosters = Arc::new(ByDomain::<dyn RosterRepository>::new(
            domains.map(|it| (of(it), some.rosters.clone())),
            others.rosters.clone(),
        ));
        both.vcards = Arc::new(ByDomain::<dyn VcardRepository>::new(
            domains.map(|it| (of(it), some.vcards.clone())),
            others.vcards.clone(),
        ));
        both.logs = Arc::new(ByDomain::<dyn LogRepository>::new(
            domains.map(|it| (of(it), some.logs.clone())),
            others.logs.clone(),
        ));
        conformance::accounts(&*both.accounts).await;
        conformance::rosters(&*both.rosters).await;
        conformance::vcards(&*both.vcards).await;
        conformance::logs(&*both.logs).await;
        let bob = BareJid::parse("bob@a.example").unwrap();
        both.accounts
            .create(&bob, Credentials::default(), 1)
            .await
            .unwrap();
        assert!(some.accounts.load(&bob).await.unwrap().is_some());
        assert!(others.accounts.load(&bob).await.unwrap().is_none());
    }
}
