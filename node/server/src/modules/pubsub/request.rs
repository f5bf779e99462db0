//! Requests: what a `<pubsub/>` asks for.
//!
//! Source: XEP-0060 §5.6, §5.7, §6 to §8. What is malformed is refused here; whether it may be done is for the rules.

use storage::repository::{PubsubAffiliation, PubsubField, PubsubState};
use xmpp::{
    BareJid, Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::{
        form::{Form, FormType},
        rsm::PageRequest,
    },
};

use super::rules::{
    error::{bad, error, unsupported},
    node::MAX_NAME,
    options,
    publish::Publication,
    retrieve::Query,
};

/// A subscription that a request is about: its node, its address, its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The node.
    pub node: String,
    /// The address.
    pub jid: Jid,
    /// The id, if it is named.
    pub subid: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// One's subscriptions (§5.6).
    OwnSubscriptions(Option<String>),
    /// One's affiliations (§5.7).
    OwnAffiliations(Option<String>),
    /// To subscribe (§6.1), with options (§6.3.7).
    Subscribe {
        /// The node.
        node: String,
        /// Who shall be told.
        jid: Jid,
        /// The options, if any are given.
        options: Option<Vec<PubsubField>>,
    },
    /// To unsubscribe (§6.2).
    Unsubscribe(Subscription),
    /// The options of a subscription (§6.3.2).
    Options(Subscription),
    /// To set them (§6.3.5).
    SetOptions(Subscription, Vec<PubsubField>),
    /// The default options of subscriptions (§6.4).
    DefaultOptions(Option<String>),
    /// Items (§6.5).
    Items(String, Query),
    /// To publish (§7.1), with options (§7.1.5).
    Publish {
        /// The node.
        node: String,
        /// What.
        publication: Publication,
        /// On what conditions.
        options: Option<Form>,
    },
    /// To delete an item (§7.2).
    Retract {
        /// The node.
        node: String,
        /// Which.
        id: String,
        /// Whether subscribers shall be told, whatever the node's configuration.
        notify: bool,
    },
    /// To create a node (§8.1); `None`: with a name of the service's choice.
    Create(Option<String>, Option<Form>),
    /// The form of a node's configuration (§8.2.1).
    Config(String),
    /// To configure a node (§8.2.4).
    Configure(String, Form),
    /// The default configuration (§8.3).
    DefaultConfig,
    /// To delete a node (§8.4), which may be somewhere else from now on.
    Delete(String, Option<String>),
    /// To remove all items (§8.5).
    Purge(String),
    /// Who is subscribed (§8.8.1).
    Subscriptions(String),
    /// To change who is (§8.8.2).
    SetSubscriptions(String, Vec<(Jid, Option<PubsubState>)>),
    /// Who has which affiliation (§8.9.1).
    Affiliations(String),
    /// To change them (§8.9.2).
    SetAffiliations(String, Vec<(BareJid, Option<PubsubAffiliation>)>),
}

impl Request {
    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::OwnSubscriptions(node) | Self::OwnAffiliations(node) => node.as_deref(),
            Self::DefaultOptions(node) | Self::Create(node, _) => node.as_deref(),
            Self::DefaultConfig => None,
            Self::Unsubscribe(it) | Self::Options(it) | Self::SetOptions(it, _) => Some(&it.node),
            Self::Subscribe { node, .. }
            | Self::Items(node, _)
            | Self::Publish { node, .. }
            | Self::Retract { node, .. }
            | Self::Config(node)
            | Self::Configure(node, _)
            | Self::Delete(node, _)
            | Self::Purge(node)
            | Self::Subscriptions(node)
            | Self::SetSubscriptions(node, _)
            | Self::Affiliations(node)
            | Self::SetAffiliations(node, _) => Some(node),
        }
    }

    /// Reads the payload of a request.
    ///
    /// # Errors
    /// `bad-request`, with what is missing; `feature-not-implemented`: nothing that is known here.
    pub fn parse(payload: &Element, is_set: bool) -> Result<Self, StanzaError> {
        if payload.name() != "pubsub" {
            return Err(Condition::BadRequest.into());
        }
        match (payload.ns(), is_set) {
            (ns::PUBSUB, false) => get(payload),
            (ns::PUBSUB, true) => set(payload),
            (_, false) => owner_get(payload),
            (_, true) => owner_set(payload),
        }
    }
}

