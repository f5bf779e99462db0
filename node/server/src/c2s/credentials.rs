//! Credentials: between what SASL computes with and what is stored.
//!
//! Source: RFC 5802 §3; RFC 8265 §4.2 (a password is an OpaqueString). Passwords themselves are stored nowhere.

use storage::repository::{Account, Credentials, ScramHash, StoredScram};
use xmpp::sasl::{Hash, ScramKeys, keys::SALT_LEN};

use crate::random;

fn stored_hash(hash: Hash) -> ScramHash {
    match hash {
        Hash::Sha1 => ScramHash::Sha1,
        Hash::Sha256 => ScramHash::Sha256,
        Hash::Sha512 => ScramHash::Sha512,
    }
}

/// The keys of an account for one hash.
pub fn keys(account: &Account, hash: Hash) -> Option<ScramKeys> {
    let stored = account.credentials.scram(stored_hash(hash))?;
    Some(ScramKeys {
        hash,
        iterations: stored.iterations,
        salt: stored.salt.clone(),
        stored_key: stored.stored_key.clone(),
        server_key: stored.server_key.clone(),
    })
}

/// Keys as they are stored.
pub fn stored(keys: &ScramKeys) -> StoredScram {
    StoredScram {
        hash: stored_hash(keys.hash),
        iterations: keys.iterations,
        salt: keys.salt.clone(),
        stored_key: keys.stored_key.clone(),
        server_key: keys.server_key.clone(),
    }
}

/// Credentials for a password: keys for every hash, each with a salt of its own. Takes tens of milliseconds: not for the
/// runtime's threads, see [`super::gate::Gate::compute`].
pub fn derive(password: &str, iterations: u32) -> Credentials {
    let derive = |hash| {
        stored(&ScramKeys::derive(
            hash,
            password,
            &random::bytes::<SALT_LEN>(),
            iterations,
        ))
    };
    Credentials {
        scram: Hash::ALL.map(derive).into(),
    }
}
