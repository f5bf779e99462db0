//! XML as the tests read it: small trees, and a reader of streams.
//!
//! Source: RFC 6120 §4 and §11. Why not the server's own parser: a test that reads with the code under test shares its
//! mistakes. `rxml` is strict about namespaces and about what RFC 6120 §11.1 forbids, so a server that writes bad XML
//! is found here. Stored: nothing.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use anyhow::{Context as _, Result, bail};
use rxml::error::EndOrError;
use rxml::{Event, Parse, Parser};

/// The namespace of `test:` elements in patterns.
pub const TEST_NS: &str = "urn:starling:test";
/// The namespace of `stream:` elements.
pub const STREAM_NS: &str = "http://etherx.jabber.org/streams";

/// An element with its namespaces resolved. Attributes with a namespace are named `{namespace}name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Namespace.
    pub ns: String,
    /// Local name.
    pub name: String,
    /// Attributes by name.
    pub attrs: BTreeMap<String, String>,
    /// Children in order.
    pub children: Vec<Node>,
}

/// A child of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Tree),
    /// Character data.
    Text(String),
}

impl Tree {
    /// Parses a run of elements; `jabber:client` is the default namespace, `stream:` and `test:` are declared.
    ///
    /// # Errors
    /// Says what is wrong with the XML.
    pub fn parse_all(text: &str) -> Result<Vec<Self>> {
        let document = format!(
            "<root xmlns='jabber:client' xmlns:stream='{STREAM_NS}' xmlns:test='{TEST_NS}'>{text}</root>"
        );
        let mut reader = StreamReader::default();
        reader.push(document.as_bytes());
        let mut found = Vec::new();
        loop {
            match reader
                .next()
                .with_context(|| format!("in the XML {text}"))?
            {
                Some(Incoming::Header(_)) => {}
                Some(Incoming::Element(tree)) => found.push(tree),
                Some(Incoming::Footer) => return Ok(found),
                None => bail!("the XML ends too early: {text}"),
            }
        }
    }

    /// Whether name and namespace are these.
    #[must_use]
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// An attribute without a namespace.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.get(name).map(String::as_str)
    }

    /// Child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(tree) => Some(tree),
            Node::Text(_) => None,
        })
    }

    /// The first child element of that name and namespace.
    #[must_use]
    pub fn child(&self, name: &str, ns: &str) -> Option<&Self> {
        self.elements().find(|child| child.is(name, ns))
    }

    /// The first child element of that name, of whatever namespace.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Self> {
        self.elements().find(|child| child.name == name)
    }

    /// The element's own character data.
    #[must_use]
    pub fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|child| match child {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    fn write(&self, out: &mut fmt::Formatter<'_>, parent_ns: &str) -> fmt::Result {
        write!(out, "<{}", self.name)?;
        if self.ns != parent_ns {
            write!(out, " xmlns='{}'", escaped(&self.ns))?;
        }
        for (name, value) in &self.attrs {
            let name = name.replace("{http://www.w3.org/XML/1998/namespace}", "xml:");
            write!(out, " {name}='{}'", escaped(value))?;
        }
        if self.children.is_empty() {
            return out.write_str("/>");
        }
        out.write_str(">")?;
        for child in &self.children {
            match child {
                Node::Element(tree) => tree.write(out, &self.ns)?,
                Node::Text(text) => out.write_str(&escaped(text))?,
            }
        }
        write!(out, "</{}>", self.name)
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(out, "jabber:client")
    }
}

/// Text with XML's five special characters escaped.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && !c.is_whitespace() => {
                // Infallible: writing to a String.
                let _ = write!(out, "&#x{:x};", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// What a stream brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// `<stream:stream ...>`, as an element without children.
    Header(Tree),
    /// A first-level child.
    Element(Tree),
    /// `</stream:stream>`
    Footer,
}

/// Bytes in, events of the stream out. One reader lives from a header to its footer.
#[derive(Default)]
pub struct StreamReader {
    parser: Parser,
    pending: Vec<u8>,
    open: Vec<Tree>,
    started: bool,
}

impl StreamReader {
    /// Adds bytes from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next complete event, if there is one.
    ///
    /// # Errors
    /// If what came is not XML as XMPP permits it.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator ends for good, this one may go on after more bytes"
    )]
    pub fn next(&mut self) -> Result<Option<Incoming>> {
        loop {
            let mut rest = self.pending.as_slice();
            let outcome = self.parser.parse(&mut rest, false);
            let used = self.pending.len() - rest.len();
            self.pending.drain(..used);
            let event = match outcome {
                Ok(Some(event)) => event,
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(None),
                Err(EndOrError::Error(error)) => bail!("bad XML: {error}"),
            };
            if let Some(incoming) = self.apply(event)? {
                return Ok(Some(incoming));
            }
        }
    }

    fn apply(&mut self, event: Event) -> Result<Option<Incoming>> {
        match event {
            Event::XmlDeclaration(..) => Ok(None),
            Event::StartElement(_, (ns, name), attrs) => {
                let mut tree = Tree {
                    ns: ns.to_string(),
                    name: name.to_string(),
                    ..Tree::default()
                };
                for ((ns, name), value) in attrs {
                    let ns = ns.to_string();
                    let key = if ns.is_empty() {
                        name.to_string()
                    } else {
                        format!("{{{ns}}}{name}")
                    };
                    tree.attrs.insert(key, value);
                }
                if !self.started {
                    self.started = true;
                    return Ok(Some(Incoming::Header(tree)));
                }
                self.open.push(tree);
                Ok(None)
            }
            Event::EndElement(_) => {
                let Some(tree) = self.open.pop() else {
                    return Ok(Some(Incoming::Footer));
                };
                match self.open.last_mut() {
                    Some(parent) => {
                        parent.children.push(Node::Element(tree));
                        Ok(None)
                    }
                    None => Ok(Some(Incoming::Element(tree))),
                }
            }
            Event::Text(_, text) => {
                match self.open.last_mut() {
                    Some(parent) => match parent.children.last_mut() {
                        Some(Node::Text(before)) => before.push_str(&text),
                        _ => parent.children.push(Node::Text(text)),
                    },
                    None if text.trim().is_empty() => {}
                    None => bail!("text between stanzas: {text:?}"),
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_read_in_pieces() {
        let mut reader = StreamReader::default();
        let text = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                    xmlns:stream='http://etherx.jabber.org/streams' id='1'> <a x='&lt;'>t<b/></a></stream:stream>";
        let mut seen = Vec::new();
        for byte in text.as_bytes() {
            reader.push(&[*byte]);
            while let Some(event) = reader.next().unwrap() {
                seen.push(event);
            }
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(matches!(&seen[0], Incoming::Header(header) if header.attr("id") == Some("1")));
        assert!(
            matches!(&seen[1], Incoming::Element(a) if a.to_string() == "<a x='&lt;'>t<b/></a>")
        );
        assert_eq!(seen[2], Incoming::Footer);
    }

    #[test]
    fn bad_xml_is_an_error() {
        for text in [
            "<a>",
            "<a></b>",
            "<a b=c/>",
            "<x:a/>",
            "<!-- c --><a/>",
            "&foo;",
        ] {
            assert!(Tree::parse_all(text).is_err(), "{text}");
        }
    }
}
