//! Private XML: a client keeps any element on the server, for its account alone.
//!
//! Source: XEP-0049 v1.2. A namespace that begins with `jabber:` or `http://jabber.org/`, and `vcard-temp`, is reserved
//! and refused with `not-acceptable`, as the XEP allows.
//! Stored: each element by namespace and name (`storage::repository::private_xml`, which bounds size and number).

use std::sync::Arc;

use async_trait::async_trait;
use storage::repository::PrivateXmlRepository;
use xmpp::{BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns};

use super::pubsub::Pep;
use crate::module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target};

const SPEC: Spec = Spec {
    xep: 49,
    version: "1.2",
    status: Status::Complete,
};

/// The module.
pub struct Private {
    repository: Arc<dyn PrivateXmlRepository>,
    pep: Arc<Pep>,
}

impl Private {
    /// Over a repository; bookmarks are those of the account's node.
    pub fn new(repository: Arc<dyn PrivateXmlRepository>, pep: Arc<Pep>) -> Self {
        Self { repository, pep }
    }

    async fn get(&self, owner: &BareJid, wanted: &Element) -> Result<Element, StanzaError> {
        let (ns, name) = (wanted.ns(), wanted.name());
        let kept = match self.repository.get(owner, ns, name).await? {
            None => Element::new(name.to_owned(), ns.to_owned()),
            Some(found) => Element::parse(&found.xml, "").map_err(|error| {
                tracing::error!(account = %owner, %error, "private XML cannot be read");
                StanzaError::from(Condition::InternalServerError)
            })?,
        };
        match is_bookmarks(wanted) {
            true => self.pep.legacy_bookmarks(owner, kept).await,
            false => Ok(kept),
        }
    }
}

impl Module for Private {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Account, ns::PRIVATE, self);
        registry.disco(Target::Server, ns::PRIVATE);
        registry.spec(SPEC);
    }
}

#[async_trait]
impl IqHandler for Private {
    fn own_only(&self) -> bool {
        true
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        let elements = elements(&iq.payload, iq.is_set())?;
        let mut result = Element::new("query", ns::PRIVATE);
        for element in elements {
            if iq.is_set() {
                let xml = element.to_bytes("");
                self.repository
                    .put(&iq.to, element.ns(), element.name(), xml.into())
                    .await?;
                if is_bookmarks(element) {
                    self.pep.set_legacy_bookmarks(&iq.to, element, cx).await?;
                }
            } else {
                result.push(self.get(&iq.to, element).await?);
            }
        }
        Ok((!iq.is_set()).then_some(result))
    }
}

/// What a request is about: exactly one element of a get, one or more different ones of a set.
fn elements(query: &Element, set: bool) -> Result<Vec<&Element>, StanzaError> {
    if query.name() != "query" {
        return Err(Condition::BadRequest.into());
    }
    let elements: Vec<&Element> = query.children().collect();
    match elements.len() {
        0 if set => {
            return Err(StanzaError::new(
                Condition::NotAcceptable,
                "nothing to keep",
            ));
        }
        0 => return Err(StanzaError::new(Condition::BadRequest, "which element?")),
        1 => {}
        _ if set => {}
        _ => {
            return Err(StanzaError::new(
                Condition::BadRequest,
                "one element at a time",
            ));
        }
    }
    if elements.iter().any(|element| is_reserved(element.ns())) {
        return Err(StanzaError::new(
            Condition::NotAcceptable,
            "this namespace is reserved",
        ));
    }
    let repeated = |(at, element): (usize, &&Element)| {
        elements[..at]
            .iter()
            .any(|other| other.is(element.name(), element.ns()))
    };
    if elements.iter().enumerate().any(repeated) {
        // They are kept by name: the last would replace the others without a word.
        return Err(StanzaError::new(
            Condition::BadRequest,
            "the same element twice",
        ));
    }
    Ok(elements)
}

