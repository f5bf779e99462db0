//! Privacy lists: a user says in rules what may come in and go out.
//!
//! Source: XEP-0016 v1.7 §2. A list holds for a session if it is active there, or is the default and none is active. What
//! a change of rules blocks or frees is also told to clients that follow the block list (XEP-0191 §5).

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use cluster::directory::{Entry, SessionRef};
use storage::repository::{PrivacyData, PrivacyItem, PrivacyMatch};
use xmpp::{BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    lists::{Change, Lists, push_blocks, push_iq},
    privacy_xml::{self as xml, Request},
    rules,
};
use crate::module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target};

const SPEC: Spec = Spec {
    xep: 16,
    version: "1.7",
    status: Status::Partial("no unavailable presence in the name of contacts that are shut out"),
};
/// How many lists an account may have.
const MAX_LISTS: usize = 64;

/// The module.
pub struct PrivacyLists {
    lists: Arc<Lists>,
}

impl PrivacyLists {
    /// Over the lists that blocking uses as well.
    pub fn new(lists: Arc<Lists>) -> Self {
        Self { lists }
    }

    /// §2.3: the active and the default list first.
    async fn names(
        &self,
        owner: &BareJid,
        session: Option<SessionRef>,
    ) -> Result<Element, StanzaError> {
        let data = self.lists.load(owner).await?;
        let active = session.and_then(|session| self.lists.active().get(session));
        Ok(Element::new("query", ns::PRIVACY)
            .with_children(active.map(|name| xml::named("active", &name)))
            .with_children(
                data.default
                    .as_deref()
                    .map(|name| xml::named("default", name)),
            )
            .with_children(data.lists.keys().map(|name| xml::named("list", name))))
    }

    async fn list(&self, owner: &BareJid, name: &str) -> Result<Element, StanzaError> {
        let data = self.lists.load(owner).await?;
        let items = data.lists.get(name).ok_or(Condition::ItemNotFound)?;
        Ok(Element::new("query", ns::PRIVACY).with_child(xml::list_element(name, items)))
    }

    /// §2.4
    async fn activate(
        &self,
        iq: &IqRequest,
        name: Option<&str>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let data = self.lists.load(&iq.to).await?;
        if name.is_some_and(|name| !data.lists.contains_key(name)) {
            return Err(Condition::ItemNotFound.into());
        }
        let session = iq.session.as_ref().map(|handle| handle.session);
        let entries = cx.entries(&iq.to);
        let Some(entry) = entries.iter().find(|entry| Some(entry.session) == session) else {
            return Err(Condition::UnexpectedRequest.into());
        };
        self.lists.activate(&iq.to, entry, name, &data, cx).await
    }

    /// §2.5
    async fn set_default(
        &self,
        iq: &IqRequest,
        name: Option<&str>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let others = self.others(iq, cx);
        let change = self.lists.change(&iq.to, cx, |data| {
            if name.is_some_and(|name| !data.lists.contains_key(name)) {
                return Err(Condition::ItemNotFound.into());
            }
            let in_use = data.default.is_some() && others.iter().any(|active| active.is_none());
            if in_use && data.default.as_deref() != name {
                return Err(Condition::Conflict.into());
            }
            data.default = name.map(String::from);
            Ok(())
        });
        self.tell(&iq.to, change.await?, cx).await
    }

    /// §2.6, §2.7
    async fn put(
        &self,
        iq: &IqRequest,
        name: &str,
        items: &[PrivacyItem],
        cx: &Context,
    ) -> Result<(), StanzaError> {
        self.check_groups(&iq.to, items).await?;
        let change = self.lists.change(&iq.to, cx, |data| {
            if data.lists.len() >= MAX_LISTS && !data.lists.contains_key(name) {
                return Err(StanzaError::new(
                    Condition::PolicyViolation,
                    "too many lists",
                ));
            }
            data.lists.insert(name.to_owned(), items.to_vec());
            Ok(())
        });
        self.tell(&iq.to, change.await?, cx).await?;
        push_name(cx, &iq.to, name);
        Ok(())
    }

