//! Performing: a request is looked at by the rules, stored, told, answered.
//!
//! Source: XEP-0060. The same for services and for accounts; what differs is asked of the [`Host`].
//! Order: stored, then told, then answered, all within the node's turn, so that events come in the order of changes.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{
    Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Form, FormType},
};

use super::{
    nodes::{Nodes, is_conflict},
    request::{Request, Subscription},
    rules::{
        Actor, Config, Effect, Event, Node, Policy,
        error::error,
        owner, publish,
        publish::{Moment, Publication},
        subscribe,
    },
};
use crate::{home::wait, module::Context, random};

/// Attempts of a change against those of other nodes of the cluster before the sender is told to wait.
const MAX_ATTEMPTS: usize = 8;

/// Whose nodes they are.
#[async_trait]
pub trait Host: Send + Sync {
    /// Whether somebody may create one more node.
    ///
    /// # Errors
    /// `forbidden`, or too many; the store did not answer.
    async fn may_create(&self, policy: &Policy, actor: &Actor<'_>) -> Result<(), StanzaError>;
    /// Tells who is to be told.
    async fn tell(&self, policy: &Policy, node: &Node, events: Vec<Event>, cx: &Context);
}

/// What a request is performed with.
pub struct Desk<'a> {
    /// The nodes.
    pub nodes: &'a Nodes,
    /// What holds for all of them.
    pub policy: &'a Policy,
    /// Whose they are.
    pub host: &'a dyn Host,
    /// The world.
    pub cx: &'a Context,
}

