//! Registration in band, for those who have an account: what is registered, another password, removal.
//!
//! Source: XEP-0077 v2.4 §3.2 to §3.4, §4. Making an account comes before authentication and is part of the negotiation
//! of streams; [`accounts`] are for it, too. Nothing asks for an e-mail address or an old password.
//! Requests come to the own account or to the server; either way they are about the account that asks.

pub mod accounts;
pub mod password;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{
    BareJid, Element, ErrorType, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Form, FormType},
};
use zeroize::Zeroizing;

pub use accounts::{Accounts, Way};

use crate::module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target};

const SPEC: Spec = Spec {
    xep: 77,
    version: "2.4",
    status: Status::Complete,
};

/// The module.
pub struct Register {
    accounts: Accounts,
    domains: Vec<String>,
    enabled: bool,
}

impl Register {
    /// Over the accounts of these domains; without `enabled` nothing can be changed in band (`not-allowed`), and neither
    /// where accounts are another system's.
    pub fn new(accounts: Accounts, domains: Vec<String>, enabled: bool) -> Self {
        Self {
            accounts,
            domains,
            enabled,
        }
    }

    fn is_writable(&self, domain: &str) -> bool {
        self.accounts.stores.accounts.capabilities(domain).writable
    }

    async fn set(
        &self,
        account: &BareJid,
        iq: &IqRequest,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let wanted = Wanted::parse(&iq.payload)?;
        if !self.enabled {
            return Err(StanzaError::new(
                Condition::NotAllowed,
                "registration in band is off",
            ));
        }
        if !self.is_writable(account.domain()) {
            return Err(accounts::elsewhere());
        }
        let done = match wanted {
            Wanted::Removal => {
                self.accounts
                    .remove(account, Some(iq), Way::Running(cx))
                    .await
            }
            Wanted::Password { username, password } => {
                let named = BareJid::from_parts(Some(&username), account.domain());
                if named.ok().as_ref() != Some(account) {
                    return Err(StanzaError::new(
                        Condition::NotAllowed,
                        "an account's password is changed by itself",
                    ));
                }
                match self.accounts.set_password(account, &password).await {
                    Ok(()) => accounts::end_others(account, iq, cx).await,
                    Err(error) => Err(error),
                }
            }
        };
        done.map_err(|error| match error.condition {
            // §3.2: somebody without an account, an anonymous user say.
            Condition::ItemNotFound => {
                StanzaError::from(Condition::RegistrationRequired).with_type(ErrorType::Auth)
            }
            _ => error,
        })
    }
}

/// What a request is for.
enum Wanted {
    Removal,
    Password {
        username: String,
        password: Zeroizing<String>,
    },
}

impl Wanted {
    /// A form goes before the plain fields (§6).
    fn parse(query: &Element) -> Result<Self, StanzaError> {
        if query.child("remove", ns::REGISTER).is_some() {
            let alone = query.children().count() == 1;
            return if alone {
                Ok(Self::Removal)
            } else {
                Err(Condition::BadRequest.into())
            };
        }
        let form = Form::child_of(query)?;
        if form
            .as_ref()
            .is_some_and(|form| form.form_type != FormType::Submit)
        {
            return Err(Condition::BadRequest.into());
        }
        let value = |name: &str| match &form {
            Some(form) => form.value(name).map(str::to_owned),
            None => query.child_text(name),
        };
        let given = |name| value(name).filter(|value| !value.is_empty());
        match (given("username"), given("password")) {
            (Some(username), Some(password)) => Ok(Self::Password {
                username,
                password: Zeroizing::new(password),
            }),
            // §3.3: an empty password changes nothing.
            _ => Err(StanzaError::new(
                Condition::BadRequest,
                "username and password are required",
            )),
        }
    }
}

impl Module for Register {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::REGISTER, self.clone());
        if self.enabled {
            registry.disco(Target::Server, ns::REGISTER);
            for domain in self.domains.iter().filter(|it| !self.is_writable(it)) {
                registry.hide(domain, ns::REGISTER);
            }
        }
        registry.iq(Target::Server, ns::REGISTER, self);
        registry.spec(SPEC);
    }
}

#[async_trait]
impl IqHandler for Register {
    fn own_only(&self) -> bool {
        true
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        let account = iq.from.to_bare();
        // Only a session of ours has an account here, and only its own server knows it.
        if iq.session.is_none() || account.domain() != iq.to.domain() {
            return Err(Condition::RegistrationRequired.into());
        }
        if iq.payload.name() != "query" {
            return Err(Condition::BadRequest.into());
        }
        if iq.is_set() {
            return self.set(&account, iq, cx).await.map(|()| None);
        }
        // §3.1: the fields are those that can be changed; a password is never shown.
        let field = |name: &'static str| Element::new(name, ns::REGISTER);
        let username = field("username").with_text(account.local().unwrap_or_default());
        Ok(Some(Element::new("query", ns::REGISTER).with_children([
            field("registered"),
            username,
            field("password"),
        ])))
    }
}