fn first(payload: &Element) -> Result<&Element, StanzaError> {
    let mut own = payload
        .children()
        .filter(|child| child.ns() == payload.ns());
    own.next().ok_or_else(|| Condition::BadRequest.into())
}

fn optional_node(element: &Element) -> Result<Option<String>, StanzaError> {
    match element.attr("node").filter(|node| !node.is_empty()) {
        Some(node) if node.len() > MAX_NAME => Err(StanzaError::new(
            Condition::NotAcceptable,
            "the name of a node has at most 512 bytes",
        )),
        node => Ok(node.map(str::to_owned)),
    }
}

fn node(element: &Element) -> Result<String, StanzaError> {
    optional_node(element)?.ok_or_else(|| bad("nodeid-required"))
}

fn jid(element: &Element) -> Result<Jid, StanzaError> {
    let text = element.attr("jid").ok_or_else(|| bad("jid-required"))?;
    Jid::parse(text).map_err(|_| bad("invalid-jid"))
}

fn subscription(element: &Element) -> Result<Subscription, StanzaError> {
    Ok(Subscription {
        node: node(element)?,
        jid: jid(element)?,
        subid: element.attr("subid").map(str::to_owned),
    })
}

fn get(payload: &Element) -> Result<Request, StanzaError> {
    let child = first(payload)?;
    Ok(match child.name() {
        "subscriptions" => Request::OwnSubscriptions(optional_node(child)?),
        "affiliations" => Request::OwnAffiliations(optional_node(child)?),
        "options" => Request::Options(subscription(child)?),
        "default" => Request::DefaultOptions(optional_node(child)?),
        "items" => Request::Items(node(child)?, query(payload, child)?),
        _ => return Err(unsupported("retrieve-items")),
    })
}

fn query(payload: &Element, items: &Element) -> Result<Query, StanzaError> {
    let named = items.children().filter(|it| it.is("item", ns::PUBSUB));
    let ids = named.filter_map(|it| it.attr("id").map(str::to_owned));
    let max = items.attr("max_items").map(|text| {
        text.trim()
            .parse::<usize>()
            .map_err(|_| StanzaError::from(Condition::BadRequest))
    });
    Ok(Query {
        ids: ids.take(MAX_IDS).collect(),
        max: max.transpose()?,
        page: PageRequest::parse(payload)?,
        subid: items.attr("subid").map(str::to_owned),
    })
}

/// Items that one request may name.
const MAX_IDS: usize = 1_000;

fn set(payload: &Element) -> Result<Request, StanzaError> {
    let child = first(payload)?;
    let beside = |name: &str| payload.child(name, ns::PUBSUB);
    Ok(match child.name() {
        "create" => Request::Create(optional_node(child)?, configuration(beside("configure"))?),
        "subscribe" => Request::Subscribe {
            node: node(child)?,
            jid: jid(child)?,
            options: beside("options").map(options_beside).transpose()?,
        },
        "unsubscribe" => Request::Unsubscribe(subscription(child)?),
        "options" => {
            let form = Form::child_of(child)?.ok_or_else(|| bad("invalid-options"))?;
            Request::SetOptions(subscription(child)?, options::read(&form)?)
        }
        "publish" => Request::Publish {
            node: node(child)?,
            publication: publication(child)?,
            options: beside("publish-options").map(preconditions).transpose()?,
        },
        "retract" => Request::Retract {
            node: node(child)?,
            id: retracted(child)?,
            notify: matches!(child.attr("notify"), Some("1" | "true")),
        },
        _ => return Err(unsupported("publish")),
    })
}

/// §6.3.7: they name neither node nor address, which stand in `<subscribe/>`.
fn options_beside(element: &Element) -> Result<Vec<PubsubField>, StanzaError> {
    if element.attr("node").is_some() || element.attr("jid").is_some() {
        return Err(Condition::BadRequest.into());
    }
    let form = Form::child_of(element)?.ok_or_else(|| bad("invalid-options"))?;
    options::read(&form)
}

/// §8.1.3: it names no node, which stands in `<create/>`.
fn configuration(element: Option<&Element>) -> Result<Option<Form>, StanzaError> {
    match element {
        Some(element) if element.attr("node").is_some() => Err(Condition::BadRequest.into()),
        Some(element) => Form::child_of(element)?.map(of_config).transpose(),
        None => Ok(None),
    }
}

