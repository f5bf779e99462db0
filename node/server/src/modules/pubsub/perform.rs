//! Performing: a request is looked at by the rules, stored, told, answered.
//!
//! Source: XEP-0060. The same for services and for accounts; what differs is asked of the [`Host`].
//! Order: stored, then told, then answered, all within the node's turn, so that events come in the order of changes.

use std::sync::Arc;

use async_trait::async_trait;
use storage::repository::PubsubNode;
use xmpp::{
    Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::{
        delay::stamp,
        form::{Field, FieldType, Form, FormType},
    },
};

use super::{
    nodes::{Nodes, is_conflict},
    request::{Request, Subscription},
    rules::{
        Actor, Audience, Config, Effect, Event, Node, Policy,
        error::{error, unsupported},
        event, options, owner, publish,
        publish::{Moment, Publication},
        retrieve::{self, Query},
        subscribe,
    },
};
use crate::{
    home::wait,
    module::{Context, identity},
    random,
};

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

    /// Answers what changes nothing.
    async fn read(&self, actor: &Actor<'_>, request: Request) -> Result<Element, StanzaError> {
        let policy = self.policy;
        match request {
            Request::Items(node, query) => self.items(actor, &node, &query).await,
            Request::Config(node) => owner::config_form(&*self.node(&node).await?, policy, actor),
            Request::Affiliations(node) => {
                owner::affiliations(&*self.node(&node).await?, policy, actor)
            }
            Request::Subscriptions(node) => {
                owner::subscriptions(&*self.node(&node).await?, policy, actor)
            }
            Request::Options(Subscription { node, jid, subid }) => {
                let node = self.node(&node).await?;
                subscribe::options_form(&node, policy, actor, &jid, subid.as_deref())
            }
            Request::DefaultOptions(node) => {
                let form = options::form(FormType::Form, None).to_element();
                let default = Element::new("default", ns::PUBSUB).with_attr_opt("node", node);
                Ok(Element::new("pubsub", ns::PUBSUB).with_child(default.with_child(form)))
            }
            Request::DefaultConfig => {
                let form = policy.defaults.form().to_element();
                let default = Element::new("default", ns::PUBSUB_OWNER).with_child(form);
                Ok(Element::new("pubsub", ns::PUBSUB_OWNER).with_child(default))
            }
            Request::OwnSubscriptions(node) => self.own_subscriptions(actor, node).await,
            Request::OwnAffiliations(node) => self.own_affiliations(actor, node).await,
            _ => Err(unsupported("retrieve-items")),
        }
    }

    async fn node(&self, name: &str) -> Result<Arc<Node>, StanzaError> {
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
                    self.host.tell(self.policy, &node, events, self.cx).await;
                    return Ok(None);
                }
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(wait("the node is being changed by others"))
    }

    /// Items (§6.5).
    async fn items(
        &self,
        actor: &Actor<'_>,
        name: &str,
        query: &Query,
    ) -> Result<Element, StanzaError> {
        let node = self.node(name).await?;
        let now_ms = self.cx.now_ms();
        let selected = retrieve::select(&node, self.policy, actor, query, now_ms)?;
        let items = self
            .nodes
            .items(self.policy, &node, &selected.items)
            .await?;
        retrieve::answer(&node, self.policy, &items, selected.page.as_ref())
    }

    /// The nodes that an address may have to do with, or the one that it names.
    async fn nodes_of(
        &self,
        actor: &Actor<'_>,
        name: Option<String>,
    ) -> Result<Vec<Arc<Node>>, StanzaError> {
        if let Some(name) = name {
            return Ok(vec![self.node(&name).await?]);
        }
        let policy = self.policy;
        let names = match policy.is_account() {
            true => {
                let heads = self.nodes.heads(policy).await?;
                heads.iter().map(|head| head.node.clone()).collect()
            }
            false => {
                let (repository, who) = (self.nodes.repository(), actor.jid.to_bare());
                let names = repository.names_of(&policy.address, &who, MAX_OWN);
                names.await?
            }
        };
        let mut nodes = Vec::with_capacity(names.len());
        for name in names {
            nodes.extend(self.nodes.load(policy, &name).await?);
        }
        Ok(nodes)
    }

    /// §5.6.
    async fn own_subscriptions(
        &self,
        actor: &Actor<'_>,
        name: Option<String>,
    ) -> Result<Element, StanzaError> {
        let mut list =
            Element::new("subscriptions", ns::PUBSUB).with_attr_opt("node", name.clone());
        for node in self.nodes_of(actor, name).await? {
            let PubsubNode { subscriptions, .. } = &node.stored;
            let own = subscriptions.iter();
            let own = own.filter(|it| it.jid.bare_str() == actor.jid.bare_str());
            list =
                list.with_children(own.map(|it| subscribe::element(node.name(), it, ns::PUBSUB)));
        }
        Ok(Element::new("pubsub", ns::PUBSUB).with_child(list))
    }

    /// §5.7.
    async fn own_affiliations(
        &self,
        actor: &Actor<'_>,
        name: Option<String>,
    ) -> Result<Element, StanzaError> {
        let mut list = Element::new("affiliations", ns::PUBSUB).with_attr_opt("node", name.clone());
        for node in self.nodes_of(actor, name).await? {
            let own = node.affiliation(self.policy, actor.jid.bare_str());
            list = list.with_children(own.map(|own| {
                Element::new("affiliation", ns::PUBSUB)
                    .with_attr("node", node.name())
                    .with_attr("affiliation", own.as_str())
            }));
        }
        Ok(Element::new("pubsub", ns::PUBSUB).with_child(list))
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

/// Nodes that one address may be told to have to do with.
const MAX_OWN: usize = 1_000;

fn created(node: &Node, reply: Option<Element>) -> Effect {
    let owners = node.stored.head.affiliations.iter();
    let owners: Vec<_> = owners.map(|(jid, _)| jid.clone()).collect();
    let mut effect = Effect::answer(node, reply);
    let change = effect.change.get_or_insert_default();
    change.concerned = node.concerned(owners.into_iter());
    effect
}

/// Messages that tell of events to addresses, the parts of an audience that need no presence.
pub fn addressed<'a>(node: &'a Node, policy: &'a Policy, event: &'a Event) -> Vec<&'a xmpp::Jid> {
    let all = node.stored.subscriptions.iter();
    match &event.to {
        Audience::One(jid) => vec![jid],
        Audience::Owners => node.owners(policy).map(xmpp::BareJid::as_jid).collect(),
        Audience::Everybody => all.map(|it| &it.jid).collect(),
        Audience::Subscribers => {
            let told = all.filter(|it| {
                it.state == storage::repository::PubsubState::Subscribed && options::delivers(it)
            });
            told.map(|it| &it.jid).collect()
        }
    }
}

