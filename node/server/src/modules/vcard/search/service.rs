//! The address of a search of its own, one for each domain (XEP-0055 §1, XEP-0030).
//!
//! Any node answers.

use std::sync::Arc;

use xmpp::{Element, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::SearchModule;
use crate::{
    module::{Context, Registry, Service, Target, identity},
    modules::answering::{self, Answers, Request, Requests},
};

/// How a service calls itself.
const NAME: &str = "People";

/// A service.
struct SearchService {
    search: Arc<SearchModule>,
    /// Whose people are found.
    domain: String,
    requests: Requests,
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
            requests: Requests::default(),
        };
        registry.service(address.clone(), Arc::new(Shared(Arc::new(service))));
    }
}

impl Service for Shared {
    fn receive(&self, stanza: &Stanza, cx: &Context) {
        answering::receive(&self.0, &self.0.requests, stanza, cx);
    }
}

impl Answers for SearchService {
    async fn answer(&self, request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
        let Request {
            from,
            to,
            payload,
            is_set,
        } = request;
        if to.local().is_some() || to.resource().is_some() {
            return Err(Condition::ItemNotFound.into());
        }
        match (payload.ns(), payload.name(), is_set) {
            (ns::DISCO_INFO | ns::DISCO_ITEMS, "query", false) if request.has_node() => {
                Err(Condition::ItemNotFound.into())
            }
            (ns::DISCO_INFO, "query", false) => Ok(Some(info_element())),
            (ns::DISCO_ITEMS, "query", false) => Ok(Some(Element::new("query", ns::DISCO_ITEMS))),
            (ns::SEARCH, ..) => {
                let answer = self.search.answer(from, &self.domain, *is_set, payload);
                answer.await.map(Some)
            }
            (ns::PING, "ping", false) => Ok(None),
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
