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
//! | `own` | what the server does in an account's name |
//! | `bookmarks` | the same as in private XML (XEP-0402) |
//! | `avatar` | the same as in the vCard (XEP-0398) |
//! | `disco` | nodes and what they say of themselves |

mod avatar;
mod bookmarks;
mod disco;
mod last;
mod own;
mod standing;
mod tell;

use std::sync::Arc;

use async_trait::async_trait;
use storage::repository::{PrivateXmlRepository, VcardRepository};
use xmpp::{BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns};

pub use self::last::LastItems;
use super::{
    features,
    nodes::Nodes,
    perform::{Desk, Host, too_many_nodes},
    request::Request,
    rules::{Actor, Config, Event, Limits, Node, Policy, config::AccessModel, error::unsupported},
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

/// What is done by it: the nodes of clients need nothing more than what they ask for when they publish.
const SPECS: [Spec; 10] = [
    Spec::new(84, "1.1.4", Status::Complete),
    Spec::new(
        163,
        "1.2.2",
        Status::Partial("no replyto, no presence without a subscription"),
    ),
    Spec::new(172, "1.1", Status::Complete),
    Spec::new(222, "1.0", Status::Complete),
    Spec::new(223, "1.1.1", Status::Complete),
    Spec::new(292, "0.12.0", Status::Partial("vCard4 at its node")),
    Spec::new(384, "0.9.1", Status::Complete),
    Spec::new(398, "1.0.0", Status::Complete),
    Spec::new(402, "1.2.0", Status::Partial("the same as in private XML")),
    Spec::new(490, "1.0.1", Status::Complete),
];

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
    private: Arc<dyn PrivateXmlRepository>,
    vcards: Arc<dyn VcardRepository>,
    policies: Policies,
}

impl Pep {
    /// Over nodes and rosters, and what else clients keep the same things in.
    pub fn new(
        nodes: Arc<Nodes>,
        rosters: Arc<Rosters>,
        private: Arc<dyn PrivateXmlRepository>,
        vcards: Arc<dyn VcardRepository>,
    ) -> Self {
        Self {
            nodes,
            rosters,
            private,
            vcards,
            policies: Policies::default(),
        }
    }
}

impl Module for Pep {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::PUBSUB, self.clone());
        registry.iq(Target::Account, ns::PUBSUB_OWNER, self.clone());
        registry.disco_identity(Target::Account, "pubsub", "pep");
        let conversions = [ns::AVATAR_CONVERSION, ns::BOOKMARKS_COMPAT];
        for feature in features::COMMON
            .iter()
            .chain(features::ACCOUNT)
            .chain(&conversions)
        {
            registry.disco(Target::Account, feature);
        }
        registry.disco_node(self);
        SPECS.into_iter().for_each(|spec| registry.spec(spec));
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
        if iq.is_own() && request.node() == Some(ns::BOOKMARKS) {
            self.bring_bookmarks(&iq.to, cx).await?;
        }
        let is_avatar =
            matches!(&request, Request::Publish { node, .. } if node == ns::AVATAR_METADATA);
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
        let reply = desk.perform(&actor, request).await?;
        if is_avatar && let Err(error) = self.avatar_published(&iq.to, cx).await {
            // It is published; the vCard follows with the next one.
            tracing::warn!(account = %iq.to, %error, "an avatar does not reach the vCard");
        }
        Ok(reply)
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
    entries
        .iter()
        .any(|entry| entry.flags & flags::ANONYMOUS != 0)
}

#[cfg(test)]
mod tests;
