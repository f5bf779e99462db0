//! What can go wrong with a store. Absence is never among it: that is `None`.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::shape::table::Record;

/// Result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kinds that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A condition was not met: somebody else was first. Reload and decide again.
    Conflict,
    /// The store asks for less; retry later.
    Throttled,
    /// The store does not answer, or the answer was lost: the write may or may not have happened.
    Unavailable,
    /// What is stored cannot be understood.
    Corrupt,
    /// This backend does not do that (a read-only one, say), or not for whom it is asked (an account that does not
    /// exist): `not-allowed`.
    NotAllowed,
    /// The value is larger than the backend can hold.
    TooLarge,
}

/// A storage error: a kind to match on, a source to read.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    conflict: Option<Box<ConflictAt>>,
}

/// Which operation of a batch was refused, and what stood in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictAt {
    /// Index of the operation in the batch.
    pub index: usize,
    /// The record found at its key; `None` if a record was expected and none is there.
    pub current: Option<Record>,
}

impl Error {
    /// An error of this kind, with what was being done.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
            conflict: None,
        }
    }
    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
    /// A refused condition.
    pub fn conflict(index: usize, current: Option<Record>) -> Self {
        Self {
            conflict: Some(Box::new(ConflictAt { index, current })),
            ..Self::new(ErrorKind::Conflict, "condition not met")
        }
    }
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
    /// For a conflict: where, and what stood in the way.
    pub fn conflict_at(&self) -> Option<&ConflictAt> {
        self.conflict.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|s| s.as_ref() as &(dyn StdError + 'static))
    }
}

/// What a sender is told: an outage is never "not found", and says that trying again later may help.
impl From<Error> for xmpp::StanzaError {
    fn from(error: Error) -> Self {
        use xmpp::StanzaErrorCondition as C;
        let (condition, error_type) = match error.kind {
            ErrorKind::Conflict | ErrorKind::Throttled | ErrorKind::Unavailable => {
                (C::ResourceConstraint, xmpp::ErrorType::Wait)
            }
            ErrorKind::Corrupt => (C::InternalServerError, xmpp::ErrorType::Wait),
            ErrorKind::NotAllowed => (C::NotAllowed, xmpp::ErrorType::Cancel),
            ErrorKind::TooLarge => (C::PolicyViolation, xmpp::ErrorType::Modify),
        };
        Self::from(condition).with_type(error_type)
    }
}
