//! What a client says to authenticate: PLAIN, SCRAM, hashed tokens.
//!
//! Source: RFC 4616, RFC 5802, RFC 7677, XEP-0484 §5. Written again for the tests, apart from the server's own, so
//! that a mistake in one shows itself. Stored: nothing.

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// The client's nonce. It is always the same: what protects the server is the server's own.
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SCRAM-SHA-1
    Sha1,
    /// SCRAM-SHA-256
    Sha256,
    /// SCRAM-SHA-512
    Sha512,
}

impl Hash {
    /// The hash that a mechanism names, if it is SCRAM without channel binding.
    #[must_use]
    pub fn of_mechanism(name: &str) -> Option<Self> {
        match name {
            "SCRAM-SHA-1" => Some(Self::Sha1),
            "SCRAM-SHA-256" => Some(Self::Sha256),
            "SCRAM-SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn parts(
        self,
    ) -> (
        pbkdf2::Algorithm,
        hmac::Algorithm,
        &'static digest::Algorithm,
    ) {
        match self {
            Self::Sha1 => (
                pbkdf2::PBKDF2_HMAC_SHA1,
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ),
            Self::Sha256 => (
                pbkdf2::PBKDF2_HMAC_SHA256,
                hmac::HMAC_SHA256,
                &digest::SHA256,
            ),
            Self::Sha512 => (
                pbkdf2::PBKDF2_HMAC_SHA512,
                hmac::HMAC_SHA512,
                &digest::SHA512,
            ),
        }
    }
}

/// Base64 of text.
#[must_use]
pub fn base64(text: &str) -> String {
    BASE64.encode(text)
}

/// Text out of Base64.
///
/// # Errors
/// If it is not Base64 of UTF-8.
pub fn unbase64(text: &str) -> Result<String> {
    Ok(String::from_utf8(
        BASE64
            .decode(text.trim())
            .with_context(|| format!("not Base64: {text:?}"))?,
    )?)
}

/// The message of PLAIN, in Base64.
#[must_use]
pub fn plain(user: &str, password: &str) -> String {
    base64(&format!("\0{user}\0{password}"))
}

/// The first message of SCRAM, in Base64.
#[must_use]
pub fn scram_first(user: &str) -> String {
    base64(&format!("n,,n={user},r={NONCE}"))
}

/// The answer to SCRAM's challenge, in Base64, and the signature with which the server proves itself.
///
/// # Errors
/// If the challenge is not one, or does not extend our nonce (RFC 5802 §5.1).
pub fn scram_final(
    hash: Hash,
    user: &str,
    password: &str,
    challenge: &str,
) -> Result<(String, String)> {
    let server_first = unbase64(challenge)?;
    let (mut nonce, mut salt, mut rounds) = ("", Vec::new(), 0);
    for part in server_first.split(',') {
        match part.split_at_checked(2) {
            Some(("r=", value)) => nonce = value,
            Some(("s=", value)) => salt = BASE64.decode(value)?,
            Some(("i=", value)) => rounds = value.parse()?,
            _ => {}
        }
    }
    ensure!(
        nonce.starts_with(NONCE) && nonce.len() > NONCE.len(),
        "the server did not extend the nonce"
    );
    let rounds =
        std::num::NonZeroU32::new(rounds).context("the challenge has no iteration count")?;
    let (kdf, mac, hash) = hash.parts();
    let mut salted = vec![0; hash.output_len()];
    pbkdf2::derive(kdf, rounds, &salt, password.as_bytes(), &mut salted);
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(mac, key), text);
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(hash, client_key.as_ref());
    let without_proof = format!("c=biws,r={nonce}");
    let auth_message = format!("n={user},r={NONCE},{server_first},{without_proof}");
    let signature = sign(stored_key.as_ref(), auth_message.as_bytes());
    let proof: Vec<u8> = client_key
        .as_ref()
        .iter()
        .zip(signature.as_ref())
        .map(|(a, b)| a ^ b)
        .collect();
    let server_key = sign(&salted, b"Server Key");
    let verifier = format!(
        "v={}",
        BASE64.encode(sign(server_key.as_ref(), auth_message.as_bytes()))
    );
    Ok((
        base64(&format!("{without_proof},p={}", BASE64.encode(proof))),
        verifier,
    ))
}

/// The initial response of HT-SHA-256-NONE, in Base64 (XEP-0484; no channel binding).
#[must_use]
pub fn hashed_token(user: &str, token: &str) -> String {
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes()),
        b"Initiator",
    );
    let mut message = user.as_bytes().to_vec();
    message.push(0);
    message.extend_from_slice(tag.as_ref());
    BASE64.encode(message)
}

/// SHA-1 in hexadecimal, as avatars are named (XEP-0153 §3.1).
#[must_use]
pub fn sha1_hex(data: &[u8]) -> String {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 5802 §5.
    #[test]
    fn scram_answers_as_the_rfc_shows() {
        assert_eq!(
            unbase64(&scram_first("user")).unwrap(),
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
        );
        let challenge =
            base64("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096");
        let (answer, verifier) = scram_final(Hash::Sha1, "user", "pencil", &challenge).unwrap();
        assert_eq!(
            unbase64(&answer).unwrap(),
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert_eq!(verifier, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    #[test]
    fn scram_refuses_a_foreign_nonce() {
        for challenge in [
            "r=other,s=QSXCR+Q6sek8bf92,i=4096",
            "r=fyko+d2lbbFgONRv9qkxdawL,s=QSXCR+Q6sek8bf92,i=4096",
        ] {
            assert!(
                scram_final(Hash::Sha1, "user", "pencil", &base64(challenge)).is_err(),
                "{challenge}"
            );
        }
    }
}
