//! Publishing: items come, are retracted, are purged.
//!
//! Source: XEP-0060 §7.1, §7.2, §8.5.

use std::sync::Arc;

use bytes::Bytes;
use storage::repository::{PubsubChange, PubsubHead, PubsubItem, PubsubItemHead};
use xmpp::{Element, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    access::Actor,
    affiliation::Rights,
    config::WhenFull,
    error::{bad, error, unsupported},
    event::{self, Event},
    node::{Effect, MAX_NAME, Node, Policy},
};

/// What is to be published: an item with its id and its payloads, of which there shall be one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publication {
    /// The item, if there is one.
    pub item: Option<(Option<String>, Vec<Element>)>,
}

/// When it is, and what an item is called that was given no name.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Drawn at random.
    pub fresh: &'a str,
}

/// Publishes an item (§7.1).
///
/// # Errors
/// By section of §7.1.3.
pub fn publish(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    publication: Publication,
    moment: Moment<'_>,
) -> Result<Effect, StanzaError> {
    node.publishable(policy, actor)?;
    let config = &node.config;
    let Some((id, payloads)) = publication.item else {
        return nothing(node);
    };
    if !config.persist && !config.deliver_payloads {
        return Err(bad("item-forbidden"));
    }
    let is_named = id.is_some();
    let id = id.unwrap_or_else(|| moment.fresh.to_owned());
    let payload = payload(node, policy, &payloads)?;
    if id.len() > MAX_NAME {
        return Err(StanzaError::new(Condition::BadRequest, "a shorter id"));
    }
    let item = PubsubItem {
        head: PubsubItemHead::new(
            &id,
            node.stored.head.sequence,
            moment.now_ms,
            actor.jid.as_str(),
            u32::try_from(payload.len()).unwrap_or(u32::MAX),
        ),
        payload,
    };
    let reply = (!is_named).then(|| reply(node, &id));
    let body = event::published(policy, node, &item);
    let told = config.deliver.then(|| Event::to_subscribers(node, body));
    if !config.persist {
        return Ok(Effect {
            events: told.into_iter().collect(),
            ..Effect::answer(node, reply)
        });
    }
    let (node, change) = kept(node, policy, item, moment.now_ms)?;
    let retracts = node.config.when_full == WhenFull::RetractOldest
        && node.config.notify_retract
        && node.capacity(policy) > 1
        && !change.removed.is_empty();
    let gone = retracts.then(|| {
        let ids = change.removed.iter().map(|item| item.id.as_ref());
        Event::to_subscribers(&node, event::retracted(&node, ids))
    });
    Ok(Effect {
        events: told.into_iter().chain(gone).collect(),
        change: Some(change),
        reply,
        node,
    })
}

/// §7.1.3.6, for who publishes no item.
fn nothing(node: &Node) -> Result<Effect, StanzaError> {
    match (node.config.persist, node.config.deliver_payloads) {
        (true, _) => Err(bad("item-required")),
        (false, true) => Err(bad("payload-required")),
        (false, false) => {
            let told = Event::to_subscribers(node, event::happened(node));
            Ok(Effect {
                events: node.config.deliver.then_some(told).into_iter().collect(),
                ..Effect::answer(node, None)
            })
        }
    }
}

/// The payload of an item, which says its namespace itself (§7.1.3.4 to §7.1.3.6).
fn payload(node: &Node, policy: &Policy, payloads: &[Element]) -> Result<Bytes, StanzaError> {
    let config = &node.config;
    let payload = match payloads {
        [] if config.deliver_payloads => return Err(bad("payload-required")),
        [] => return Ok(Bytes::new()),
        [one] if config.payload_type.is_empty() || one.ns() == config.payload_type => one,
        _ => return Err(bad("invalid-payload")),
    };
    let bytes = payload.to_bytes("");
    if bytes.len() > config.max_payload.within(policy.limits.payload) {
        return Err(error(Condition::NotAcceptable, "payload-too-big"));
    }
    Ok(bytes.into())
}

fn reply(node: &Node, id: &str) -> Element {
    let publish = Element::new("publish", ns::PUBSUB).with_attr("node", node.name());
    let item = Element::new("item", ns::PUBSUB).with_attr("id", id);
    Element::new("pubsub", ns::PUBSUB).with_child(publish.with_child(item))
}

