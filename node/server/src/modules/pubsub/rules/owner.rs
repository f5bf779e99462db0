//! What owners do: configure, approve, list and change who has to do with a node.
//!
//! Source: XEP-0060 §8.2, §8.6, §8.8, §8.9.

use storage::repository::{
    PubsubAffiliation as Affiliation, PubsubChange, PubsubState, PubsubSubscription,
};
use xmpp::{
    BareJid, Element, Jid, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Form, FormType},
};

use super::{
    access::Actor,
    affiliation,
    event::{self, Audience, Event},
    node::{Effect, MAX_ENTRIES, Node, Policy},
    subscribe,
};

fn owner(child: Element) -> Element {
    Element::new("pubsub", ns::PUBSUB_OWNER).with_child(child)
}

/// The form of a node's configuration (§8.2.1).
///
/// # Errors
/// `forbidden`.
pub fn config_form(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
) -> Result<Element, StanzaError> {
    node.owned(policy, actor)?;
    let configure = Element::new("configure", ns::PUBSUB_OWNER)
        .with_attr("node", node.name())
        .with_child(node.config.form().to_element());
    Ok(owner(configure))
}

/// Configures a node (§8.2.4). Items that are too many from now on go.
///
/// # Errors
/// `forbidden`; `not-acceptable`: what cannot be.
pub fn configure(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    form: &Form,
) -> Result<Effect, StanzaError> {
    node.owned(policy, actor)?;
    if form.form_type == FormType::Cancel {
        return Ok(Effect::answer(node, None));
    }
    let config = node.config.filled_in(form, policy.models)?;
    let mut after = node.configured(config, policy);
    let mut change = PubsubChange::default();
    let surplus = after
        .stored
        .items
        .len()
        .saturating_sub(after.capacity(policy));
    if surplus > 0 {
        let items = std::sync::Arc::make_mut(&mut after.stored.items);
        change.removed = items.drain(..surplus).collect();
        if items.is_empty() {
            after.stored.head.last = None;
        }
    }
    let told = after.config.notify_config;
    let told = told.then(|| Event::to_subscribers(&after, event::configured(&after)));
    Ok(Effect {
        change: Some(change),
        events: told.into_iter().collect(),
        ..Effect::answer(&after, None)
    })
}

/// What subscribers are told of a node that is deleted (§8.4.2).
///
/// # Errors
/// `forbidden`.
pub fn delete(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    redirect: Option<&str>,
) -> Result<Vec<Event>, StanzaError> {
    node.owned(policy, actor)?;
    let told = node.config.notify_delete.then(|| Event {
        to: Audience::Everybody,
        ..Event::to_subscribers(node, event::deleted(node, redirect))
    });
    Ok(told.into_iter().collect())
}

/// Who has which affiliation (§8.9.1).
///
/// # Errors
/// `forbidden`.
pub fn affiliations(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
) -> Result<Element, StanzaError> {
    node.owned(policy, actor)?;
    let account = policy
        .is_account()
        .then_some((&policy.address, Affiliation::Owner));
    let others = node.stored.head.affiliations.iter();
    let all = account
        .into_iter()
        .chain(others.map(|(jid, it)| (jid, *it)));
    let list = Element::new("affiliations", ns::PUBSUB_OWNER).with_attr("node", node.name());
    Ok(owner(list.with_children(
        all.map(|(jid, it)| affiliation_element(jid, Some(it))),
    )))
}

fn affiliation_element(jid: &BareJid, it: Option<Affiliation>) -> Element {
    Element::new("affiliation", ns::PUBSUB_OWNER)
        .with_attr("jid", jid.as_str())
        .with_attr("affiliation", it.map_or("none", Affiliation::as_str))
}

/// Changes affiliations (§8.9.2). `None` for who shall have none.
///
/// # Errors
/// `forbidden`; `not-acceptable`: nobody would own it, or too many; nothing is changed then.
pub fn set_affiliations(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    entries: &[(BareJid, Option<Affiliation>)],
) -> Result<Effect, StanzaError> {
    node.owned(policy, actor)?;
    let mut after = node.clone();
    let list = &mut after.stored.head.affiliations;
    for (jid, to) in entries {
        affiliation::set(list, jid, *to);
    }
    let is_account = |jid: &BareJid| policy.is_account() && *jid == policy.address;
    let demoted = |(jid, to): &(BareJid, Option<Affiliation>)| {
        is_account(jid) && *to != Some(Affiliation::Owner)
    };
    let is_too_much = list.len() > policy.limits.affiliations || entries.len() > MAX_ENTRIES;
    if is_too_much || after.owners(policy).next().is_none() || entries.iter().any(demoted) {
        return Err(unaltered(node, policy, entries));
    }
    after
        .stored
        .head
        .affiliations
        .retain(|(jid, _)| !is_account(jid));
    let mut change = PubsubChange::default();
    settle_subscriptions(&mut after, entries, &mut change);
    change.concerned = after.concerned(entries.iter().map(|(jid, _)| jid.clone()));
    Ok(Effect {
        change: Some(change),
        ..Effect::answer(&after, None)
    })
}

