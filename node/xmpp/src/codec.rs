//! Bytes to stream events, sans-I/O, with limits (RFC 6120 §4, §11).

use crate::Fragment;

/// What an attacker may make us hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one first-level element or stream header.
    pub stanza_bytes: usize,
    /// Depth of elements, the first-level child being 1.
    pub depth: usize,
    /// Attributes of one element.
    pub attributes: usize,
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

/// The incremental decoder of one direction of a stream. Holds memory only while an element is incomplete.
pub struct Decoder {
    limits: Limits,
}

impl Decoder {
    /// At the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }
    /// Changes the limits (after authentication).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
    /// Forgets the stream: the peer sends a new header next (after STARTTLS or SASL). Drops buffered bytes.
    pub fn restart(&mut self) {
        todo!()
    }
    /// Takes bytes off the front of `input` up to the end of the next event. `None`: more is needed, `input` is empty
    /// and what was incomplete is kept. White space between elements is consumed silently.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<StreamEvent>, ParseError> {
        let _ = input;
        todo!()
    }
    /// Bytes held for an incomplete element.
    pub fn buffered(&self) -> usize {
        0
    }
}
