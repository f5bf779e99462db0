//! Service discovery: what the server and its accounts are, can do and have.
//!
//! Source: XEP-0030 v2.5, XEP-0128 v1.0.1 (forms), XEP-0157 v1.1.1 (contact addresses), XEP-0115 v1.6 (`caps`).
//! Left out: caps optimization (XEP-0115 §8.4).
//! Why here: modules say what there is in the registry, which is read at each request. Who does not see an account's
//! presence learns nothing, not even whether there is such an account (XEP-0030 §8).

pub mod caps;

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::{
    Element, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, Form, FormType},
};

use super::roster::Rosters;
use crate::{
    module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target, identity},
    routing::flags,
};

/// How the server calls itself.
pub const NAME: &str = "Starling";
/// The form of contact addresses (XEP-0157).
const SERVER_INFO: &str = "http://jabber.org/network/serverinfo";
const SPECS: [Spec; 4] = [
    Spec::new(30, "2.5.0", Status::Complete),
    Spec::new(115, "1.6.0", Status::Partial("no caps optimization")),
    Spec::new(128, "1.0.1", Status::Complete),
    Spec::new(157, "1.1.1", Status::Complete),
];

/// The module.
pub struct DiscoModule {
    rosters: Arc<Rosters>,
    contacts: Vec<(String, Vec<String>)>,
}

impl DiscoModule {
    /// Over the rosters, which tell who may ask; `contacts` are addresses of people by what they are for: `abuse`,
    /// `admin` and the like.
    pub fn new(rosters: Arc<Rosters>, contacts: Vec<(String, Vec<String>)>) -> Self {
        Self { rosters, contacts }
    }
}

impl Module for DiscoModule {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        for target in [Target::Server, Target::Account] {
            registry.iq(target, ns::DISCO_INFO, Arc::new(Info(self.clone())));
            registry.iq(target, ns::DISCO_ITEMS, Arc::new(Items(self.clone())));
            registry.disco(target, ns::DISCO_INFO);
            registry.disco(target, ns::DISCO_ITEMS);
        }
        registry.disco(Target::Server, ns::CAPS);
        if !self.contacts.is_empty() {
            registry.disco_form(contacts_form(&self.contacts).to_element());
        }
        SPECS.into_iter().for_each(|spec| registry.spec(spec));
    }
}

/// XEP-0157 §3.
fn contacts_form(contacts: &[(String, Vec<String>)]) -> Form {
    let field = |(role, addresses): &(String, Vec<String>)| Field {
        var: Some(format!("{role}-addresses")),
        values: addresses.clone(),
        ..Field::default()
    };
    let mut form = Form::of(FormType::Result, SERVER_INFO);
    form.fields.extend(contacts.iter().map(field));
    form
}

/// disco#info of the server, without a node.
fn server_info(registry: &Registry, domain: &str) -> Element {
    let named = |identity: Element| identity.with_attr("name", NAME);
    let others = registry.identities(Target::Server).cloned();
    let identities = [identity("server", "im")].into_iter().chain(others);
    Element::new("query", ns::DISCO_INFO)
        .with_children(identities.map(named))
        .with_children(features(registry, Target::Server, |it| {
            !registry.is_hidden(domain, it)
        }))
        .with_children(registry.forms().iter().cloned())
}

/// disco#info of an account, without a node.
fn account_info(registry: &Registry, anonymous: bool) -> Element {
    let kind = if anonymous { "anonymous" } else { "registered" };
    Element::new("query", ns::DISCO_INFO)
        .with_child(identity("account", kind))
        .with_children(registry.identities(Target::Account).cloned())
        .with_children(features(registry, Target::Account, |_| true))
}

fn features(
    registry: &Registry,
    target: Target,
    is_there: impl Fn(&str) -> bool,
) -> impl Iterator<Item = Element> {
    let known = registry.features(target).iter();
    known
        .filter(move |var| is_there(var))
        .map(|var| Element::new("feature", ns::DISCO_INFO).with_attr("var", *var))
}

struct Info(Arc<DiscoModule>);

#[async_trait]
impl IqHandler for Info {
    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("query")?;
        let (registry, node) = (cx.registry(), iq.payload.attr("node"));
        let is_account = iq.to.local().is_some();
        if is_account && !self.0.rosters.shows_presence(&iq.to, &iq.from).await? {
            return Err(Condition::ServiceUnavailable.into());
        }
        let Some(node) = node else {
            let anonymous = || {
                cx.entries(&iq.to)
                    .iter()
                    .any(|entry| entry.flags & flags::ANONYMOUS != 0)
            };
            return Ok(Some(match is_account {
                true => account_info(registry, anonymous()),
                false => server_info(registry, iq.to.domain()),
            }));
        };
        if !is_account && caps::is_server_node(registry, iq.to.domain(), node) {
            let info = server_info(registry, iq.to.domain());
            return Ok(Some(info.with_attr("node", node)));
        }
        for known in registry.nodes() {
            if let Some(info) = known.info(iq, node, cx).await? {
                return Ok(Some(info.with_attr("node", node)));
            }
        }
        Err(Condition::ItemNotFound.into())
    }
}

struct Items(Arc<DiscoModule>);

#[async_trait]
impl IqHandler for Items {
    /// XEP-0030 §8, 2: what a stranger is told of any account.
    fn absent(&self, iq: &IqRequest) -> Result<Option<Element>, StanzaError> {
        iq.only_get("query")?;
        Ok(Some(items(iq)))
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("query")?;
        let is_account = iq.to.local().is_some();
        if is_account && !self.0.rosters.shows_presence(&iq.to, &iq.from).await? {
            return self.absent(iq);
        }
        if let Some(node) = iq.payload.attr("node") {
            for known in cx.registry().nodes() {
                if let Some(items) = known.items(iq, node, cx).await? {
                    return Ok(Some(items.with_attr("node", node)));
                }
            }
            return Err(Condition::ItemNotFound.into());
        }
        let target = if is_account {
            Target::Account
        } else {
            Target::Server
        };
        let own = cx
            .registry()
            .items(target)
            .map(|item| match item.attr("jid") {
                Some(_) => item.clone(),
                None => item.clone().with_attr("jid", iq.to.as_str()),
            });
        let entries = cx.entries(&iq.to);
        let available = entries
            .iter()
            .filter(|entry| is_account && entry.priority.is_some());
        let resource = |resource: &str| {
            Element::new("item", ns::DISCO_ITEMS).with_attr("jid", format!("{}/{resource}", iq.to))
        };
        let resources = available.map(|entry| resource(&entry.resource));
        let mut all = items(iq).with_children(own);
        for known in cx.registry().nodes() {
            all = all.with_children(known.top(iq, cx).await?);
        }
        Ok(Some(all.with_children(resources)))
    }
}

fn items(iq: &IqRequest) -> Element {
    Element::new("query", ns::DISCO_ITEMS).with_attr_opt("node", iq.payload.attr("node"))
}
