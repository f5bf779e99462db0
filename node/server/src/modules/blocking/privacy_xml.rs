//! Privacy lists on the wire.
//!
//! Source: XEP-0016 v1.7 §2.1 (rules), §2.3 to §2.8 (requests).

use std::collections::BTreeSet;

use storage::repository::{PrivacyAction, PrivacyItem, PrivacyMatch, StanzaKinds, Subscription};
use xmpp::{Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns};

use super::rules::MAX_ITEMS;

/// Longest name of a list or group.
const MAX_NAME: usize = 1_023;

const SUBSCRIPTIONS: [(Subscription, &str); 4] = [
    (Subscription::None, "none"),
    (Subscription::To, "to"),
    (Subscription::From, "from"),
    (Subscription::Both, "both"),
];
const KINDS: [(StanzaKinds, &str); 4] = [
    (StanzaKinds::MESSAGE, "message"),
    (StanzaKinds::IQ, "iq"),
    (StanzaKinds::PRESENCE_IN, "presence-in"),
    (StanzaKinds::PRESENCE_OUT, "presence-out"),
];

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The names of all lists.
    Names,
    /// One list.
    List(String),
    /// This list, or none, is active in the session.
    Activate(Option<String>),
    /// This list, or none, is the default.
    Default(Option<String>),
    /// A list is these rules from now on, in order.
    Put(String, Vec<PrivacyItem>),
    /// A list goes.
    Remove(String),
}

fn bad(text: &str) -> StanzaError {
    StanzaError::new(Condition::BadRequest, text)
}

/// Reads `<query/>`.
///
/// # Errors
/// `bad-request`, `jid-malformed`, `policy-violation` for a list or a name that is too long.
pub fn parse(query: &Element, set: bool) -> Result<Request, StanzaError> {
    if query.name() != "query" {
        return Err(bad("a query is expected"));
    }
    let mut children = query.children();
    let child = match (children.next(), children.next()) {
        (None, _) if !set => return Ok(Request::Names),
        (Some(child), None) if child.ns() == ns::PRIVACY => child,
        _ => return Err(bad("one list at a time")),
    };
    let name = child.attr("name").map(String::from);
    if name.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
        return Err(Condition::PolicyViolation.into());
    }
    match (child.name(), name, set) {
        ("list", Some(name), false) => Ok(Request::List(name)),
        ("active", name, true) => Ok(Request::Activate(name)),
        ("default", name, true) => Ok(Request::Default(name)),
        ("list", Some(name), true) => match items(child)? {
            items if items.is_empty() => Ok(Request::Remove(name)),
            items => Ok(Request::Put(name, items)),
        },
        _ => Err(bad("a list has a name")),
    }
}

fn items(list: &Element) -> Result<Vec<PrivacyItem>, StanzaError> {
    if list.children().count() > MAX_ITEMS {
        return Err(StanzaError::new(
            Condition::PolicyViolation,
            "too many rules",
        ));
    }
    let mut items = list.children().map(item).collect::<Result<Vec<_>, _>>()?;
    items.sort_by_key(|item| item.order);
    let orders: BTreeSet<u32> = items.iter().map(|item| item.order).collect();
    if orders.len() < items.len() {
        return Err(bad("two rules of the same order"));
    }
    Ok(items)
}

fn item(item: &Element) -> Result<PrivacyItem, StanzaError> {
    if !item.is("item", ns::PRIVACY) {
        return Err(bad("a rule is an item"));
    }
    let action = match item.attr("action") {
        Some("allow") => PrivacyAction::Allow,
        Some("deny") => PrivacyAction::Deny,
        _ => return Err(bad("a rule allows or denies")),
    };
    let order = item.attr("order").and_then(|order| order.parse().ok());
    let mut stanzas = StanzaKinds::NONE;
    for child in item.children() {
        let kind = KINDS
            .into_iter()
            .find(|(_, name)| child.is(name, ns::PRIVACY));
        stanzas = stanzas
            | kind
                .ok_or_else(|| bad("a kind of stanza that is not known"))?
                .0;
    }
    Ok(PrivacyItem {
        order: order.ok_or_else(|| bad("a rule has an order"))?,
        action,
        matches: matches(item.attr("type"), item.attr("value"))?,
        stanzas: if stanzas.is_empty() {
            StanzaKinds::ALL
        } else {
            stanzas
        },
    })
}

fn matches(kind: Option<&str>, value: Option<&str>) -> Result<PrivacyMatch, StanzaError> {
    match (kind, value) {
        (None, _) => Ok(PrivacyMatch::All),
        (Some("jid"), Some(value)) => {
            let jid = Jid::parse(value).map_err(|_| StanzaError::from(Condition::JidMalformed))?;
            Ok(PrivacyMatch::Jid(jid.as_str().to_owned()))
        }
        (Some("group"), Some(value)) if value.len() <= MAX_NAME => {
            Ok(PrivacyMatch::Group(value.to_owned()))
        }
        (Some("subscription"), Some(value)) => {
            let known = SUBSCRIPTIONS.into_iter().find(|(_, name)| *name == value);
            known
                .map(|(subscription, _)| PrivacyMatch::Subscription(subscription))
                .ok_or_else(|| bad("no such subscription"))
        }
        _ => Err(bad("a rule is about an address, a group or a subscription")),
    }
}

/// An element that names a list.
pub fn named(element: &'static str, name: &str) -> Element {
    Element::new(element, ns::PRIVACY).with_attr("name", name)
}

/// `<list/>` with its rules.
pub fn list_element(name: &str, items: &[PrivacyItem]) -> Element {
    named("list", name).with_children(items.iter().map(item_element))
}

fn item_element(item: &PrivacyItem) -> Element {
    let (kind, value) = match &item.matches {
        PrivacyMatch::All => (None, None),
        PrivacyMatch::Jid(jid) => (Some("jid"), Some(jid.as_str())),
        PrivacyMatch::Group(group) => (Some("group"), Some(group.as_str())),
        PrivacyMatch::Subscription(subscription) => {
            let known = SUBSCRIPTIONS
                .into_iter()
                .find(|(known, _)| known == subscription);
            (Some("subscription"), known.map(|(_, name)| name))
        }
    };
    let action = match item.action {
        PrivacyAction::Allow => "allow",
        PrivacyAction::Deny => "deny",
    };
    let all = item.stanzas == StanzaKinds::ALL;
    let kinds = KINDS
        .into_iter()
        .filter(|(kind, _)| !all && item.stanzas.contains(*kind));
    Element::new("item", ns::PRIVACY)
        .with_attr_opt("type", kind)
        .with_attr_opt("value", value)
        .with_attr("action", action)
        .with_attr("order", item.order.to_string())
        .with_children(kinds.map(|(_, name)| Element::new(name, ns::PRIVACY)))
}
