//! Fragment: one complete first-level child of a stream, its bytes and an index over them.
//!
//! Parsed once: well-formedness, namespaces, characters, references, limits are checked when it is made, so that its
//! bytes can be forwarded as they are.
//!
//! Source: XML 1.0 (fifth edition), Namespaces in XML 1.0, RFC 6120 §11. Left out: DTDs and what needs them.
//! Why here: a stanza is parsed once on its way through the server and its bytes are written again verbatim; an owned
//! tree ([`Element`]) is built only where a handler asks. Costs one allocation for the bytes and one for the index.

pub(crate) mod chars;
pub(crate) mod namespaces;
mod node;
pub(crate) mod parser;
mod tag;
pub(crate) mod tape;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::{fmt, sync::Arc};

use bytes::Bytes;

pub use node::Node;

use self::{
    chars::is_space,
    node::View,
    parser::{Parser, Progress},
    tape::Slot,
};
use crate::{
    Element,
    codec::{Limits, ParseError},
};

/// A parsed element with its bytes.
///
/// ```
/// use xmpp::{Fragment, ns};
/// let fragment = Fragment::parse("<message to='a@b'><body>1 &lt; 2</body></message>".into(), ns::CLIENT)?;
/// let body = fragment.root().child("body", ns::CLIENT).expect("there is one");
/// assert_eq!(body.text(), "1 < 2");
/// assert_eq!(body.raw(), b"<body>1 &lt; 2</body>");
/// # Ok::<(), xmpp::codec::ParseError>(())
/// ```
#[derive(Clone)]
pub struct Fragment {
    raw: Bytes,
    tape: Arc<[Slot]>,
    default_ns: &'static str,
}

impl Fragment {
    /// Parses one complete element; `default_ns` is the default namespace in scope (that of the stream). White space
    /// around it is dropped. Meant for what we wrote ourselves: only depth is bounded (see [`Limits::TRUSTED`]).
    ///
    /// # Errors
    /// Whatever makes the bytes no element that a stream may carry; [`ParseError::NotWellFormed`] if they end early.
    pub fn parse(raw: Bytes, default_ns: &'static str) -> Result<Self, ParseError> {
        Self::parse_within(raw, default_ns, &Limits::TRUSTED)
    }

    /// Parses one complete element from a peer, as a WebSocket frame holds it (RFC 7395 §3.3).
    ///
    /// # Errors
    /// As [`Fragment::parse`], and [`ParseError::TooBig`] beyond the limits.
    pub fn parse_within(
        raw: Bytes,
        default_ns: &'static str,
        limits: &Limits,
    ) -> Result<Self, ParseError> {
        let (parser, raw) =
            parse_whole(&raw, limits).map(|(parser, range)| (parser, raw.slice(range)))?;
        Ok(Self::assemble(raw, parser.slots(), default_ns))
    }

    /// From bytes and the tape that belongs to them.
    pub(crate) fn assemble(raw: Bytes, slots: &[Slot], default_ns: &'static str) -> Self {
        Self {
            raw,
            tape: Arc::from(slots),
            default_ns,
        }
    }

    pub(crate) fn tape(&self) -> &[Slot] {
        &self.tape
    }

    pub(crate) fn default_ns(&self) -> &'static str {
        self.default_ns
    }

    /// The same bytes with another namespace around them.
    pub(crate) fn with_default_ns(self, default_ns: &'static str) -> Self {
        Self { default_ns, ..self }
    }

    /// The bytes, complete in themselves: valid inside any stream with the same default namespace.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The element itself.
    pub fn root(&self) -> Node<'_> {
        Node::root(View {
            raw: &self.raw,
            slots: &self.tape,
            default_ns: self.default_ns,
        })
    }

    /// An owned tree.
    pub fn to_element(&self) -> Element {
        self.root().to_element()
    }
}

impl fmt::Debug for Fragment {
    /// Name and size only: what people write does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root();
        write!(
            f,
            "Fragment({{{}}}{}, {} bytes)",
            root.ns(),
            root.name(),
            self.raw.len()
        )
    }
}

/// Parses exactly one element; the range is where it stands between the white space.
fn parse_whole(
    raw: &[u8],
    limits: &Limits,
) -> Result<(Parser, std::ops::Range<usize>), ParseError> {
    let start = raw
        .iter()
        .position(|&byte| !is_space(byte))
        .unwrap_or(raw.len());
    let end = raw
        .iter()
        .rposition(|&byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    let bytes = &raw[start..end];
    if bytes.len() > limits.element_bytes() {
        return Err(ParseError::TooBig);
    }
    if bytes.first() != Some(&b'<') {
        return Err(ParseError::NotWellFormed);
    }
    let mut parser = Parser::default();
    match parser.advance(bytes, limits, &[])? {
        Progress::Element(length) if length == bytes.len() => Ok((parser, start..end)),
        _ => Err(ParseError::NotWellFormed),
    }
}

/// Parses one element into an owned tree; `default_ns` need not be static.
pub(crate) fn parse_element(bytes: &[u8], default_ns: &str) -> Result<Element, ParseError> {
    let (parser, range) = parse_whole(bytes, &Limits::TRUSTED)?;
    Ok(Node::root(View {
        raw: &bytes[range],
        slots: parser.slots(),
        default_ns,
    })
    .to_element())
}
