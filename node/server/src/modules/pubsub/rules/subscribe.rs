//! Subscribing: who asks to be told, to be told no longer, or how.
//!
//! Source: XEP-0060 §6.1 to §6.3, §5.6, §8.6 (approval). An address has one subscription at a node; asking again answers what is.

use std::sync::Arc;

use storage::repository::{PubsubChange, PubsubField, PubsubItem, PubsubState, PubsubSubscription};
use xmpp::{
    Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::{
    access::Actor,
    affiliation::Rights,
    config::{NotificationType, SendLast},
    error::{bad, error, unsupported},
    event::{self, Audience, Event},
    node::{Effect, Node, Policy},
    options,
};

/// `<subscription/>` of a node.
pub fn element(node: &str, it: &PubsubSubscription, ns: &'static str) -> Element {
    Element::new("subscription", ns)
        .with_attr("node", node)
        .with_attr("jid", it.jid.as_str())
        .with_attr("subid", it.id.as_ref())
        .with_attr("subscription", it.state.as_str())
}

fn answer(node: &Node, it: &PubsubSubscription, with_options: bool) -> Element {
    let mut subscription = element(node.name(), it, ns::PUBSUB);
    if !with_options {
        subscription.push(Element::new("subscribe-options", ns::PUBSUB));
    }
    let options = with_options.then(|| {
        let form = options::form(FormType::Result, Some(it));
        Element::new("options", ns::PUBSUB).with_child(form.to_element())
    });
    Element::new("pubsub", ns::PUBSUB)
        .with_child(subscription)
        .with_children(options)
}

/// Subscribes an address (§6.1), with these options if any are given (§6.3.7). `fresh` names the subscription.
///
/// # Errors
/// By section of §6.1.3.
pub fn subscribe(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    jid: &Jid,
    options: Option<Vec<PubsubField>>,
    fresh: &str,
) -> Result<Effect, StanzaError> {
    let rights = node.rights(policy, actor);
    if jid.bare_str() != actor.jid.bare_str() {
        return Err(bad("invalid-jid"));
    }
    if rights.is_outcast() {
        return Err(Condition::Forbidden.into());
    }
    if !node.config.subscribe && !rights.owns() {
        return Err(unsupported("subscribe"));
    }
    let state = node.subscribable(policy, actor)?;
    let with_options = options.is_some();
    let before = node.subscription(jid);
    if before.is_some_and(|it| it.state == PubsubState::Pending) && state == PubsubState::Pending {
        return Err(error(Condition::NotAuthorized, "pending-subscription"));
    }
    let all = &node.stored.subscriptions;
    if before.is_none() && all.len() >= policy.limits.subscriptions {
        return Err(error(Condition::PolicyViolation, "too-many-subscriptions"));
    }
    let after = PubsubSubscription {
        jid: jid.clone(),
        id: before.map_or_else(|| fresh.into(), |it| it.id.clone()),
        state,
        options: options.unwrap_or_else(|| before.map(|it| it.options.clone()).unwrap_or_default()),
    };
    let reply = answer(node, &after, with_options);
    if before == Some(&after) {
        return Ok(Effect::answer(node, Some(reply)));
    }
    let is_new = before.is_none_or(|it| it.state != state);
    let mut effect = put(node, after.clone());
    effect.reply = Some(reply);
    if is_new {
        effect.events = greetings(&effect.node, policy, &after);
    }
    Ok(effect)
}

/// What follows a new subscription: the last item (§6.1.7), the question to the owners (§8.6), or that they know (`notify_sub`).
fn greetings(node: &Node, policy: &Policy, it: &PubsubSubscription) -> Vec<Event> {
    if it.state == PubsubState::Pending {
        return vec![request(node, it)];
    }
    let mut events = Vec::new();
    if node.config.notify_sub {
        events.push(Event {
            to: Audience::Owners,
            ..Event::to_subscribers(node, event::subscription(node, &it.jid, Some(it)))
        });
    }
    let last = node.stored.head.last.as_ref();
    events.extend(last.and_then(|last| last_item(node, policy, it, last)));
    events
}

/// The item published last, for a new subscriber (§6.1.7).
pub fn last_item(
    node: &Node,
    policy: &Policy,
    to: &PubsubSubscription,
    last: &PubsubItem,
) -> Option<Event> {
    let wanted = node.config.send_last != SendLast::Never
        && node.config.deliver
        && to.state == PubsubState::Subscribed
        && options::delivers(to);
    wanted.then(|| Event {
        delayed_ms: Some(last.head.published_ms),
        ..Event::to_one(node, &to.jid, event::published(policy, node, last))
    })
}

/// Asks the owners whether somebody may subscribe (§8.6).
pub fn request(node: &Node, it: &PubsubSubscription) -> Event {
    let form = Form::of(FormType::Form, ns::PUBSUB_SUBSCRIBE_AUTHORIZATION)
        .with_title("PubSub subscriber request")
        .with_instructions("Choose whether to approve this entity's subscription request.")
        .with_field(Field::new(FieldType::Hidden, "pubsub#subid").with_value(it.id.as_ref()))
        .with_field(
            Field::new(FieldType::TextSingle, "pubsub#node")
                .with_label("Node ID")
                .with_value(node.name()),
        )
        .with_field(
            Field::new(FieldType::JidSingle, "pubsub#subscriber_jid")
                .with_label("Subscriber Address")
                .with_value(it.jid.as_str()),
        )
        .with_field(
            Field::new(FieldType::Boolean, "pubsub#allow")
                .with_label("Allow this JID to subscribe to this pubsub node?")
                .with_bool(false),
        );
    Event {
        to: Audience::Owners,
        // It waits for an owner who is away.
        kind: NotificationType::Normal,
        body: form.to_element().to_bytes(ns::CLIENT).into(),
        delayed_ms: None,
    }
}

/// The node with a subscription that is new or changed.
pub fn put(node: &Node, it: PubsubSubscription) -> Effect {
    let mut after = node.clone();
    let all = Arc::make_mut(&mut after.stored.subscriptions);
    match all.iter_mut().find(|known| known.jid == it.jid) {
        Some(known) => *known = it.clone(),
        None => all.push(it.clone()),
    }
    let concerned = after.concerned(std::iter::once(it.jid.to_bare()));
    Effect {
        change: Some(PubsubChange {
            subscribed: vec![it],
            concerned,
            ..PubsubChange::default()
        }),
        ..Effect::answer(&after, None)
    }
}

/// The node without a subscription.
pub fn without(node: &Node, it: &PubsubSubscription) -> Effect {
    let mut after = node.clone();
    Arc::make_mut(&mut after.stored.subscriptions).retain(|known| known.jid != it.jid);
    let concerned = after.concerned(std::iter::once(it.jid.to_bare()));
    Effect {
        change: Some(PubsubChange {
            unsubscribed: vec![it.clone()],
            concerned,
            ..PubsubChange::default()
        }),
        ..Effect::answer(&after, None)
    }
}

/// The subscription that a request of a subscriber is about.
fn own<'a>(
    node: &'a Node,
    policy: &Policy,
    actor: &Actor<'_>,
    jid: &Jid,
    subid: Option<&str>,
) -> Result<&'a PubsubSubscription, StanzaError> {
    if jid.bare_str() != actor.jid.bare_str() && !node.rights(policy, actor).owns() {
        return Err(Condition::Forbidden.into());
    }
    let Some(it) = node.subscription(jid) else {
        return Err(error(Condition::UnexpectedRequest, "not-subscribed"));
    };
    match subid {
        Some(subid) if *subid != *it.id => Err(error(Condition::NotAcceptable, "invalid-subid")),
        _ => Ok(it),
    }
}

