//! Accounts: made, changed and removed, whichever door the wish comes through.
//!
//! Why here: registration (XEP-0077), service administration (XEP-0133) and the command line are doors to the same acts.
//! Order of a removal: the name is marked and nobody logs in any more; sessions end; what is in memory is dropped and
//! what it was writing waited for; contacts hear; everything stored goes, the mark last. A node that dies on the way
//! goes on at its next start ([`Accounts::finish_removals`]), or when somebody wants the name.

use std::sync::Arc;

use storage::{ErrorKind, Stores};
use xmpp::{
    BareJid, FullJid, StanzaError, StanzaErrorCondition as Condition, StreamError,
    StreamErrorCondition,
};

use super::password::check_password;
use crate::{
    keys::Keys,
    module::{Context, IqRequest},
    modules::roster::{
        Rosters, rosters,
        subscription::{self, Sharing, Standing, SubscriptionType},
    },
    pipeline::{inbound, outbound},
};

/// Names of half-removed accounts that are read at once.
const NAMES: usize = 100;
/// Attempts of a change against others.
const MAX_ATTEMPTS: usize = 8;

/// The accounts and what they own.
#[derive(Clone)]
pub struct Accounts {
    /// Every repository.
    pub stores: Stores,
    /// The rosters.
    pub rosters: Arc<Rosters>,
    /// Who computes the keys of new passwords.
    pub keys: Arc<Keys>,
}

impl Accounts {
    /// Over all that an account has.
    pub fn new(stores: Stores, rosters: Arc<Rosters>, keys: Arc<Keys>) -> Self {
        Self {
            stores,
            rosters,
            keys,
        }
    }

    /// Makes an account; `cx` is that of a node that runs.
    ///
    /// # Errors
    /// `not-acceptable` for a password that is none, `conflict` if the account exists, `not-allowed` where accounts are
    /// another system's; the store did not answer.
    pub async fn create(
        &self,
        account: &BareJid,
        password: &str,
        way: Way<'_>,
    ) -> Result<(), StanzaError> {
        self.must_be_writable(account)?;
        check_password(password)?;
        let accounts = &self.stores.accounts;
        // Asked before the keys are computed, which is what costs; the creation itself is conditional all the same.
        if accounts.load(account).await?.is_some() {
            return Err(Condition::Conflict.into());
        }
        let credentials = self.derive(password).await?;
        if accounts.is_being_removed(account).await? {
            // Somebody was removed and the node died on the way.
            self.finish(account, Vec::new(), way).await?;
        }
        self.stores
            .create(account, credentials, way.now_ms())
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Conflict => Condition::Conflict.into(),
                _ => StanzaError::from(error),
            })?;
        // A home that looked for it before remembers that there was none.
        way.forget(account);
        Ok(())
    }

    fn must_be_writable(&self, account: &BareJid) -> Result<(), StanzaError> {
        let accounts = self.stores.accounts.capabilities(account.domain());
        accounts.writable.then_some(()).ok_or_else(elsewhere)
    }

    async fn derive(
        &self,
        password: &str,
    ) -> Result<storage::repository::Credentials, StanzaError> {
        let derived = self.keys.derive(password).await;
        derived.ok_or_else(|| Condition::InternalServerError.into())
    }

    /// Changes a password. Tokens that were given for the old one are worthless afterwards (XEP-0484 §7); sessions are
    /// ended by the caller, see [`end_others`].
    ///
    /// # Errors
    /// `not-acceptable` for a password that is none, `item-not-found` if there is no such account, `not-allowed` where
    /// accounts are another system's; the store did not answer: then the change is to be repeated.
    pub async fn set_password(&self, account: &BareJid, password: &str) -> Result<(), StanzaError> {
        self.must_be_writable(account)?;
        check_password(password)?;
        let credentials = self.derive(password).await?;
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
                Ok(_) => return Ok(self.stores.accounts.remove_all_tokens(account).await?),
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
        own: Option<&IqRequest>,
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
                let error = gone("the account is disabled");
                end_sessions(account, own, cx, &error).await?;
            }
            return Ok(());
        }
        Err(crate::home::wait("the account is being changed by others"))
    }

    /// Removes an account with all it has. `own` is the request for it, whose session ends behind the reply if it is one
    /// of the account's.
    ///
    /// # Errors
    /// `item-not-found` if there is no such account; its sessions do not end, or the store did not answer: another call
    /// goes on where this one stopped.
    pub async fn remove(
        &self,
        account: &BareJid,
        own: Option<&IqRequest>,
        way: Way<'_>,
    ) -> Result<(), StanzaError> {
        let accounts = &self.stores.accounts;
        if !accounts.remove(account).await? && !accounts.is_being_removed(account).await? {
            return Err(Condition::ItemNotFound.into());
        }
        let mut presences = Vec::new();
        if let Way::Running(cx) = way {
            let error = gone("the account was removed");
            let own = own.filter(|iq| iq.from.bare_str() == account.as_str());
            let session = own.and_then(|iq| iq.session.as_ref());
            let spared = session.map(|handle| handle.session);
            presences = cx.retire(account, spared, &error).await?;
            if let Some(iq) = own {
                iq.end_after_reply(error);
            }
        }
        self.finish(account, presences, way).await
    }

    /// Goes on with removals during which the node died.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn finish_removals(&self, domain: &str, cx: &Context) -> Result<(), StanzaError> {
        let mut after: Option<String> = None;
        loop {
            let accounts = &self.stores.accounts;
            let names = accounts.removals(domain, after.as_deref(), NAMES).await?;
            for name in &names {
                if let Ok(account) = BareJid::from_parts(Some(name), domain) {
                    tracing::info!(%account, "going on with a removal");
                    self.finish(&account, Vec::new(), Way::Running(cx)).await?;
                }
            }
            if names.len() < NAMES {
                return Ok(());
            }
            after = names.last().cloned();
        }
    }

    /// What is left of a removal when nobody is there any more; `presences` are those that contacts still see.
    async fn finish(
        &self,
        account: &BareJid,
        presences: Vec<FullJid>,
        way: Way<'_>,
    ) -> Result<(), StanzaError> {
        // What was in memory here may be older: the account may be served elsewhere.
        let roster = self.rosters.stored(account).await?;
        for item in &roster.items {
            let due = subscription::removal(Standing::from(item).state);
            let [unsubscribe, unsubscribed] = outbound::farewell(account, &item.jid);
            // RFC 6121 §3.2, §3.3: every subscription ends, either way.
            for (due, stanza, kind) in [
                (due.unsubscribe, unsubscribe, SubscriptionType::Unsubscribe),
                (
                    due.unsubscribed,
                    unsubscribed,
                    SubscriptionType::Unsubscribed,
                ),
            ] {
                match way {
                    Way::Running(cx) if due => cx.route(stanza),
                    Way::Down(domains)
                        if due && domains.contains(&item.jid.domain().to_owned()) =>
                    {
                        self.hear(&item.jid, account, kind).await?;
                    }
                    _ => {}
                }
            }
            if let (Way::Running(cx), Sharing::Ends) = (way, due.sharing) {
                for from in &presences {
                    cx.route(inbound::unavailable(from, Some(item.jid.as_jid())));
                }
            }
        }
        let given = self.rosters.given(account).await?;
        if let Way::Running(cx) = way {
            for contact in given.contacts.iter().filter(|contact| contact.is_told) {
                for from in &presences {
                    cx.route(inbound::unavailable(from, Some(contact.jid.as_jid())));
                }
            }
        }
        self.stores.erase(account).await?;
        // Whoever looked meanwhile found what was left.
        way.forget(account);
        self.rosters.forget(account);
        if let (Way::Running(cx), false) = (way, given.contacts.is_empty()) {
            cx.groups_changed(account.domain()).await;
        }
        Ok(())
    }

    /// While no node runs that could: what a contact of ours makes of an account that takes leave (RFC 6121 §A.3).
    async fn hear(
        &self,
        contact: &BareJid,
        from: &BareJid,
        kind: SubscriptionType,
    ) -> Result<(), StanzaError> {
        if self.stores.accounts.load(contact).await?.is_none() {
            return Ok(());
        }
        let turn = self.rosters.turn(contact).await;
        let change = |roster: &mut storage::repository::Roster, revision| {
            let Some(known) = rosters::item(roster, from.as_str()) else {
                return Ok(None);
            };
            let (before, after) = {
                let before = Standing::from(known);
                (before, subscription::inbound(before, kind))
            };
            if after.standing == before {
                return Ok(None);
            }
            let item = rosters::item_mut(roster, from);
            after.standing.apply(item, None);
            if after.push && item.in_roster {
                item.revision = revision;
            }
            if !item.in_roster && !after.standing.is_waiting() {
                roster.items.retain(|item| item.jid != *from);
            }
            Ok(Some(()))
        };
        turn.change(change).await.map(drop)
    }
}

