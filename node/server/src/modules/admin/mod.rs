//! Administration of the server by ad-hoc commands, for those the configuration names.
//!
//! Source: XEP-0050 v1.3 (the engine: [`command`], [`executions`], here), XEP-0133 v1.3.1 (the commands: [`users`],
//! [`lists`], [`announce`]), and commands of ours about rooms ([`rooms`]).
//! Left out of XEP-0133: black and white lists, the message of the day, the welcome message, the list of administrators
//! (it is configuration), restart and shut-down (the system's business), idle and disabled users. What is about one
//! account is done and read at the node that serves it; lists and numbers of who is there, and announcements, are those of
//! the accounts that this node serves.

mod act;
pub mod announce;
mod audit;
pub mod command;
pub mod executions;
pub mod forms;
pub mod lists;
pub mod rooms;
#[cfg(test)]
mod tests;
pub mod users;

use std::sync::Arc;

use async_trait::async_trait;
use storage::repository::Operators;
use xmpp::{
    BareJid, Element, ErrorType, Jid, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::FormType,
};

use self::{
    command::{Action, Command, Request, Step, canceled_element, error, step_element},
    executions::{Execution, Executions},
};
use super::{muc::Muc, register::Accounts};
use crate::module::{
    Context, DiscoNode, IqHandler, IqRequest, Module, Registry, Spec, Status, Target,
};

const SPECS: [Spec; 2] = [
    Spec {
        xep: 50,
        version: "1.3.0",
        status: Status::Complete,
    },
    Spec {
        xep: 133,
        version: "1.3.1",
        status: Status::Partial("accounts, sessions, numbers and lists of users, announcements"),
    },
];

/// The module.
pub struct Admin {
    admins: Arc<[BareJid]>,
    commands: Vec<Box<dyn Command>>,
    executions: Executions,
    operators: Operators,
}

impl Admin {
    /// The commands of XEP-0133 over these accounts of these domains, and those over rooms, for these administrators; what they
    /// change is in the log of these operators.
    pub fn new(
        admins: Vec<BareJid>,
        domains: Vec<String>,
        accounts: Accounts,
        rooms: Option<&Arc<Muc>>,
        operators: Operators,
    ) -> Self {
        let domains: Arc<[String]> = domains.into();
        let admins: Arc<[BareJid]> = admins.into();
        let commands = users::commands(&accounts, &domains, &admins)
            .into_iter()
            .chain(lists::commands(&accounts, &domains))
            .chain([Box::new(announce::Announce) as Box<dyn Command>])
            .chain(rooms.into_iter().flat_map(rooms::commands));
        Self::with_commands(admins, commands.collect(), operators)
    }

    fn with_commands(
        admins: Arc<[BareJid]>,
        commands: Vec<Box<dyn Command>>,
        operators: Operators,
    ) -> Self {
        Self {
            admins,
            commands,
            operators,
            executions: Executions::default(),
        }
    }

    fn is_admin(&self, jid: &Jid) -> bool {
        self.admins
            .iter()
            .any(|admin| admin.as_str() == jid.bare_str())
    }

    fn command(&self, node: &str) -> Option<&dyn Command> {
        self.commands
            .iter()
            .find(|command| command.node() == node)
            .map(|command| &**command)
    }