/// What a request for an answer beyond the policy is told.
pub fn too_many_nodes() -> StanzaError {
    error(Condition::PolicyViolation, "max-nodes-exceeded")
}

/// A message that tells of an event, to be addressed.
pub fn message(policy: &Policy, event: &Event) -> xmpp::Stanza {
    event::message(&policy.address, event, &random::token())
}

/// What a node says of itself (§5.3, §5.4).
pub fn node_info(node: &Node, policy: &Policy) -> Element {
    let mut form = node.config.meta_data();
    let head = &node.stored.head;
    let created = i64::try_from(head.created_ms).unwrap_or(i64::MAX);
    let subscribers = node.stored.subscriptions.len().to_string();
    form.fields.extend([
        Field::new(FieldType::JidSingle, "pubsub#creator").with_value(head.creator.as_str()),
        Field::new(FieldType::TextSingle, "pubsub#creation_date").with_value(stamp(created)),
        Field::new(FieldType::JidMulti, "pubsub#owner")
            .with_values(node.owners(policy).map(|jid| jid.as_str())),
        Field::new(FieldType::TextSingle, "pubsub#num_subscribers").with_value(subscribers),
    ]);
    let feature = Element::new("feature", ns::DISCO_INFO).with_attr("var", ns::PUBSUB);
    Element::new("query", ns::DISCO_INFO)
        .with_child(identity("pubsub", "leaf"))
        .with_child(feature)
        .with_child(form.to_element())
}

/// The items of a node (§5.5), the newest of them.
pub fn node_items(node: &Node, policy: &Policy, now_ms: u64) -> Element {
    let items = node.items(now_ms);
    let shown = &items[items.len().saturating_sub(MAX_SHOWN)..];
    let item = |id: &str| {
        Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", policy.address.as_str())
            .with_attr("name", id)
    };
    Element::new("query", ns::DISCO_ITEMS).with_children(shown.iter().map(|it| item(&it.id)))
}

/// Items of a node that discovery shows.
const MAX_SHOWN: usize = 500;
