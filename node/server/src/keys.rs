//! Keys: what is stored of a password, and the right to compute it.
//!
//! Source: RFC 5802 §3; RFC 8265 §4.2 (a password is an OpaqueString). Keys for every hash, each with a salt of its own, so
//! that a client may use whichever mechanism it has; passwords themselves are stored nowhere.
//! Why here: PBKDF2 takes tens of milliseconds, and strangers can ask for it. Whoever computes it takes a turn of
//! [`Keys`], so that all who ask at once leave half of the processors to those who are logged in.

use std::num::NonZero;

use storage::repository::{Account, Credentials, ScramHash, StoredScram};
use tokio::sync::Semaphore;
use xmpp::sasl::{
    Hash, ScramKeys,
    keys::{MIN_ITERATIONS, SALT_LEN},
};
use zeroize::Zeroizing;

use crate::random;

/// A hash as it is stored.
pub fn stored_hash(hash: Hash) -> ScramHash {
    match hash {
        Hash::Sha1 => ScramHash::Sha1,
        Hash::Sha256 => ScramHash::Sha256,
        Hash::Sha512 => ScramHash::Sha512,
    }
}

/// The keys of an account for one hash.
pub fn of(account: &Account, hash: Hash) -> Option<ScramKeys> {
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

/// Who computes keys.
pub struct Keys {
    iterations: u32,
    turns: Semaphore,
}

impl Keys {
    /// New passwords get so many iterations, at least those of RFC 7677.
    pub fn new(iterations: u32) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            iterations: iterations.max(MIN_ITERATIONS),
            turns: Semaphore::new(processors.div_ceil(2)),
        }
    }

    /// Computes what takes long beside the runtime, on half of the processors at most. `None`: it panicked.
    pub async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self
            .turns
            .acquire()
            .await
            .expect("the semaphore is never closed");
        tokio::task::spawn_blocking(work)
            .await
            .inspect_err(|error| tracing::error!(%error, "computing keys failed"))
            .ok()
    }

    /// Credentials for a password. `None`: the computation panicked.
    pub async fn derive(&self, password: &str) -> Option<Credentials> {
        let (password, iterations) = (Zeroizing::new(password.to_owned()), self.iterations);
        self.compute(move || derive(&password, iterations)).await
    }
}

fn derive(password: &str, iterations: u32) -> Credentials {
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
