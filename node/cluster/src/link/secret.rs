//! The secret of a cluster, and the proof that a peer knows it.
//!
//! Proof: HMAC-SHA-256 under the secret over keying material that TLS exports (RFC 8446 §7.5), so it is worth nothing on
//! another connection, and who sits between two connections cannot pass it on. The role is the exporter's context: what one
//! side says is never what the other must say, so nothing can be reflected.
//! A dialler is heard before the listener says anything, so that a scan gets no material to guess on. Who takes the place of
//! a listener does, and may try guesses at home: secrets must be random, and short ones are refused.

use std::fmt;

use aws_lc_rs::hmac;

/// Secrets that are valid at once, while one is replaced by the next.
pub const MAX_SECRETS: usize = 4;
/// What a proof has of bytes.
pub(super) const PROOF: usize = 32;
/// What TLS exports for it.
pub(super) const MATERIAL: usize = 32;
const SHORTEST: usize = 16;

/// A secret; nothing of it can be printed.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// A secret that is too short to be random: 16 bytes are the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster secret has at least {SHORTEST} bytes, and they are random")]
pub struct TooShort;

impl Secret {
    /// The secret of these bytes.
    ///
    /// # Errors
    /// Fewer than 16.
    pub fn new(bytes: &[u8]) -> Result<Self, TooShort> {
        if bytes.len() < SHORTEST {
            return Err(TooShort);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }
    /// That its owner knows the secret, on the connection of this keying material.
    pub(super) fn proof(&self, material: &[u8; MATERIAL]) -> [u8; PROOF] {
        let tag = hmac::sign(&self.0, material);
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
    /// Whether this is such a proof; compared in constant time.
    pub(super) fn proves(&self, material: &[u8; MATERIAL], proof: &[u8]) -> bool {
        hmac::verify(&self.0, material, proof).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_does_not_print() {
        assert_eq!(Secret::new(b"fifteen bytes..").unwrap_err(), TooShort);
        let secret = Secret::new(b"sixteen bytes...").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn a_proof_is_good_for_its_secret_and_its_material_only() {
        let (one, two) = (
            Secret::new(b"one one one one one").unwrap(),
            Secret::new(b"two two two two two").unwrap(),
        );
        let proof = one.proof(&[1; MATERIAL]);
        assert!(one.proves(&[1; MATERIAL], &proof));
        assert!(!one.proves(&[2; MATERIAL], &proof));
        assert!(!two.proves(&[1; MATERIAL], &proof));
        assert!(!one.proves(&[1; MATERIAL], &proof[..31]));
    }
}
