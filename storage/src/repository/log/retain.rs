//! Retention: what an archive shows is dropped when it is too old or too much.
//!
//! Never what may still be to be delivered, and never the newest item, which carries the number of the head. Numbers are
//! dense and times do not decrease, so both bounds are a number before which all goes. A segment of which something stays
//! shows less at once; its bytes go with the last of its entries.

use std::time::Duration;

use super::{
    TableLogs,
    compact::{Claim, Keeping},
    contacts::BLOCK,
    front::Cut,
};
use crate::{
    error::{ErrorKind, Result},
    key,
    repository::{log::read::until, paging},
    shape::{Query, Space},
};

/// Rows that are removed at once.
const ROWS_AT_ONCE: usize = 50;

/// How much of an archive is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Nothing older.
    pub max_age: Option<Duration>,
    /// Not more entries, the newest; entries of the log, whether the archive shows them or not.
    pub max_entries: Option<u64>,
}

impl Retention {
    /// Whether it drops anything.
    pub fn is_bounded(&self) -> bool {
        self.max_age.is_some() || self.max_entries.is_some()
    }
}

impl TableLogs {
    /// Drops what is beyond a retention; how many numbers went. `None`: somebody else works on the log.
    ///
    /// # Errors
    /// Any; what went until then is gone, and another call goes on.
    pub async fn retain(&self, keeping: &Keeping<'_>, keep: &Retention) -> Result<Option<u64>> {
        let Some((first, _)) = self.beyond(keeping, keep).await? else {
            return Ok(Some(0));
        };
        let Some(claim) = Claim::make(self, keeping).await? else {
            return Ok(None);
        };
        // Again: only now it is sure whose log this is.
        let dropped = self.drop_beyond(&claim, keeping, keep).await;
        let end = claim.end(self).await;
        match dropped {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Ok(now) => end.map(|()| Some(now.saturating_sub(first))),
            Err(error) => Err(error),
        }
    }

    /// The lowest number that is stored and the lowest that is kept, if something is to go.
    async fn beyond(&self, keeping: &Keeping<'_>, keep: &Retention) -> Result<Option<(u64, u64)>> {
        if !keep.is_bounded() {
            return Ok(None);
        }
        let reader = self.reader(keeping.archive);
        let Some((oldest, _)) = reader.oldest().await? else {
            return Ok(None);
        };
        let mut first = oldest.first;
        let mut first_ms = oldest.times().next().transpose()?.unwrap_or_default();
        if first > 1
            && let Some(segment) = reader.segments().at_or_beyond(0).await?
            && segment.from < first
        {
            first = segment.from;
            first_ms = segment.times().0;
        }
        let head = reader.tip().await?.head;
        let mut before = first;
        if let Some(max) = keep.max_entries {
            before = before.max((head + 1).saturating_sub(max));
        }
        if let Some(age) = keep.max_age
            && first_ms < keeping.since(age)
        {
            before = before.max(reader.first_since(keeping.since(age)).await?);
        }
        if before > first {
            before = before.min(keeping.floor().await?);
        }
        Ok((before > first).then_some((first, before)))
    }

    async fn drop_beyond(
        &self,
        claim: &Claim,
        keeping: &Keeping<'_>,
        keep: &Retention,
    ) -> Result<u64> {
        let Some((first, before)) = self.beyond(keeping, keep).await? else {
            return Ok(0);
        };
        let cut = Cut {
            before,
            unarchived: false,
            fence: Some(claim.key()),
        };
        let left = self.cut(keeping.archive, &cut).await?;
        self.drop_rows(keeping, left).await?;
        Ok(left.max(first))
    }

    /// Removes the rows of contacts of blocks that are gone. A row that is removed in vain is made again.
    async fn drop_rows(&self, keeping: &Keeping<'_>, first: u64) -> Result<()> {
        let partition = key::log_contacts(keeping.archive);
        let Some(gone) = (first / BLOCK).checked_sub(1) else {
            return Ok(());
        };
        let mut query = Query {
            space: Space::Idx,
            partition: partition.clone(),
            until: until(gone),
            ..self.reader(keeping.archive).query(false, ROWS_AT_ONCE)
        };
        loop {
            let (rows, more) = paging::next_page(&*self.table, &mut query).await?;
            paging::delete_all(&*self.table, Space::Idx, &partition, rows).await?;
            if !more {
                return Ok(());
            }
        }
    }
}
