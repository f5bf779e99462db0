//! PEP: every account is a pubsub service.
//!
//! Source: XEP-0163 v1.2.2, XEP-0060 §9. Left out: `replyto` (XEP-0033), those who share presence without a subscription.
//! Why here: requests come to the account's home as all its IQs do; there its roster says who may see what, and its sessions
//! and contacts are told from there.
//!
//! | file | what |
//! |---|---|
//! | `standing` | what somebody is to an account, by its roster |
//! | `tell` | who is told of an event |
//! | `last` | the last items, for who has just come |
//! | `disco` | nodes and what they say of themselves |

mod disco;
mod last;
mod standing;
mod tell;

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns};

pub use self::last::LastItems;
use super::{
    features,
    nodes::Nodes,
    perform::{Desk, Host, too_many_nodes},
    request::Request,
    rules::{
        Actor, Config, Event, Limits, Node, Policy,
        config::AccessModel,
        error::unsupported,
    },
};
use crate::{
    module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target},
    modules::roster::Rosters,
    routing::flags,
};

/// What an account may keep.
pub const LIMITS: Limits = Limits {
    items: 1_000,
    payload: 256 << 10,
    nodes: 256,
    subscriptions: 1_000,
    affiliations: 500,
    answer: 1 << 20,
};

/// All that there are.
const MODELS: &[AccessModel] = AccessModel::ALL;

/// What holds for the nodes of every account.
#[derive(Clone)]
pub struct Policies(Arc<Config>);

impl Default for Policies {
    fn default() -> Self {
        Self(Arc::new(Config::of_account()))
    }
}

impl Policies {
    /// What holds for those of an account.
    pub fn of(&self, account: &BareJid) -> Policy {
        Policy {
            address: account.clone(),
            models: MODELS,
            defaults: self.0.clone(),
            limits: LIMITS,
        }
    }
}

/// The module.
pub struct Pep {
    nodes: Arc<Nodes>,
    rosters: Arc<Rosters>,
    policies: Policies,
}

impl Pep {
    /// Over nodes and rosters.
    pub fn new(nodes: Arc<Nodes>, rosters: Arc<Rosters>) -> Self {
        Self {
            nodes,
            rosters,
            policies: Policies::default(),
        }
    }
}

impl Module for Pep {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::PUBSUB, self.clone());
        registry.iq(Target::Account, ns::PUBSUB_OWNER, self.clone());
        registry.disco_identity(Target::Account, "pubsub", "pep");
        for feature in features::COMMON.iter().chain(features::ACCOUNT) {
            registry.disco(Target::Account, feature);
        }
        registry.disco_node(self);
        let partial = Status::Partial("no replyto, no presence without a subscription");
        registry.spec(Spec {
            xep: 163,
            version: "1.2.2",
            status: partial,
        });
    }
}

#[async_trait]
impl IqHandler for Pep {
    /// As of an account that is there and has no such node: a stranger cannot tell them apart.
    fn absent(&self, iq: &IqRequest) -> Result<Option<Element>, StanzaError> {
        let request = Request::parse(&iq.payload, iq.is_set())?;
        Err(match request {
            Request::Create(..) | Request::Publish { .. } => Condition::Forbidden.into(),
            _ => Condition::ItemNotFound.into(),
        })
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        let request = Request::parse(&iq.payload, iq.is_set())?;
        if iq.is_set() && is_anonymous(&iq.to, cx) {
            return Err(unsupported("persistent-items"));
        }
        let policy = self.policies.of(&iq.to);
        let standing = self.standing(&iq.to, &iq.from).await?;
        let actor = Actor {
            jid: &iq.from,
            standing,
        };
        let desk = Desk {
            nodes: &self.nodes,
            policy: &policy,
            host: self,
            cx,
        };
        desk.perform(&actor, request).await
    }
}

#[async_trait]
impl Host for Pep {
    async fn may_create(&self, policy: &Policy, actor: &Actor<'_>) -> Result<(), StanzaError> {
        // XEP-0163 §2.2.
        if actor.jid.bare_str() != policy.address.as_str() {
            return Err(Condition::Forbidden.into());
        }
        match self.nodes.heads(policy).await?.len() < policy.limits.nodes {
            true => Ok(()),
            false => Err(too_many_nodes()),
        }
    }

    async fn tell(&self, policy: &Policy, node: &Node, events: Vec<Event>, cx: &Context) {
        self.tell_all(policy, node, events, cx).await;
    }
}

/// What is stored would outlive who stored it.
fn is_anonymous(account: &BareJid, cx: &Context) -> bool {
    let entries = cx.entries(account);
    entries.iter().any(|entry| entry.flags & flags::ANONYMOUS != 0)
}
