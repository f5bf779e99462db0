//! Shadowed: accounts of an outside system, with a record of ours beside each.
//!
//! Why: a directory knows who exists and whose password is right; it keeps no tokens, and nothing can be checked in one
//! batch with it. The shadow is an account without keys in a table of ours: it carries tokens, when we first saw the
//! account, our own lock and the version of changes, and what an account owns in our tables is guarded by it
//! ([`Guarded`](crate::layer::Guarded)).
//! What counts: there is an account if and only if the authority says so, each time it is asked. A shadow that outlives
//! its account opens nothing; its data waits until an administrator removes it, or its owner comes back.
//! Cost: what the authority costs, and one strong get; the first sight of an account writes its shadow.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::BareJid;

use super::{
    Account, AccountCapabilities, AccountRepository, AgentTokens, Credentials, PasswordVerdict,
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
};

/// The accounts of an authority.
pub struct ShadowedAccounts {
    authority: Arc<dyn AccountRepository>,
    shadows: Arc<dyn AccountRepository>,
    clock: Arc<dyn Clock>,
}

impl ShadowedAccounts {
    /// Accounts of `authority`, with their shadows in `shadows` (accounts over a table, as `Stores` has them).
    pub fn new(
        authority: Arc<dyn AccountRepository>,
        shadows: Arc<dyn AccountRepository>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            authority,
            shadows,
            clock,
        }
    }

    /// The shadow of an account that exists; made at first sight.
    async fn shadow(&self, account: &BareJid) -> Result<Account> {
        if let Some(known) = self.shadows.load(account).await? {
            return Ok(known);
        }
        if self.shadows.is_being_removed(account).await? {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "what a former owner of the name left is still being erased",
            ));
        }
        let now_ms = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX);
        let made = self
            .shadows
            .create(account, Credentials::default(), now_ms)
            .await;
        match made {
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            // Somebody else saw it at the same time.
            _ => {}
        }
        self.shadows.load(account).await?.ok_or_else(|| {
            let context = "the record of an account vanished while it was made";
            Error::new(ErrorKind::Unavailable, context)
        })
    }
}

fn elsewhere() -> Error {
    let context = "accounts of this domain are managed by another system";
    Error::new(ErrorKind::NotAllowed, context)
}

#[async_trait]
impl AccountRepository for ShadowedAccounts {
    fn capabilities(&self, domain: &str) -> AccountCapabilities {
        AccountCapabilities {
            writable: false,
            ..self.authority.capabilities(domain)
        }
    }

    async fn check_password(&self, account: &BareJid, password: &str) -> Result<PasswordVerdict> {
        self.authority.check_password(account, password).await
    }

    async fn load(&self, account: &BareJid) -> Result<Option<Account>> {
        let Some(found) = self.authority.load(account).await? else {
            return Ok(None);
        };
        let shadow = self.shadow(account).await?;
        Ok(Some(Account {
            credentials: found.credentials,
            disabled: found.disabled || shadow.disabled,
            ..shadow
        }))
    }

    async fn create(&self, _: &BareJid, _: Credentials, _: u64) -> Result<()> {
        Err(elsewhere())
    }

    async fn set_credentials(&self, _: &BareJid, _: Credentials, _: u64) -> Result<u64> {
        Err(elsewhere())
    }

    /// Our own lock, beside the authority's.
    async fn set_disabled(&self, account: &BareJid, disabled: bool, seen: u64) -> Result<u64> {
        self.shadows.set_disabled(account, disabled, seen).await
    }

    /// The shadow of an account that is gone: what it left can be erased.
    ///
    /// # Errors
    /// `NotAllowed` while the authority has the account.
    async fn remove(&self, account: &BareJid) -> Result<bool> {
        match self.authority.load(account).await? {
            Some(_) => Err(elsewhere()),
            None => self.shadows.remove(account).await,
        }
    }

    async fn begin_erasure(&self, account: &BareJid) -> Result<()> {
        match self.authority.load(account).await? {
            Some(_) => Err(Error::conflict(0, None)),
            None => self.shadows.begin_erasure(account).await,
        }
    }

    async fn end_erasure(&self, account: &BareJid) -> Result<()> {
        self.shadows.end_erasure(account).await
    }

    async fn is_being_removed(&self, account: &BareJid) -> Result<bool> {
        self.shadows.is_being_removed(account).await
    }

