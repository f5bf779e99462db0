//! Commands about accounts: add, delete, disable, re-enable, end sessions, change a password, look.
//!
//! Source: XEP-0133 v1.3.1 §4.1 to §4.9. What fails for one account is told in a note and done for the others
//! (XEP-0050 §3.6). Passwords cannot be read: they are not kept.
//! The last login is the time when the account was last there (XEP-0012): the time of a login itself is not kept. The
//! statistics do not name addresses of clients.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{
    BareJid, Element, Jid, StanzaError, StanzaErrorCondition as Condition, StreamError,
    StreamErrorCondition, ns,
    payload::{
        delay::stamp,
        form::{Field, FieldType, Form},
    },
};

use super::{
    act::Act,
    command::{Command, Outcome, Step, bad_payload},
    forms,
};
use crate::{
    module::{Context, IqRequest},
    modules::{
        register::{
            Accounts,
            accounts::{Way, end_others, end_sessions},
            password::check_password,
        },
        roster::xml::item_element,
    },
};

/// The commands.
pub fn commands(
    accounts: &Accounts,
    domains: &Arc<[String]>,
    admins: &Arc<[BareJid]>,
) -> Vec<Box<dyn Command>> {
    let act = |act| {
        Box::new(User {
            act,
            accounts: accounts.clone(),
            domains: domains.clone(),
            admins: admins.clone(),
        }) as Box<dyn Command>
    };
    Act::ALL.into_iter().map(act).collect()
}

struct User {
    act: Act,
    accounts: Accounts,
    domains: Arc<[String]>,
    admins: Arc<[BareJid]>,
}

#[async_trait]
impl Command for User {
    fn node(&self) -> &'static str {
        self.act.words()[0]
    }

    fn name(&self) -> &'static str {
        self.act.words()[1]
    }

    fn changes(&self) -> bool {
        !matches!(self.act, Act::Roster | Act::LastLogin | Act::Statistics)
    }

    async fn step(
        &self,
        submitted: &[Form],
        iq: &IqRequest,
        cx: &Context,
    ) -> Result<Step, StanzaError> {
        let Some(form) = forms::submitted(submitted)? else {
            return Ok(Step::only(self.act.form()));
        };
        let mut outcome = Outcome::default();
        match self.act {
            Act::Add => self.add(form, cx, &mut outcome).await?,
            Act::Delete | Act::Disable | Act::Reenable => {
                self.each(form, iq, cx, &mut outcome).await?
            }
            Act::EndSession => end(form, iq, cx, &mut outcome).await?,
            Act::ChangePassword => {
                let account = forms::account(form)?;
                let password = password(form)?;
                let done = match self.accounts.set_password(&account, password).await {
                    Ok(()) => end_others(&account, iq, cx).await,
                    Err(error) => Err(error),
                };
                note(&mut outcome, account.as_jid(), done)?;
            }
            Act::Roster => self.roster(form, &mut outcome).await?,
            Act::LastLogin => last_login(form, cx, &mut outcome).await?,
            Act::Statistics => self.statistics(form, cx, &mut outcome).await?,
        }
        Ok(Step::Done(outcome))
    }
}

