//! Gate: what negotiation keeps from one connection to the next.
//!
//! Source: RFC 5802 §5.1 and §9 (answers for unknown accounts); XEP-0386 §5 (stable resources).
//! Why here: one field of the router holds the limits, the authority for client certificates, the right to compute, and the
//! secret behind what must look the same on every node and after every restart.
//! Stored: `ctl` `SECRET` / `accounts`: 32 random bytes, written once by whoever comes first.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use storage::{
    ErrorKind,
    shape::{Batch, Condition, Consistency, Key, Space, Table},
};
use xmpp::sasl::{Hash, ScramKeys};

use super::{
    external::{Authority, AuthorityError},
    turns::Turns,
};
use crate::{attempts::Attempts, config::Config, keys::Keys, random};

/// Over how long failed logins of an address are counted.
const FAILURES_PERIOD: Duration = Duration::from_secs(600);
/// Over how long accounts made by an address are counted.
const REGISTRATIONS_PERIOD: Duration = Duration::from_secs(3_600);
/// Bytes of the secret.
pub const SECRET_LEN: usize = 32;

/// What negotiation keeps from one connection to the next.
pub struct Gate {
    /// Failed logins by address.
    pub(super) failures: Attempts,
    /// Accounts made by address.
    pub(super) registrations: Attempts,
    /// How fast logins come to the store.
    pub(super) turns: Turns,
    /// Who signs client certificates.
    pub(super) authority: Option<Authority>,
    secret: [u8; SECRET_LEN],
    iterations: u32,
    /// The right to compute.
    pub keys: Arc<Keys>,
}

impl Gate {
    /// A gate as configured; `secret` is that of the cluster, see [`load_secret`].
    ///
    /// # Errors
    /// The authorities for client certificates cannot be read.
    pub fn new(config: &Config, secret: [u8; SECRET_LEN]) -> Result<Self, AuthorityError> {
        Ok(Self {
            failures: Attempts::new(config.auth.attempts, FAILURES_PERIOD),
            registrations: Attempts::new(config.registration.per_hour, REGISTRATIONS_PERIOD),
            turns: Turns::new(config.limits.logins),
            authority: config
                .auth
                .client_ca
                .as_deref()
                .map(Authority::load)
                .transpose()?,
            secret,
            iterations: config.auth.scram_iterations,
            keys: Arc::new(Keys::new(config.auth.scram_iterations)),
        })
    }

    /// Keys for an account that does not exist: its answers look like those of one that does.
    pub(super) fn decoy(&self, username: &str, hash: Hash) -> ScramKeys {
        ScramKeys::decoy(&self.secret, username, hash, self.iterations)
    }

    /// A name that is always the same for the same account and client, and tells nobody which client that is.
    pub(super) fn pseudonym(&self, account: &str, agent: &str) -> String {
        use aws_lc_rs::hmac;
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let tag = hmac::sign(
            &key,
            [b"resource", account.as_bytes(), agent.as_bytes()]
                .join(&0)
                .as_slice(),
        );
        URL_SAFE_NO_PAD.encode(&tag.as_ref()[..12])
    }
}

/// The secret of the cluster, made if there is none yet.
///
/// # Errors
/// The table's; `Corrupt` if something else stands there.
pub async fn load_secret(table: &dyn Table) -> storage::Result<[u8; SECRET_LEN]> {
    let key = Key {
        space: Space::Ctl,
        partition: Bytes::from_static(b"SECRET"),
        sort: Bytes::from_static(b"accounts"),
    };
    let made: [u8; SECRET_LEN] = random::bytes();
    loop {
        if let Some(record) = table.get(&key, Consistency::Strong).await? {
            let corrupt = |_| {
                storage::Error::new(
                    ErrorKind::Corrupt,
                    "the secret of the cluster has a wrong length",
                )
            };
            return <[u8; SECRET_LEN]>::try_from(&record.value[..]).map_err(corrupt);
        }
        let batch = Batch::new().put(
            key.clone(),
            Bytes::copy_from_slice(&made),
            Condition::Absent,
        );
        match table.write(batch).await {
            // Another node was first: its secret is read now.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            other => return other.map(|()| made),
        }
    }
}
