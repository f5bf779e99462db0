//! Credentials: what is stored of a new password.
//!
//! Source: RFC 5802 §3, RFC 7677. Keys for every hash, each with a salt of its own, so that a client may use whichever
//! mechanism it has; the password itself is stored nowhere.

use storage::repository::{Credentials, ScramHash, StoredScram};
use xmpp::{
    StanzaError, StanzaErrorCondition as Condition,
    sasl::{
        self, Hash, ScramKeys,
        keys::{MIN_ITERATIONS, SALT_LEN},
    },
};
use zeroize::Zeroizing;

const HASHES: [(Hash, ScramHash); 3] = [
    (Hash::Sha1, ScramHash::Sha1),
    (Hash::Sha256, ScramHash::Sha256),
    (Hash::Sha512, ScramHash::Sha512),
];

/// Whether a password may be stored.
///
/// # Errors
/// `not-acceptable` if it is empty (XEP-0077 §3.1), too long, or one that not every client could use.
pub fn check_password(password: &str) -> Result<(), StanzaError> {
    sasl::check_password(password)
        .map_err(|error| StanzaError::new(Condition::NotAcceptable, error.to_string()))
}

/// Credentials for a password. Computes for tens of milliseconds, beside the runtime's threads.
///
/// # Errors
/// `internal-server-error` if the computation died.
pub async fn credentials(password: &str, iterations: u32) -> Result<Credentials, StanzaError> {
    let password = Zeroizing::new(password.to_owned());
    let derive = move || Credentials {
        scram: HASHES
            .map(|hashes| derive(&password, hashes, iterations))
            .into(),
    };
    tokio::task::spawn_blocking(derive).await.map_err(|error| {
        tracing::error!(%error, "keys not derived");
        Condition::InternalServerError.into()
    })
}

fn derive(password: &str, (hash, stored): (Hash, ScramHash), iterations: u32) -> StoredScram {
    let salt = crate::random::bytes::<SALT_LEN>();
    let keys = ScramKeys::derive(hash, password, &salt, iterations.max(MIN_ITERATIONS));
    StoredScram {
        hash: stored,
        iterations: keys.iterations,
        salt: keys.salt.clone(),
        stored_key: keys.stored_key.clone(),
        server_key: keys.server_key.clone(),
    }
}