/// XEP-0048 §3: what the account's node of bookmarks has as well.
fn is_bookmarks(element: &Element) -> bool {
    element.is("storage", ns::STORAGE_BOOKMARKS)
}

/// An element without a namespace of its own has the query's, which is reserved.
fn is_reserved(ns: &str) -> bool {
    ns.is_empty()
        || ns == ns::VCARD
        || ns.starts_with("jabber:")
        || ns.starts_with("http://jabber.org/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        modules::recorder::{Recorder, answer, request, stores},
        pipeline::delivery::IqType,
    };

    #[tokio::test]
    async fn what_is_set_is_got_and_errors_are_those_of_the_xep() {
        let recorder = Recorder::default();
        let (juliet, romeo) = (
            recorder.session("juliet@example.com/a", 0),
            recorder.session("romeo@example.com/a", 0),
        );
        let stores = stores();
        let rosters = Arc::new(crate::modules::roster::Rosters::new(stores.rosters.clone()));
        let nodes = Arc::new(crate::modules::pubsub::Nodes::new(stores.pubsub.clone()));
        let pep = Pep::new(
            nodes,
            rosters,
            stores.private.clone(),
            stores.vcards.clone(),
        );
        let (cx, private) = (
            recorder.context(),
            Private::new(stores.private, Arc::new(pep)),
        );
        let check = async |who, kind, children: &str, expected: Result<&str, Condition>| {
            let query = format!("<query xmlns='jabber:iq:private'>{children}</query>");
            let got = answer(&private, &request(who, None, kind, &query), &cx).await;
            let expected = expected.map(|children| match children {
                "" => String::new(),
                _ => format!("<query xmlns='jabber:iq:private'>{children}</query>"),
            });
            assert_eq!(got, expected, "{children}");
        };
        use IqType::{Get, Set};
        let kept = "<exodus xmlns='exodus:prefs'><nick lang='en'>Hamlet &amp; co</nick></exodus>";
        check(
            &juliet,
            Get,
            "<exodus xmlns='exodus:prefs'/>",
            Ok("<exodus xmlns='exodus:prefs'/>"),
        )
        .await;
        check(&juliet, Set, kept, Ok("")).await;
        check(&juliet, Get, "<exodus xmlns='exodus:prefs'/>", Ok(kept)).await;
        check(
            &romeo,
            Get,
            "<exodus xmlns='exodus:prefs'/>",
            Ok("<exodus xmlns='exodus:prefs'/>"),
        )
        .await;
        check(
            &juliet,
            Get,
            "<other xmlns='exodus:prefs'/>",
            Ok("<other xmlns='exodus:prefs'/>"),
        )
        .await;
        check(&juliet, Set, "<a xmlns='x'/><b xmlns='x'>2</b>", Ok("")).await;
        check(&juliet, Get, "<b xmlns='x'/>", Ok("<b xmlns='x'>2</b>")).await;

        check(&juliet, Get, "", Err(Condition::BadRequest)).await;
        check(&juliet, Set, "", Err(Condition::NotAcceptable)).await;
        check(
            &juliet,
            Get,
            "<a xmlns='x'/><b xmlns='x'/>",
            Err(Condition::BadRequest),
        )
        .await;
        check(
            &juliet,
            Set,
            "<a xmlns='x'/><a xmlns='x'/>",
            Err(Condition::BadRequest),
        )
        .await;
        for reserved in [
            "<a/>",
            "<a xmlns=''/>",
            "<a xmlns='vcard-temp'/>",
            "<a xmlns='jabber:x'/>",
            "<a xmlns='http://jabber.org/x'/>",
        ] {
            check(&juliet, Get, reserved, Err(Condition::NotAcceptable)).await;
            check(&juliet, Set, reserved, Err(Condition::NotAcceptable)).await;
        }
        let long = format!("<a xmlns='x'>{}</a>", "x".repeat(300 << 10));
        check(&juliet, Set, &long, Err(Condition::PolicyViolation)).await;
        assert!(private.own_only(), "others get forbidden from the pipeline");
    }
}
