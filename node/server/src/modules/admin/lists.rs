//! Commands that count and list users: registered, online, active.
//!
//! Source: XEP-0133 v1.3.1 §4.12 to §4.21. Online is who has a session; active is who has an available session whose
//! client was heard in the last [`ACTIVE_SECONDS`].
//! Both are asked of all nodes, and a node that does not answer is named.
//! Cost: registered users are listed by pages, so their number costs a query per thousand.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{
    StanzaError,
    payload::form::{Field, FieldType, Form},
};

use super::{
    command::{Command, Outcome, Step},
    forms,
};
use crate::{
    module::{Context, IqRequest},
    modules::register::Accounts,
    routing::census::{Census, Everywhere},
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

    async fn number(&self, cx: &Context) -> Result<(u64, Vec<String>), StanzaError> {
        let Some(census) = self.whom.census(0) else {
            let registered = self.registered(usize::MAX, |_| {}).await?;
            return Ok((registered as u64, Vec::new()));
        };
        let Everywhere { all, silent } = cx.census(&census).await;
        Ok((all.users, silent))
    }

    /// Up to so many, and who did not say whom it has.
    async fn list(
        &self,
        max: usize,
        cx: &Context,
    ) -> Result<(Vec<String>, Vec<String>), StanzaError> {
        let Some(census) = self.whom.census(max) else {
            let mut found = Vec::new();
            self.registered(max, |jid| found.push(jid)).await?;
            return Ok((found, Vec::new()));
        };
        let Everywhere { all, silent } = cx.census(&census).await;
        Ok((all.names, silent))
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

impl Whom {
    /// Whom to count; `None`: all who are registered.
    fn census(self, names: usize) -> Option<Census> {
        let active = match self {
            Self::Registered => return None,
            Self::Online => None,
            Self::Active => Some(ACTIVE_SECONDS),
        };
        Some(Census {
            active,
            names: u32::try_from(names).unwrap_or(u32::MAX),
            after: None,
        })
    }
}

/// Says which nodes did not answer: what they have is missing.
pub(super) fn tell_of_silent(outcome: &mut Outcome, silent: &[String]) {
    for node in silent {
        outcome.inform(format!(
            "the node {node} did not answer, and is not counted"
        ));
    }
}

#[async_trait]
impl Command for Users {
    fn node(&self) -> &'static str {
        self.words()[0]
    }

    fn name(&self) -> &'static str {
        self.words()[1]
    }

    fn changes(&self) -> bool {
        false
    }

    async fn step(
        &self,
        submitted: &[Form],
        _iq: &IqRequest,
        cx: &Context,
    ) -> Result<Step, StanzaError> {
        let [_, name, field] = self.words();
        if self.answer == Answer::Number {
            let (number, silent) = self.number(cx).await?;
            let mut outcome = Outcome::default();
            tell_of_silent(&mut outcome, &silent);
            let field = Field::untyped(field, number.to_string());
            outcome.payload = Some(forms::result().with_field(field).to_element());
            return Ok(Step::Done(outcome));
        }
        let Some(form) = forms::submitted(submitted)? else {
            let form = forms::form(name, "Choose how many to show at most.")
                .with_field(forms::max_items_field());
            return Ok(Step::only(form));
        };
        let max = forms::max_items(form)?;
        // One more tells whether there are more.
        let (mut jids, silent) = self.list(max.saturating_add(1), cx).await?;
        let mut outcome = Outcome::default();
        tell_of_silent(&mut outcome, &silent);
        if jids.len() > max {
            jids.truncate(max);
            outcome.inform("there are more");
        }
        let field = Field::new(FieldType::JidMulti, field).with_values(jids);
        outcome.payload = Some(forms::result().with_field(field).to_element());
        Ok(Step::Done(outcome))
    }
}
