//! What the owner of an account and an administrator alike do to it: change its password, remove it.
//!
//! Why here: registration (XEP-0077) and service administration (XEP-0133) are two doors to the same acts.

use std::sync::Arc;

use storage::{ErrorKind, Stores};
use xmpp::{
    BareJid, StanzaError, StanzaErrorCondition as Condition, StreamError, StreamErrorCondition,
};

use super::credentials::{check_password, credentials};
use crate::{
    module::Context,
    modules::roster::{
        Rosters,
        subscription::{self, Standing},
    },
    pipeline::outbound,
    routing::SessionHandle,
};

/// Attempts of a change against others.
const MAX_ATTEMPTS: usize = 8;

/// The accounts and what they own.
#[derive(Clone)]
pub struct Accounts {
    /// Every repository.
    pub stores: Stores,
    /// The rosters.
    pub rosters: Arc<Rosters>,
    /// Iterations of SCRAM for new passwords.
    pub iterations: u32,
}

impl Accounts {
    /// Over all that an account has; new passwords get so many iterations of SCRAM.
    pub fn new(stores: Stores, rosters: Arc<Rosters>, iterations: u32) -> Self {
        Self {
            stores,
            rosters,
            iterations,
        }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// `not-acceptable` for a password that is none, `conflict` if the account exists; the store did not answer.
    pub async fn create(
        &self,
        account: &BareJid,
        password: &str,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        check_password(password)?;
        // Asked before the keys are computed, which is what costs; the creation itself is conditional all the same.
        if self.stores.accounts.load(account).await?.is_some() {
            return Err(Condition::Conflict.into());
        }
        let credentials = credentials(password, self.iterations).await?;
        self.stores
            .accounts
            .create(account, credentials, cx.now_ms())
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Conflict => Condition::Conflict.into(),
                _ => StanzaError::from(error),
            })?;
        // A home that looked for it before remembers that there was none.
        cx.forget(account);
        Ok(())
    }

    /// Changes a password. Tokens that were given for the old one are worthless afterwards (XEP-0484 §7), and sessions end
    /// but for `own`, which asks: whoever knew the old password is out.
    ///
    /// # Errors
    /// `not-acceptable` for a password that is none, `item-not-found` if there is no such account; the store did not
    /// answer: then the change is to be repeated.
    pub async fn set_password(
        &self,
        account: &BareJid,
        password: &str,
        own: Option<&Arc<SessionHandle>>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        check_password(password)?;
        let credentials = credentials(password, self.iterations).await?;
        for _ in 0..MAX_ATTEMPTS {
            let Some(known) = self.stores.accounts.load(account).await? else {
                return Err(Condition::ItemNotFound.into());
            };
            match self
                .stores
                .accounts
                .set_credentials(account, credentials.clone(), known.version)
                .await
            {
                Ok(_) => {
                    self.stores.accounts.remove_all_tokens(account).await?;
                    end_others(account, own, cx, &gone("the password was changed"));
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(crate::home::wait("the account is being changed by others"))
    }

    /// Locks or unlocks an account. Locking ends its sessions; nothing is removed.
    ///
    /// # Errors
    /// `item-not-found` if there is no such account; the store did not answer.
    pub async fn set_disabled(
        &self,
        account: &BareJid,
        disabled: bool,
        own: Option<&Arc<SessionHandle>>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(known) = self.stores.accounts.load(account).await? else {
                return Err(Condition::ItemNotFound.into());
            };
            if known.disabled != disabled {
                match self
                    .stores
                    .accounts
                    .set_disabled(account, disabled, known.version)
                    .await
                {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Conflict => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if disabled {
                end_sessions(account, own, cx, &gone("the account is disabled"));
            }
            return Ok(());
        }
        Err(crate::home::wait("the account is being changed by others"))
    }

    /// Removes an account with all it has. `own` is the session that asks, which ends behind the reply if it is one of
    /// the account's.
    ///
    /// Order: nobody logs in any more; contacts hear; sessions end; what is in memory is dropped, so that nothing of it
    /// is written behind the erasure; everything stored goes, the name last.
    ///
    /// # Errors
    /// `item-not-found` if there is no such account; the store did not answer: another call goes on where this one
    /// stopped.
    pub async fn remove(
        &self,
        account: &BareJid,
        own: Option<&Arc<SessionHandle>>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let Some(known) = self.stores.accounts.load(account).await? else {
            return Err(Condition::ItemNotFound.into());
        };
        if !known.disabled {
            self.stores
                .accounts
                .set_disabled(account, true, known.version)
                .await?;
        }
        self.take_leave(account, cx).await?;
        let error = gone("the account was removed");
        end_sessions(account, own, cx, &error);
        cx.forget(account);
        self.stores.erase(account).await?;
        // Whoever looked meanwhile found an account.
        cx.forget(account);
        Ok(())
    }

    /// RFC 6121 §3.2, §3.3: every subscription ends, either way.
    async fn take_leave(&self, account: &BareJid, cx: &Context) -> Result<(), StanzaError> {
        let roster = self.rosters.load(account).await?;
        for item in &roster.items {
            let due = subscription::removal(Standing::from(item).state);
            let [unsubscribe, unsubscribed] = outbound::farewell(account, &item.jid);
            for (due, stanza) in [
                (due.unsubscribe, unsubscribe),
                (due.unsubscribed, unsubscribed),
            ] {
                if due {
                    cx.route(stanza);
                }
            }
            cx.share(account, &item.jid, due.sharing);
        }
        Ok(())
    }
}

fn gone(text: &str) -> StreamError {
    StreamError::new(StreamErrorCondition::NotAuthorized, text)
}

/// Ends every session of an account but the one that asks.
fn end_others(
    account: &BareJid,
    own: Option<&Arc<SessionHandle>>,
    cx: &Context,
    error: &StreamError,
) {
    for entry in cx.entries(account).iter() {
        if own.is_none_or(|own| own.session != entry.session) {
            cx.end_session(entry.session, error.clone());
        }
    }
}

/// Ends every session of an account; the one that asks behind its reply. Returns how many.
pub fn end_sessions(
    account: &BareJid,
    own: Option<&Arc<SessionHandle>>,
    cx: &Context,
    error: &StreamError,
) -> usize {
    let entries = cx.entries(account);
    for entry in entries.iter() {
        match own {
            Some(own) if own.session == entry.session => cx.end_after_reply(own, error.clone()),
            _ => {
                cx.end_session(entry.session, error.clone());
            }
        }
    }
    entries.len()
}
