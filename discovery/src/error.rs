//! What can go wrong with a source, and how the kinds differ for who asks.

use std::{error::Error as StdError, fmt, sync::Arc};

/// Result of asking a source.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kinds that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It answered that what was asked for does not exist: a name without records. Not an outage.
    Absent,
    /// It refused: credentials, permissions, a service that is switched off. Asking again will not help by itself.
    Denied,
    /// It asks for fewer requests.
    Throttled,
    /// It did not answer, or failed.
    Unavailable,
    /// It answered what cannot be understood, or refused a request as wrong.
    Malformed,
}

impl ErrorKind {
    /// All kinds, as labels of metrics.
    pub const ALL: [Self; 5] = [
        Self::Absent,
        Self::Denied,
        Self::Throttled,
        Self::Unavailable,
        Self::Malformed,
    ];

    /// Its label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Malformed => "malformed",
        }
    }
}

/// An error of a source: a kind to match on, a source to read.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    asked: &'static str,
    sentence: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of the source called `asked` ([`Discovery::name`](crate::Discovery::name)).
    pub fn new(kind: ErrorKind, asked: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            asked,
            sentence: sentence.into(),
            source: None,
        }
    }
    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
    /// Which source gave it.
    pub fn asked(&self) -> &'static str {
        self.asked
    }
    /// The error and its causes in one line, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = StdError::source(self);
        while let Some(error) = source {
            let next = error.to_string();
            if !text.ends_with(&next) {
                text = format!("{text}: {next}");
            }
            source = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.sentence)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_ref();
        source.map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}