/// A form that says it is of something else is not taken for a configuration (XEP-0068 §3); one may say nothing of that.
fn of_config(form: Form) -> Result<Form, StanzaError> {
    match form.namespace() {
        None | Some(ns::PUBSUB_NODE_CONFIG) => Ok(form),
        Some(_) => Err(Condition::BadRequest.into()),
    }
}

/// §7.1.5.
fn preconditions(element: &Element) -> Result<Form, StanzaError> {
    let form = Form::child_of(element)?.ok_or(Condition::BadRequest)?;
    match form.namespace() {
        Some(ns::PUBSUB_PUBLISH_OPTIONS) => Ok(form),
        _ => Err(Condition::BadRequest.into()),
    }
}

fn publication(publish: &Element) -> Result<Publication, StanzaError> {
    let mut items = publish.children().filter(|it| it.is("item", ns::PUBSUB));
    let item = items.next().map(|item| {
        let id = item.attr("id").filter(|id| !id.is_empty());
        (id.map(str::to_owned), item.children().cloned().collect())
    });
    match items.next() {
        // §7.1.1: several at once are no longer allowed.
        Some(_) => Err(error(Condition::NotAllowed, "max-items-exceeded")),
        None => Ok(Publication { item }),
    }
}

/// §7.2.3.4.
fn retracted(retract: &Element) -> Result<String, StanzaError> {
    let item = retract.child("item", ns::PUBSUB);
    let id = item
        .and_then(|item| item.attr("id"))
        .filter(|id| !id.is_empty());
    id.map(str::to_owned).ok_or_else(|| bad("item-required"))
}

fn owner_get(payload: &Element) -> Result<Request, StanzaError> {
    let child = first(payload)?;
    Ok(match child.name() {
        "configure" => Request::Config(node(child)?),
        "default" => Request::DefaultConfig,
        "subscriptions" => Request::Subscriptions(node(child)?),
        "affiliations" => Request::Affiliations(node(child)?),
        _ => return Err(unsupported("config-node")),
    })
}

fn owner_set(payload: &Element) -> Result<Request, StanzaError> {
    let child = first(payload)?;
    Ok(match child.name() {
        "configure" => {
            let form = Form::child_of(child)?.ok_or(Condition::BadRequest)?;
            if !matches!(form.form_type, FormType::Submit | FormType::Cancel) {
                return Err(Condition::BadRequest.into());
            }
            Request::Configure(node(child)?, of_config(form)?)
        }
        "delete" => {
            let redirect = child.child("redirect", ns::PUBSUB_OWNER);
            let uri = redirect.and_then(|it| it.attr("uri"));
            if uri.is_some_and(|uri| uri.len() > MAX_URI) {
                return Err(Condition::NotAcceptable.into());
            }
            Request::Delete(node(child)?, uri.map(str::to_owned))
        }
        "purge" => Request::Purge(node(child)?),
        "subscriptions" => Request::SetSubscriptions(node(child)?, states(child)?),
        "affiliations" => Request::SetAffiliations(node(child)?, affiliations(child)?),
        _ => return Err(unsupported("config-node")),
    })
}

/// Longest address of where a node has gone.
const MAX_URI: usize = 2_048;

fn states(list: &Element) -> Result<Vec<(Jid, Option<PubsubState>)>, StanzaError> {
    let mut states = Vec::new();
    for entry in list.children().filter(|it| it.name() == "subscription") {
        // §8.8.2.1: without one nothing changes.
        let Some(state) = entry.attr("subscription") else {
            continue;
        };
        let state = match state {
            "none" => None,
            state => Some(PubsubState::parse(state).ok_or(Condition::NotAcceptable)?),
        };
        states.push((jid(entry)?, state));
    }
    Ok(states)
}

fn affiliations(list: &Element) -> Result<Vec<(BareJid, Option<PubsubAffiliation>)>, StanzaError> {
    let mut all = Vec::new();
    for entry in list.children().filter(|it| it.name() == "affiliation") {
        let Some(affiliation) = entry.attr("affiliation") else {
            continue;
        };
        let affiliation = match affiliation {
            "none" => None,
            text => Some(PubsubAffiliation::parse(text).ok_or(Condition::NotAcceptable)?),
        };
        // §4.1: they are those of bare addresses.
        all.push((jid(entry)?.to_bare(), affiliation));
    }
    Ok(all)
}
