//! Fragment: one complete first-level child of a stream, its bytes and an index over them.
//!
//! Parsed once: well-formedness, namespaces, characters, references, limits are checked when it is made, so that its
//! bytes can be forwarded as they are.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{Element, codec::ParseError};

/// A parsed element with its bytes.
#[derive(Clone)]
pub struct Fragment {
    raw: Bytes,
}

/// A view of one element of a fragment.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    fragment: &'a Fragment,
    index: u32,
}

impl Fragment {
    /// Parses one complete element; `default_ns` is the default namespace in scope (that of the stream).
    pub fn parse(raw: Bytes, default_ns: &'static str) -> Result<Self, ParseError> {
        let _ = (raw, default_ns);
        todo!()
    }
    /// The bytes, complete in themselves: valid inside any stream with the same default namespace.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
    /// The element itself.
    pub fn root(&self) -> Node<'_> {
        Node {
            fragment: self,
            index: 0,
        }
    }
    /// An owned tree.
    pub fn to_element(&self) -> Element {
        self.root().to_element()
    }
}

impl<'a> Node<'a> {
    /// Local name.
    pub fn name(self) -> &'a str {
        todo!()
    }
    /// Namespace.
    pub fn ns(self) -> &'a str {
        todo!()
    }
    /// Whether name and namespace are these.
    pub fn is(self, name: &str, ns: &str) -> bool {
        self.name() == name && self.ns() == ns
    }
    /// Value of an attribute without a prefix (and of `xml:lang` under that name), references resolved.
    pub fn attr(self, name: &str) -> Option<Cow<'a, str>> {
        let _ = name;
        todo!()
    }
    /// Child elements.
    pub fn children(self) -> impl Iterator<Item = Node<'a>> {
        std::iter::empty()
    }
    /// First child of this name and namespace.
    pub fn child(self, name: &str, ns: &str) -> Option<Node<'a>> {
        self.children().find(|c| c.is(name, ns))
    }
    /// The element's own character data, joined, references resolved.
    pub fn text(self) -> Cow<'a, str> {
        todo!()
    }
    /// The element's bytes, start tag to end tag, as they came (may lean on declarations of its ancestors).
    pub fn raw(self) -> &'a [u8] {
        let _ = self.fragment;
        let _ = self.index;
        todo!()
    }
    /// An owned tree.
    pub fn to_element(self) -> Element {
        todo!()
    }
}
