//! What the modules registered: data, in no order.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use xmpp::{Element, StanzaError, ns};

use super::{Context, IqHandler, IqRequest, Service};

/// Whose IQs a handler answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Those to a domain of ours.
    Server,
    /// Those to the bare address of an account of ours, or without an address.
    Account,
}

/// Answers service discovery for what a module knows (XEP-0030): a `<query/>`, `None` if it does not know the node. For
/// an account it is asked only in the name of those who see the account's presence.
#[async_trait]
pub trait DiscoNode: Send + Sync {
    /// disco#info of a node.
    async fn info(
        &self,
        iq: &IqRequest,
        node: &str,
        cx: &Context,
    ) -> Result<Option<Element>, StanzaError>;
    /// disco#items of a node.
    async fn items(
        &self,
        iq: &IqRequest,
        node: &str,
        cx: &Context,
    ) -> Result<Option<Element>, StanzaError>;
    /// Items of the server or of the account itself, beside those that are registered.
    async fn top(&self, _iq: &IqRequest, _cx: &Context) -> Result<Vec<Element>, StanzaError> {
        Ok(Vec::new())
    }
}

/// How much of a specification is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All that concerns a server.
    Complete,
    /// What the text beside it says.
    Partial(&'static str),
}

/// A specification that a module implements; the table of them prints itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Its number in the XEP series.
    pub xep: u16,
    /// The version it was built from.
    pub version: &'static str,
    /// How much of it.
    pub status: Status,
}

impl Spec {
    /// So much of a version of an XEP.
    pub const fn new(xep: u16, version: &'static str, status: Status) -> Self {
        Self {
            xep,
            version,
            status,
        }
    }
}

/// `<identity/>` (XEP-0030 §3.1).
pub fn identity(category: &'static str, kind: &'static str) -> Element {
    Element::new("identity", ns::DISCO_INFO)
        .with_attr("category", category)
        .with_attr("type", kind)
}

/// What the modules registered.
#[derive(Default)]
pub struct Registry {
    handlers: BTreeMap<(Target, &'static str), Arc<dyn IqHandler>>,
    identities: Vec<(Target, Element)>,
    features: BTreeMap<Target, Vec<&'static str>>,
    nodes: Vec<Arc<dyn DiscoNode>>,
    items: Vec<(Target, Element)>,
    forms: Vec<Element>,
    services: BTreeMap<String, Arc<dyn Service>>,
    specs: Vec<Spec>,
    mistakes: Vec<String>,
    verification: OnceLock<String>,
    hidden: BTreeMap<String, Hidden>,
}

/// What one domain cannot do.
#[derive(Default)]
struct Hidden {
    features: Vec<&'static str>,
    verification: OnceLock<String>,
}

impl Registry {
    /// Answers IQs of a namespace.
    pub fn iq(&mut self, target: Target, ns: &'static str, handler: Arc<dyn IqHandler>) {
        if self.handlers.insert((target, ns), handler).is_some() {
            self.mistakes
                .push(format!("two modules answer IQs of {ns} for {target:?}"));
        }
    }

    /// Announces what a target is beside a server or an account (XEP-0030), by a category and a type of the registrar's.
    pub fn disco_identity(&mut self, target: Target, category: &'static str, kind: &'static str) {
        self.identities.push((target, identity(category, kind)));
    }

    /// Announces a feature (XEP-0030).
    pub fn disco(&mut self, target: Target, feature: &'static str) {
        let features = self.features.entry(target).or_default();
        if let Err(index) = features.binary_search(&feature) {
            features.insert(index, feature);
        }
    }

    /// Keeps a feature of the server from being announced for one domain, whose accounts are another system's.
    pub fn hide(&mut self, domain: &str, feature: &'static str) {
        let hidden = self.hidden.entry(domain.to_owned()).or_default();
        hidden.features.push(feature);
    }

    /// Answers service discovery of nodes.
    pub fn disco_node(&mut self, node: Arc<dyn DiscoNode>) {
        self.nodes.push(node);
    }

    /// An item of the server or of an account (disco#items without a node). One without `jid` is at the address that is
    /// asked.
    pub fn disco_item(&mut self, target: Target, item: Element) {
        self.items.push((target, item));
    }

    /// A form in the server's disco#info (XEP-0128).
    pub fn disco_form(&mut self, form: Element) {
        self.forms.push(form);
    }

    /// Serves a domain.
    pub fn service(&mut self, domain: String, service: Arc<dyn Service>) {
        if self.services.insert(domain.clone(), service).is_some() {
            self.mistakes.push(format!("two modules serve {domain}"));
        }
    }

    /// Names a specification.
    pub fn spec(&mut self, spec: Spec) {
        self.specs.push(spec);
    }

    /// What two modules both claimed; the start fails if there is any.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    /// Who answers a namespace.
    pub fn handler(&self, target: Target, ns: &str) -> Option<&Arc<dyn IqHandler>> {
        // The map's keys live for ever, ours need not: a scan of the range is a look-up.
        self.handlers
            .iter()
            .find(|((t, n), _)| *t == target && *n == ns)
            .map(|(_, h)| h)
    }

    /// What a target is, beside a server or an account.
    pub fn identities(&self, target: Target) -> impl Iterator<Item = &Element> {
        self.identities
            .iter()
            .filter(move |(t, _)| *t == target)
            .map(|(_, identity)| identity)
    }

    /// The verification string of the server's capabilities (XEP-0115) for a domain, computed once.
    pub fn verification(&self, domain: &str, compute: impl FnOnce() -> String) -> &str {
        let hidden = self.hidden.get(domain).map(|it| &it.verification);
        hidden.unwrap_or(&self.verification).get_or_init(compute)
    }

    /// Whether a feature of the server is none of this domain's.
    pub fn is_hidden(&self, domain: &str, feature: &str) -> bool {
        let hidden = self.hidden.get(domain);
        hidden.is_some_and(|it| it.features.contains(&feature))
    }

    /// The features of a target, sorted.
    pub fn features(&self, target: Target) -> &[&'static str] {
        self.features.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Who may know nodes.
    pub fn nodes(&self) -> &[Arc<dyn DiscoNode>] {
        &self.nodes
    }

    /// The items of a target.
    pub fn items(&self, target: Target) -> impl Iterator<Item = &Element> {
        self.items
            .iter()
            .filter(move |(t, _)| *t == target)
            .map(|(_, item)| item)
    }

    /// The server's forms.
    pub fn forms(&self) -> &[Element] {
        &self.forms
    }

    /// Every service.
    pub fn services(&self) -> impl Iterator<Item = &Arc<dyn Service>> {
        self.services.values()
    }

    /// Who serves a domain.
    pub fn service_of(&self, domain: &str) -> Option<&Arc<dyn Service>> {
        self.services.get(domain)
    }

    /// What is implemented.
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }
}
