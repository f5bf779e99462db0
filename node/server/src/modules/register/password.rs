//! Passwords: which may be set.

use xmpp::{StanzaError, StanzaErrorCondition as Condition};

/// Longest password; a longer one would only be work for us.
pub const MAX_PASSWORD: usize = 1_023;

/// Whether a password may be stored.
///
/// # Errors
/// `not-acceptable` if it is empty (XEP-0077 §3.1) or too long.
pub fn check_password(password: &str) -> Result<(), StanzaError> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(StanzaError::new(
            Condition::NotAcceptable,
            "a password has 1 to 1023 bytes",
        ));
    }
    Ok(())
}
