//! Stanzas: message, presence, iq (RFC 6120 §8) over the bytes they came in.
//!
//! Parsed once, then patched and forwarded: a hop writes a new start tag before the old bytes, nothing is serialised.
//! Inside the server every stanza is in `jabber:client`, whichever stream it came from (RFC 6120 §4.8.3: the content
//! namespaces differ, the stanzas do not), and its bytes carry no `xmlns` of their own.

mod edit;
mod normal;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use crate::{Element, Fragment, Jid, JidError, Node, StanzaError, codec::ParseError, ns};

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

impl Kind {
    /// The element name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }

    /// From an element name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Message, Self::Presence, Self::Iq]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
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
    /// Takes a fragment that is a stanza in its stream's default namespace (`jabber:client`, `jabber:server` or
    /// `jabber:component:accept`) and makes it one in `jabber:client`.
    ///
    /// # Errors
    /// [`NotAStanza::Other`]: it is something else. [`NotAStanza::Address`]: `to` or `from` is no address
    /// (`jid-malformed`). Either way the fragment is given back, so that the sender can be answered.
    pub fn new(fragment: Fragment) -> Result<Self, NotAStanza> {
        let Some(kind) = normal::kind(&fragment) else {
            return Err(NotAStanza::Other(fragment));
        };
        let fragment = normal::in_client_namespace(fragment);
        let address = |name: &str| {
            fragment
                .root()
                .attr(name)
                .map(|text| Jid::parse(&text))
                .transpose()
        };
        match (address("to"), address("from")) {
            (Ok(to), Ok(from)) => Ok(Self {
                to,
                from,
                kind,
                fragment,
            }),
            (Err(error), _) | (_, Err(error)) => Err(NotAStanza::Address(fragment, error)),
        }
    }

    /// Parses bytes in `jabber:client`: for what we wrote ourselves or read from the log.
    ///
    /// # Errors
    /// As [`Fragment::parse`]; [`ParseError::BadFormat`] if it is no stanza or has a malformed address.
    pub fn parse(raw: Bytes) -> Result<Self, ParseError> {
        Self::new(Fragment::parse(raw, ns::CLIENT)?).map_err(|_| ParseError::BadFormat)
    }

    /// From an owned tree that we built.
    ///
    /// # Panics
    /// If it is no stanza in `jabber:client`, or its `to` or `from` is no address: they come from a [`Jid`].
    pub fn from_element(element: &Element) -> Self {
        Self::parse(element.to_bytes(ns::CLIENT).into())
            .expect("built as a stanza in jabber:client, with parsed addresses")
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

    /// This stanza with `from` and/or `to` set in the start tag; everything else is copied as it came. `None` leaves
    /// an address as it is. Two allocations.
    #[must_use]
    pub fn readdressed(&self, from: Option<&Jid>, to: Option<&Jid>) -> Self {
        self.stamped(from, to, None)
    }

    /// As [`Self::readdressed`], with `xml:lang` (RFC 6120 §8.1.5) set as well.
    #[must_use]
    pub fn stamped(&self, from: Option<&Jid>, to: Option<&Jid>, lang: Option<&str>) -> Self {
        let (from_text, to_text) = (from.map(Jid::as_str), to.map(Jid::as_str));
        let fragment = edit::stamped(&self.fragment, from_text, to_text, lang);
        let or = |new: Option<&Jid>, old: &Option<Jid>| new.or(old.as_ref()).cloned();
        Self {
            fragment,
            kind: self.kind,
            to: or(to, &self.to),
            from: or(from, &self.from),
        }
    }

    /// The bytes with `children` (serialised elements) appended as last children and the direct children for which
    /// `strip` answers true left out. One allocation; none if nothing changes.
    pub fn spliced(&self, strip: impl Fn(Node<'_>) -> bool, children: &[u8]) -> Bytes {
        edit::spliced(&self.fragment, strip, children)
    }

    /// The error reply to this stanza (RFC 6120 §8.3.1): swapped addresses, same id, the error.
    /// `None` where a reply is forbidden: to an error, to an iq result.
    pub fn error_reply(&self, error: &StanzaError) -> Option<Element> {
        match (self.kind, self.type_attr().as_deref()) {
            (_, Some("error")) | (Kind::Iq, Some("result")) => None,
            _ => Some(self.reply("error").with_child(error.to_element())),
        }
    }

    /// The result reply to this iq, with an optional payload.
    pub fn result_reply(&self, payload: Option<Element>) -> Element {
        self.reply("result").with_children(payload)
    }

    fn reply(&self, reply_type: &str) -> Element {
        Element::new(self.kind.as_str(), ns::CLIENT)
            .with_attr("type", reply_type)
            .with_attr_opt("id", self.id())
            .with_attr_opt("from", self.to().map(Jid::as_str))
            .with_attr_opt("to", self.from().map(Jid::as_str))
    }
}

impl fmt::Debug for Stanza {
    /// Kind and addresses only: what people write does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stanza")
            .field("kind", &self.kind)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// Why a fragment is no stanza.
#[derive(Debug)]
pub enum NotAStanza {
    /// Another element: stream management, SASL, an unknown name.
    Other(Fragment),
    /// `to` or `from` is no address.
    Address(Fragment, JidError),
}
