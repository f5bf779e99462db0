//! Commands that count and list users: registered, online, active.
//!
//! Source: XEP-0133 v1.3.1 §4.12 to §4.21. Online is who has a session; active is who has an available session whose
//! client was heard in the last [`ACTIVE_SECONDS`].
//! Cost: registered users are listed by pages, so their number costs a query per thousand.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use async_trait::async_trait;
use xmpp::{
    BareJid, StanzaError,
    payload::form::{Field, FieldType, Form},
};

use super::{
    command::{Command, Outcome, Step},
    forms,
};
use crate::{
    module::{Context, IqRequest},
    modules::register::Accounts,
};

/// How long a client may be silent and still be active.
const ACTIVE_SECONDS: u32 = 600;
const LISTED_AT_ONCE: usize = 1_000;

/// The commands.
pub fn commands(accounts: &Accounts, domains: &Arc<[String]>) -> Vec<Box<dyn Command>> {
    let of = |whom| {
        [Answer::Number, Answer::List].map(|answer| {
            Box::new(Users {
                whom,
                answer,
                accounts: accounts.clone(),
                domains: domains.clone(),
            }) as Box<dyn Command>
        })
    };
    [Whom::Registered, Whom::Online, Whom::Active]
        .into_iter()
        .flat_map(of)
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Registered,
    Online,
    Active,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Number,
    List,
}

struct Users {
    whom: Whom,
    answer: Answer,
    accounts: Accounts,
    domains: Arc<[String]>,
}

impl Users {
    /// Node, name, field of the result.
    fn words(&self) -> [&'static str; 3] {
        match (self.whom, self.answer) {
            (Whom::Registered, Answer::Number) => [
                "http://jabber.org/protocol/admin#get-registered-users-num",
                "Get Number of Registered Users",
                "registeredusersnum",
            ],
            (Whom::Registered, Answer::List) => [
                "http://jabber.org/protocol/admin#get-registered-users-list",
                "Get List of Registered Users",
                "registereduserjids",
            ],
            (Whom::Online, Answer::Number) => [
                "http://jabber.org/protocol/admin#get-online-users-num",
                "Get Number of Online Users",
                "onlineusersnum",
            ],
            (Whom::Online, Answer::List) => [
                "http://jabber.org/protocol/admin#get-online-users-list",
                "Get List of Online Users",
                "onlineuserjids",
            ],
            (Whom::Active, Answer::Number) => [
                "http://jabber.org/protocol/admin#get-active-users-num",
                "Get Number of Active Users",
                "activeusersnum",
            ],
            (Whom::Active, Answer::List) => [
                "http://jabber.org/protocol/admin#get-active-users",
                "Get List of Active Users",
                "activeuserjids",
            ],
        }
    }

    async fn number(&self, cx: &Context) -> Result<usize, StanzaError> {
        match self.whom {
            Whom::Registered => self.registered(usize::MAX, |_| {}).await,
            whom => Ok(connected(whom, cx).len()),
        }
    }

    async fn list(&self, max: usize, cx: &Context) -> Result<Vec<String>, StanzaError> {
        if self.whom == Whom::Registered {
            let mut found = Vec::new();
            self.registered(max, |jid| found.push(jid)).await?;
            return Ok(found);
        }
        Ok(connected(self.whom, cx)
            .into_iter()
            .take(max)
            .map(|jid| jid.as_str().to_owned())
            .collect())
    }

    /// Visits up to `max` accounts of every domain; returns how many there were.
    async fn registered(
        &self,
        max: usize,
        mut visit: impl FnMut(String) + Send,
    ) -> Result<usize, StanzaError> {
        let mut count = 0;
        for domain in self.domains.iter() {
            let mut after: Option<String> = None;
            while count < max {
                let limit = LISTED_AT_ONCE.min(max - count);
                let page = self
                    .accounts
                    .stores
                    .accounts
                    .list(domain, after.as_deref(), limit)
                    .await?;
                count += page.len();
                after = page.last().cloned();
                let full = page.len() == limit;
                page.into_iter()
                    .for_each(|local| visit(format!("{local}@{domain}")));
                if !full {
                    break;
                }
            }
        }
        Ok(count)
    }
}

/// Who is connected to this node.
fn connected(whom: Whom, cx: &Context) -> BTreeSet<BareJid> {
    let mut heard = Vec::new();
    cx.sessions(&mut |handle| {
        heard.push((
            handle.jid.to_bare(),
            handle.session,
            handle.heard.load(Ordering::Relaxed),
        ))
    });
    let now = cx.uptime();
    let counts = |(jid, session, heard): &(BareJid, _, u32)| {
        whom == Whom::Online
            || now.saturating_sub(*heard) < ACTIVE_SECONDS
                && cx
                    .entries(jid)
                    .iter()
                    .any(|entry| entry.session == *session && entry.priority.is_some())
    };
    heard
        .iter()
        .filter(|session| counts(session))
        .map(|(jid, _, _)| jid.clone())
        .collect()
}

#[async_trait]
impl Command for Users {
    fn node(&self) -> &'static str {
        self.words()[0]
    }

    fn name(&self) -> &'static str {
        self.words()[1]
    }

    async fn step(
        &self,
        submitted: &[Form],
        _iq: &IqRequest,
        cx: &Context,
    ) -> Result<Step, StanzaError> {
        let [_, name, field] = self.words();
        if self.answer == Answer::Number {
            let number = self.number(cx).await?.to_string();
            return Ok(Step::result(
                forms::result()
                    .with_field(Field::untyped(field, number))
                    .to_element(),
            ));
        }
        let Some(form) = forms::submitted(submitted)? else {
            let form = forms::form(name, "Choose how many to show at most.")
                .with_field(forms::max_items_field());
            return Ok(Step::only(form));
        };
        let max = forms::max_items(form)?;
        // One more tells whether there are more.
        let mut jids = self.list(max.saturating_add(1), cx).await?;
        let mut outcome = Outcome::default();
        if jids.len() > max {
            jids.truncate(max);
            outcome.inform("there are more");
        }
        let field = Field::new(FieldType::JidMulti, field).with_values(jids);
        outcome.payload = Some(forms::result().with_field(field).to_element());
        Ok(Step::Done(outcome))
    }
}
