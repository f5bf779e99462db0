//! Stores in memory that can be made to fail.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use storage::{
    Error, Result, Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::{Account, AccountRepository, AgentTokens, Credentials},
    shape::Table,
};
use xmpp::BareJid;

/// The error that every operation on accounts answers with, while there is one.
pub(crate) type Fault = Arc<Mutex<Option<Error>>>;

/// Stores, their table, and what makes them fail.
pub(crate) fn stores() -> (Stores, Arc<dyn Table>, Fault) {
    let table = Arc::new(MemoryTable::new());
    let mut stores = Stores::over(table.clone(), Arc::new(MemoryBlobs::new()));
    let fault = Fault::default();
    stores.accounts = Arc::new(Faulty {
        inner: stores.accounts,
        fault: fault.clone(),
    });
    (stores, table, fault)
}

struct Faulty {
    inner: Arc<dyn AccountRepository>,
    fault: Fault,
}

impl Faulty {
    fn inner(&self) -> Result<&dyn AccountRepository> {
        self.fault.lock().clone().map_or(Ok(&*self.inner), Err)
    }
}

#[async_trait]
impl AccountRepository for Faulty {
    async fn load(&self, account: &BareJid) -> Result<Option<Account>> {
        self.inner()?.load(account).await
    }
    async fn create(&self, account: &BareJid, credentials: Credentials, now_ms: u64) -> Result<()> {
        self.inner()?.create(account, credentials, now_ms).await
    }
    async fn set_credentials(
        &self,
        account: &BareJid,
        credentials: Credentials,
        seen: u64,
    ) -> Result<u64> {
        self.inner()?
            .set_credentials(account, credentials, seen)
            .await
    }
    async fn set_disabled(&self, account: &BareJid, disabled: bool, seen: u64) -> Result<u64> {
        self.inner()?.set_disabled(account, disabled, seen).await
    }
    async fn remove(&self, account: &BareJid) -> Result<bool> {
        self.inner()?.remove(account).await
    }
    async fn begin_erasure(&self, account: &BareJid) -> Result<()> {
        self.inner()?.begin_erasure(account).await
    }
    async fn end_erasure(&self, account: &BareJid) -> Result<()> {
        self.inner()?.end_erasure(account).await
    }
    async fn is_being_removed(&self, account: &BareJid) -> Result<bool> {
        self.inner()?.is_being_removed(account).await
    }
    async fn removals(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.inner()?.removals(domain, after, limit).await
    }
    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.inner()?.list(domain, after, limit).await
    }
    async fn tokens(&self, account: &BareJid, agent: &str) -> Result<Option<AgentTokens>> {
        self.inner()?.tokens(account, agent).await
    }
    async fn put_tokens(
        &self,
        account: &BareJid,
        agent: &str,
        tokens: &AgentTokens,
        seen: u64,
    ) -> Result<u64> {
        self.inner()?.put_tokens(account, agent, tokens, seen).await
    }
    async fn remove_tokens(&self, account: &BareJid, agent: &str) -> Result<()> {
        self.inner()?.remove_tokens(account, agent).await
    }
    async fn remove_all_tokens(&self, account: &BareJid) -> Result<()> {
        self.inner()?.remove_all_tokens(account).await
    }
}