    /// §2.8
    async fn remove(&self, iq: &IqRequest, name: &str, cx: &Context) -> Result<(), StanzaError> {
        let others = self.others(iq, cx);
        let change = self.lists.change(&iq.to, cx, |data| {
            if !data.lists.contains_key(name) {
                return Err(Condition::ItemNotFound.into());
            }
            let is_default = data.default.as_deref() == Some(name);
            let applies = |active: &Option<Arc<str>>| match active {
                Some(active) => &**active == name,
                None => is_default,
            };
            if others.iter().any(applies) {
                return Err(Condition::Conflict.into());
            }
            data.lists.remove(name);
            data.default.take_if(|default| default == name);
            Ok(())
        });
        let change = change.await?;
        self.tell(&iq.to, change, cx).await?;
        if let Some(handle) = &iq.session
            && self.lists.active().get(handle.session).as_deref() == Some(name)
        {
            self.lists.active().set(handle.session, None);
        }
        push_name(cx, &iq.to, name);
        Ok(())
    }

    /// What is active in each session but the one that asks.
    fn others(&self, iq: &IqRequest, cx: &Context) -> Vec<Option<Arc<str>>> {
        let own = iq.session.as_ref().map(|handle| handle.session);
        let other = |entry: &&Entry| Some(entry.session) != own;
        cx.entries(&iq.to)
            .iter()
            .filter(other)
            .map(|entry| self.lists.active().get(entry.session))
            .collect()
    }

    /// §2.1: a group must be one of the roster's.
    async fn check_groups(
        &self,
        owner: &BareJid,
        items: &[PrivacyItem],
    ) -> Result<(), StanzaError> {
        let group = |item: &PrivacyItem| match &item.matches {
            PrivacyMatch::Group(group) => Some(group.clone()),
            _ => None,
        };
        let groups: BTreeSet<String> = items.iter().filter_map(group).collect();
        if groups.is_empty() {
            return Ok(());
        }
        let roster = self.lists.roster(owner).await?;
        let known = |group: &String| {
            roster
                .items
                .iter()
                .any(|item| item.in_roster && item.groups.contains(group))
        };
        if groups.iter().all(known) {
            Ok(())
        } else {
            Err(Condition::ItemNotFound.into())
        }
    }

    /// Contacts and followers of the block list hear what a change means.
    async fn tell(
        &self,
        owner: &BareJid,
        change: Option<Change>,
        cx: &Context,
    ) -> Result<(), StanzaError> {
        let Some(change) = change else { return Ok(()) };
        self.lists.show(owner, &change, cx).await?;
        let (before, after) = (blocked(&change.before), blocked(&change.after));
        for (name, jids) in [("block", &after - &before), ("unblock", &before - &after)] {
            if !jids.is_empty() {
                push_blocks(cx, owner, name, jids);
            }
        }
        Ok(())
    }
}

fn blocked(data: &PrivacyData) -> BTreeSet<&str> {
    rules::blocked(data).collect()
}

/// §2.2, 10: every connected resource hears which list changed.
fn push_name(cx: &Context, owner: &BareJid, name: &str) {
    let payload = Element::new("query", ns::PRIVACY).with_child(xml::named("list", name));
    cx.push_to(owner, 0, |entry| push_iq(owner, entry, payload.clone()));
}

impl Module for PrivacyLists {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::PRIVACY, self);
        registry.disco(Target::Server, ns::PRIVACY);
        registry.spec(SPEC);
    }
}

#[async_trait]
impl IqHandler for PrivacyLists {
    fn own_only(&self) -> bool {
        true
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        match xml::parse(&iq.payload, iq.is_set())? {
            Request::Names => {
                return self
                    .names(&iq.to, iq.session.as_ref().map(|handle| handle.session))
                    .await
                    .map(Some);
            }
            Request::List(name) => return self.list(&iq.to, &name).await.map(Some),
            Request::Activate(name) => self.activate(iq, name.as_deref(), cx).await?,
            Request::Default(name) => self.set_default(iq, name.as_deref(), cx).await?,
            Request::Put(name, items) => self.put(iq, &name, &items, cx).await?,
            Request::Remove(name) => self.remove(iq, &name, cx).await?,
        }
        Ok(None)
    }
}
