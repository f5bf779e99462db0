//! The blocking command.
//!
//! Source: XEP-0191 v1.3 §3. Blocked addresses are rules at the head of the default privacy list (§5); blocking is
//! polite (§4): subscriptions stay.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    lists::{Lists, push_blocks},
    rules,
};
use crate::{
    module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target},
    routing::flags,
};

const SPEC: Spec = Spec {
    xep: 191,
    version: "1.3",
    status: Status::Complete,
};

/// The module.
pub struct Blocking {
    lists: Arc<Lists>,
}

impl Blocking {
    /// Over the lists that privacy lists are kept in as well.
    pub fn new(lists: Arc<Lists>) -> Self {
        Self { lists }
    }

    /// §3.2. Whoever asks is told of changes from now on.
    async fn get(&self, iq: &IqRequest, cx: &Context) -> Result<Element, StanzaError> {
        if let Some(handle) = &iq.session {
            cx.set_flags(handle.session, flags::BLOCK_LIST, 0);
        }
        let data = self.lists.load(&iq.to).await?;
        let item = |jid: &str| Element::new("item", ns::BLOCKING).with_attr("jid", jid);
        Ok(Element::new("blocklist", ns::BLOCKING).with_children(rules::blocked(&data).map(item)))
    }

    /// §3.3
    async fn block(&self, iq: &IqRequest, cx: &Context) -> Result<(), StanzaError> {
        let jids = items(&iq.payload)?;
        if jids.is_empty() {
            return Err(StanzaError::new(Condition::BadRequest, "block whom?"));
        }
        let too_many = |_| StanzaError::new(Condition::PolicyViolation, "the block list is full");
        let change = self
            .lists
            .change(&iq.to, cx, |data| {
                rules::block(data, &jids).map(drop).map_err(too_many)
            })
            .await?;
        if let Some(change) = change {
            self.lists.show(&iq.to, &change, cx).await?;
        }
        push_blocks(cx, &iq.to, "block", jids.iter().map(Jid::as_str));
        Ok(())
    }

    /// §3.4, §3.5
    async fn unblock(&self, iq: &IqRequest, cx: &Context) -> Result<(), StanzaError> {
        let jids = items(&iq.payload)?;
        let change = self.lists.change(&iq.to, cx, |data| {
            rules::unblock(data, &jids);
            Ok(())
        });
        if let Some(change) = change.await? {
            self.lists.show(&iq.to, &change, cx).await?;
        }
        push_blocks(cx, &iq.to, "unblock", jids.iter().map(Jid::as_str));
        Ok(())
    }
}

/// The addresses of a request.
fn items(payload: &Element) -> Result<Vec<Jid>, StanzaError> {
    let jid = |item: &Element| match item.attr("jid").map(Jid::parse) {
        Some(Ok(jid)) => Ok(jid),
        Some(Err(_)) => Err(Condition::JidMalformed.into()),
        None => Err(Condition::BadRequest.into()),
    };
    payload
        .children()
        .filter(|child| child.is("item", ns::BLOCKING))
        .map(jid)
        .collect()
}

impl Module for Blocking {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::BLOCKING, self);
        registry.disco(Target::Server, ns::BLOCKING);
        registry.spec(SPEC);
    }
}

#[async_trait]
impl IqHandler for Blocking {
    fn own_only(&self) -> bool {
        true
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        match (iq.payload.name(), iq.is_set()) {
            ("blocklist", false) => return self.get(iq, cx).await.map(Some),
            ("block", true) => self.block(iq, cx).await?,
            ("unblock", true) => self.unblock(iq, cx).await?,
            _ => return Err(Condition::BadRequest.into()),
        }
        Ok(None)
    }
}