/// The node with the item, which is the newest whatever its id (§12.1). What is too much or too old goes.
fn kept(
    node: &Node,
    policy: &Policy,
    item: PubsubItem,
    now_ms: u64,
) -> Result<(Node, PubsubChange), StanzaError> {
    let mut after = node.clone();
    let mut items = Vec::clone(&node.stored.items);
    let place = items.iter().position(|known| known.id == item.head.id);
    let replaced = place.map(|place| items.remove(place));
    let expired = items.len() - node_items(node, &items, now_ms);
    let room = node.capacity(policy);
    let surplus = (items.len() + 1).saturating_sub(room);
    if node.config.when_full == WhenFull::Reject && replaced.is_none() && surplus > expired {
        return Err(error(Condition::Conflict, "node-full"));
    }
    let removed = items
        .drain(..surplus.max(expired).min(items.len()))
        .collect();
    items.push(item.head.clone());
    let head = &mut after.stored.head;
    head.sequence += 1;
    head.last = (item.payload.len() <= PubsubHead::MAX_LAST).then(|| item.clone());
    after.stored.items = Arc::new(items);
    let change = PubsubChange {
        put: Some(item),
        removed,
        replaced,
        ..PubsubChange::default()
    };
    Ok((after, change))
}

/// How many of these items are not too old.
fn node_items(node: &Node, items: &[PubsubItemHead], now_ms: u64) -> usize {
    let fresh = node.items(now_ms).first().map(|oldest| oldest.sequence);
    match fresh {
        Some(oldest) => items.len() - items.partition_point(|item| item.sequence < oldest),
        None => 0,
    }
}

/// Deletes an item (§7.2).
///
/// # Errors
/// By section of §7.2.3.
pub fn retract(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    id: &str,
    notify: bool,
) -> Result<Effect, StanzaError> {
    let rights = node.rights(policy, actor);
    if rights.is_outcast() {
        return Err(Condition::Forbidden.into());
    }
    if !node.config.persist {
        return Err(unsupported("persistent-items"));
    }
    let items = &node.stored.items;
    let place = items.iter().position(|item| &*item.id == id);
    let is_own =
        |item: &PubsubItemHead| item.publisher.split('/').next() == Some(actor.jid.bare_str());
    let may = rights.deletes_any() || place.is_some_and(|place| is_own(&items[place]));
    match place {
        _ if !may && !rights.publishes() => Err(Condition::Forbidden.into()),
        None => Err(Condition::ItemNotFound.into()),
        Some(_) if !may => Err(Condition::Forbidden.into()),
        Some(place) => Ok(retracted(node, place, notify)),
    }
}

fn retracted(node: &Node, place: usize, notify: bool) -> Effect {
    let mut after = node.clone();
    let removed = Arc::make_mut(&mut after.stored.items).remove(place);
    let head = &mut after.stored.head;
    if head
        .last
        .as_ref()
        .is_some_and(|last| last.head.id == removed.id)
    {
        head.last = None;
    }
    let told = (notify || node.config.notify_retract).then(|| {
        let body = event::retracted(node, std::iter::once(&*removed.id));
        Event::to_subscribers(node, body)
    });
    Effect {
        node: after,
        change: Some(PubsubChange {
            removed: vec![removed],
            ..PubsubChange::default()
        }),
        events: told.into_iter().collect(),
        reply: None,
    }
}

/// Removes all items (§8.5).
///
/// # Errors
/// `forbidden`; `feature-not-implemented`: it keeps none.
pub fn purge(node: &Node, policy: &Policy, actor: &Actor<'_>) -> Result<Effect, StanzaError> {
    node.owned(policy, actor)?;
    if !node.config.persist {
        return Err(unsupported("persistent-items"));
    }
    let mut after = node.clone();
    let purged = Vec::clone(&after.stored.items);
    after.stored.items = Arc::default();
    let head = &mut after.stored.head;
    head.generation = head.generation.wrapping_add(1);
    head.last = None;
    let told = node.config.notify_retract;
    let told = told.then(|| Event::to_subscribers(node, event::purged(node)));
    Ok(Effect {
        node: after,
        change: Some(PubsubChange {
            purged,
            ..PubsubChange::default()
        }),
        events: told.into_iter().collect(),
        reply: None,
    })
}
