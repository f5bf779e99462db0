//! Retrieving: which items somebody is given.
//!
//! Source: XEP-0060 §6.5, XEP-0059. Items are in the order of publication, the newest last; with `max_items` the newest are
//! given (§6.5.7). An answer holds no more bytes than the policy says, the newest first; what is left out can be paged.

use storage::repository::{PubsubItem, PubsubItemHead};
use xmpp::{
    Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::rsm::{PageReply, PageRequest},
};

use super::{
    access::Actor,
    config::AccessModel,
    error::{error, unsupported},
    node::{Node, Policy},
};

/// Which items somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// These; empty: all.
    pub ids: Vec<String>,
    /// No more than so many, the newest.
    pub max: Option<usize>,
    /// A page.
    pub page: Option<PageRequest>,
    /// The subscription that is meant.
    pub subid: Option<String>,
}

/// Which items are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// They, in order.
    pub items: Vec<PubsubItemHead>,
    /// What is said of the page; `None`: these are all that were asked for.
    pub page: Option<PageReply>,
}

/// Selects items.
///
/// # Errors
/// By section of §6.5.9; `item-not-found`: a page beyond an item that is not there.
pub fn select(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    query: &Query,
    now_ms: u64,
) -> Result<Selection, StanzaError> {
    node.readable(policy, actor)?;
    if let Some(subid) = &query.subid {
        let mut own = node.stored.subscriptions.iter();
        let known = own.any(|it| it.jid.bare_str() == actor.jid.bare_str() && *it.id == **subid);
        if !known && node.config.access != AccessModel::Open {
            return Err(error(Condition::NotAcceptable, "invalid-subid"));
        }
    }
    if !node.config.persist {
        return Err(unsupported("persistent-items"));
    }
    let all = node.items(now_ms);
    if !query.ids.is_empty() {
        let wanted = |item: &&PubsubItemHead| query.ids.iter().any(|id| **id == *item.id);
        let items = all.iter().filter(wanted).cloned().collect();
        return Ok(Selection { items, page: None });
    }
    match &query.page {
        Some(page) => paged(all, page, policy.limits.answer),
        None => {
            let count = query.max.unwrap_or(usize::MAX).min(all.len());
            Ok(newest(all, count, policy.limits.answer))
        }
    }
}

/// The newest items.
fn newest(all: &[PubsubItemHead], count: usize, bytes: usize) -> Selection {
    let asked = &all[all.len() - count..];
    let given = &asked[asked.len() - fitting(asked.iter().rev(), bytes)..];
    let cut = given.len() < asked.len();
    Selection {
        items: given.to_vec(),
        page: cut.then(|| described(all, given)),
    }
}

/// How many of these items an answer holds; one at least.
fn fitting<'a>(items: impl Iterator<Item = &'a PubsubItemHead>, bytes: usize) -> usize {
    let mut left = bytes;
    let mut fits = |(at, item): &(usize, &PubsubItemHead)| {
        let size = item.bytes as usize + item.id.len() + 128;
        let fits = *at == 0 || size <= left;
        left = left.saturating_sub(size);
        fits
    };
    items.enumerate().take_while(|it| fits(it)).count()
}

fn described(all: &[PubsubItemHead], given: &[PubsubItemHead]) -> PageReply {
    let index = given.first().and_then(|first| {
        let place = all.iter().position(|item| item.sequence == first.sequence);
        place.and_then(|place| u32::try_from(place).ok())
    });
    PageReply {
        first: given.first().map(|item| item.id.as_ref().to_owned()),
        last: given.last().map(|item| item.id.as_ref().to_owned()),
        index,
        count: u32::try_from(all.len()).ok(),
    }
}

/// A page (XEP-0059).
fn paged(
    all: &[PubsubItemHead],
    page: &PageRequest,
    bytes: usize,
) -> Result<Selection, StanzaError> {
    let place = |id: &str| {
        let place = all.iter().position(|item| *item.id == *id);
        place.ok_or_else(|| StanzaError::from(Condition::ItemNotFound))
    };
    let start = match (&page.after, page.index) {
        (Some(after), _) => place(after)? + 1,
        (None, Some(index)) => (index as usize).min(all.len()),
        (None, None) => 0,
    };
    let end = match page.before.as_deref() {
        Some(before) if !before.is_empty() => place(before)?,
        _ => all.len(),
    };
    let between = &all[start.min(end)..end];
    let most = page.limit(u32::MAX) as usize;
    let given = match page.is_backwards() {
        true => {
            let count = fitting(between.iter().rev().take(most), bytes);
            &between[between.len() - count..]
        }
        false => &between[..fitting(between.iter().take(most), bytes)],
    };
    Ok(Selection {
        items: given.to_vec(),
        page: Some(described(all, given)),
    })
}

/// The answer with these items.
///
/// # Errors
/// `internal-server-error`: a payload is damaged.
pub fn answer(
    node: &Node,
    policy: &Policy,
    items: &[PubsubItem],
    page: Option<&PageReply>,
) -> Result<Element, StanzaError> {
    let mut list = Element::new("items", ns::PUBSUB).with_attr("node", node.name());
    for item in items {
        list.push(item_element(policy, item)?);
    }
    let set = page.map(PageReply::to_element);
    Ok(Element::new("pubsub", ns::PUBSUB)
        .with_child(list)
        .with_children(set))
}

fn item_element(policy: &Policy, item: &PubsubItem) -> Result<Element, StanzaError> {
    let publisher = &item.head.publisher;
    let is_other = publisher.split('/').next() != Some(policy.address.as_str());
    let element = Element::new("item", ns::PUBSUB)
        .with_attr("id", item.head.id.as_ref())
        .with_attr_opt("publisher", is_other.then_some(publisher.as_ref()));
    if item.payload.is_empty() {
        return Ok(element);
    }
    let payload = Element::parse(&item.payload, "").map_err(|_| Condition::InternalServerError)?;
    Ok(element.with_child(payload))
}
