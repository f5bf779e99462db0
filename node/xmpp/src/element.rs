//! Element: an owned XML tree, for what we build ourselves and for payloads that handlers take apart.
//!
//! Source: XML 1.0, Namespaces in XML 1.0. An element carries its namespace, not a prefix: `xmlns` is written where it
//! differs from the parent's. Attributes are kept by the name they are written with; one with a prefix other than
//! `xml` needs an `xmlns:` attribute beside it. Elements of the stream namespace are written as `stream:`, declared on
//! the spot, for the clients that look for that prefix (RFC 6120 §4.8.5).

mod escape;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use escape::{escape_attr_into, escape_into};

use crate::{codec::ParseError, fragment, ns};

/// A child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    /// An element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

/// An element with its namespace resolved.
///
/// ```
/// use xmpp::{Element, ns};
/// let ping = Element::new("iq", ns::CLIENT).with_attr("type", "get").with_child(Element::new("ping", ns::PING));
/// assert_eq!(ping.to_bytes(ns::CLIENT), b"<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    name: Cow<'static, str>,
    ns: Cow<'static, str>,
    attrs: Vec<(Cow<'static, str>, String)>,
    children: Vec<Child>,
}

impl Element {
    /// An empty element.
    pub fn new(name: impl Into<Cow<'static, str>>, ns: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            ns: ns.into(),
            attrs: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Namespace.
    pub fn ns(&self) -> &str {
        &self.ns
    }

    pub(crate) fn set_ns(&mut self, ns: &'static str) {
        self.ns = Cow::Borrowed(ns);
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut [Child] {
        &mut self.children
    }

    /// Whether name and namespace are these.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// Builder: sets an attribute. `xml:lang` is written with that name.
    #[must_use]
    pub fn with_attr(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.set_attr(name, value);
        self
    }

    /// Builder: sets an attribute if there is a value.
    #[must_use]
    pub fn with_attr_opt(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: Option<impl Into<String>>,
    ) -> Self {
        if let Some(value) = value {
            self.set_attr(name, value);
        }
        self
    }

    /// Builder: appends a child.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }

    /// Builder: appends children.
    #[must_use]
    pub fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children
            .extend(children.into_iter().map(Child::Element));
        self
    }

    /// Builder: appends text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(text);
        self
    }

    /// Sets (or replaces) an attribute.
    pub fn set_attr(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.attrs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.attrs.push((name, value)),
        }
    }

    /// Removes an attribute.
    pub fn remove_attr(&mut self, name: &str) {
        self.attrs.retain(|(known, _)| known != name);
    }

    /// An attribute's value.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// All attributes in order.
    pub fn attrs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attrs
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Appends a child.
    pub fn push(&mut self, child: Element) {
        self.children.push(Child::Element(child));
    }

    /// Appends text; joined with text that stands last already.
    pub fn push_text(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.children.last_mut() {
            Some(Child::Text(last)) => last.push_str(&text),
            _ if text.is_empty() => {}
            _ => self.children.push(Child::Text(text)),
        }
    }

    /// Child elements.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            Child::Text(_) => None,
        })
    }

    /// All children with text between.
    pub fn nodes(&self) -> &[Child] {
        &self.children
    }

    /// Takes the children out.
    pub fn into_children(self) -> impl Iterator<Item = Element> {
        self.children.into_iter().filter_map(|child| match child {
            Child::Element(element) => Some(element),
            Child::Text(_) => None,
        })
    }

    /// First child of this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.children().find(|child| child.is(name, ns))
    }

    /// Keeps only child elements that pass (text stays).
    pub fn retain_children(&mut self, mut keep: impl FnMut(&Element) -> bool) {
        self.children.retain(|child| match child {
            Child::Element(element) => keep(element),
            Child::Text(_) => true,
        });
    }

    /// The element's own character data, joined.
    pub fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|child| match child {
            Child::Element(_) => None,
            Child::Text(text) => Some(text.as_str()),
        });
        texts.collect()
    }

    /// Text of the first child of this name in this element's namespace.
    pub fn child_text(&self, name: &str) -> Option<String> {
        self.child(name, &self.ns).map(Element::text)
    }

    /// Serialises; `xmlns` is written where it differs from `parent_ns` (pass `ns::CLIENT` on a client stream).
    /// Characters that XML cannot carry are written as U+FFFD.
    pub fn write_to(&self, out: &mut Vec<u8>, parent_ns: &str) {
        let (prefix, inner_ns) = match self.ns.as_ref() {
            ns::STREAM => ("stream:", parent_ns),
            ns::XML => ("xml:", parent_ns),
            own => ("", own),
        };
        out.push(b'<');
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
        if self.ns == ns::STREAM {
            write_namespace(out, "xmlns:stream", ns::STREAM);
        } else if inner_ns != parent_ns {
            write_namespace(out, "xmlns", &self.ns);
        }
        for (name, value) in &self.attrs {
            match name.starts_with("xmlns:") {
                true => write_namespace(out, name, value),
                false => write_attr(out, name, value),
            }
        }
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for child in &self.children {
            match child {
                Child::Element(element) => element.write_to(out, inner_ns),
                Child::Text(text) => escape_into(out, text),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }

    /// Serialised with `parent_ns` as the default namespace already in scope.
    pub fn to_bytes(&self, parent_ns: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.write_to(&mut out, parent_ns);
        out
    }

    /// Parses one complete element, `default_ns` being in scope.
    ///
    /// # Errors
    /// As [`crate::Fragment::parse`].
    pub fn parse(bytes: &[u8], default_ns: &str) -> Result<Self, ParseError> {
        fragment::parse_element(bytes, default_ns)
    }
}

fn write_attr(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attr_into(out, value);
    out.push(b'\'');
}

/// A namespace name is read without references, so it is written without them as far as it can be: the quote around it
/// is the one it does not hold.
fn write_namespace(out: &mut Vec<u8>, name: &str, namespace: &str) {
    let quote = if namespace.contains('\'') {
        b'"'
    } else {
        b'\''
    };
    if namespace
        .bytes()
        .any(|byte| byte == quote || byte < 0x20 || b"&<".contains(&byte))
    {
        return write_attr(out, name, namespace);
    }
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&[b'=', quote]);
    out.extend_from_slice(namespace.as_bytes());
    out.push(quote);
}
