//! The rules, by section of XEP-0060, with their errors.

mod by_model;
mod configuring;
mod owning;
mod publishing;
mod retrieving;
mod subscribing;

use std::sync::Arc;

use storage::repository::{PubsubAffiliation as Affiliation, PubsubSubscription};
use xmpp::{
    BareJid, Element, Jid, StanzaError, ns,
    payload::form::{Field, Form, FormType},
};

use super::{
    Actor, Audience, Config, Effect, Event, Limits, Node, Policy, Standing, affiliation,
    config::AccessModel,
    publish::{self, Moment, Publication},
    subscribe,
};

const NOW_MS: u64 = 1_704_067_200_000;
const LIMITS: Limits = Limits {
    items: 5,
    payload: 100,
    nodes: 10,
    subscriptions: 3,
    affiliations: 4,
    answer: 1_000,
};

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn bare(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

fn service() -> Policy {
    Policy {
        address: bare("pubsub.example"),
        models: &[
            AccessModel::Open,
            AccessModel::Authorize,
            AccessModel::Whitelist,
        ],
        defaults: Arc::new(Config::of_service()),
        limits: LIMITS,
    }
}

fn account() -> Policy {
    Policy {
        address: bare("juliet@example"),
        models: AccessModel::ALL,
        defaults: Arc::new(Config::of_account()),
        limits: LIMITS,
    }
}

/// A node of owner@example with these fields of its configuration.
fn node(policy: &Policy, fields: &[(&str, &str)]) -> Node {
    let config = policy
        .defaults
        .filled_in(&form(fields), policy.models)
        .unwrap();
    let owner = match policy.is_account() {
        true => policy.address.clone(),
        false => bare("owner@example"),
    };
    Node::new(policy, "n", &owner, config, 7, NOW_MS)
}

fn form(fields: &[(&str, &str)]) -> Form {
    let mut form = Form::of(FormType::Submit, ns::PUBSUB_NODE_CONFIG);
    form.fields.extend(
        fields
            .iter()
            .map(|(var, value)| Field::untyped(format!("pubsub#{var}"), *value)),
    );
    form
}

fn with(mut node: Node, who: &str, it: Affiliation) -> Node {
    affiliation::set(&mut node.stored.head.affiliations, &bare(who), Some(it));
    node
}

fn item(id: Option<&str>, payloads: &[&str]) -> Publication {
    let parsed = payloads
        .iter()
        .map(|xml| Element::parse(xml.as_bytes(), "").unwrap());
    Publication {
        item: Some((id.map(str::to_owned), parsed.collect())),
    }
}

fn actor(jid: &Jid) -> Actor<'_> {
    Actor {
        jid,
        standing: Standing::default(),
    }
}

/// Publishes as the owner, after the last one.
fn put(node: &Node, policy: &Policy, id: &str) -> Effect {
    let owner = jid(node.owners(policy).next().unwrap().as_str());
    let moment = Moment {
        now_ms: NOW_MS + node.stored.head.sequence * 1_000,
        fresh: "fresh",
    };
    let item = item(Some(id), &["<x xmlns='y'/>"]);
    publish::publish(node, policy, &actor(&owner), item, moment).unwrap()
}

fn published(policy: &Policy, node: Node, ids: &[&str]) -> Node {
    ids.iter()
        .fold(node, |node, id| put(&node, policy, id).node)
}

fn subscribed(policy: &Policy, node: &Node, who: &str) -> Result<Effect, StanzaError> {
    let who = jid(who);
    subscribe::subscribe(node, policy, &actor(&who), &who, None, "s1")
}

/// The condition, and the one of pubsub's own.
fn shown(error: &StanzaError) -> String {
    let condition = error.condition.to_string();
    match &error.application {
        None => condition,
        Some(own) => match own.attr("feature") {
            Some(feature) => format!("{condition} {} {feature}", own.name()),
            None => format!("{condition} {}", own.name()),
        },
    }
}

fn outcome<T>(result: Result<T, StanzaError>) -> Result<(), String> {
    result.map(drop).map_err(|error| shown(&error))
}

/// The ids of what a node keeps, in order.
fn ids(node: &Node) -> Vec<&str> {
    node.stored.items.iter().map(|item| &*item.id).collect()
}

/// Who is told what, a line each.
fn told(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| {
        let to = match &event.to {
            Audience::Subscribers => "subscribers".to_owned(),
            Audience::Everybody => "everybody".to_owned(),
            Audience::Owners => "owners".to_owned(),
            Audience::One(jid) => jid.as_str().to_owned(),
        };
        let body = String::from_utf8_lossy(&event.body).into_owned();
        format!(
            "{to} {}",
            body.replace(" xmlns='http://jabber.org/protocol/pubsub#event'", "")
        )
    };
    events.iter().map(line).collect()
}

fn states(node: &Node) -> Vec<String> {
    let state = |it: &PubsubSubscription| format!("{} {}", it.jid.as_str(), it.state.as_str());
    node.stored.subscriptions.iter().map(state).collect()
}
