//! Passwords: which may be set.

use xmpp::{StanzaError, StanzaErrorCondition as Condition, sasl};

/// Whether a password may be stored.
///
/// # Errors
/// `not-acceptable` if it is empty (XEP-0077 §3.1), too long, or one that not every client could use.
pub fn check_password(password: &str) -> Result<(), StanzaError> {
    sasl::check_password(password)
        .map_err(|error| StanzaError::new(Condition::NotAcceptable, error.to_string()))
}