    async fn removals(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        self.shadows.removals(domain, after, limit).await
    }

    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.authority.list(domain, after, limit).await
    }

    async fn tokens(&self, account: &BareJid, agent: &str) -> Result<Option<AgentTokens>> {
        self.shadows.tokens(account, agent).await
    }

    async fn put_tokens(
        &self,
        account: &BareJid,
        agent: &str,
        tokens: &AgentTokens,
        seen: u64,
    ) -> Result<u64> {
        self.shadows.put_tokens(account, agent, tokens, seen).await
    }

    async fn remove_tokens(&self, account: &BareJid, agent: &str) -> Result<()> {
        self.shadows.remove_tokens(account, agent).await
    }

    async fn remove_all_tokens(&self, account: &BareJid) -> Result<()> {
        self.shadows.remove_all_tokens(account).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ManualClock, Stores,
        backend::memory::{MemoryBlobs, MemoryTable},
        repository::{FastToken, Roster, TableAccounts},
    };

    fn jid(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    struct World {
        authority: Arc<dyn AccountRepository>,
        stores: Stores,
    }

    /// An outside system (a table of its own), and stores that know nothing of its accounts yet.
    async fn world() -> World {
        let authority: Arc<dyn AccountRepository> =
            Arc::new(TableAccounts::new(Arc::new(MemoryTable::new())));
        let mut stores = Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
        stores.accounts = Arc::new(ShadowedAccounts::new(
            authority.clone(),
            stores.accounts.clone(),
            Arc::new(ManualClock::at(7)),
        ));
        World { authority, stores }
    }

    #[track_caller]
    fn refused<T>(result: Result<T>, kind: ErrorKind) {
        assert_eq!(result.map(drop).map_err(|error| error.kind()), Err(kind));
    }

    #[tokio::test]
    async fn the_authority_alone_says_who_exists() {
        let World { authority, stores } = world().await;
        let (bob, accounts) = (jid("bob@a.example"), &stores.accounts);
        assert_eq!(accounts.load(&bob).await.unwrap(), None);
        let keys = Credentials::default();
        refused(
            stores.create(&bob, keys.clone(), 1).await,
            ErrorKind::NotAllowed,
        );
        authority.create(&bob, keys.clone(), 1).await.unwrap();
        let found = accounts.load(&bob).await.unwrap().unwrap();
        assert_eq!((found.created_ms, found.disabled), (7_000, false));
        assert_eq!(accounts.list("a.example", None, 9).await.unwrap(), ["bob"]);
        refused(accounts.remove(&bob).await, ErrorKind::NotAllowed);
        refused(accounts.begin_erasure(&bob).await, ErrorKind::Conflict);
        let seen = found.version;
        refused(
            accounts.set_credentials(&bob, keys, seen).await,
            ErrorKind::NotAllowed,
        );

        // Two who see it first at once agree.
        let ann = jid("ann@a.example");
        authority
            .create(&ann, Credentials::default(), 1)
            .await
            .unwrap();
        let (a, b) = tokio::join!(accounts.load(&ann), accounts.load(&ann));
        assert_eq!(a.unwrap().unwrap(), b.unwrap().unwrap());
    }

    #[tokio::test]
    async fn tokens_locks_and_what_is_owned_stand_beside() {
        let World { authority, stores } = world().await;
        let (bob, accounts) = (jid("bob@a.example"), &stores.accounts);
        let tokens = AgentTokens {
            current: FastToken {
                mechanism: "HT-SHA-256-NONE".into(),
                secret: b"secret".to_vec(),
                issued_ms: 1,
                expires_ms: u64::MAX,
                count: 0,
            },
            previous: None,
            version: 0,
        };
        refused(
            accounts.put_tokens(&bob, "phone", &tokens, 0).await,
            ErrorKind::Conflict,
        );
        refused(
            stores.rosters.store(&bob, &Roster::default(), 0).await,
            ErrorKind::NotAllowed,
        );
        authority
            .create(&bob, Credentials::default(), 1)
            .await
            .unwrap();
        let found = accounts.load(&bob).await.unwrap().unwrap();
        accounts
            .put_tokens(&bob, "phone", &tokens, 0)
            .await
            .unwrap();
        stores
            .rosters
            .store(&bob, &Roster::default(), 0)
            .await
            .unwrap();
        let version = accounts
            .set_disabled(&bob, true, found.version)
            .await
            .unwrap();
        assert!(accounts.load(&bob).await.unwrap().unwrap().disabled);
        accounts.set_disabled(&bob, false, version).await.unwrap();

        let theirs = authority.load(&bob).await.unwrap().unwrap();
        authority
            .set_disabled(&bob, true, theirs.version)
            .await
            .unwrap();
        assert!(accounts.load(&bob).await.unwrap().unwrap().disabled);

        // Gone there: gone here, and what it left can be erased.
        authority.remove(&bob).await.unwrap();
        assert_eq!(accounts.load(&bob).await.unwrap(), None);
        assert!(accounts.tokens(&bob, "phone").await.unwrap().is_some());
        stores.erase(&bob).await.unwrap();
        assert_eq!(accounts.tokens(&bob, "phone").await.unwrap(), None);
        assert_eq!(stores.rosters.load(&bob).await.unwrap().version, 0);
    }

    #[tokio::test]
    async fn who_comes_back_waits_for_the_erasure_of_what_was() {
        let World { authority, stores } = world().await;
        let (bob, accounts) = (jid("bob@a.example"), &stores.accounts);
        authority
            .create(&bob, Credentials::default(), 1)
            .await
            .unwrap();
        accounts.load(&bob).await.unwrap();
        authority.remove(&bob).await.unwrap();
        assert!(accounts.remove(&bob).await.unwrap());
        authority
            .create(&bob, Credentials::default(), 2)
            .await
            .unwrap();
        refused(accounts.load(&bob).await, ErrorKind::Unavailable);
        accounts.end_erasure(&bob).await.unwrap();
        assert!(accounts.load(&bob).await.unwrap().is_some());
    }
}
