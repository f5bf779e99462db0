//! Who founds: one record with a conditional put, so that a generation has one founder and never two clusters.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::NodeId;

/// The record of the generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Rises whenever the directory is founded anew; fits 32 bits.
    pub generation: u64,
    /// Who founded it.
    pub founder: NodeId,
    /// Raised by its leader as long as it has a quorum: who sees it stand still may found anew.
    pub beat: u64,
}

/// The founder in the record of a generation whose last member has left in good order: nobody need wait for its beat.
pub const NOBODY: NodeId = NodeId(0);

/// The record cannot be read or written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record of the generation is out of reach")]
pub struct OutOfReach;

/// Where the record is: an item of the table `ctl`, or [`Fixed`].
#[async_trait]
pub trait Founder: Send + Sync {
    /// The record as it stands; `None` if nobody has founded yet. Strongly consistent.
    ///
    /// # Errors
    /// [`OutOfReach`].
    async fn read(&self) -> Result<Option<Record>, OutOfReach>;

    /// Puts `next` if what stands is still `seen`; whether it was put.
    ///
    /// # Errors
    /// [`OutOfReach`]: it may have been put all the same.
    async fn swap(&self, seen: Option<Record>, next: Record) -> Result<bool, OutOfReach>;

    /// How long to look for peers before founding where there is no record.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// The generation of the first directory.
    fn first(&self) -> u64 {
        1
    }
}

/// Without a common table: the first of the list founds, the others wait for it. Peers are asked first, so that a first one
/// that starts again joins what goes on without it.
///
/// What this cannot do: when the first of the list is lost together with the majority, nobody founds until it is back.
#[derive(Debug)]
pub struct Fixed {
    is_first: bool,
    started: u64,
    record: Mutex<Option<Record>>,
}

impl Fixed {
    /// `started`: seconds since 1970, so that each start of the first founds a later generation than those before.
    pub fn new(is_first: bool, started: u64) -> Self {
        Self {
            is_first,
            started,
            record: Mutex::default(),
        }
    }
}

#[async_trait]
impl Founder for Fixed {
    async fn read(&self) -> Result<Option<Record>, OutOfReach> {
        if self.is_first {
            Ok(*self.record.lock())
        } else {
            Err(OutOfReach)
        }
    }

    async fn swap(&self, seen: Option<Record>, next: Record) -> Result<bool, OutOfReach> {
        if !self.is_first {
            return Err(OutOfReach);
        }
        let mut record = self.record.lock();
        let same = *record == seen;
        if same {
            *record = Some(next);
        }
        Ok(same)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(1_500)
    }

    fn first(&self) -> u64 {
        self.started.clamp(1, u64::from(u32::MAX))
    }
}
