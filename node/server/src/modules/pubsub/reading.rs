//! Reading: requests that change nothing.
//!
//! Source: XEP-0060 §5.6, §5.7, §6.3.2, §6.4, §6.5, §8.2.1, §8.3, §8.8.1, §8.9.1.

use std::sync::Arc;

use storage::repository::PubsubNode;
use xmpp::{Element, StanzaError, ns, payload::form::FormType};

use super::{
    perform::Desk,
    request::{Request, Subscription},
    rules::{
        Actor, Node,
        error::unsupported,
        options, owner,
        retrieve::{self, Query},
        subscribe,
    },
};

/// Nodes that one address may be told to have to do with.
const MAX_OWN: usize = 1_000;

impl Desk<'_> {
    /// Answers what changes nothing.
    pub(super) async fn read(
        &self,
        actor: &Actor<'_>,
        request: Request,
    ) -> Result<Element, StanzaError> {
        let policy = self.policy;
        match request {
            Request::Items(node, query) => self.items(actor, &node, &query).await,
            Request::Config(node) => owner::config_form(&*self.node(&node).await?, policy, actor),
            Request::Affiliations(node) => {
                owner::affiliations(&*self.node(&node).await?, policy, actor)
            }
            Request::Subscriptions(node) => {
                owner::subscriptions(&*self.node(&node).await?, policy, actor)
            }
            Request::Options(Subscription { node, jid, subid }) => {
                let node = self.node(&node).await?;
                subscribe::options_form(&node, policy, actor, &jid, subid.as_deref())
            }
            Request::DefaultOptions(node) => {
                let form = options::form(FormType::Form, None).to_element();
                let default = Element::new("default", ns::PUBSUB).with_attr_opt("node", node);
                Ok(Element::new("pubsub", ns::PUBSUB).with_child(default.with_child(form)))
            }
            Request::DefaultConfig => {
                let form = policy.defaults.form().to_element();
                let default = Element::new("default", ns::PUBSUB_OWNER).with_child(form);
                Ok(Element::new("pubsub", ns::PUBSUB_OWNER).with_child(default))
            }
            Request::OwnSubscriptions(node) => self.own_subscriptions(actor, node).await,
            Request::OwnAffiliations(node) => self.own_affiliations(actor, node).await,
            _ => Err(unsupported("retrieve-items")),
        }
    }

    /// Items (§6.5).
    async fn items(
        &self,
        actor: &Actor<'_>,
        name: &str,
        query: &Query,
    ) -> Result<Element, StanzaError> {
        let node = self.node(name).await?;
        let now_ms = self.cx.now_ms();
        let selected = retrieve::select(&node, self.policy, actor, query, now_ms)?;
        let items = self
            .nodes
            .items(self.policy, &node, &selected.items)
            .await?;
        retrieve::answer(&node, self.policy, &items, selected.page.as_ref())
    }

    /// The nodes that an address may have to do with, or the one that it names.
    async fn nodes_of(
        &self,
        actor: &Actor<'_>,
        name: Option<String>,
    ) -> Result<Vec<Arc<Node>>, StanzaError> {
        if let Some(name) = name {
            return Ok(vec![self.node(&name).await?]);
        }
        let policy = self.policy;
        let names = match policy.is_account() {
            true => {
                let heads = self.nodes.heads(policy).await?;
                heads.iter().map(|head| head.node.clone()).collect()
            }
            false => {
                let (repository, who) = (self.nodes.repository(), actor.jid.to_bare());
                let names = repository.names_of(&policy.address, &who, MAX_OWN);
                names.await?
            }
        };
        let mut nodes = Vec::with_capacity(names.len());
        for name in names {
            nodes.extend(self.nodes.load(policy, &name).await?);
        }
        Ok(nodes)
    }

    /// §5.6.
    async fn own_subscriptions(
        &self,
        actor: &Actor<'_>,
        name: Option<String>,
    ) -> Result<Element, StanzaError> {
        let mut list =
            Element::new("subscriptions", ns::PUBSUB).with_attr_opt("node", name.clone());
        for node in self.nodes_of(actor, name).await? {
            let PubsubNode { subscriptions, .. } = &node.stored;
            let own = subscriptions.iter();
            let own = own.filter(|it| it.jid.bare_str() == actor.jid.bare_str());
            list =
                list.with_children(own.map(|it| subscribe::element(node.name(), it, ns::PUBSUB)));
        }
        Ok(Element::new("pubsub", ns::PUBSUB).with_child(list))
    }

    /// §5.7.
    async fn own_affiliations(
        &self,
        actor: &Actor<'_>,
        name: Option<String>,
    ) -> Result<Element, StanzaError> {
        let mut list = Element::new("affiliations", ns::PUBSUB).with_attr_opt("node", name.clone());
        for node in self.nodes_of(actor, name).await? {
            let own = node.affiliation(self.policy, actor.jid.bare_str());
            list = list.with_children(own.map(|own| {
                Element::new("affiliation", ns::PUBSUB)
                    .with_attr("node", node.name())
                    .with_attr("affiliation", own.as_str())
            }));
        }
        Ok(Element::new("pubsub", ns::PUBSUB).with_child(list))
    }
}
