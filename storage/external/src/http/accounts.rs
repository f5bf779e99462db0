//! Accounts of a service: with keys (SCRAM works), or with passwords that it verifies itself.
//!
//! A service need not keep tokens, or marks of erasures: then compose with
//! [`ShadowedAccounts`](storage::repository::ShadowedAccounts), which keeps them in a table of ours.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use storage::{
    Error, Result,
    repository::{
        Account, AccountCapabilities, AccountRepository, AgentTokens, Credentials, PasswordVerdict,
        ScramHashes,
    },
};
use xmpp::BareJid;

use super::{
    Http,
    call::{Call, Condition},
    client::Client,
    wire::{
        AccountOf, Checked, Disabled, Keys, Names, NewAccount, Password, Removed, Removing, Tokens,
        Verdict, Version, scram_of,
    },
};
use crate::not_allowed;

/// What a service does for accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpAccountOptions {
    /// Accounts are made, changed and removed through it.
    pub writable: bool,
    /// For which hashes it serves keys; with none it verifies passwords.
    pub scram: ScramHashes,
}

impl Default for HttpAccountOptions {
    /// A service that verifies passwords.
    fn default() -> Self {
        Self {
            writable: false,
            scram: ScramHashes::NONE,
        }
    }
}

/// The accounts of a service.
pub struct HttpAccounts {
    client: Arc<Client>,
    options: HttpAccountOptions,
}

impl HttpAccounts {
    /// Of this service.
    pub fn new(http: &Http, options: HttpAccountOptions) -> Self {
        Self {
            client: http.client.clone(),
            options,
        }
    }

    fn must_be_writable(&self) -> Result<()> {
        if self.options.writable {
            return Ok(());
        }
        Err(read_only())
    }

    async fn version(&self, call: Call) -> Result<u64> {
        let answer = self.client.change(call).await?;
        Ok(answer.json::<Version>()?.version)
    }

    async fn names(
        &self,
        of: &str,
        domain: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        while names.len() < limit {
            let mut call = Call::get(&[of])
                .with_query("domain", domain)
                .with_query("limit", limit - names.len());
            if let Some(after) = names.last().map(String::as_str).or(after) {
                call = call.with_query("after", after);
            }
            // A service may tell less at once than is asked for; it ends with nothing.
            let found = self.client.ask(call).await?.json::<Names>()?.names;
            if found.is_empty() {
                break;
            }
            names.extend(found);
        }
        names.truncate(limit);
        Ok(names)
    }
}

fn read_only() -> Error {
    not_allowed("accounts of this domain are managed by a service")
}

/// What accounts of a service are called by: those with a localpart.
fn name(account: &BareJid) -> Result<&str> {
    match account.local() {
        Some(_) => Ok(account.as_str()),
        None => Err(not_allowed("an account without localpart")),
    }
}

#[async_trait]
impl AccountRepository for HttpAccounts {
    fn capabilities(&self, _: &str) -> AccountCapabilities {
        AccountCapabilities {
            writable: self.options.writable,
            scram: self.options.scram,
        }
    }

    async fn check_password(&self, account: &BareJid, password: &str) -> Result<PasswordVerdict> {
        // Nobody's proof, whatever a service thinks of it.
        if password.is_empty() {
            return Ok(PasswordVerdict::Wrong);
        }
        let call = Call::new(
            Method::POST,
            &["accounts", account.as_str(), "check-password"],
        )
        .with_body(&Password { password })
        .that_only_asks();
        let Some(answer) = self.client.find(call).await? else {
            return Ok(PasswordVerdict::Wrong);
        };
        Ok(match answer.json::<Checked>()?.verdict {
            Verdict::Right => PasswordVerdict::Right,
            Verdict::Wrong => PasswordVerdict::Wrong,
            Verdict::Disabled => PasswordVerdict::Disabled,
            Verdict::Expired => PasswordVerdict::Expired,
        })
    }

    async fn load(&self, account: &BareJid) -> Result<Option<Account>> {
        let call = Call::get(&["accounts", account.as_str()]);
        match self.client.find(call).await? {
            None => Ok(None),
            Some(answer) => answer.json::<AccountOf>()?.account().map(Some),
        }
    }

