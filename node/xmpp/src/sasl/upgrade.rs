//! Keys for another hash, computed by the client after it has logged in.
//!
//! Source: XEP-0480 §2 and §3. The elements around them are the session's.

use super::{Hash, SaslFailure, ScramKeys};

/// The task `UPGR-SCRAM-<hash>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Upgrade {
    /// The hash to get keys for.
    pub hash: Hash,
}

impl Upgrade {
    /// Tasks we offer: SHA-1 is nothing to upgrade to.
    pub const ALL: [Self; 2] = [Self { hash: Hash::Sha512 }, Self { hash: Hash::Sha256 }];

    /// The task's name.
    pub fn as_str(self) -> &'static str {
        match self.hash {
            Hash::Sha1 => "UPGR-SCRAM-SHA-1",
            Hash::Sha256 => "UPGR-SCRAM-SHA-256",
            Hash::Sha512 => "UPGR-SCRAM-SHA-512",
        }
    }

    /// From the task's name; `None` for what we do not offer.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|task| task.as_str() == name)
    }

    /// The keys from the SaltedPassword in `<hash/>`, for the salt and iterations that we sent in `<salt/>`.
    ///
    /// # Errors
    /// `malformed-request` if it has not the length of the hash.
    ///
    /// ```
    /// use xmpp::sasl::{Hash, ScramKeys, Upgrade, keys::salted_password};
    /// let task = Upgrade::parse("UPGR-SCRAM-SHA-256").expect("a task we offer");
    /// let salted = salted_password(Hash::Sha256, "pencil", b"A_SXCRXQ6sek8bf_Z", 4096);
    /// let keys = task.keys(&salted, b"A_SXCRXQ6sek8bf_Z", 4096).expect("32 bytes");
    /// assert!(keys.verify_password("pencil"));
    /// ```
    pub fn keys(
        self,
        salted: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramKeys, SaslFailure> {
        if salted.len() != self.hash.output_len() {
            return Err(SaslFailure::MalformedRequest);
        }
        Ok(ScramKeys::from_salted_password(
            self.hash, salted, salt, iterations,
        ))
    }
}
