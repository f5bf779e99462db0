//! vCards: what people tell the world about themselves.
//!
//! Source: XEP-0054 v1.3, XEP-0153 v1.1.1 (photos in presence), XEP-0055 v1.3 (`search`). The rules of XEP-0398 §5 for
//! presence are kept; its conversion is that of `pubsub::pep`.
//! Why here: a vCard is stored as it came. Its photo is hashed when it is stored and the hash kept apart, so that a login
//! costs one look-up of a small record and no hashing; `pipeline::lifecycle` writes the hash into available presence, `pipeline::outbound` into directed one.
//! Stored: the account's vCard with its index.

pub mod photo;
pub mod search;
mod xml;

use std::sync::Arc;

use async_trait::async_trait;
use storage::{
    ErrorKind,
    repository::{Vcard, VcardRepository},
};
use xmpp::{Element, StanzaError, StanzaErrorCondition as Condition, ns};

pub use photo::Photo;

use super::{disco::NAME, pubsub::Pep};
use crate::{
    module::{Context, IqHandler, IqRequest, Module, Registry, Spec, Status, Target},
    routing::flags,
};

/// Longest vCard in bytes; a photo of 190 KiB fits.
const MAX_BYTES: usize = 256 << 10;
/// Attempts of a change against others before the sender is told to wait.
const MAX_ATTEMPTS: usize = 8;

/// The module.
pub struct VcardModule {
    vcards: Arc<dyn VcardRepository>,
    pep: Arc<Pep>,
}

impl VcardModule {
    /// Over a repository; the account's nodes get what is published here.
    pub fn new(vcards: Arc<dyn VcardRepository>, pep: Arc<Pep>) -> Self {
        Self { vcards, pep }
    }
}

impl Module for VcardModule {
    fn register(self: Arc<Self>, registry: &mut Registry) {
        registry.iq(Target::Server, ns::VCARD, Arc::new(ServerCard));
        registry.iq(Target::Account, ns::VCARD, self);
        registry.disco(Target::Server, ns::VCARD);
        registry.disco(Target::Account, ns::VCARD);
        for (xep, version) in [(54, "1.3.0"), (153, "1.1.1")] {
            registry.spec(Spec {
                xep,
                version,
                status: Status::Complete,
            });
        }
    }
}

/// The server's own (XEP-0054 §3.3).
struct ServerCard;

#[async_trait]
impl IqHandler for ServerCard {
    async fn handle(&self, iq: &IqRequest, _: &Context) -> Result<Option<Element>, StanzaError> {
        iq.only_get("vCard")?;
        let child = |name: &'static str, text: &str| Element::new(name, ns::VCARD).with_text(text);
        let vcard = Element::new("vCard", ns::VCARD)
            .with_child(child("FN", NAME))
            .with_child(child("DESC", "XMPP server"));
        Ok(Some(vcard))
    }
}

#[async_trait]
impl IqHandler for VcardModule {
    fn absent(&self, iq: &IqRequest) -> Result<Option<Element>, StanzaError> {
        match iq.is_set() {
            true => Err(Condition::Forbidden.into()),
            false => Err(Condition::ServiceUnavailable.into()),
        }
    }

    async fn handle(&self, iq: &IqRequest, cx: &Context) -> Result<Option<Element>, StanzaError> {
        if iq.payload.name() != "vCard" {
            return Err(Condition::BadRequest.into());
        }
        match (iq.is_set(), iq.is_own()) {
            (false, _) => self.get(iq).await.map(Some),
            (true, true) => self.set(iq, cx).await.map(|()| None),
            (true, false) => Err(Condition::Forbidden.into()),
        }
    }
}

impl VcardModule {
    async fn get(&self, iq: &IqRequest) -> Result<Element, StanzaError> {
        match self.vcards.get(&iq.to).await? {
            Some(vcard) => parse(&vcard),
            None if iq.is_own() => Err(Condition::ItemNotFound.into()),
            // XEP-0054 §3.3: as if there were no such account.
            None => Err(Condition::ServiceUnavailable.into()),
        }
    }

    /// XEP-0398 §4.2. The vCard is set in any case.
    async fn to_nodes(&self, iq: &IqRequest, cx: &Context) {
        if let Err(error) = self.pep.photo_set(&iq.to, &iq.payload, cx).await {
            tracing::warn!(account = %iq.to, %error, "a photo does not reach the avatar's nodes");
        }
    }

    async fn set(&self, iq: &IqRequest, cx: &Context) -> Result<(), StanzaError> {
        if !self.vcards.is_writable(iq.to.domain()) {
            return Err(StanzaError::new(
                Condition::NotAllowed,
                "vCards of this domain are kept elsewhere",
            ));
        }
        // What is stored would outlive who stored it.
        if cx
            .entries(&iq.to)
            .iter()
            .any(|entry| entry.flags & flags::ANONYMOUS != 0)
        {
            return Err(Condition::NotAllowed.into());
        }
        let vcard = stored(&iq.payload);
        if vcard.xml.len() > MAX_BYTES {
            return Err(StanzaError::new(
                Condition::PolicyViolation,
                "a vCard has at most 256 KiB",
            ));
        }
        let sha1 = xml::photo(&iq.payload);
        for _ in 0..MAX_ATTEMPTS {
            let before = Photo::of(self.vcards.photo(&iq.to).await?.as_ref());
            match self.vcards.put(&iq.to, &vcard, before.version).await {
                Ok(version) => {
                    if before.sha1 != sha1 {
                        cx.photo_changed(&iq.to, Photo { version, sha1 });
                        self.to_nodes(iq, cx).await;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StanzaError::new(
            Condition::ResourceConstraint,
            "the vCard is being changed by others",
        ))
    }
}

/// The hash of a vCard's photo.
pub fn photo_of(element: &Element) -> Option<photo::Sha1> {
    xml::photo(element)
}

/// A vCard as it is stored, with the words it is found by and the hash of its photo.
pub fn stored(element: &Element) -> Vcard {
    Vcard {
        xml: element.to_bytes(ns::CLIENT).into(),
        photo_sha1: xml::photo(element).as_ref().map(photo::hex),
        searchable: xml::searchable(element),
        version: 0,
    }
}

/// Reads it back.
fn parse(vcard: &Vcard) -> Result<Element, StanzaError> {
    Element::parse(&vcard.xml, ns::CLIENT).map_err(|_| Condition::InternalServerError.into())
}
