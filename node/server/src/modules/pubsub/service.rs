//! The service: pubsub at a domain of its own.
//!
//! Source: XEP-0060 v1.30, XEP-0059 (lists of nodes), XEP-0199.
//! Why here: of several nodes of a cluster one serves it, which its address places; every change is a compare-and-set all the
//! same. Whoever is subscribed is told by a message to the address that it gave, wherever that is.
//! Order: what one client sends is done and answered in the order in which it came, also over a store that takes its time;
//! clients wait for each other only where they change one node. When the service moves, what follows what is not done yet is
//! done here as well.
//! Bounds: [`MAX_WAITING`] of each client; a client has a window, and only what is answered leaves it.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{
    BareJid, Element, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::{
        form::Form,
        rsm::{PageReply, PageRequest},
    },
};

use super::{
    described::{node_info, node_items},
    features,
    nodes::Nodes,
    perform::{Desk, Host, too_many_nodes},
    request::Request,
    rules::{Actor, Audience, Config, Event, Limits, Node, Policy, Standing, config::AccessModel},
    telling::{addressed, message},
};
use crate::{
    config::Circle,
    home::wait,
    module::{Context, Module, Receipt, Registry, Service, Spec, Status, Target, identity},
    modules::answering::refuse,
    pipeline::delivery::IqType,
    turns::{Queues, Running},
};

/// Nodes in one page of their list.
const PAGE: usize = 100;
/// Stanzas of one client that may wait behind the one that is being done.
const MAX_WAITING: usize = 256;
/// What it is called.
const NAME: &str = "Publish-Subscribe";
/// The access models that make sense where there is no roster.
const MODELS: &[AccessModel] = &[
    AccessModel::Open,
    AccessModel::Authorize,
    AccessModel::Whitelist,
];
const SPEC: Spec = Spec {
    xep: 60,
    version: "1.30.0",
    status: Status::Partial(
        "no collections, leases, digests, several subscriptions of one address",
    ),
};

/// How services are.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// Their domains.
    pub services: Vec<String>,
    /// The domains whose accounts may make nodes, if accounts may.
    pub domains: Vec<String>,
    /// Who administers them.
    pub admins: Vec<BareJid>,
    /// Who may make nodes.
    pub create: Circle,
    /// How much is kept.
    pub limits: Limits,
}

/// The module.
pub struct PubsubServices {
    nodes: Arc<Nodes>,
    options: ServiceOptions,
}

/// One service.
struct PubsubService {
    nodes: Arc<Nodes>,
    policy: Policy,
    options: ServiceOptions,
    /// What clients want, by their addresses.
    asked: Queues<Jid, Asked>,
}

/// A stanza for the service, and who waits for what becomes of it.
type Asked = (Stanza, Receipt);

impl PubsubServices {
    /// Over nodes.
    pub fn new(nodes: Arc<Nodes>, options: ServiceOptions) -> Self {
        Self { nodes, options }
    }
}

impl Module for PubsubServices {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        let defaults = Arc::new(Config::of_service());
        for domain in &self.options.services {
            let address = match BareJid::from_parts(None, domain) {
                Ok(address) => address,
                Err(error) => {
                    tracing::error!(%domain, %error, "no domain for a service");
                    continue;
                }
            };
            let item = Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", domain.as_str())
                .with_attr("name", NAME);
            registry.disco_item(Target::Server, item);
            let service = PubsubService {
                nodes: self.nodes.clone(),
                policy: Policy {
                    address,
                    models: MODELS,
                    defaults: defaults.clone(),
                    limits: self.options.limits,
                },
                options: self.options.clone(),
                asked: Queues::default(),
            };
            registry.service(domain.clone(), Arc::new(Shared(Arc::new(service))));
        }
        registry.spec(SPEC);
    }
}

/// A service as a registry holds it.
struct Shared(Arc<PubsubService>);

#[async_trait]
impl Service for Shared {
    fn receive(&self, stanza: &Stanza, cx: &Context) {
        self.take(stanza.clone(), Receipt::new(|_| ()), cx);
    }

