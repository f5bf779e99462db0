//! Events: what subscribers are told.
//!
//! Source: XEP-0060 §7.1.2, §7.2.2, §8.2.5.3, §8.4.2, §8.5.2, §12.
//! Why bytes: an event is written once, whoever it goes to.

use bytes::Bytes;
use storage::repository::{PubsubItem, PubsubSubscription};
use xmpp::{
    BareJid, Element, Jid, Stanza,
    element::escape_attr_into,
    ns,
    payload::{delay::delay_element, form::Form},
};

use super::{
    config::NotificationType,
    node::{Node, Policy},
};

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Who is subscribed, and who is interested without a subscription, as far as that may be (XEP-0060 §9).
    Subscribers,
    /// The same, and those whose subscription is pending (§8.4.2).
    Everybody,
    /// The owners.
    Owners,
    /// One address.
    One(Jid),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Who is told.
    pub to: Audience,
    /// By which kind of message.
    pub kind: NotificationType,
    /// The children of that message, written.
    pub body: Bytes,
    /// Since when it is so, if it is told late, in milliseconds since 1970.
    pub delayed_ms: Option<u64>,
}

impl Event {
    /// Tells subscribers of a node.
    pub fn to_subscribers(node: &Node, body: Bytes) -> Self {
        Self {
            to: Audience::Subscribers,
            kind: node.config.notification_type,
            body,
            delayed_ms: None,
        }
    }

    /// Tells one address.
    pub fn to_one(node: &Node, to: &Jid, body: Bytes) -> Self {
        Self {
            to: Audience::One(to.clone()),
            ..Self::to_subscribers(node, body)
        }
    }
}

fn attr(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attr_into(out, value);
    out.push(b'\'');
}

fn event(name: &str, node: &str, inner: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(b"<event xmlns='");
    out.extend_from_slice(ns::PUBSUB_EVENT.as_bytes());
    out.extend_from_slice(b"'><");
    out.extend_from_slice(name.as_bytes());
    attr(&mut out, "node", node);
    out.push(b'>');
    inner(&mut out);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"></event>");
    out.into()
}

/// Whether those who read an item are told who published it: where that is not the account itself.
fn shows_publisher(policy: &Policy, item: &PubsubItem) -> bool {
    let bare = item.head.publisher.split('/').next();
    bare != Some(policy.address.as_str())
}

/// An item is there (§7.1.2.1); without its payload where the node is configured so (§7.1.2.2).
pub fn published(policy: &Policy, node: &Node, item: &PubsubItem) -> Bytes {
    event("items", node.name(), |out| {
        out.extend_from_slice(b"<item");
        attr(out, "id", &item.head.id);
        if shows_publisher(policy, item) {
            attr(out, "publisher", &item.head.publisher);
        }
        match node.config.deliver_payloads && !item.payload.is_empty() {
            true => {
                out.push(b'>');
                out.extend_from_slice(&item.payload);
                out.extend_from_slice(b"</item>");
            }
            false => out.extend_from_slice(b"/>"),
        }
    })
}

/// Something was published that has neither item nor payload (§4.3).
pub fn happened(node: &Node) -> Bytes {
    event("items", node.name(), |_| {})
}

/// Items are gone (§7.2.2.1).
pub fn retracted<'a>(node: &Node, ids: impl Iterator<Item = &'a str>) -> Bytes {
    event("items", node.name(), |out| {
        for id in ids {
            out.extend_from_slice(b"<retract");
            attr(out, "id", id);
            out.extend_from_slice(b"/>");
        }
    })
}

fn of(element: Element) -> Bytes {
    let event = Element::new("event", ns::PUBSUB_EVENT).with_child(element);
    event.to_bytes(ns::CLIENT).into()
}

fn named(name: &'static str, node: &Node) -> Element {
    Element::new(name, ns::PUBSUB_EVENT).with_attr("node", node.name())
}

/// All items are gone (§8.5.2).
pub fn purged(node: &Node) -> Bytes {
    of(named("purge", node))
}

/// The node is gone (§8.4.2), maybe to somewhere else.
pub fn deleted(node: &Node, redirect: Option<&str>) -> Bytes {
    let redirect =
        redirect.map(|uri| Element::new("redirect", ns::PUBSUB_EVENT).with_attr("uri", uri));
    of(named("delete", node).with_children(redirect))
}

/// The configuration is another one (§8.2.5.3).
pub fn configured(node: &Node) -> Bytes {
    let form: Option<Form> = node.config.deliver_payloads.then(|| node.config.told());
    of(named("configuration", node).with_children(form.map(|form| form.to_element())))
}

/// A subscription is in another state (§8.6, §8.8.4); `None`: there is none any more.
pub fn subscription(node: &Node, jid: &Jid, now: Option<&PubsubSubscription>) -> Bytes {
    let state = now.map_or("none", |now| now.state.as_str());
    of(named("subscription", node)
        .with_attr("jid", jid.as_str())
        .with_attr("subscription", state)
        .with_attr_opt("subid", now.map(|now| now.id.as_ref())))
}

/// The message that carries an event, without `to`. `id` names it (§7.1.2).
///
/// # Panics
/// Never: what it is made of was read as XML before.
pub fn message(from: &BareJid, event: &Event, id: &str) -> Stanza {
    let mut out = Vec::with_capacity(event.body.len() + 160);
    out.extend_from_slice(b"<message");
    attr(&mut out, "from", from.as_str());
    attr(&mut out, "id", id);
    if event.kind != NotificationType::Normal {
        attr(&mut out, "type", event.kind.as_str());
    }
    out.push(b'>');
    out.extend_from_slice(&event.body);
    if let Some(since) = event.delayed_ms {
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        delay_element(None, since).write_to(&mut out, ns::CLIENT);
    }
    out.extend_from_slice(b"</message>");
    Stanza::parse(out.into()).expect("made of what was read as XML")
}
