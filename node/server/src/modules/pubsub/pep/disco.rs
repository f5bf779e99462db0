//! Discovery of an account's nodes.
//!
//! Source: XEP-0060 §5.2 to §5.5, XEP-0163 §6.2: only nodes that may be read are told of.

use async_trait::async_trait;
use storage::repository::PubsubNode;
use xmpp::{Element, StanzaError, ns};

use super::Pep;
use crate::{
    module::{Context, DiscoNode, IqRequest},
    modules::pubsub::{
        described::{node_info, node_items},
        rules::{Actor, Node},
    },
};

impl Pep {
    async fn actor<'a>(&self, iq: &'a IqRequest) -> Result<Actor<'a>, StanzaError> {
        let standing = self.standing(&iq.to, &iq.from).await?;
        Ok(Actor {
            jid: &iq.from,
            standing,
        })
    }
}

#[async_trait]
impl DiscoNode for Pep {
    async fn info(
        &self,
        iq: &IqRequest,
        node: &str,
        _cx: &Context,
    ) -> Result<Option<Element>, StanzaError> {
        if iq.to.local().is_none() {
            return Ok(None);
        }
        let policy = self.policies.of(&iq.to);
        let Some(node) = self.nodes.load(&policy, node).await? else {
            return Ok(None);
        };
        let may = node.readable(&policy, &self.actor(iq).await?);
        Ok(may.is_ok().then(|| node_info(&node, &policy)))
    }

    async fn items(
        &self,
        iq: &IqRequest,
        node: &str,
        cx: &Context,
    ) -> Result<Option<Element>, StanzaError> {
        if iq.to.local().is_none() {
            return Ok(None);
        }
        let policy = self.policies.of(&iq.to);
        let Some(node) = self.nodes.load(&policy, node).await? else {
            return Ok(None);
        };
        node.readable(&policy, &self.actor(iq).await?)?;
        Ok(Some(node_items(&node, &policy, cx.now_ms())))
    }

    async fn top(&self, iq: &IqRequest, _cx: &Context) -> Result<Vec<Element>, StanzaError> {
        if iq.to.local().is_none() {
            return Ok(Vec::new());
        }
        let policy = self.policies.of(&iq.to);
        let actor = self.actor(iq).await?;
        let heads = self.nodes.heads(&policy).await?;
        let readable = heads.iter().filter_map(|head| {
            let alone = PubsubNode {
                head: head.clone(),
                subscriptions: Default::default(),
                items: Default::default(),
            };
            let node = Node::of(alone, &policy);
            node.readable(&policy, &actor).ok()?;
            let item = Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", iq.to.as_str())
                .with_attr("node", node.name());
            let title = &node.config.title;
            Some(item.with_attr_opt("name", (!title.is_empty()).then_some(title)))
        });
        Ok(readable.collect())
    }
}