/// Unsubscribes an address (§6.2).
///
/// # Errors
/// By section of §6.2.3.
pub fn unsubscribe(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    jid: &Jid,
    subid: Option<&str>,
) -> Result<Effect, StanzaError> {
    let it = own(node, policy, actor, jid, subid)?;
    let mut effect = without(node, it);
    let gone = Element::new("subscription", ns::PUBSUB)
        .with_attr("node", node.name())
        .with_attr("jid", jid.as_str())
        .with_attr("subid", it.id.as_ref())
        .with_attr("subscription", "none");
    effect.reply = Some(Element::new("pubsub", ns::PUBSUB).with_child(gone));
    if node.config.notify_sub {
        effect.events.push(Event {
            to: Audience::Owners,
            ..Event::to_subscribers(node, event::subscription(node, jid, None))
        });
    }
    Ok(effect)
}

/// The form of a subscription's options (§6.3.2).
///
/// # Errors
/// By section of §6.3.4.
pub fn options_form(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    jid: &Jid,
    subid: Option<&str>,
) -> Result<Element, StanzaError> {
    let it = own(node, policy, actor, jid, subid)?;
    let options = Element::new("options", ns::PUBSUB)
        .with_attr("node", node.name())
        .with_attr("jid", jid.as_str())
        .with_attr("subid", it.id.as_ref())
        .with_child(options::form(FormType::Form, Some(it)).to_element());
    Ok(Element::new("pubsub", ns::PUBSUB).with_child(options))
}

/// Sets the options of a subscription (§6.3.5).
///
/// # Errors
/// As [`options_form`].
pub fn set_options(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    (jid, subid): (&Jid, Option<&str>),
    options: Vec<PubsubField>,
) -> Result<Effect, StanzaError> {
    let it = own(node, policy, actor, jid, subid)?.clone();
    Ok(put(node, PubsubSubscription { options, ..it }))
}
