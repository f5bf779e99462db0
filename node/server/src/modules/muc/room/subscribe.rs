//! MUC/Sub: accounts that get what is said in a room without being in it, also while nobody of them is there.
//!
//! Source: `urn:xmpp:mucsub:0`, as ejabberd has it and clients use it; for rooms whose owner allows it. A subscriber has a nick
//! that is its own. It is told by events (XEP-0060) to its bare address, which its archive keeps and which wait for it; while
//! one of its sessions is in the room it hears what all hear and gets none.
//! Left out: speaking without being in the room, events about presence, affiliations and the room's end.
//! Stored: with what is kept of the account, and a list by account.

use bytes::Bytes;
use storage::repository::{Affiliation, RoomMember, RoomSubscription};
use xmpp::{
    BareJid, Element, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
};

use super::{
    Room,
    effects::{Change, Effect, Effects, Step},
    role::Role,
    standing::is_set,
};

/// What one can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// What is said.
    Messages,
    /// What the room is about.
    Subject,
    /// Changes of its configuration.
    Config,
    /// Who subscribes.
    Subscribers,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Messages,
        Self::Subject,
        Self::Config,
        Self::Subscribers,
    ];

    /// Its node.
    pub fn node(self) -> &'static str {
        match self {
            Self::Messages => "urn:xmpp:mucsub:nodes:messages",
            Self::Subject => "urn:xmpp:mucsub:nodes:subject",
            Self::Config => "urn:xmpp:mucsub:nodes:config",
            Self::Subscribers => "urn:xmpp:mucsub:nodes:subscribers",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// `<subscribe/>` or `<subscription/>` of somebody.
pub fn subscription_element(name: &'static str, subscription: &RoomSubscription) -> Element {
    let topics = Topic::ALL.into_iter();
    let topics = topics.filter(|topic| subscription.topics & topic.bit() != 0);
    let event = |topic: Topic| Element::new("event", ns::MUCSUB).with_attr("node", topic.node());
    Element::new(name, ns::MUCSUB)
        .with_attr("nick", subscription.nick.as_str())
        .with_children(topics.map(event))
}

impl Room {
    /// A request about subscriptions.
    pub(super) fn subscribing(
        &self,
        stanza: &Stanza,
        from: &Jid,
        payload: &Element,
    ) -> Result<Step, StanzaError> {
        match (payload.name(), is_set(stanza)) {
            ("subscribe", true) => self.subscribe(stanza, from, payload),
            ("unsubscribe", true) => self.unsubscribe(stanza, from, payload),
            ("subscriptions", false) => self.subscriptions(stanza, from),
            _ => Err(Condition::BadRequest.into()),
        }
    }

    fn manages(&self, from: &Jid) -> bool {
        self.affiliation(from) >= Affiliation::Admin || self.role(from) == Role::Moderator
    }

    /// Who is meant: oneself, or whom a moderator names.
    fn meant(&self, from: &Jid, payload: &Element) -> Result<BareJid, StanzaError> {
        let Some(named) = payload.attr("jid") else {
            return Ok(from.to_bare());
        };
        let named = Jid::parse(named).map_err(|_| Condition::JidMalformed)?;
        match named.bare_str() == from.bare_str() || self.manages(from) {
            true => Ok(named.to_bare()),
            false => Err(Condition::Forbidden.into()),
        }
    }

    fn subscribe(
        &self,
        stanza: &Stanza,
        from: &Jid,
        payload: &Element,
    ) -> Result<Step, StanzaError> {
        let config = &self.record.config;
        if !config.allow_subscription {
            return Err(StanzaError::new(
                Condition::NotAllowed,
                "this room has no subscriptions",
            ));
        }
        let account = self.meant(from, payload)?;
        let known = self.member(&account).cloned().unwrap_or_default();
        let affiliation = self.affiliation(account.as_jid());
        let is_new = known.subscription.is_none();
        if affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden.into());
        }
        if config.members_only && affiliation < Affiliation::Member {
            return Err(Condition::RegistrationRequired.into());
        }
        let knows_it = config.password.as_deref() == payload.attr("password")
            || affiliation >= Affiliation::Member
            || self.role(from) != Role::None;
        if is_new && config.password.is_some() && !knows_it {
            return Err(Condition::NotAuthorized.into());
        }
        let nick = payload.attr("nick").ok_or(Condition::BadRequest)?;
        let jid = Jid::from_parts(self.address.local(), self.address.domain(), Some(nick));
        let jid = jid.map_err(|_| Condition::JidMalformed)?;
        let nick = jid.resource().unwrap_or_default().to_owned();
        self.check_nick(&nick)?;
        if !self.is_free(&nick, &account) {
            return Err(Condition::Conflict.into());
        }
        self.has_room_for(usize::from(self.member(&account).is_none()))?;
        let asked = |topic: &Topic| {
            let mut events = payload.children().filter(|it| it.is("event", ns::MUCSUB));
            events.any(|it| it.attr("node") == Some(topic.node()))
        };
        let topics = Topic::ALL.into_iter().filter(asked);
        let subscription = RoomSubscription {
            nick,
            topics: topics.fold(0, |all, topic| all | topic.bit()),
        };
        let reply = subscription_element("subscribe", &subscription);
        let news = reply.clone();
        let member = RoomMember {
            subscription: Some(subscription),
            ..known
        };
        Ok(self.subscribed(stanza, (account, member), Some(reply), news, is_new))
    }

    fn unsubscribe(
        &self,
        stanza: &Stanza,
        from: &Jid,
        payload: &Element,
    ) -> Result<Step, StanzaError> {
        let account = match payload.attr("nick") {
            Some(nick) if self.manages(from) => {
                let of_nick = |member: &RoomMember| {
                    let subscription = member.subscription.as_ref();
                    subscription.is_some_and(|it| it.nick == nick)
                };
                let mut members = self.members.iter();
                let found = members.find(|(_, member)| of_nick(member));
                found.ok_or(Condition::ItemNotFound)?.0.clone()
            }
            _ => self.meant(from, payload)?,
        };
        let known = self.member(&account).cloned().unwrap_or_default();
        let Some(subscription) = known.subscription.clone() else {
            // There is nothing to do.
            return Ok(Step::result(stanza, None));
        };
        let news = Element::new("unsubscribe", ns::MUCSUB).with_attr("nick", subscription.nick);
        let member = RoomMember {
            subscription: None,
            ..known
        };
        Ok(self.subscribed(stanza, (account, member), None, news, true))
    }

    fn subscribed(
        &self,
        stanza: &Stanza,
        member: (BareJid, RoomMember),
        reply: Option<Element>,
        news: Element,
        is_new: bool,
    ) -> Step {
        let behind = match is_new {
            true => self.tell_of_subscriber(&member.0, &news),
            false => Effects::default(),
        };
        Step::Keep(Box::new(Change {
            members: vec![member],
            reply: Some(stanza.result_reply(reply)),
            behind,
            ..Change::of(self.record.clone())
        }))
    }

    fn subscriptions(&self, stanza: &Stanza, from: &Jid) -> Result<Step, StanzaError> {
        if !self.manages(from) {
            return Err(Condition::Forbidden.into());
        }
        let subscribers = self.members.iter().filter_map(|(account, member)| {
            let element = subscription_element("subscription", member.subscription.as_ref()?);
            Some(element.with_attr("jid", account.as_str()))
        });
        let answer = Element::new("subscriptions", ns::MUCSUB).with_children(subscribers);
        Ok(Step::result(stanza, Some(answer)))
    }

    /// Tells who subscribes; the real address is for those who would see it in the room (XEP-0045 §7.2.3).
    fn tell_of_subscriber(&self, account: &BareJid, news: &Element) -> Effects {
        let moderated = self.record.config.moderated;
        let sees_it = |listener: &BareJid| {
            let affiliation = self.affiliation(listener.as_jid());
            self.sees_addresses(Role::on_entering(affiliation, moderated))
        };
        let listeners = self.listeners(Topic::Subscribers);
        let (with, without) = listeners.into_iter().partition(sees_it);
        let named = news.clone().with_attr("jid", account.as_str());
        let mut effects = self.event(Topic::Subscribers, None, &named, with);
        let others = self.event(Topic::Subscribers, None, news, without);
        effects.0.extend(others.0);
        effects
    }

    /// Those who subscribe, and of whom nobody is in the room.
    fn listeners(&self, topic: Topic) -> Vec<BareJid> {
        let config = &self.record.config;
        if self.subscribers.is_empty() || !config.allow_subscription {
            return Vec::new();
        }
        let present: std::collections::BTreeSet<&BareJid> =
            self.occupants.iter().map(|it| &it.account).collect();
        let may = |account: &BareJid| {
            let affiliation = self.affiliation(account.as_jid());
            affiliation > Affiliation::Outcast
                && (!config.members_only || affiliation >= Affiliation::Member)
        };
        let meant = self.subscribers.iter().filter(|(account, topics)| {
            *topics & topic.bit() != 0 && !present.contains(account) && may(account)
        });
        meant.map(|(account, _)| account.clone()).collect()
    }

    /// Tells these.
    fn event(&self, topic: Topic, id: Option<&str>, news: &Element, to: Vec<BareJid>) -> Effects {
        let mut effects = Effects::default();
        if to.is_empty() {
            return effects;
        }
        let item = Element::new("item", ns::PUBSUB_EVENT)
            .with_attr_opt("id", id)
            .with_child(news.clone());
        let items = Element::new("items", ns::PUBSUB_EVENT)
            .with_attr("node", topic.node())
            .with_child(item);
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_child(Element::new("event", ns::PUBSUB_EVENT).with_child(items))
            // It waits for who is not there, and is in its archive.
            .with_child(Element::new("store", ns::HINTS));
        let packet = self.packet(self.address.as_jid().clone(), Kind::Message, &message);
        effects.0.push(Effect::Tell(packet, to));
        effects
    }

    /// What was said, to those who subscribe.
    pub(super) fn tell_said(&self, topic: Topic, number: Option<u64>, bytes: &Bytes) -> Effects {
        let listeners = self.listeners(topic);
        if listeners.is_empty() {
            return Effects::default();
        }
        let Ok(message) = Element::parse(bytes, ns::CLIENT) else {
            return Effects::default();
        };
        let id = number.map(|number| number.to_string());
        self.event(topic, id.as_deref(), &message, listeners)
    }

    /// Notes who subscribes.
    pub(super) fn note_subscriber(&mut self, account: &BareJid) {
        let member = self.members.get(account);
        match member.and_then(|it| it.subscription.as_ref()) {
            Some(subscription) => self
                .subscribers
                .insert(account.clone(), subscription.topics),
            None => self.subscribers.remove(account),
        };
    }
}

/// Node and news of an event, for tests.
#[cfg(test)]
pub(super) fn event_of(packet: &super::Packet) -> Option<(String, Element)> {
    let element = Element::parse(&packet.bytes, ns::CLIENT).ok()?;
    let items = element
        .child("event", ns::PUBSUB_EVENT)?
        .child("items", ns::PUBSUB_EVENT)?;
    let item = items.child("item", ns::PUBSUB_EVENT)?;
    Some((
        items.attr("node")?.to_owned(),
        item.children().next()?.clone(),
    ))
}