/// §8.7.4: who is an owner or publisher from now on need not wait for approval, and who is an outcast is subscribed no more.
fn settle_subscriptions(
    node: &mut Node,
    entries: &[(BareJid, Option<Affiliation>)],
    change: &mut PubsubChange,
) {
    let now = |bare: &str| {
        let entry = entries.iter().rev().find(|(jid, _)| jid.as_str() == bare);
        entry.and_then(|(_, to)| *to)
    };
    let all = std::sync::Arc::make_mut(&mut node.stored.subscriptions);
    all.retain_mut(|it| match now(it.jid.bare_str()) {
        Some(Affiliation::Outcast) => {
            change.unsubscribed.push(it.clone());
            false
        }
        Some(Affiliation::Owner | Affiliation::Publisher | Affiliation::Member)
            if it.state == PubsubState::Pending =>
        {
            it.state = PubsubState::Subscribed;
            change.subscribed.push(it.clone());
            true
        }
        _ => true,
    });
}

/// §8.9.2.4: the entries that were to be changed, as they still are.
fn unaltered(
    node: &Node,
    policy: &Policy,
    entries: &[(BareJid, Option<Affiliation>)],
) -> StanzaError {
    let still = entries
        .iter()
        .take(MAX_ENTRIES)
        .map(|(jid, _)| affiliation_element(jid, node.affiliation(policy, jid.as_str())));
    let list = Element::new("affiliations", ns::PUBSUB_OWNER).with_attr("node", node.name());
    StanzaError::from(Condition::NotAcceptable).with_application(owner(list.with_children(still)))
}

/// Who is subscribed (§8.8.1).
///
/// # Errors
/// `forbidden`.
pub fn subscriptions(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
) -> Result<Element, StanzaError> {
    node.owned(policy, actor)?;
    let all = node.stored.subscriptions.iter();
    let shown = all.filter(|it| it.state != PubsubState::Pending);
    let list = Element::new("subscriptions", ns::PUBSUB_OWNER).with_attr("node", node.name());
    let element = |it: &PubsubSubscription| {
        let mut element = subscribe::element(node.name(), it, ns::PUBSUB_OWNER);
        element.remove_attr("node");
        element
    };
    Ok(owner(list.with_children(shown.map(element))))
}

/// Changes subscriptions (§8.8.2); `None` for who shall have none. `fresh` begins the names of new ones.
///
/// # Errors
/// `forbidden`; `not-acceptable`: too many.
pub fn set_subscriptions(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    entries: &[(Jid, Option<PubsubState>)],
    fresh: &str,
) -> Result<Effect, StanzaError> {
    node.owned(policy, actor)?;
    let room = policy
        .limits
        .subscriptions
        .saturating_sub(node.stored.subscriptions.len());
    if entries.len() > MAX_ENTRIES || entries.len() > room {
        return Err(Condition::NotAcceptable.into());
    }
    let mut all = Effect {
        change: Some(PubsubChange::default()),
        ..Effect::answer(node, None)
    };
    for (at, (jid, state)) in entries.iter().enumerate() {
        let before = all.node.subscription(jid).cloned();
        if before.as_ref().map(|it| it.state) == *state {
            continue;
        }
        let name = || format!("{fresh}{at}").into();
        let step = match (state, &before) {
            (Some(state), _) => {
                let known = before.as_ref();
                subscribe::put(
                    &all.node,
                    PubsubSubscription {
                        jid: jid.clone(),
                        id: known.map_or_else(name, |it| it.id.clone()),
                        state: *state,
                        options: known.map(|it| it.options.clone()).unwrap_or_default(),
                    },
                )
            }
            (None, Some(before)) => subscribe::without(&all.node, before),
            (None, None) => continue,
        };
        let told = event::subscription(&step.node, jid, step.node.subscription(jid));
        all.events.push(Event::to_one(&step.node, jid, told));
        all.add(step);
    }
    Ok(all)
}

/// An owner approves of a subscription or denies it (§8.6). `None`: nothing waits for that.
///
/// # Errors
/// `forbidden`.
pub fn authorize(
    node: &Node,
    policy: &Policy,
    actor: &Actor<'_>,
    jid: &Jid,
    allow: bool,
) -> Result<Option<Effect>, StanzaError> {
    node.owned(policy, actor)?;
    let waiting = node.subscription(jid);
    let Some(it) = waiting.filter(|it| it.state == PubsubState::Pending) else {
        return Ok(None);
    };
    let mut effect = match allow {
        true => {
            let state = PubsubState::Subscribed;
            subscribe::put(
                node,
                PubsubSubscription {
                    state,
                    ..it.clone()
                },
            )
        }
        false => subscribe::without(node, it),
    };
    let now = effect.node.subscription(jid);
    let told = event::subscription(&effect.node, jid, now);
    let mut events = vec![Event::to_one(&effect.node, jid, told)];
    if let (Some(now), Some(last)) = (now, &node.stored.head.last) {
        events.extend(subscribe::last_item(&effect.node, policy, now, last));
    }
    effect.events = events;
    Ok(Some(effect))
}

impl Effect {
    /// Another step on what this one made.
    fn add(&mut self, step: Self) {
        let (Some(all), Some(more)) = (&mut self.change, step.change) else {
            return;
        };
        all.subscribed.extend(more.subscribed);
        all.unsubscribed.extend(more.unsubscribed);
        all.concerned.extend(more.concerned);
        self.node = step.node;
    }
}
