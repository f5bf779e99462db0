//! Accounts of a directory: who exists and whose password is right. Nothing else is known there, and nothing is written.
//!
//! Compose with [`ShadowedAccounts`](storage::repository::ShadowedAccounts), which keeps tokens, locks and when an account
//! was first seen. Nothing is cached: who was removed is out at once.

use std::sync::Arc;

use async_trait::async_trait;
use storage::{
    Clock, Error, Result,
    repository::{
        Account, AccountCapabilities, AccountRepository, AgentTokens, Credentials, PasswordVerdict,
        ScramHashes,
    },
};
use xmpp::BareJid;

use super::{Ldap, answer::Bound, users::is_locked};
use crate::not_allowed;

/// The accounts of a directory.
pub struct LdapAccounts {
    ldap: Ldap,
    base: String,
    clock: Arc<dyn Clock>,
}

impl LdapAccounts {
    /// Of this directory; the clock tells who has expired.
    pub fn new(ldap: &Ldap, clock: Arc<dyn Clock>) -> Self {
        Self {
            base: ldap.directory.base().to_owned(),
            ldap: ldap.clone(),
            clock,
        }
    }

    /// Takes the time that a user takes who exists: nobody shall learn who does. The password stays here.
    async fn decoy(&self) -> Result<PasswordVerdict> {
        let nobody = format!("cn=nobody,{}", self.base);
        self.ldap.directory.bind(&nobody, "no password").await?;
        Ok(PasswordVerdict::Wrong)
    }
}

fn read_only() -> Error {
    not_allowed("accounts of this domain are managed in a directory")
}

#[async_trait]
impl AccountRepository for LdapAccounts {
    fn capabilities(&self, _: &str) -> AccountCapabilities {
        AccountCapabilities {
            writable: false,
            scram: ScramHashes::NONE,
        }
    }

    /// One search, one bind; a second search with `ldap_dn_filter`.
    async fn check_password(&self, account: &BareJid, password: &str) -> Result<PasswordVerdict> {
        // RFC 4513 §5.1.2: a bind without password always succeeds, as nobody.
        if password.is_empty() {
            return Ok(PasswordVerdict::Wrong);
        }
        let Some(user) = self.ldap.users.find(account, &[]).await? else {
            return self.decoy().await;
        };
        let bound = self.ldap.directory.bind(&user.entry.dn, password).await?;
        Ok(match bound {
            Bound::Yes if is_locked(&user.entry, self.clock.now()) => PasswordVerdict::Disabled,
            Bound::Yes => PasswordVerdict::Right,
            Bound::No => PasswordVerdict::Wrong,
            Bound::Disabled => PasswordVerdict::Disabled,
            Bound::Expired => PasswordVerdict::Expired,
        })
    }

    /// One search; a second one with `ldap_dn_filter`.
    async fn load(&self, account: &BareJid) -> Result<Option<Account>> {
        let found = self.ldap.users.find(account, &[]).await?;
        Ok(found.map(|user| Account {
            credentials: Credentials::default(),
            created_ms: 0,
            disabled: is_locked(&user.entry, self.clock.now()),
            version: 1,
        }))
    }

    async fn create(&self, _: &BareJid, _: Credentials, _: u64) -> Result<()> {
        Err(read_only())
    }

    async fn set_credentials(&self, _: &BareJid, _: Credentials, _: u64) -> Result<u64> {
        Err(read_only())
    }

    async fn set_disabled(&self, _: &BareJid, _: bool, _: u64) -> Result<u64> {
        Err(read_only())
    }

    async fn remove(&self, _: &BareJid) -> Result<bool> {
        Err(read_only())
    }

    async fn begin_erasure(&self, _: &BareJid) -> Result<()> {
        Err(read_only())
    }

    async fn end_erasure(&self, _: &BareJid) -> Result<()> {
        Err(read_only())
    }

    async fn is_being_removed(&self, _: &BareJid) -> Result<bool> {
        Ok(false)
    }

    async fn removals(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// A search for all users, which is kept for half a minute.
    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        if domain != self.ldap.users.domain {
            return Ok(Vec::new());
        }
        let all = self.ldap.users.all().await?;
        let from = after.map_or(0, |after| {
            all.partition_point(|name| name.as_str() <= after)
        });
        Ok(all[from..].iter().take(limit).cloned().collect())
    }

    async fn tokens(&self, _: &BareJid, _: &str) -> Result<Option<AgentTokens>> {
        Ok(None)
    }

    async fn put_tokens(&self, _: &BareJid, _: &str, _: &AgentTokens, _: u64) -> Result<u64> {
        Err(read_only())
    }

    async fn remove_tokens(&self, _: &BareJid, _: &str) -> Result<()> {
        Ok(())
    }

    async fn remove_all_tokens(&self, _: &BareJid) -> Result<()> {
        Ok(())
    }
}
