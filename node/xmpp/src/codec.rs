//! Bytes to stream events, sans-I/O, with limits (RFC 6120 §4, §11).
//!
//! What has come completely is parsed where it lies and copied once; only an element that is cut off is kept, with the
//! state of its parser, until its end has come. An idle stream holds nothing.
//!
//! Left out: what streams may not use (DTDs, comments, processing instructions). Wider than XML in one point: white
//! space may precede the XML declaration, because it may be the tail of the stream before a restart.

mod decoder;
mod header;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;

use crate::Fragment;

/// What an attacker may make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one first-level element or stream header.
    pub stanza_bytes: usize,
    /// Depth of elements, the first-level child being 1.
    pub depth: usize,
    /// Attributes of one element.
    pub attributes: usize,
}

impl Limits {
    /// For bytes that we wrote ourselves: what keeps offsets in 32 bits and recursion off the end of the stack.
    pub const TRUSTED: Self = Self {
        stanza_bytes: u32::MAX as usize,
        depth: 256,
        attributes: 1024,
    };

    /// The bytes of an element, such that every offset fits the tape.
    pub(crate) fn element_bytes(&self) -> usize {
        self.stanza_bytes.min(u32::MAX as usize)
    }
}

impl Default for Limits {
    /// 256 KiB, 32 levels, 64 attributes.
    fn default() -> Self {
        Self {
            stanza_bytes: 256 * 1024,
            depth: 32,
            attributes: 64,
        }
    }
}

/// The attributes of a stream header that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// `to`, as written.
    pub to: Option<String>,
    /// `from`, as written.
    pub from: Option<String>,
    /// `id`.
    pub id: Option<String>,
    /// `version`.
    pub version: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
    /// The default namespace: `jabber:client`, `jabber:server`, or what else was written.
    pub content_ns: String,
}

/// What came in.
#[derive(Debug)]
pub enum StreamEvent {
    /// `<stream:stream ...>`
    Open(StreamHeader),
    /// A complete first-level child.
    Element(Fragment),
    /// `</stream:stream>`
    Close,
}

/// Why a stream is at its end (RFC 6120 §4.9.3 names the condition for each).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// `not-well-formed`
    #[error("not well-formed XML")]
    NotWellFormed,
    /// `restricted-xml`: comment, processing instruction, DTD, entity other than XML's five.
    #[error("XML that streams may not use")]
    Restricted,
    /// `policy-violation`: larger, deeper or wider than the limits.
    #[error("element exceeds the limits")]
    TooBig,
    /// `invalid-namespace`: of the stream.
    #[error("wrong stream namespace")]
    InvalidNamespace,
    /// `bad-namespace-prefix`
    #[error("undeclared or wrong namespace prefix")]
    BadNamespacePrefix,
    /// `unsupported-encoding`
    #[error("encoding other than UTF-8")]
    UnsupportedEncoding,
    /// `invalid-xml` / `bad-format`: text where no text may be, a wrong root element.
    #[error("XML that is no stream")]
    BadFormat,
}