    fn take(&self, stanza: Stanza, receipt: Receipt, cx: &Context) {
        let Some(from) = stanza.from().cloned() else {
            return receipt.done();
        };
        match self.0.asked.push(&from, (stanza, receipt), MAX_WAITING) {
            Ok(None) => {}
            Ok(Some(running)) => {
                let (service, own) = (self.0.clone(), cx.clone());
                cx.run(Box::pin(async move { service.work(running, &own).await }));
            }
            Err((stanza, receipt)) => {
                let error = wait("too much of yours waits for the service");
                refuse(&stanza, &error, cx);
                receipt.refused();
            }
        }
    }

    fn is_placed(&self) -> bool {
        true
    }

    fn is_busy_before(&self, stanza: &Stanza) -> bool {
        stanza.from().is_some_and(|from| self.0.asked.is_busy(from))
    }

    fn view_changed(&self, cx: &Context) {
        // What it reads from now on is what was written here.
        cx.nodes_changed(&self.0.policy.address);
    }
}

impl PubsubService {
    /// Does what a client wants, one after the other.
    async fn work(&self, mut running: Running<Jid, Asked>, cx: &Context) {
        while let Some((stanza, receipt)) = running.pop() {
            if cx.is_elsewhere(&self.policy.address) {
                // Others change it as well from now on.
                self.nodes.forget(&self.policy.address);
            }
            match self.take(&stanza, cx).await {
                Ok(()) => receipt.done(),
                Err(error) => {
                    refuse(&stanza, &error, cx);
                    receipt.refused();
                }
            }
        }
    }

    async fn take(&self, stanza: &Stanza, cx: &Context) -> Result<(), StanzaError> {
        match stanza.kind() {
            Kind::Iq => match IqType::parse(stanza.type_attr().as_deref()) {
                Some(kind) if kind.is_request() => {
                    let payload = self.answer(stanza, kind, cx).await?;
                    cx.route(Stanza::from_element(&stanza.result_reply(payload)));
                    Ok(())
                }
                Some(_) => Ok(()),
                None => Err(Condition::BadRequest.into()),
            },
            Kind::Message => self.hear(stanza, cx).await,
            Kind::Presence => Ok(()),
        }
    }

    /// An owner says whether somebody may subscribe (XEP-0060 §8.6). Nothing else is said to a service.
    async fn hear(&self, stanza: &Stanza, cx: &Context) -> Result<(), StanzaError> {
        let form = stanza.child("x", ns::DATA_FORMS);
        let form = form.and_then(|form| Form::parse(&form.to_element()).ok());
        let is_error = stanza.type_attr().as_deref() == Some("error");
        let (Some(form), Some(from), false) = (form, stanza.from(), is_error) else {
            return Ok(());
        };
        if form.namespace() != Some(ns::PUBSUB_SUBSCRIBE_AUTHORIZATION) {
            return Ok(());
        }
        self.desk(cx).authorize(&self.actor(from), &form).await
    }

    fn desk<'a>(&'a self, cx: &'a Context) -> Desk<'a> {
        Desk {
            nodes: &self.nodes,
            policy: &self.policy,
            host: self,
            cx,
        }
    }

