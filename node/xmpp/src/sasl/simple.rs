//! Mechanisms of one message: PLAIN, EXTERNAL, ANONYMOUS.
//!
//! Source: RFC 4616, RFC 4422 appendix A, RFC 4505. Whether an authorization identity may be assumed is decided by
//! the caller, who knows the accounts.

use std::fmt;

use super::SaslFailure;

/// Most bytes of a message or of a field; the XML layer's limit is far above what any identity needs.
const MAX_MESSAGE: usize = 4096;

/// What a PLAIN client said (RFC 4616 §2). `Debug` hides the password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plain<'a> {
    /// Whom to act as, if not oneself.
    pub authzid: Option<&'a str>,
    /// Who one is.
    pub authcid: &'a str,
    /// The password, not prepared.
    pub password: &'a str,
}

impl<'a> Plain<'a> {
    /// Parses `[authzid] NUL authcid NUL password`.
    ///
    /// # Errors
    /// `malformed-request` if a NUL is missing or one too many, authcid or password is empty, or it is not UTF-8.
    ///
    /// ```
    /// let plain = xmpp::sasl::Plain::parse(b"\0juliet\0s3cr3t").expect("a well-formed message");
    /// assert_eq!((plain.authzid, plain.authcid, plain.password), (None, "juliet", "s3cr3t"));
    /// ```
    pub fn parse(message: &'a [u8]) -> Result<Self, SaslFailure> {
        let mut fields = text(message)?.split('\0');
        let mut field = || fields.next().ok_or(SaslFailure::MalformedRequest);
        let (authzid, authcid, password) = (field()?, field()?, field()?);
        if fields.next().is_some() || authcid.is_empty() || password.is_empty() {
            return Err(SaslFailure::MalformedRequest);
        }
        Ok(Self {
            authzid: some(authzid),
            authcid,
            password,
        })
    }
}

impl fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain")
            .field("authzid", &self.authzid)
            .field("authcid", &self.authcid)
            .finish_non_exhaustive()
    }
}

/// The authorization identity of EXTERNAL; `None`: the one of the certificate.
///
/// # Errors
/// `malformed-request` if it is not UTF-8 or has a NUL.
pub fn parse_external(message: &[u8]) -> Result<Option<&str>, SaslFailure> {
    identity(message)
}

/// The trace information of ANONYMOUS, which nobody has to believe.
///
/// # Errors
/// `malformed-request` if it is not UTF-8, has a NUL, or is longer than 255 characters (RFC 4505 §2).
pub fn parse_anonymous(message: &[u8]) -> Result<Option<&str>, SaslFailure> {
    let trace = identity(message)?;
    match trace {
        Some(trace) if trace.chars().count() > 255 => Err(SaslFailure::MalformedRequest),
        _ => Ok(trace),
    }
}

fn identity(message: &[u8]) -> Result<Option<&str>, SaslFailure> {
    let text = text(message)?;
    if text.contains('\0') {
        Err(SaslFailure::MalformedRequest)
    } else {
        Ok(some(text))
    }
}

fn text(message: &[u8]) -> Result<&str, SaslFailure> {
    if message.len() > MAX_MESSAGE {
        return Err(SaslFailure::MalformedRequest);
    }
    std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
