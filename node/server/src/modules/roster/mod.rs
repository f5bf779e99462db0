//! The roster (RFC 6121 §2 and §3).

pub mod request;
pub mod rosters;
pub mod subscription;
pub mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use storage::repository::Roster;
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
        let part = self.rosters.given(owner).await?;
        let given = part.get(&contact).filter(|given| given.is_shown());
        // What it is given is not its own because a client says it again.
        let name = name.filter(|name| given.is_none_or(|it| it.name.as_ref() != Some(name)));
        let mut groups = groups;
        if let Some(given) = given {
            groups.retain(|group| !given.groups.contains(group));
        }
        let is_given = given.is_some();
        let changed = turn
            .change(|roster, revision| {
                let known = rosters::item(roster, contact.as_str());
                if roster.items.len() >= max_items && known.is_none() {
                    return Err(StanzaError::new(
                        Condition::NotAllowed,
                        "the roster is full",
                    ));
                }
                if is_given && name.is_none() && groups.is_empty() {
                    match known.map(|known| (known.in_roster, Standing::from(known))) {
                        // Nothing of it is the owner's.
                        None | Some((false, _)) => return Ok(None),
                        Some((true, standing)) if standing == Standing::default() => {
                            rosters::remove(roster, &contact, revision);
                            return Ok(Some(()));
                        }
                        Some(_) => {}
                    }
                }
                let item = item_mut(roster, &contact);
                item.in_roster = true;
                item.name.clone_from(&name);
                item.groups.clone_from(&groups);
                item.revision = revision;
                Ok(Some(()))
            })
            .await?;
        if changed.is_some() || is_given {
            push(cx, owner, &*self.rosters.load(owner).await?, &contact);
        }
        Ok(())
    }

    /// RFC 6121 §2.5: the contact goes, and the subscriptions both ways. What an account is given stays.
    async fn remove(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let turn = self.rosters.turn(owner).await;
        let part = self.rosters.given(owner).await?;
        let is_given = part.get(contact).is_some_and(|given| given.is_shown());
        let removed = turn
            .change(|roster, revision| {
                if !rosters::item(roster, contact.as_str()).is_some_and(|item| item.in_roster) {
                    return Err(match is_given {
                        true => StanzaError::new(
                            Condition::NotAllowed,
                            "a shared group has this contact",
                        ),
                        false => Condition::ItemNotFound.into(),
                    });
                }
                Ok(rosters::remove(roster, contact, revision))
            })
            .await?;
        let Some(item) = removed else {
            return Ok(());
        };
        push(cx, owner, &*self.rosters.load(owner).await?, contact);
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

/// Pushes what a roster says of a contact to every interested resource (RFC 6121 §2.1.6).
pub fn push(cx: &Context, owner: &BareJid, roster: &Roster, contact: &BareJid) {
    push_as(cx, owner, roster, contact, xml::Version::of(roster));
}

/// The same as of another version: one that clients have before all of a change was pushed.
pub fn push_as(
    cx: &Context,
    owner: &BareJid,
    roster: &Roster,
    contact: &BareJid,
    version: xml::Version,
) {
    let push = xml::push_element(xml::contact_element(roster, contact), version);
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