    fn actor<'a>(&self, from: &'a Jid) -> Actor<'a> {
        let mut admins = self.options.admins.iter();
        Actor {
            jid: from,
            standing: Standing {
                administers: admins.any(|admin| admin.as_str() == from.bare_str()),
                ..Standing::default()
            },
        }
    }

    async fn answer(
        &self,
        stanza: &Stanza,
        kind: IqType,
        cx: &Context,
    ) -> Result<Option<Element>, StanzaError> {
        // RFC 6120 §8.2.3: a request has exactly one child, and an id.
        let mut children = stanza.root().children();
        let (Some(child), None, Some(_)) = (children.next(), children.next(), stanza.id()) else {
            return Err(Condition::BadRequest.into());
        };
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            return Err(Condition::BadRequest.into());
        };
        if to.as_str() != self.policy.address.as_str() {
            return Err(Condition::ItemNotFound.into());
        }
        let (payload, is_set) = (child.to_element(), kind == IqType::Set);
        let actor = self.actor(from);
        match payload.ns() {
            ns::PUBSUB | ns::PUBSUB_OWNER => {
                let request = Request::parse(&payload, is_set)?;
                self.desk(cx).perform(&actor, request).await
            }
            ns::DISCO_INFO if !is_set => self.info(&payload).await.map(Some),
            ns::DISCO_ITEMS if !is_set => self.items(&payload, &actor, cx).await.map(Some),
            ns::PING if !is_set => Ok(None),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// §5.1, §5.3.
    async fn info(&self, query: &Element) -> Result<Element, StanzaError> {
        if let Some(name) = query.attr("node") {
            let node = self.nodes.load(&self.policy, name).await?;
            let node = node.ok_or(Condition::ItemNotFound)?;
            return Ok(node_info(&node, &self.policy).with_attr("node", name));
        }
        let feature = |var: &&str| Element::new("feature", ns::DISCO_INFO).with_attr("var", *var);
        let own = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING, ns::RSM];
        let mut features: Vec<&str> = features::COMMON.iter().copied().chain(own).collect();
        features.sort_unstable();
        Ok(Element::new("query", ns::DISCO_INFO)
            .with_child(identity("pubsub", "service").with_attr("name", NAME))
            .with_children(features.iter().map(feature)))
    }

    /// §5.2, §5.5.
    async fn items(
        &self,
        query: &Element,
        actor: &Actor<'_>,
        cx: &Context,
    ) -> Result<Element, StanzaError> {
        if let Some(name) = query.attr("node") {
            let node = self.nodes.load(&self.policy, name).await?;
            let node = node.ok_or(Condition::ItemNotFound)?;
            node.readable(&self.policy, actor)?;
            let items = node_items(&node, &self.policy, cx.now_ms());
            return Ok(items.with_attr("node", name));
        }
        let page = PageRequest::parse(query)?.unwrap_or_default();
        let limit = page.limit(u32::try_from(PAGE).unwrap_or(u32::MAX)) as usize;
        let after = page.after.as_deref();
        let repository = self.nodes.repository();
        let names = repository
            .names(&self.policy.address, after, limit + 1)
            .await?;
        let shown = &names[..names.len().min(limit)];
        let mut items = Element::new("query", ns::DISCO_ITEMS);
        for name in shown {
            let Some(node) = self.nodes.load(&self.policy, name).await? else {
                continue;
            };
            // Whoever may ask to subscribe may know that it is there.
            if node.subscribable(&self.policy, actor).is_ok() {
                let title = &node.config.title;
                items.push(
                    Element::new("item", ns::DISCO_ITEMS)
                        .with_attr("jid", self.policy.address.as_str())
                        .with_attr("node", name.as_str())
                        .with_attr_opt("name", (!title.is_empty()).then_some(title)),
                );
            }
        }
        if names.len() > limit || after.is_some() {
            let page = PageReply {
                first: shown.first().cloned(),
                last: shown.last().cloned(),
                ..PageReply::default()
            };
            items.push(page.to_element());
        }
        Ok(items)
    }
}

#[async_trait]
impl Host for PubsubService {
    async fn may_create(&self, policy: &Policy, actor: &Actor<'_>) -> Result<(), StanzaError> {
        if actor.standing.administers {
            return Ok(());
        }
        let jid = actor.jid;
        let ServiceOptions {
            domains, admins, ..
        } = &self.options;
        if !self.options.create.has(jid, domains, admins) {
            return Err(Condition::Forbidden.into());
        }
        let limit = policy.limits.nodes;
        let who = jid.to_bare();
        let own = self
            .nodes
            .repository()
            .names_of(&policy.address, &who, limit);
        match own.await?.len() < limit {
            true => Ok(()),
            false => Err(too_many_nodes()),
        }
    }

    async fn tell(&self, policy: &Policy, node: &Node, events: Vec<Event>, cx: &Context) {
        for event in &events {
            // Written once: each copy gets another start tag.
            let stanza = message(policy, event);
            let of_subscribers = event.to == Audience::Subscribers;
            for jid in addressed(node, policy, event) {
                // Who subscribed when more might learn of it gets nothing any more.
                if of_subscribers && node.subscribable(policy, &self.actor(jid)).is_err() {
                    continue;
                }
                cx.route(stanza.readdressed(None, Some(jid)));
            }
        }
    }
}
