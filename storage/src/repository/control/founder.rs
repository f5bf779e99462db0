//! Which directory counts: one row that is only ever compared and swapped, so that a generation has one founder.
//!
//! Stored: `ctl` `C#cluster` / `FOUNDER`. It is never removed, so its version says what is in it.

use minicbor::{Decode, Encode};

use super::Control;
use crate::{
    error::{ErrorKind, Result},
    key,
};

/// The row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FounderRow {
    /// Rises whenever a directory is founded anew.
    #[n(0)]
    pub generation: u64,
    /// The node that founded it.
    #[n(1)]
    pub founder: u64,
    /// Rises as long as the directory has a quorum.
    #[n(2)]
    pub beat: u64,
}

impl Control {
    /// The row as it stands; `None`: nobody has founded yet. One strong get.
    pub async fn founder(&self) -> Result<Option<FounderRow>> {
        let found = self.records.load(&self.key(key::FOUNDER)).await?;
        self.note(found);
        Ok(found.map(|(row, _)| row))
    }

    /// Puts `next` if what stands is still `seen`; whether it was put. One conditional write, and one strong get before it
    /// unless this node has seen just that.
    ///
    /// # Errors
    /// `Unavailable`: it may have been put all the same; who reads the row knows.
    pub async fn swap_founder(&self, seen: Option<FounderRow>, next: FounderRow) -> Result<bool> {
        let Some(version) = self.version_of(seen).await? else {
            return Ok(false);
        };
        let put = self.records.store(self.key(key::FOUNDER), &next, version);
        match put.await {
            Ok(version) => {
                self.note(Some((next, version)));
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The version of this row, if it is the one that stands; 0 of none.
    async fn version_of(&self, seen: Option<FounderRow>) -> Result<Option<u64>> {
        let Some(seen) = seen else {
            return Ok(Some(0));
        };
        let known = *self.founder.lock();
        if let Some((row, version)) = known
            && row == seen
        {
            return Ok(Some(version));
        }
        let found = self
            .records
            .load::<FounderRow>(&self.key(key::FOUNDER))
            .await?;
        self.note(found);
        Ok(found
            .filter(|(row, _)| *row == seen)
            .map(|(_, version)| version))
    }

    fn note(&self, found: Option<(FounderRow, u64)>) {
        *self.founder.lock() = found;
    }
}
