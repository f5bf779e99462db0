//! Stanzas: message, presence, iq (RFC 6120 §8) over the bytes they came in.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{Element, Fragment, Jid, JidError, Node, StanzaError, codec::ParseError};

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}

/// A stanza: parsed once, patched, written without being serialised again.
#[derive(Clone)]
pub struct Stanza {
    fragment: Fragment,
    kind: Kind,
    to: Option<Jid>,
    from: Option<Jid>,
}

impl Stanza {
    /// Takes a fragment in `default_ns` (`jabber:client` or `jabber:server`) that is a stanza.
    /// `Ok(Err(fragment))`: it is something else. `Err`: `to` or `from` is no address (`jid-malformed`), the
    /// fragment is given back so that the sender can be answered.
    pub fn new(fragment: Fragment) -> Result<Self, NotAStanza> {
        let _ = fragment;
        todo!()
    }
    /// Parses bytes in `jabber:client`: for what we wrote ourselves or read from the log.
    pub fn parse(raw: Bytes) -> Result<Self, ParseError> {
        let _ = raw;
        todo!()
    }
    /// From an owned tree.
    pub fn from_element(element: &Element) -> Self {
        let _ = element;
        todo!()
    }
    /// Which of the three.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// The addressee.
    pub fn to(&self) -> Option<&Jid> {
        self.to.as_ref()
    }
    /// The sender.
    pub fn from(&self) -> Option<&Jid> {
        self.from.as_ref()
    }
    /// The id.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.root().attr("id")
    }
    /// The type attribute as written.
    pub fn type_attr(&self) -> Option<Cow<'_, str>> {
        self.root().attr("type")
    }
    /// The root element.
    pub fn root(&self) -> Node<'_> {
        self.fragment.root()
    }
    /// First child of this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<Node<'_>> {
        self.root().child(name, ns)
    }
    /// The bytes in `jabber:client`.
    pub fn raw(&self) -> &Bytes {
        self.fragment.raw()
    }
    /// An owned tree.
    pub fn to_element(&self) -> Element {
        self.fragment.to_element()
    }
    /// This stanza with `from` and/or `to` set in the start tag; everything else is copied as it came.
    pub fn readdressed(&self, from: Option<&Jid>, to: Option<&Jid>) -> Self {
        let _ = (from, to);
        todo!()
    }
    /// The bytes with `children` (serialised elements) appended as last children and the direct children for which
    /// `strip` answers true left out. One allocation.
    pub fn spliced(&self, strip: impl Fn(Node<'_>) -> bool, children: &[u8]) -> Bytes {
        let _ = (strip, children);
        todo!()
    }
    /// The error reply to this stanza (RFC 6120 §8.3.1): swapped addresses, same id, the error.
    /// `None` where a reply is forbidden: to an error, to an iq result.
    pub fn error_reply(&self, error: &StanzaError) -> Option<Element> {
        let _ = error;
        todo!()
    }
    /// The result reply to this iq, with an optional payload.
    pub fn result_reply(&self, payload: Option<Element>) -> Element {
        let _ = payload;
        todo!()
    }
}

/// Why a fragment is no stanza.
pub enum NotAStanza {
    /// Another element: stream management, SASL, an unknown name.
    Other(Fragment),
    /// `to` or `from` is no address.
    Address(Fragment, JidError),
}
