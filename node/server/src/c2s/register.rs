//! Register: an account for a stranger, before authentication.
//!
//! Source: XEP-0077 v2.4 §3.1. Left out: captchas, e-mail addresses. Changing a password and removing an account belong to
//! the IQ module, for sessions.
//! Limits: one account and ten requests a connection, and so many accounts an hour and address (`attempts`).

use std::{sync::Arc, time::Instant};

use xmpp::{
    BareJid, Element, ErrorType, Node, StanzaError, StanzaErrorCondition as Condition,
    StreamErrorCondition, ns,
    payload::form::{Field, FieldType, Form, FormType},
};
use zeroize::Zeroizing;

use super::{
    establish::{error_reply, result_reply},
    negotiation::Client,
    stream::End,
};
use crate::{
    modules::register::{Way, password::check_password},
    routing::Router,
};

/// Requests on one connection.
const MAX_REQUESTS: u32 = 10;
const INSTRUCTIONS: &str = "Choose a username and a password for your account.";

/// Makes an account with keys for every hash, if nobody has it. The names of administrators are made by those who
/// configured them: a stranger who took one would be an administrator.
///
/// # Errors
/// `jid-malformed` if the name cannot be a localpart, `not-acceptable` without a password or with one that may not be set,
/// `conflict` if the account exists or is an administrator's, else what the store says (`resource-constraint` and the
/// like).
pub async fn create_account(
    router: &Arc<Router>,
    local: &str,
    domain: &str,
    password: &str,
) -> Result<(), StanzaError> {
    let malformed = |_| StanzaError::from(Condition::JidMalformed);
    let account = BareJid::from_parts(Some(local), domain).map_err(malformed)?;
    check_password(password)?;
    if router.config.admins.contains(&account) {
        return Err(Condition::Conflict.into());
    }
    let cx = router.context();
    router
        .accounts()
        .create(&account, password, Way::Running(&cx))
        .await
}

impl Client {
    /// A request of `jabber:iq:register`.
    pub(super) async fn register(&mut self, iq: Node<'_>) -> Result<(), End> {
        self.registrations += 1;
        if self.registrations > MAX_REQUESTS {
            return Err(StreamErrorCondition::PolicyViolation.into());
        }
        let answer = match iq.attr("type").as_deref() {
            // XEP-0077 §3.1.
            Some("get") if !self.offer.register => Err(Condition::ServiceUnavailable.into()),
            Some("set") if !self.offer.register => Err(Condition::NotAllowed.into()),
            Some("get") => Ok(Some(fields())),
            Some("set") => self.create(iq).await.map(|()| None),
            _ => Err(Condition::BadRequest.into()),
        };
        match answer {
            Ok(payload) => self.send(&result_reply(iq).with_children(payload)),
            Err(error) => {
                tracing::info!(condition = error.condition.as_str(), "account refused");
                self.send(&error_reply(iq, &error))
            }
        }
    }

    async fn create(&mut self, iq: Node<'_>) -> Result<(), StanzaError> {
        if iq.attr("to").is_some_and(|to| {
            BareJid::parse(&to)
                .ok()
                .is_none_or(|to| to.as_str() != self.domain)
        }) {
            return Err(StanzaError::new(
                Condition::NotAllowed,
                "this stream is for another domain",
            ));
        }
        if self.registered {
            let text = "one account a connection";
            return Err(StanzaError::new(Condition::NotAcceptable, text));
        }
        let query = iq
            .child("query", ns::REGISTER)
            .ok_or(Condition::BadRequest)?
            .to_element();
        if query.child("remove", ns::REGISTER).is_some() {
            return Err(Condition::RegistrationRequired.into());
        }
        let (username, password) = wanted(&query)?;
        let (limit, address) = (&self.router.gate.registrations, self.stream.peer.ip());
        if !limit.take(address, Instant::now()) {
            let text = "too many accounts were made from this address, try later";
            return Err(
                StanzaError::new(Condition::ResourceConstraint, text).with_type(ErrorType::Wait)
            );
        }
        let created = create_account(&self.router, &username, &self.domain, &password).await;
        match created {
            Ok(()) => {
                self.registered = true;
                tracing::info!(account = username, "account created");
            }
            Err(_) => limit.give_back(address, Instant::now()),
        }
        created
    }
}

/// What is asked of a stranger, as plain fields and as a form.
fn fields() -> Element {
    let empty = |name: &'static str| Element::new(name, ns::REGISTER);
    let field = |var: &str, label: &str, kind| Field::new(kind, var).with_label(label).required();
    let form = Form::of(FormType::Form, ns::REGISTER)
        .with_instructions(INSTRUCTIONS)
        .with_field(field("username", "Username", FieldType::TextSingle))
        .with_field(field("password", "Password", FieldType::TextPrivate));
    Element::new("query", ns::REGISTER)
        .with_child(empty("instructions").with_text(INSTRUCTIONS))
        .with_child(empty("username"))
        .with_child(empty("password"))
        .with_child(form.to_element())
}

/// Username and password, from the form if there is one (XEP-0077 §4).
fn wanted(query: &Element) -> Result<(String, Zeroizing<String>), StanzaError> {
    let form = Form::child_of(query)?;
    let value = |name: &str| match &form {
        Some(form) => form.value(name).map(str::to_owned),
        None => query.child_text(name),
    };
    let given = |name| value(name).filter(|it| !it.is_empty());
    match (given("username"), given("password")) {
        (Some(username), Some(password)) => Ok((username, Zeroizing::new(password))),
        _ => Err(StanzaError::new(
            Condition::NotAcceptable,
            "username and password are required",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_fill_in_are_read() {
        let check = |query: &str, expected: Result<(&str, &str), Condition>| {
            let query = format!("<query xmlns='jabber:iq:register'>{query}</query>");
            let found = wanted(&Element::parse(query.as_bytes(), ns::CLIENT).unwrap());
            let found = found
                .as_ref()
                .map(|(username, password)| (username.as_str(), password.as_str()));
            assert_eq!(found.map_err(|error| error.condition), expected, "{query}");
        };
        let form = |username: &str, password: &str| {
            format!(
                "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>jabber:iq:register</value></field>\
                 <field var='username'><value>{username}</value></field>\
                 <field var='password'><value>{password}</value></field></x>"
            )
        };
        check(
            "<username>bill</username><password>Calliope</password>",
            Ok(("bill", "Calliope")),
        );
        check(&form("bill", "Calliope"), Ok(("bill", "Calliope")));
        check(
            &format!(
                "<username>x</username><password>y</password>{}",
                form("bill", "z")
            ),
            Ok(("bill", "z")),
        );
        check("", Err(Condition::NotAcceptable));
        check("<username>bill</username>", Err(Condition::NotAcceptable));
        check(
            "<username>bill</username><password/>",
            Err(Condition::NotAcceptable),
        );
        check(&form("bill", ""), Err(Condition::NotAcceptable));
        check(
            "<x xmlns='jabber:x:data' type='odd'/>",
            Err(Condition::BadRequest),
        );
    }
}