    async fn create(&self, account: &BareJid, credentials: Credentials, now_ms: u64) -> Result<()> {
        self.must_be_writable()?;
        let call = Call::new(Method::PUT, &["accounts", name(account)?])
            .if_seen(Condition::Absent)
            .with_body(&NewAccount {
                created_ms: now_ms,
                scram: scram_of(&credentials),
            });
        self.client.change(call).await.map(drop)
    }

    async fn set_credentials(
        &self,
        account: &BareJid,
        credentials: Credentials,
        seen: u64,
    ) -> Result<u64> {
        self.must_be_writable()?;
        let call = Call::new(Method::PUT, &["accounts", account.as_str(), "credentials"])
            .if_seen(Condition::Version(seen))
            .with_body(&Keys {
                scram: scram_of(&credentials),
            });
        self.version(call).await
    }

    async fn set_disabled(&self, account: &BareJid, disabled: bool, seen: u64) -> Result<u64> {
        self.must_be_writable()?;
        let call = Call::new(Method::PUT, &["accounts", account.as_str(), "disabled"])
            .if_seen(Condition::Version(seen))
            .with_body(&Disabled { disabled });
        self.version(call).await
    }

    async fn remove(&self, account: &BareJid) -> Result<bool> {
        self.must_be_writable()?;
        let call = Call::new(Method::DELETE, &["accounts", account.as_str()]);
        match self.client.find(call).await? {
            None => Ok(false),
            Some(answer) => Ok(answer.json::<Removed>()?.removed),
        }
    }

    async fn begin_erasure(&self, account: &BareJid) -> Result<()> {
        self.must_be_writable()?;
        let call = Call::new(Method::PUT, &["erasures", name(account)?]);
        self.client.change(call).await.map(drop)
    }

    async fn end_erasure(&self, account: &BareJid) -> Result<()> {
        self.must_be_writable()?;
        let call = Call::new(Method::DELETE, &["erasures", name(account)?]);
        self.client.find(call).await.map(drop)
    }

    async fn is_being_removed(&self, account: &BareJid) -> Result<bool> {
        if !self.options.writable {
            return Ok(false);
        }
        let call = Call::get(&["erasures", name(account)?]);
        match self.client.find(call).await? {
            None => Ok(false),
            Some(answer) => Ok(answer.json::<Removing>()?.removing),
        }
    }

    async fn removals(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>> {
        if !self.options.writable {
            return Ok(Vec::new());
        }
        self.names("erasures", domain, after, limit).await
    }

    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.names("accounts", domain, after, limit).await
    }

    async fn tokens(&self, account: &BareJid, agent: &str) -> Result<Option<AgentTokens>> {
        if !self.options.writable {
            return Ok(None);
        }
        let call = Call::get(&["accounts", account.as_str(), "tokens", agent]);
        match self.client.find(call).await? {
            None => Ok(None),
            Some(answer) => answer.json::<Tokens>()?.tokens().map(Some),
        }
    }

    async fn put_tokens(
        &self,
        account: &BareJid,
        agent: &str,
        tokens: &AgentTokens,
        seen: u64,
    ) -> Result<u64> {
        self.must_be_writable()?;
        let call = Call::new(
            Method::PUT,
            &["accounts", account.as_str(), "tokens", agent],
        )
        .if_seen(Condition::seen(seen))
        .with_body(&Tokens::of(tokens));
        self.version(call).await
    }

    async fn remove_tokens(&self, account: &BareJid, agent: &str) -> Result<()> {
        if !self.options.writable {
            return Ok(());
        }
        let call = Call::new(
            Method::DELETE,
            &["accounts", account.as_str(), "tokens", agent],
        );
        self.client.find(call).await.map(drop)
    }

    async fn remove_all_tokens(&self, account: &BareJid) -> Result<()> {
        if !self.options.writable {
            return Ok(());
        }
        let call = Call::new(Method::DELETE, &["accounts", account.as_str(), "tokens"]);
        self.client.find(call).await.map(drop)
    }
}
