//! What nodes prove that they belong: the secrets of a cluster, and how one is replaced while nodes run.
//!
//! Stored: `ctl` `C#cluster` / `SECRETS`: one row with all of them, changed by compare-and-set. The first start of a cluster
//! makes the first one; of those that start together one wins, and all have the winner's.
//!
//! A rotation has two steps, and each node accepts every secret that the row has. So at any time two nodes have a secret
//! in common, also when one of them has not read the row since the step before:
//!
//! | the row | who has not read it yet | next step |
//! |---|---|---|
//! | `Announced`: the one that proves, the new one | has the one that proves | [`SPREAD`](ClusterSecrets::SPREAD) later: now all accept the new one |
//! | `Proving`: the new one, the former | has both, in the other order | [`KEEP`](ClusterSecrets::KEEP) later: now all prove with the new one |
//! | `Settled`: the new one | has both, the new one first | - |
//!
//! Nodes read the row every [`READ_EVERY`](ClusterSecrets::READ_EVERY), and at once when a peer refuses their secrets. Any
//! node takes the next step, when it has seen the row stand still for so long by its own clock of intervals: clocks of
//! machines may differ, and the node that began may be gone.

use std::{fmt, time::Duration};

use aws_lc_rs::{constant_time, rand};
use minicbor::{Decode, Encode};

use super::Control;
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::record::{corrupt, repeat_on_conflict},
};

/// How often the first one is tried: whoever is refused finds the winner's.
const ATTEMPTS: usize = 3;

/// A secret of a cluster: random, and nothing of it can be printed.
#[derive(Clone, Encode, Decode)]
#[cbor(transparent)]
pub struct ClusterSecret(#[cbor(n(0), with = "minicbor::bytes")] [u8; Self::LEN]);

impl ClusterSecret {
    /// Bytes of a secret.
    pub const LEN: usize = 32;

    fn fresh() -> Self {
        let mut bytes = [0; Self::LEN];
        rand::fill(&mut bytes).expect("the system has randomness");
        Self(bytes)
    }

    /// Its bytes: only for who proves with them.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// In constant time.
impl PartialEq for ClusterSecret {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for ClusterSecret {}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(..)")
    }
}

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Rotation {
    /// None is under way.
    #[n(0)]
    Settled,
    /// The new secret is accepted; the former one still proves.
    #[n(1)]
    Announced,
    /// The new secret proves; the former one is still accepted.
    #[n(2)]
    Proving,
}

/// The secrets that are valid.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClusterSecrets {
    /// One, or two during a rotation: every one is accepted, the first one proves.
    #[n(0)]
    pub valid: Vec<ClusterSecret>,
    /// How far a rotation is.
    #[n(1)]
    pub rotation: Rotation,
    /// Since when, in seconds since 1970, by the clock of the node that wrote it: to be shown, and never compared.
    #[n(2)]
    pub since: u64,
    /// The version of the row.
    #[cbor(skip)]
    pub version: u64,
}

impl ClusterSecrets {
    /// How often nodes read the row.
    pub const READ_EVERY: Duration = Duration::from_secs(30);
    /// After this long every node accepts a new secret: it could have read the row four times.
    pub const SPREAD: Duration = Duration::from_secs(120);
    /// How long the former secret is accepted after the new one proves.
    pub const KEEP: Duration = Duration::from_secs(600);

    /// How long a row must have stood still before the next step; `None`: there is none.
    pub fn step_after(&self) -> Option<Duration> {
        match self.rotation {
            Rotation::Settled => None,
            Rotation::Announced => Some(Self::SPREAD),
            Rotation::Proving => Some(Self::KEEP),
        }
    }

    fn of(valid: Vec<ClusterSecret>, rotation: Rotation, since: u64) -> Self {
        Self {
            valid,
            rotation,
            since,
            version: 0,
        }
    }

    fn checked(self) -> Result<Self> {
        let expected = match self.rotation {
            Rotation::Settled => 1,
            Rotation::Announced | Rotation::Proving => 2,
        };
        if self.valid.len() == expected {
            Ok(self)
        } else {
            Err(corrupt("the cluster has too few secrets, or too many"))
        }
    }

    /// What the next step makes of them.
    fn stepped(&self, now: u64) -> Option<Self> {
        let (valid, rotation) = match self.rotation {
            Rotation::Settled => return None,
            Rotation::Announced => (
                self.valid.iter().rev().cloned().collect(),
                Rotation::Proving,
            ),
            Rotation::Proving => (self.valid[..1].to_vec(), Rotation::Settled),
        };
        Some(Self::of(valid, rotation, now))
    }
}

impl Control {
    /// The secrets that are valid; the first one is made if there is none yet. One strong get. `now` in seconds since 1970,
    /// to be shown.
    ///
    /// # Errors
    /// `Corrupt` if something else stands there: a cluster is not given a new secret because its own cannot be read.
    pub async fn secrets(&self, now: u64) -> Result<ClusterSecrets> {
        repeat_on_conflict(ATTEMPTS, || self.secrets_once(now)).await
    }

    async fn secrets_once(&self, now: u64) -> Result<ClusterSecrets> {
        let found = self.records.load(&self.key(key::SECRETS)).await;
        if let Some((found, version)) = found? {
            let found = ClusterSecrets { version, ..found };
            return found.checked();
        }
        let first = vec![ClusterSecret::fresh()];
        self.store_secrets(ClusterSecrets::of(first, Rotation::Settled, now), 0)
            .await
    }

    /// Begins a rotation: adds a secret that every node is to accept before any proves with it. One strong get and one
    /// conditional write. The steps after it are [`Control::step_secrets`].
    ///
    /// # Errors
    /// `Conflict`: a rotation is under way.
    pub async fn rotate_secret(&self, now: u64) -> Result<ClusterSecrets> {
        let found = self.secrets(now).await?;
        if found.rotation != Rotation::Settled {
            return Err(under_way());
        }
        let seen = found.version;
        let valid = [found.valid, vec![ClusterSecret::fresh()]].concat();
        let announced = ClusterSecrets::of(valid, Rotation::Announced, now);
        self.store_secrets(announced, seen).await
    }

    /// Takes the next step of a rotation, if the row has stood still for long enough: `stood` is for how long this node has
    /// read nothing else than `seen`. `None`: nothing is due. One conditional write.
    ///
    /// # Errors
    /// `Conflict`: another node took it; read the row again.
    pub async fn step_secrets(
        &self,
        seen: &ClusterSecrets,
        stood: Duration,
        now: u64,
    ) -> Result<Option<ClusterSecrets>> {
        if seen.step_after().is_none_or(|after| stood < after) {
            return Ok(None);
        }
        let Some(next) = seen.stepped(now) else {
            return Ok(None);
        };
        self.store_secrets(next, seen.version).await.map(Some)
    }

    async fn store_secrets(&self, secrets: ClusterSecrets, seen: u64) -> Result<ClusterSecrets> {
        let stored = self.records.store(self.key(key::SECRETS), &secrets, seen);
        match stored.await {
            Ok(version) => Ok(ClusterSecrets { version, ..secrets }),
            // The error has the record that stands there, and errors are printed.
            Err(error) if error.kind() == ErrorKind::Conflict => Err(under_way()),
            Err(error) => Err(error),
        }
    }
}

fn under_way() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "a rotation of the cluster's secret is under way",
    )
}
