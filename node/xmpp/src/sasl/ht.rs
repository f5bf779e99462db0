//! Hashed tokens: the one round trip of FAST.
//!
//! Source: draft-schmaus-kitten-sasl-ht §3, XEP-0484. Left out: the authenticated key/value pairs of later drafts.
//! Why pure: which tokens are alive, for which agent and mechanism, and their counters are the caller's.

use aws_lc_rs::hmac;

use super::{Hash, SaslFailure, equal};

/// Most bytes of a message.
const MAX_MESSAGE: usize = 4096;

/// The client's only message: `authcid NUL HMAC(token, "Initiator" || cb-data)`.
///
/// ```
/// use xmpp::sasl::{Hash, HtInitiator, ht::initiator};
/// let message = initiator(Hash::Sha256, "juliet", b"token", b"");
/// let parsed = HtInitiator::parse(&message).expect("a well-formed message");
/// assert_eq!(parsed.username, "juliet");
/// assert!(parsed.verify(Hash::Sha256, b"token", b""));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HtInitiator<'a> {
    /// Who the client is.
    pub username: &'a str,
    hashed: &'a [u8],
}

impl<'a> HtInitiator<'a> {
    /// Splits the message at its first NUL.
    ///
    /// # Errors
    /// `malformed-request` if there is none, the name is empty or not UTF-8, or nothing follows.
    pub fn parse(message: &'a [u8]) -> Result<Self, SaslFailure> {
        let split = message
            .iter()
            .position(|byte| *byte == 0)
            .filter(|_| message.len() <= MAX_MESSAGE);
        let (name, hashed) = message.split_at(split.ok_or(SaslFailure::MalformedRequest)?);
        let username = std::str::from_utf8(name).map_err(|_| SaslFailure::MalformedRequest)?;
        let hashed = &hashed[1..];
        if username.is_empty() || hashed.is_empty() {
            return Err(SaslFailure::MalformedRequest);
        }
        Ok(Self { username, hashed })
    }

    /// Whether the client holds this token on this channel. `binding` is [`super::HtBinding::data`].
    pub fn verify(&self, hash: Hash, token: &[u8], binding: &[u8]) -> bool {
        equal(
            signature(hash, token, b"Initiator", binding).as_ref(),
            self.hashed,
        )
    }
}

/// The client's message.
pub fn initiator(hash: Hash, username: &str, token: &[u8], binding: &[u8]) -> Vec<u8> {
    let mut message = username.as_bytes().to_vec();
    message.push(0);
    message.extend_from_slice(signature(hash, token, b"Initiator", binding).as_ref());
    message
}

/// The server's answer on success: `HMAC(token, "Responder" || cb-data)`.
pub fn responder(hash: Hash, token: &[u8], binding: &[u8]) -> Vec<u8> {
    signature(hash, token, b"Responder", binding)
        .as_ref()
        .to_vec()
}

/// Whether the server holds the token too: the client's check of the answer.
pub fn verify_responder(hash: Hash, token: &[u8], binding: &[u8], answer: &[u8]) -> bool {
    equal(
        signature(hash, token, b"Responder", binding).as_ref(),
        answer,
    )
}

fn signature(hash: Hash, token: &[u8], role: &[u8], binding: &[u8]) -> hmac::Tag {
    hash.hmac(token, &[role, binding].concat())
}
