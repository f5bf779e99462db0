//! Which passwords an account may have.
//!
//! Source: RFC 5802 §2.2 has a client prepare a password by SASLprep (RFC 4013) before it hashes it; newer clients
//! prepare it as OpaqueString (RFC 8265 §4.2), which is what our keys rest on; many take it as it is.
//! Why here: keys tell nothing of the password they were made from. Where one is set, and only there, can be refused
//! what some clients could never log in with.

use crate::jid::profile;

/// Longest password in bytes; a longer one would only be work for the server.
pub const MAX_PASSWORD: usize = 1_023;

/// Why a password may not be set. The texts are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is empty or too long.
    #[error("a password has 1 to {MAX_PASSWORD} bytes")]
    Length,
    /// SASLprep and OpaqueString make different strings of it, or one of them refuses it.
    #[error(
        "the password has characters that not every client treats alike, such as full-width letters, invisible \
         characters or emoji: choose another"
    )]
    Ambiguous,
}

/// Whether a password may be set: every client can use it, whichever way it prepares passwords.
///
/// ```
/// use xmpp::sasl::{PasswordError, check_password};
/// assert_eq!(check_password("correct horse"), Ok(()));
/// assert_eq!(check_password("ｆｕｌｌ"), Err(PasswordError::Ambiguous));
/// ```
///
/// # Errors
/// Why not.
pub fn check_password(password: &str) -> Result<(), PasswordError> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(PasswordError::Length);
    }
    let opaque = profile::opaque_string(password);
    // "Stored strings", as RFC 5802 §2.2 wants it: what Unicode 3.2 did not know is refused.
    let prepared = stringprep::saslprep(password).ok();
    match (opaque, prepared) {
        (Some(opaque), Some(prepared)) if opaque == prepared => Ok(()),
        _ => Err(PasswordError::Ambiguous),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_that_every_client_prepares_alike() {
        let check = |password: &str, expected: Result<(), PasswordError>| {
            assert_eq!(check_password(password), expected, "{password:?}");
        };
        let ambiguous = Err(PasswordError::Ambiguous);
        check("pencil", Ok(()));
        check(" with spaces, \"quotes\" & <more> ", Ok(()));
        check("Pässwörd", Ok(()));
        check("Pa\u{308}ssword", Ok(()));
        check("пароль", Ok(()));
        check("密码", Ok(()));
        check("كلمة", Ok(()));
        check("no\u{A0}break", Ok(()));
        check(&"x".repeat(MAX_PASSWORD), Ok(()));
        check("", Err(PasswordError::Length));
        check(&"x".repeat(MAX_PASSWORD + 1), Err(PasswordError::Length));
        // Mapped to nothing, compatibility forms: SASLprep makes others of them (the examples of RFC 4013 §3).
        check("IX\u{AD}x", ambiguous);
        check("\u{2168}", ambiguous);
        check("\u{AA}", ambiguous);
        check("ｆｕｌｌ", ambiguous);
        check("a\u{200D}b", ambiguous);
        // Refused by one or both.
        check("line\nline", ambiguous);
        check("\u{7}", ambiguous);
        check("a\u{627}", ambiguous);
        check("\u{627}\u{31}", ambiguous);
        check("horse 🐴", ambiguous);
    }
}