    async fn execute(
        &self,
        request: Request,
        iq: &IqRequest,
        cx: &Context,
    ) -> Result<Element, StanzaError> {
        let command = self.command(&request.node).ok_or(Condition::ItemNotFound)?;
        let now_ms = cx.now_ms();
        let bad_action = || error(Condition::BadRequest, "bad-action");
        let (id, forms, acts) = match request.session {
            None if matches!(request.action, Action::Prev | Action::Cancel) => {
                return Err(bad_action());
            }
            None => (crate::random::token(), Vec::new(), false),
            Some(id) => {
                let Execution {
                    mut forms, last, ..
                } = self.executions.get(&id, &iq.from, command.node(), now_ms)?;
                let mut acts = false;
                match request.action {
                    Action::Cancel => {
                        self.executions.remove(&id);
                        return Ok(canceled_element(command.node(), &id));
                    }
                    Action::Prev => {
                        forms.pop().ok_or_else(bad_action)?;
                    }
                    Action::Next if last => return Err(bad_action()),
                    Action::Complete if !last => return Err(bad_action()),
                    Action::Next | Action::Complete | Action::Execute => {
                        let form = request
                            .form
                            .filter(|form| form.form_type == FormType::Submit)
                            .ok_or_else(|| command::bad_payload("a submitted form is expected"))?;
                        forms.push(form);
                        acts = last && command.changes();
                    }
                }
                (id, forms, acts)
            }
        };
        // An error leaves the execution where it was: the stage can be filled in again.
        let step = match acts {
            true => {
                let operators = &self.operators;
                let begun = audit::begin(operators, &iq.from, command, &forms, now_ms).await?;
                let step = command.step(&forms, iq, cx).await;
                audit::end(operators, begun, &step).await;
                step?
            }
            false => command.step(&forms, iq, cx).await?,
        };
        let first = forms.is_empty();
        match &step {
            Step::Form { last, .. } => {
                let (requester, node) = (iq.from.clone(), request.node);
                self.executions.put(
                    id.clone(),
                    Execution {
                        requester,
                        node,
                        forms,
                        last: *last,
                        at_ms: now_ms,
                    },
                );
            }
            Step::Done(_) => {
                tracing::info!(admin = %iq.from, node = command.node(), "administration command");
                self.executions.remove(&id);
            }
        }
        Ok(step_element(command.node(), &id, step, first))
    }
}

/// XEP-0050 §4.4: this one cannot be remedied by logging in.
fn forbidden() -> StanzaError {
    StanzaError::from(Condition::Forbidden).with_type(ErrorType::Cancel)
}

impl Module for Admin {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Server, ns::COMMANDS, self.clone());
        registry.disco(Target::Server, ns::COMMANDS);
        registry.disco_node(self);
        for spec in SPECS {
            registry.spec(spec);
        }
    }
}

#[async_trait]
impl IqHandler for Admin {
    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        if !self.is_admin(&iq.from) {
            // The names of the commands are those of XEP-0133; that there are no others is no secret.
            let known = iq
                .payload
                .attr("node")
                .is_some_and(|node| self.command(node).is_some());
            return Err(if known {
                forbidden()
            } else {
                Condition::ItemNotFound.into()
            });
        }
        if !iq.is_set() {
            return Err(Condition::BadRequest.into());
        }
        self.execute(Request::parse(&iq.payload)?, iq, cx)
            .await
            .map(Some)
    }
}

#[async_trait]
impl DiscoNode for Admin {
    /// XEP-0050 §2.2
    async fn info(
        &self,
        iq: &IqRequest,
        node: &str,
        _cx: &Context,
    ) -> Result<Option<Element>, StanzaError> {
        let identity = |kind: &str, name: &str| {
            Element::new("identity", ns::DISCO_INFO)
                .with_attr("category", "automation")
                .with_attr("type", kind)
                .with_attr("name", name)
        };
        let identity = match self.command(node) {
            _ if iq.to.local().is_some() => return Ok(None),
            None if node == ns::COMMANDS => identity("command-list", "Commands"),
            None => return Ok(None),
            Some(_) if !self.is_admin(&iq.from) => return Err(forbidden()),
            Some(command) => identity("command-node", command.name()),
        };
        let feature = |var: &str| Element::new("feature", ns::DISCO_INFO).with_attr("var", var);
        let query = Element::new("query", ns::DISCO_INFO).with_attr("node", node);
        Ok(Some(query.with_children([
            identity,
            feature(ns::COMMANDS),
            feature(ns::DATA_FORMS),
        ])))
    }

    /// XEP-0050 §2.2; whoever may execute none sees none.
    async fn items(
        &self,
        iq: &IqRequest,
        node: &str,
        _cx: &Context,
    ) -> Result<Option<Element>, StanzaError> {
        let known = node == ns::COMMANDS || self.command(node).is_some();
        if iq.to.local().is_some() || !known {
            return Ok(None);
        }
        let item = |command: &dyn Command| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", iq.to.as_str())
                .with_attr("node", command.node())
                .with_attr("name", command.name())
        };
        let shown = node == ns::COMMANDS && self.is_admin(&iq.from);
        let items = self
            .commands
            .iter()
            .filter(|_| shown)
            .map(|command| item(&**command));
        Ok(Some(
            Element::new("query", ns::DISCO_ITEMS)
                .with_attr("node", node)
                .with_children(items),
        ))
    }
}
