//! What is stored of a password: the keys of SCRAM.
//!
//! Source: RFC 5802 §3 and §2.2, RFC 7677; RFC 8265 §4.2 for the preparation of passwords.
//! Why these alone: whoever reads them cannot log in with SCRAM, and PLAIN is verified against them too, so no store
//! ever keeps a password.

use std::{borrow::Cow, fmt, num::NonZeroU32};

use aws_lc_rs::pbkdf2;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

use super::{Hash, equal};
use crate::jid::profile;

/// Bytes of salt we make.
pub const SALT_LEN: usize = 16;
/// Fewest iterations worth storing (RFC 5802 §5.1, RFC 7677 §4).
pub const MIN_ITERATIONS: u32 = 4096;

/// The keys of one account for one hash. `Debug` hides them; they are wiped when dropped.
///
/// ```
/// use xmpp::sasl::{Hash, ScramKeys};
/// let keys = ScramKeys::derive(Hash::Sha256, "pencil", b"sixteen bytes ..", 4096);
/// assert!(keys.verify_password("pencil"));
/// assert!(!keys.verify_password("Pencil"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// The hash function.
    pub hash: Hash,
    /// Iterations of PBKDF2.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// `H(HMAC(SaltedPassword, "Client Key"))`.
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: Vec<u8>,
}

impl ScramKeys {
    /// The keys for a password. It is prepared as OpaqueString; what OpaqueString refuses is taken as it is, since a
    /// client that can send it can also hash it. Cost: `iterations` HMACs, milliseconds; not for the runtime's threads.
    pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Self {
        Self::from_salted_password(
            hash,
            &salted_password(hash, password, salt, iterations),
            salt,
            iterations,
        )
    }

    /// The keys from a SaltedPassword that the client computed (XEP-0480 §3).
    pub fn from_salted_password(hash: Hash, salted: &[u8], salt: &[u8], iterations: u32) -> Self {
        let client_key = hash.hmac(salted, b"Client Key");
        Self {
            hash,
            iterations,
            salt: salt.to_vec(),
            stored_key: hash.digest(client_key.as_ref()).as_ref().to_vec(),
            server_key: hash.hmac(salted, b"Server Key").as_ref().to_vec(),
        }
    }

    /// Keys for an account that does not exist: always the same for the same name, never matched by any password.
    ///
    /// `secret` is the cluster's, so that every node answers alike; `username` must be in normal form and `iterations`
    /// what new accounts get, lest the answer differ from an existing account's. PLAIN takes it too, for the time.
    pub fn decoy(secret: &[u8], username: &str, hash: Hash, iterations: u32) -> Self {
        let derive = |purpose: &str| {
            let input = [
                purpose.as_bytes(),
                hash.as_str().as_bytes(),
                username.as_bytes(),
            ]
            .join(&0);
            Hash::Sha512.hmac(secret, &input)
        };
        let key = |purpose| derive(purpose).as_ref()[..hash.output_len()].to_vec();
        Self {
            hash,
            iterations,
            salt: derive("salt").as_ref()[..SALT_LEN].to_vec(),
            stored_key: key("stored key"),
            server_key: key("server key"),
        }
    }

    /// Whether this is the password, for PLAIN. Constant time as to the keys.
    ///
    /// A password outside ASCII is also tried as SASLprep (RFC 4013) would prepare it: keys that another server made
    /// may rest on that form.
    pub fn verify_password(&self, password: &str) -> bool {
        let prepared = prepare(password);
        if self.matches(&prepared) {
            return true;
        }
        let old = (!password.is_ascii()).then(|| Zeroizing::new(saslprep(password)));
        old.is_some_and(|old| *old != *prepared && self.matches(&old))
    }

    fn matches(&self, prepared: &str) -> bool {
        let salted = stretch(self.hash, prepared, &self.salt, self.iterations);
        let keys = Self::from_salted_password(self.hash, &salted, &self.salt, self.iterations);
        equal(&keys.stored_key, &self.stored_key)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl Drop for ScramKeys {
    fn drop(&mut self) {
        self.stored_key.zeroize();
        self.server_key.zeroize();
    }
}

/// `SaltedPassword := Hi(Normalize(password), salt, i)` (RFC 5802 §3).
pub fn salted_password(
    hash: Hash,
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Zeroizing<Vec<u8>> {
    stretch(hash, &prepare(password), salt, iterations)
}

fn stretch(hash: Hash, prepared: &str, salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
    let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
    let mut out = Zeroizing::new(vec![0; hash.output_len()]);
    pbkdf2::derive(
        hash.pbkdf2_algorithm(),
        iterations,
        salt,
        prepared.as_bytes(),
        &mut out,
    );
    out
}

fn prepare(password: &str) -> Zeroizing<String> {
    Zeroizing::new(
        profile::opaque_string(password)
            .unwrap_or(Cow::Borrowed(password))
            .into_owned(),
    )
}

/// The mapping of SASLprep (RFC 4013 §2.1, §2.2) without its prohibitions: it only has to find the same bytes.
fn saslprep(password: &str) -> String {
    let mapped_to_nothing = |c: &char| {
        matches!(c, '\u{AD}' | '\u{34F}' | '\u{1806}' | '\u{180B}'..='\u{180D}' | '\u{200B}'..='\u{200D}')
            || matches!(c, '\u{2060}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
    };
    let space = |c: char| {
        if c == '\u{1680}' || c.is_whitespace() && !c.is_control() {
            ' '
        } else {
            c
        }
    };
    password
        .chars()
        .filter(|c| !mapped_to_nothing(c))
        .map(space)
        .nfkc()
        .collect()
}
