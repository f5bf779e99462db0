//! How far a round is: one record, moved on by whoever takes the next page.

use std::time::Duration;

use minicbor::{Decode, Encode};

use super::Maintenance;
use crate::{
    error::{ErrorKind, Result},
    key,
    shape::{Key, Space},
};

/// What a round is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum Phase {
    #[n(0)]
    Accounts,
    #[n(1)]
    Objects,
    #[n(2)]
    Done,
}

/// A round.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Round {
    #[n(0)]
    pub(super) number: u64,
    /// When it began, in milliseconds since 1970.
    #[n(1)]
    pub(super) began_ms: u64,
    #[n(2)]
    pub(super) phase: Phase,
    /// The last account or object that was taken; empty: none yet.
    #[n(3)]
    pub(super) after: String,
}

impl Round {
    pub(super) fn new(number: u64, now: Duration) -> Self {
        Self {
            number,
            began_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            phase: Phase::Accounts,
            after: String::new(),
        }
    }

    /// The same round, further on.
    pub(super) fn at(&self, phase: Phase, after: &str) -> Self {
        Self {
            phase,
            after: after.to_owned(),
            ..self.clone()
        }
    }

    /// When the next one begins.
    pub(super) fn next_at(&self, interval: Duration) -> Duration {
        Duration::from_millis(self.began_ms) + interval
    }
}

impl Maintenance {
    fn round_key(&self) -> Key {
        Key {
            space: Space::Ctl,
            partition: key::maintenance(&self.domain),
            sort: key::MAINTENANCE,
        }
    }

    /// The round that is under way and its version; before the first one, one that is over since 1970.
    pub(super) async fn round(&self) -> Result<(Round, u64)> {
        let found = self.records.load::<Round>(&self.round_key()).await?;
        let before = || {
            let round = Round::new(0, Duration::ZERO);
            (round.at(Phase::Done, ""), 0)
        };
        Ok(found.unwrap_or_else(before))
    }

    /// Moves a round on; whether nobody else has.
    pub(super) async fn move_on(&self, next: &Round, seen: u64) -> Result<bool> {
        match self.records.store(self.round_key(), next, seen).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }
}