/// Through a node that runs, or on its stores while it does not.
#[derive(Clone, Copy)]
pub enum Way<'a> {
    /// Sessions end, and contacts hear over their own homes.
    Running(&'a Context),
    /// Nobody is connected; the rosters of contacts in these domains are changed here.
    Down(&'a [String]),
}

impl Way<'_> {
    fn now_ms(self) -> u64 {
        match self {
            Self::Running(cx) => cx.now_ms(),
            Self::Down(_) => crate::clock::now_ms(),
        }
    }

    fn forget(self, account: &BareJid) {
        if let Self::Running(cx) = self {
            cx.forget(account);
        }
    }
}

/// What is answered where accounts are another system's.
pub fn elsewhere() -> StanzaError {
    StanzaError::new(
        Condition::NotAllowed,
        "accounts of this domain are managed elsewhere",
    )
}

fn gone(text: &str) -> StreamError {
    StreamError::new(StreamErrorCondition::NotAuthorized, text)
}

/// Ends the sessions of an account whose password was changed, but for the one that asked for it: whoever knew the old
/// password is out.
///
/// # Errors
/// The node that serves the account does not answer: to be repeated.
pub async fn end_others(
    account: &BareJid,
    own: &IqRequest,
    cx: &Context,
) -> Result<(), StanzaError> {
    let error = gone("the password was changed");
    for entry in cx.entries(account).iter() {
        if !own.is_of(entry.session) {
            cx.end_session(entry.session, error.clone());
        }
    }
    // A session of the account itself is where all its sessions are.
    if own.from.bare_str() != account.as_str() {
        cx.end_elsewhere(account, None, &error).await?;
    }
    Ok(())
}

/// Ends every session of an account; the one that asks behind its reply. Returns how many.
///
/// # Errors
/// The node that serves the account does not answer: to be repeated.
pub async fn end_sessions(
    account: &BareJid,
    own: Option<&IqRequest>,
    cx: &Context,
    error: &StreamError,
) -> Result<usize, StanzaError> {
    let entries = cx.entries(account);
    for entry in entries.iter() {
        match own {
            Some(iq) if iq.is_of(entry.session) => iq.end_after_reply(error.clone()),
            _ => {
                cx.end_session(entry.session, error.clone());
            }
        }
    }
    Ok(entries.len() + cx.end_elsewhere(account, None, error).await?)
}
