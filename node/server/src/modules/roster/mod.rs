//! The roster (RFC 6121 §2 and §3).

pub mod request;
pub mod rosters;
pub mod subscription;
pub mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use storage::repository::RosterItem;
use xmpp::{BareJid, Element, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

pub use rosters::Rosters;
use rosters::item_mut;
use subscription::{Standing, SubscriptionType};

use self::xml::{RosterAnswer, RosterSet};
use crate::{
    module::{Context, IqHandler, IqRequest, Module, Registry, Target},
    pipeline::inbound::subscription_element,
    routing::flags,
};

/// The module: answers roster IQs.
pub struct RosterModule {
    rosters: Arc<Rosters>,
    max_items: usize,
}

impl RosterModule {
    /// Over the rosters; an account has at most `max_items` contacts.
    pub fn new(rosters: Arc<Rosters>, max_items: usize) -> Self {
        Self { rosters, max_items }
    }
}

impl Module for RosterModule {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::ROSTER, self);
    }
}

#[async_trait]
impl IqHandler for RosterModule {
    fn own_only(&self) -> bool {
        true
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        if iq.payload.name() != "query" {
            return Err(Condition::BadRequest.into());
        }
        if iq.is_set() {
            self.set(iq, cx).await
        } else {
            self.get(iq, cx).await
        }
    }
}

impl RosterModule {
    async fn get(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        if let Some(handle) = &iq.session {
            // Until it is sent nothing changes: no push of a change overtakes the roster that is without it.
            iq.release_after_reply(self.rosters.hold(&iq.to).await);
            cx.set_flags(handle.session, flags::INTERESTED, 0);
        }
        let roster = self.rosters.load(&iq.to).await?;
        match xml::answer_get(&roster, iq.payload.attr("ver")) {
            RosterAnswer::Full(query) => Ok(Some(query)),
            RosterAnswer::Changes(changes) => {
                if let Some(handle) = &iq.session {
                    for change in changes {
                        iq.send_after_reply(push_iq(handle.jid.as_str(), change));
                    }
                }
                Ok(None)
            }
        }
    }

    async fn set(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        match xml::parse_set(&iq.payload, &iq.to, xml::Limits::default())? {
            RosterSet::Put { jid, name, groups } => self.put(&iq.to, jid, name, groups, cx).await?,
            RosterSet::Remove(jid) => self.remove(&iq.to, &jid, cx).await?,
        }
        Ok(None)
    }

    async fn put(
        &self,
        owner: &BareJid,
        contact: BareJid,
        name: Option<String>,
        groups: Vec<String>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let max_items = self.max_items;
        let turn = self.rosters.turn(owner).await;
        let changed = turn
            .change(|roster, revision| {
                if roster.items.len() >= max_items
                    && rosters::item(roster, contact.as_str()).is_none()
                {
                    return Err(StanzaError::new(
                        Condition::NotAllowed,
                        "the roster is full",
                    ));
                }
                let item = item_mut(roster, &contact);
                item.in_roster = true;
                item.name.clone_from(&name);
                item.groups.clone_from(&groups);
                item.revision = revision;
                Ok(Some((item.clone(), revision)))
            })
            .await?;
        if let Some((item, version)) = changed {
            push(cx, owner, &item, version);
        }
        Ok(())
    }

    /// RFC 6121 §2.5: the contact goes, and the subscriptions both ways.
    async fn remove(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let turn = self.rosters.turn(owner).await;
        let removed = turn
            .change(|roster, revision| {
                if !rosters::item(roster, contact.as_str()).is_some_and(|item| item.in_roster) {
                    return Err(Condition::ItemNotFound.into());
                }
                Ok(rosters::remove(roster, contact, revision).map(|item| (item, revision)))
            })
            .await?;
        let Some((item, version)) = removed else {
            return Ok(());
        };
        let push = xml::push_element(xml::removed_element(contact.as_str()), version);
        cx.push_to(owner, flags::INTERESTED, |entry| {
            push_iq(&format!("{owner}/{}", entry.resource), push.clone())
                .to_bytes(ns::CLIENT)
                .into()
        });
        drop(turn);
        let farewell = subscription::removal(Standing::from(&item).state);
        for (due, kind) in [
            (farewell.unsubscribe, SubscriptionType::Unsubscribe),
            (farewell.unsubscribed, SubscriptionType::Unsubscribed),
        ] {
            if due {
                cx.route(Stanza::from_element(&subscription_element(
                    owner, contact, kind,
                )));
            }
        }
        cx.share(owner, contact, farewell.sharing);
        Ok(())
    }
}

/// Pushes an item to every interested resource (RFC 6121 §2.1.6).
pub fn push(cx: &Context, owner: &BareJid, item: &RosterItem, version: u64) {
    let push = xml::push_element(xml::item_element(item), version);
    cx.push_to(owner, flags::INTERESTED, |entry| {
        push_iq(&format!("{owner}/{}", entry.resource), push.clone())
            .to_bytes(ns::CLIENT)
            .into()
    });
}

fn push_iq(to: &str, payload: Element) -> Element {
    Element::new("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", crate::random::token())
        .with_attr("to", to)
        .with_child(payload)
}

#[cfg(test)]
mod tests;