/// What the store did not answer ends the command; what concerns one account is told.
fn note(
    outcome: &mut Outcome,
    jid: &Jid,
    done: Result<(), StanzaError>,
) -> Result<(), StanzaError> {
    match done {
        Ok(()) => {}
        Err(error) if error.condition == Condition::ItemNotFound => {
            outcome.fail(format!("there is no account {jid}"))
        }
        Err(error) if error.condition == Condition::Conflict => {
            outcome.fail(format!("there is an account {jid} already"))
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn password(form: &Form) -> Result<&str, StanzaError> {
    let password = forms::single(form, "password")?.unwrap_or_default();
    check_password(password)
        .map_err(|error| bad_payload(error.text.as_deref().unwrap_or("no password")))?;
    Ok(password)
}

impl User {
    async fn add(
        &self,
        form: &Form,
        cx: &Context,
        outcome: &mut Outcome,
    ) -> Result<(), StanzaError> {
        let (account, password) = (forms::account(form)?, password(form)?);
        if forms::single(form, "password-verify")?.is_some_and(|again| again != password) {
            return Err(bad_payload("the passwords differ"));
        }
        if !self.domains.iter().any(|domain| domain == account.domain()) {
            outcome.fail(format!("{} is not served here", account.domain()));
            return Ok(());
        }
        note(
            outcome,
            account.as_jid(),
            self.accounts
                .create(&account, password, Way::Running(cx))
                .await,
        )
    }

    /// Deletes, disables or re-enables.
    async fn each(
        &self,
        form: &Form,
        iq: &IqRequest,
        cx: &Context,
        outcome: &mut Outcome,
    ) -> Result<(), StanzaError> {
        let own = Some(iq);
        for account in forms::accounts(form)? {
            if self.act != Act::Reenable && account.as_str() == iq.from.bare_str() {
                outcome.fail(format!("{account} is you: let another administrator do it"));
                continue;
            }
            if self.act != Act::Reenable && self.is_last_admin(&account).await? {
                outcome.fail(format!(
                    "{account} is the last administrator who can log in"
                ));
                continue;
            }
            let done = match self.act {
                Act::Delete => self.accounts.remove(&account, own, Way::Running(cx)).await,
                act => {
                    self.accounts
                        .set_disabled(&account, act == Act::Disable, own, cx)
                        .await
                }
            };
            note(outcome, account.as_jid(), done)?;
        }
        Ok(())
    }

    /// Whether without this account nobody could administer any more.
    async fn is_last_admin(&self, account: &BareJid) -> Result<bool, StanzaError> {
        if !self.admins.contains(account) {
            return Ok(false);
        }
        for other in self.admins.iter().filter(|other| *other != account) {
            let found = self.accounts.stores.accounts.load(other).await?;
            if found.is_some_and(|found| !found.disabled) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn roster(&self, form: &Form, outcome: &mut Outcome) -> Result<(), StanzaError> {
        let accounts = forms::accounts(form)?;
        let jids = accounts.iter().map(BareJid::as_str);
        let mut payload = forms::result()
            .with_field(Field::new(FieldType::JidMulti, "accountjids").with_values(jids))
            .to_element();
        for account in &accounts {
            if self.accounts.stores.accounts.load(account).await?.is_none() {
                note(
                    outcome,
                    account.as_jid(),
                    Err(Condition::ItemNotFound.into()),
                )?;
                continue;
            }
            let roster = self.accounts.rosters.stored(account).await?;
            let items = roster
                .items
                .iter()
                .filter(|item| item.in_roster)
                .map(item_element);
            payload.push(Element::new("query", ns::ROSTER).with_children(items));
        }
        outcome.payload = Some(payload);
        Ok(())
    }

    async fn statistics(
        &self,
        form: &Form,
        cx: &Context,
        outcome: &mut Outcome,
    ) -> Result<(), StanzaError> {
        let account = forms::account(form)?;
        if self
            .accounts
            .stores
            .accounts
            .load(&account)
            .await?
            .is_none()
        {
            return note(
                outcome,
                account.as_jid(),
                Err(Condition::ItemNotFound.into()),
            );
        }
        let roster = self.accounts.rosters.stored(&account).await?;
        let size = roster.items.iter().filter(|item| item.in_roster).count();
        let resources = cx.resources(&account).await?;
        let result = forms::result()
            .with_field(Field::untyped("rostersize", size.to_string()))
            .with_field(
                Field {
                    var: Some("onlineresources".into()),
                    ..Field::default()
                }
                .with_values(resources),
            )
            .with_field(Field::untyped(
                "offlinemessages",
                cx.waiting(&account).await?.to_string(),
            ));
        outcome.payload = Some(result.to_element());
        Ok(())
    }
}

/// Full addresses end one session, bare ones all.
async fn end(
    form: &Form,
    iq: &IqRequest,
    cx: &Context,
    outcome: &mut Outcome,
) -> Result<(), StanzaError> {
    let error = StreamError::new(
        StreamErrorCondition::PolicyViolation,
        "the session was ended by an administrator",
    );
    let own = Some(iq);
    for jid in forms::jids(form)? {
        let account = jid.to_bare();
        let ended = match jid.resource() {
            None => end_sessions(&account, own, cx, &error).await?,
            Some(resource) => {
                let entries = cx.entries(&account);
                let entry = entries.iter().find(|entry| &*entry.resource == resource);
                match entry {
                    Some(entry) if iq.is_of(entry.session) => iq.end_after_reply(error.clone()),
                    Some(entry) => drop(cx.end_session(entry.session, error.clone())),
                    None => {}
                }
                let elsewhere = cx.end_elsewhere(&account, Some(resource), &error).await?;
                usize::from(entry.is_some()) + elsewhere
            }
        };
        if ended == 0 {
            outcome.fail(format!("{jid} has no session"));
        }
    }
    Ok(())
}

async fn last_login(form: &Form, cx: &Context, outcome: &mut Outcome) -> Result<(), StanzaError> {
    let (mut jids, mut times) = (Vec::new(), Vec::new());
    for account in forms::accounts(form)? {
        let online = !cx.resources(&account).await?.is_empty();
        match cx.last_activity(&account).await? {
            None => note(
                outcome,
                account.as_jid(),
                Err(Condition::ItemNotFound.into()),
            )?,
            Some(_) if online => {
                outcome.inform(format!("{account} is online"));
                jids.push(account);
                times.push(stamp(i64::try_from(cx.now_ms()).unwrap_or(i64::MAX)));
            }
            Some((0, _)) => outcome.inform(format!("{account} never logged in")),
            Some((at_ms, _)) => {
                jids.push(account);
                times.push(stamp(i64::try_from(at_ms).unwrap_or(i64::MAX)));
            }
        }
    }
    // One value of the second field for each of the first.
    let result = forms::result()
        .with_field(
            Field::new(FieldType::JidMulti, "accountjids")
                .with_values(jids.iter().map(BareJid::as_str)),
        )
        .with_field(
            Field {
                var: Some("lastlogin".into()),
                ..Field::default()
            }
            .with_values(times),
        );
    outcome.payload = Some(result.to_element());
    Ok(())
}
