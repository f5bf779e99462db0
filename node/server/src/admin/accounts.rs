//! What is done to accounts.

use xmpp::BareJid;
use zeroize::Zeroizing;

use super::{
    Administrator, MAX_PAGE, Response, absent, address,
    answers::{Times, User},
    invalid, told,
};
use crate::{module::Context, modules::register::Way};

impl Administrator {
    /// An account's address.
    pub(super) fn account(&self, text: &str) -> Result<BareJid, Response> {
        let account = address("account", text)?;
        self.served("account", account.domain())?;
        Ok(account)
    }

    pub(super) fn served(&self, field: &str, domain: &str) -> Result<(), Response> {
        if self.domains.iter().any(|served| served == domain) {
            return Ok(());
        }
        let served = self.domains.join(", ");
        let reason = format!("{domain} is not served here; served: {served}");
        Err(invalid(field, reason))
    }

    pub(super) async fn add(
        &self,
        account: &str,
        password: Zeroizing<String>,
    ) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live.as_ref().map(|live| live.context());
        let made = self.accounts.create(&account, &password, self.way(&cx));
        made.await.map_err(|error| told(&error, &account))?;
        Ok(Response::Done)
    }

    /// How what is asked for an account reaches who is concerned.
    fn way<'a>(&'a self, cx: &'a Option<Context>) -> Way<'a> {
        match cx {
            Some(cx) => Way::Running(cx),
            None => Way::Down(&self.domains),
        }
    }

    pub(super) async fn password(
        &self,
        account: &str,
        password: Zeroizing<String>,
    ) -> Result<Response, Response> {
        let account = self.account(account)?;
        let changed = self.accounts.set_password(&account, &password).await;
        changed.map_err(|error| told(&error, &account))?;
        if let Some(live) = &self.live {
            let ended = live.end_sessions(&account, "the password was changed");
            ended.await.map_err(|error| told(&error, &account))?;
        }
        Ok(Response::Done)
    }

    pub(super) async fn remove(&self, account: &str) -> Result<Response, Response> {
        let account = self.account(account)?;
        let cx = self.live.as_ref().map(|live| live.context());
        let removed = self.accounts.remove(&account, None, self.way(&cx)).await;
        removed.map_err(|error| told(&error, &account))?;
        Ok(Response::Done)
    }

    pub(super) async fn set_disabled(
        &self,
        account: &str,
        disabled: bool,
    ) -> Result<Response, Response> {
        let account = self.account(account)?;
        let found = self.accounts.stores.accounts.load(&account).await?;
        let found = found.ok_or_else(|| absent(&account))?;
        if found.disabled != disabled {
            self.accounts
                .stores
                .accounts
                .set_disabled(&account, disabled, found.version)
                .await?;
        }
        if let Some(live) = self.live.as_ref().filter(|_| disabled) {
            let ended = live.end_sessions(&account, "the account is disabled");
            ended.await.map_err(|error| told(&error, &account))?;
        }
        Ok(Response::Done)
    }

    pub(super) async fn list(
        &self,
        domain: &str,
        after: Option<&str>,
        limit: usize,
        times: bool,
    ) -> Result<Response, Response> {
        self.served("domain", domain)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let names = self
            .accounts
            .stores
            .accounts
            .list(domain, after, limit)
            .await?;
        let mut users = Vec::with_capacity(names.len());
        for name in names {
            users.push(self.user(domain, name, times).await?);
        }
        Ok(Response::Users(users))
    }

    /// One that was removed since the list was read is in it all the same: a short page would end the list.
    async fn user(&self, domain: &str, name: String, times: bool) -> Result<User, Response> {
        let mut user = User {
            name,
            disabled: false,
            times: None,
        };
        let Ok(account) = BareJid::from_parts(Some(&user.name), domain) else {
            return Ok(user);
        };
        let Some(found) = self.accounts.stores.accounts.load(&account).await? else {
            return Ok(user);
        };
        user.disabled = found.disabled;
        if times {
            user.times = Some(Times {
                created_ms: found.created_ms,
                last_active_ms: self
                    .accounts
                    .stores
                    .mailboxes
                    .load(&account)
                    .await?
                    .last_active_ms,
            });
        }
        Ok(user)
    }
}