impl Desk<'_> {
    /// Performs a request; what it is answered.
    ///
    /// # Errors
    /// By section of XEP-0060; `wait`: the store did not answer.
    pub async fn perform(
        &self,
        actor: &Actor<'_>,
        request: Request,
    ) -> Result<Option<Element>, StanzaError> {
        let policy = self.policy;
        match request {
            Request::Create(node, form) => self.create(actor, node, form).await,
            Request::Publish {
                node,
                publication,
                options,
            } => self.publish(actor, &node, publication, options).await,
            Request::Retract { node, id, notify } => {
                let rule = |node: &Node| publish::retract(node, policy, actor, &id, notify);
                self.change(&node, rule).await
            }
            Request::Purge(node) => {
                let rule = |node: &Node| publish::purge(node, policy, actor);
                self.change(&node, rule).await
            }
            Request::Delete(node, redirect) => self.delete(actor, &node, redirect).await,
            Request::Configure(node, form) => {
                let rule = |node: &Node| owner::configure(node, policy, actor, &form);
                self.change(&node, rule).await
            }
            Request::SetAffiliations(node, entries) => {
                let rule = |node: &Node| owner::set_affiliations(node, policy, actor, &entries);
                self.change(&node, rule).await
            }
            Request::SetSubscriptions(node, entries) => {
                let fresh = random::token();
                let rule =
                    |node: &Node| owner::set_subscriptions(node, policy, actor, &entries, &fresh);
                self.change(&node, rule).await
            }
            Request::Subscribe { node, jid, options } => {
                let fresh = random::token();
                let rule = |node: &Node| {
                    subscribe::subscribe(node, policy, actor, &jid, options.clone(), &fresh)
                };
                self.change(&node, rule).await
            }
            Request::Unsubscribe(Subscription { node, jid, subid }) => {
                let subid = subid.as_deref();
                let rule = |node: &Node| subscribe::unsubscribe(node, policy, actor, &jid, subid);
                self.change(&node, rule).await
            }
            Request::SetOptions(Subscription { node, jid, subid }, options) => {
                let which = (&jid, subid.as_deref());
                let rule = |node: &Node| {
                    subscribe::set_options(node, policy, actor, which, options.clone())
                };
                self.change(&node, rule).await
            }
            request => self.read(actor, request).await.map(Some),
        }
    }

    /// A node that is there.
    ///
    /// # Errors
    /// `item-not-found`; the store did not answer.
    pub(super) async fn node(&self, name: &str) -> Result<Arc<Node>, StanzaError> {
        let node = self.nodes.load(self.policy, name).await?;
        node.ok_or_else(|| Condition::ItemNotFound.into())
    }

    /// Changes a node by a rule, again where somebody else was faster.
    async fn change(
        &self,
        name: &str,
        rule: impl Fn(&Node) -> Result<Effect, StanzaError> + Send + Sync,
    ) -> Result<Option<Element>, StanzaError> {
        let rule = |node: Option<&Node>| match node {
            Some(node) => rule(node),
            None => Err(Condition::ItemNotFound.into()),
        };
        self.make(name, rule).await
    }

    /// The same of a node that need not be there.
    async fn make(
        &self,
        name: &str,
        rule: impl Fn(Option<&Node>) -> Result<Effect, StanzaError> + Send + Sync,
    ) -> Result<Option<Element>, StanzaError> {
        let _turn = self.nodes.turn(&self.policy.address, name).await;
        for _ in 0..MAX_ATTEMPTS {
            let before = self.nodes.load(self.policy, name).await?;
            let effect = rule(before.as_deref())?;
            match self.nodes.commit(self.policy, &effect).await {
                Ok(node) => {
                    self.cx.nodes_changed(&self.policy.address);
                    let (events, cx) = (effect.events, self.cx);
                    self.host.tell(self.policy, &node, events, cx).await;
                    return Ok(effect.reply);
                }
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(wait("the node is being changed by others"))
    }

    /// Creates a node (§8.1).
    async fn create(
        &self,
        actor: &Actor<'_>,
        name: Option<String>,
        form: Option<Form>,
    ) -> Result<Option<Element>, StanzaError> {
        let policy = self.policy;
        self.host.may_create(policy, actor).await?;
        let config = match &form {
            Some(form) => policy.defaults.filled_in(form, policy.models)?,
            None => Config::clone(&policy.defaults),
        };
        let is_instant = name.is_none();
        let name = name.unwrap_or_else(random::token);
        let reply = is_instant.then(|| {
            let create = Element::new("create", ns::PUBSUB).with_attr("node", name.as_str());
            Element::new("pubsub", ns::PUBSUB).with_child(create)
        });
        let rule = |before: Option<&Node>| match before {
            Some(_) => Err(Condition::Conflict.into()),
            None => Ok(created(
                &self.fresh(actor, &name, config.clone()),
                reply.clone(),
            )),
        };
        self.make(&name, rule).await
    }

    fn fresh(&self, actor: &Actor<'_>, name: &str, config: Config) -> Node {
        let (creator, now_ms) = (actor.jid.to_bare(), self.cx.now_ms());
        // What is counted up from it stays far from what others draw.
        let generation = random::number() >> 1;
        Node::new(self.policy, name, &creator, config, generation, now_ms)
    }

    /// Publishes (§7.1); at an account's node that is not there it is made (§7.1.4).
    async fn publish(
        &self,
        actor: &Actor<'_>,
        name: &str,
        publication: Publication,
        options: Option<Form>,
    ) -> Result<Option<Element>, StanzaError> {
        let policy = self.policy;
        let is_there = self.nodes.load(policy, name).await?.is_some();
        if !is_there {
            if !policy.is_account() {
                return Err(Condition::ItemNotFound.into());
            }
            self.host.may_create(policy, actor).await?;
        }
        let (fresh, now_ms) = (random::token(), self.cx.now_ms());
        let moment = Moment {
            now_ms,
            fresh: &fresh,
        };
        let rule = |before: Option<&Node>| {
            let made;
            let node = match (before, &options) {
                (Some(node), Some(options)) => {
                    node.publishable(policy, actor)?;
                    node.config.meets(options)?;
                    node
                }
                (Some(node), None) => node,
                (None, _) if is_there => return Err(Condition::ItemNotFound.into()),
                (None, options) => {
                    let config = match options {
                        Some(options) => policy.defaults.with_options(options, policy.models)?,
                        None => Config::clone(&policy.defaults),
                    };
                    made = self.fresh(actor, name, config);
                    &made
                }
            };
            let mut effect = publish::publish(node, policy, actor, publication.clone(), moment)?;
            if before.is_none() {
                // A node that keeps no items is made all the same.
                effect.change.get_or_insert_default();
            }
            Ok(effect)
        };
        self.make(name, rule).await
    }

    /// Deletes a node (§8.4).
    async fn delete(
        &self,
        actor: &Actor<'_>,
        name: &str,
        redirect: Option<String>,
    ) -> Result<Option<Element>, StanzaError> {
        let _turn = self.nodes.turn(&self.policy.address, name).await;
        for _ in 0..MAX_ATTEMPTS {
            let node = self.node(name).await?;
            let events = owner::delete(&node, self.policy, actor, redirect.as_deref())?;
            match self.nodes.remove(self.policy, &node).await {
                Ok(()) => {
                    self.cx.nodes_changed(&self.policy.address);
                    self.host.tell(self.policy, &node, events, self.cx).await;
                    return Ok(None);
                }
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(wait("the node is being changed by others"))
    }

    /// An owner answers a request for a subscription (§8.6).
    ///
    /// # Errors
    /// As [`Desk::perform`]; `bad-request`: another form.
    pub async fn authorize(&self, actor: &Actor<'_>, form: &Form) -> Result<(), StanzaError> {
        if form.form_type == FormType::Cancel {
            return Ok(());
        }
        let value = |var: &str| form.value(var).ok_or(Condition::BadRequest);
        let jid = xmpp::Jid::parse(value("pubsub#subscriber_jid")?);
        let jid = jid.map_err(|_| Condition::BadRequest)?;
        let allow = form.field("pubsub#allow").and_then(|field| field.bool());
        let allow = allow.ok_or(Condition::BadRequest)?;
        let rule = |node: &Node| {
            let decided = owner::authorize(node, self.policy, actor, &jid, allow)?;
            Ok(decided.unwrap_or_else(|| Effect::answer(node, None)))
        };
        self.change(value("pubsub#node")?, rule).await.map(drop)
    }
}

fn created(node: &Node, reply: Option<Element>) -> Effect {
    let owners = node.stored.head.affiliations.iter();
    let owners: Vec<_> = owners.map(|(jid, _)| jid.clone()).collect();
    let mut effect = Effect::answer(node, reply);
    let change = effect.change.get_or_insert_default();
    change.concerned = node.concerned(owners.into_iter());
    effect
}

/// What somebody is told who has too many nodes.
pub fn too_many_nodes() -> StanzaError {
    error(Condition::PolicyViolation, "max-nodes-exceeded")
}
