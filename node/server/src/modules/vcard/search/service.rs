//! The address of a search of its own, one for each domain (XEP-0055 §1, XEP-0030).
//!
//! Any node answers, each client in the order in which it asks. Bounds: [`MAX_WAITING`].

use std::sync::Arc;

use xmpp::{Element, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::SearchModule;
use crate::{
    module::{Context, Registry, Service, Target, identity},
    turns::{Queues, Running},
};

/// Requests of one client that may wait behind the one that is being answered.
const MAX_WAITING: usize = 64;
/// How a service calls itself.
const NAME: &str = "People";

/// A service.
struct SearchService {
    search: Arc<SearchModule>,
    /// Whose people are found.
    domain: String,
    asked: Queues<Jid, Stanza>,
}

/// A handle of it.
struct Shared(Arc<SearchService>);

/// Registers the services.
pub(super) fn register(search: &Arc<SearchModule>, registry: &mut Registry) {
    for (address, domain) in &search.options.services {
        let item = Element::new("item", ns::DISCO_ITEMS)
            .with_attr("jid", address.as_str())
            .with_attr("name", NAME);
        registry.disco_item(Target::Server, item);
        let service = SearchService {
            search: search.clone(),
            domain: domain.clone(),
            asked: Queues::default(),
        };
        registry.service(address.clone(), Arc::new(Shared(Arc::new(service))));
    }
}

fn reply(element: &Element, cx: &Context) {
    cx.route(Stanza::from_element(element));
}

impl Service for Shared {
    fn receive(&self, stanza: &Stanza, cx: &Context) {
        let kind = stanza.type_attr();
        match (stanza.kind(), kind.as_deref()) {
            (Kind::Iq, Some("get" | "set")) => {
                let Some(from) = stanza.from() else { return };
                match self.0.asked.push(from, stanza.clone(), MAX_WAITING) {
                    Ok(None) => {}
                    Ok(Some(running)) => {
                        let (service, via) = (self.0.clone(), cx.clone());
                        cx.run(Box::pin(
                            async move { service.answer_all(running, &via).await },
                        ));
                    }
                    Err(stanza) => {
                        let error = crate::home::wait("too much of yours waits for the service");
                        let refused = stanza.error_reply(&error);
                        refused.iter().for_each(|it| reply(it, cx));
                    }
                }
            }
            (Kind::Iq | Kind::Presence, _) => {}
            (Kind::Message, _) => {
                let refused = stanza.error_reply(&Condition::ServiceUnavailable.into());
                refused.iter().for_each(|it| reply(it, cx));
            }
        }
    }
}

impl SearchService {
    async fn answer_all(&self, mut running: Running<Jid, Stanza>, cx: &Context) {
        while let Some(stanza) = running.pop() {
            let answer = match self.answer(&stanza).await {
                Ok(payload) => Some(stanza.result_reply(payload)),
                Err(error) => stanza.error_reply(&error),
            };
            answer.iter().for_each(|it| reply(it, cx));
        }
    }

    async fn answer(&self, stanza: &Stanza) -> Result<Option<Element>, StanzaError> {
        let (Some(from), Some(to)) = (stanza.from(), stanza.to()) else {
            return Err(Condition::BadRequest.into());
        };
        if to.local().is_some() || to.resource().is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        let mut children = stanza.root().children();
        let (Some(payload), None) = (children.next(), children.next()) else {
            return Err(Condition::BadRequest.into());
        };
        let payload = payload.to_element();
        let has_node = payload.attr("node").is_some_and(|node| !node.is_empty());
        let is_get = stanza.type_attr().as_deref() == Some("get");
        match (payload.ns(), payload.name(), is_get) {
            (ns::DISCO_INFO | ns::DISCO_ITEMS, "query", true) if has_node => {
                Err(Condition::ItemNotFound.into())
            }
            (ns::DISCO_INFO, "query", true) => Ok(Some(info_element())),
            (ns::DISCO_ITEMS, "query", true) => Ok(Some(Element::new("query", ns::DISCO_ITEMS))),
            (ns::SEARCH, ..) => {
                let answer = self.search.answer(from, &self.domain, !is_get, &payload);
                answer.await.map(Some)
            }
            (ns::PING, "ping", true) => Ok(None),
            _ => Err(Condition::ServiceUnavailable.into()),
        }
    }
}

fn info_element() -> Element {
    let features = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::SEARCH, ns::RSM];
    let feature = |var| Element::new("feature", ns::DISCO_INFO).with_attr("var", var);
    Element::new("query", ns::DISCO_INFO)
        .with_child(identity("directory", "user").with_attr("name", NAME))
        .with_children(features.map(feature))
}
