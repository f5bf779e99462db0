//! Compaction: the old entries of a log become a segment.
//!
//! In this order, so that every reader finds every entry at every moment:
//! 1. a claim, which says that this log is still the one that is looked at, and keeps others from doing the same work;
//! 2. the object, under a name never used before;
//! 3. the segment's record, where none is, while the claim and the first item are there;
//! 4. the items go, from the oldest up, each in the version that was read.
//!
//! Whoever dies leaves an object that a sweep finds (after 2), or items that the segment has as well (after 3). The next
//! compaction begins with those: what was changed in them since is taken over into the segment (`fold`), then they go.
//! Two at once: the second finds a claim and goes; if it came too early to see one, it finds a record or a version that is
//! not what it saw, and goes, with the object that it made.
//!
//! Never compacted: what may still be to be delivered (from the floor of the mailbox on), the newest entries, and what is
//! younger than `min_age`. An append is judged by what is in the table: a writer whose head is older than `min_age` must
//! read it again before it appends.

mod claim;
mod fold;
mod options;

pub(super) use claim::Claim;
pub use options::{Compacted, Compaction, Keeping};

use super::{
    TableLogs,
    codec::Item,
    read::{Reader, item_of, until},
    segment::{
        Segment,
        body::{Framing, assemble},
    },
};
use crate::{
    error::{Error, ErrorKind, Result},
    repository::{object, paging},
    shape::{Batch, Condition, Key, Record, Space},
};

/// Items that are read at once.
const ITEMS_AT_ONCE: usize = 100;
/// Items that are removed at once: two operations of a batch are checks.
const REMOVED_AT_ONCE: usize = Batch::MAX - 2;

/// An item that is to go, as it was read.
pub(super) struct Old {
    pub(super) item: Item,
    pub(super) record: Record,
}

/// Items that become a segment.
struct Batchful {
    items: Vec<Old>,
    bytes: u64,
    /// No more would have fitted.
    is_full: bool,
}

impl TableLogs {
    /// Makes one segment, if there is enough for one, or ends what a dead compaction began. Two or three queries if there
    /// is nothing to do.
    ///
    /// # Errors
    /// Any; what was done until then stays right, and another call goes on.
    pub async fn compact(&self, keeping: &Keeping<'_>, when: &Compaction) -> Result<Compacted> {
        let reader = self.reader(keeping.archive);
        let Some(left) = self.is_due(&reader, keeping, when).await? else {
            return Ok(Compacted::Nothing);
        };
        let Some(claim) = Claim::make(self, keeping).await? else {
            return Ok(Compacted::Raced);
        };
        let done = match left {
            Due::Fold => self.fold(&reader, &claim).await,
            Due::Segment => self.make_segment(&reader, &claim, keeping, when).await,
        };
        let end = claim.end(self).await;
        match done {
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(Compacted::Raced),
            Ok(done) => end.map(|()| done),
            failed => failed,
        }
    }

    /// Whether it is worth a claim.
    async fn is_due(
        &self,
        reader: &Reader<'_>,
        keeping: &Keeping<'_>,
        when: &Compaction,
    ) -> Result<Option<Due>> {
        let Some((oldest, _)) = reader.oldest().await? else {
            return Ok(None);
        };
        // What a dead compaction left is there before any limit is asked for.
        let before = reader.segments().at_or_before(oldest.first).await?;
        if before.is_some_and(|segment| segment.last() >= oldest.first) {
            return Ok(Some(Due::Fold));
        }
        let oldest_ms = oldest.times().next().transpose()?.unwrap_or_default();
        if oldest_ms > keeping.since(when.min_age) {
            return Ok(None);
        }
        let limit = self.limit(reader, keeping, when).await?;
        let count = oldest.last() - oldest.first + 1;
        let mean = (oldest.bytes().len() as u64 / count).max(1);
        let by_bytes = (when.segment_bytes as u64 / mean).max(1);
        let enough = when.segment_entries.min(by_bytes);
        let is_idle = oldest_ms <= keeping.since(when.idle_age);
        for wanted in [Some(enough), Some(when.idle_entries).filter(|_| is_idle)] {
            let Some(last) = wanted.map(|wanted| oldest.first + wanted.max(1) - 1) else {
                continue;
            };
            if last < limit
                && let Some((item, _)) = reader.item_with(last).await?
                && last_ms(&item)? <= keeping.since(when.min_age)
            {
                return Ok(Some(Due::Segment));
            }
        }
        Ok(None)
    }

    /// The lowest number that must stay in the table.
    async fn limit(
        &self,
        reader: &Reader<'_>,
        keeping: &Keeping<'_>,
        when: &Compaction,
    ) -> Result<u64> {
        let head = reader.tip().await?.head;
        let tail = (head + 1).saturating_sub(when.tail_entries.max(1));
        Ok(keeping.floor().await?.min(tail))
    }

    async fn make_segment(
        &self,
        reader: &Reader<'_>,
        claim: &Claim,
        keeping: &Keeping<'_>,
        when: &Compaction,
    ) -> Result<Compacted> {
        let limit = self.limit(reader, keeping, when).await?;
        let found = self.gather(reader, keeping, when, limit).await?;
        let Some(first) = found.items.first() else {
            return Ok(Compacted::Nothing);
        };
        let last = found.items.last().map_or(0, |old| old.item.last());
        let entries = last + 1 - first.item.first;
        if !found.is_full && entries < when.idle_entries.min(when.segment_entries) {
            return Ok(Compacted::Nothing);
        }
        let mut framing = Framing::new();
        for old in &found.items {
            framing.push(&old.item)?;
            // Compression takes its time, and others want to run.
            tokio::task::yield_now().await;
        }
        let store = reader.segments().store;
        let header = object::header(keeping.archive);
        let (bytes, frames) = assemble(header, framing.finish()?);
        let object_bytes = bytes.len() as u64;
        let draft = store.draft(first.item.first);
        draft.put(&*self.blobs, bytes).await?;
        let segment = Segment {
            object: draft.name.clone(),
            start: store.start(),
            from: first.item.first,
            frames,
            first: first.item.first,
            version: 0,
        };
        // As long as the first item is there nothing was dropped from the front.
        let with = Batch::new().check(claim.key(), Condition::Exists).check(
            item_key(reader, &first.record),
            Condition::Version(first.record.version),
        );
        store
            .point_with(&draft, &segment, Condition::Absent, with)
            .await?;
        let bytes = found.bytes;
        self.remove_old(reader, claim, found.items).await?;
        Ok(Compacted::Segment {
            entries,
            bytes,
            object_bytes,
        })
    }

    /// The oldest items, as many as a segment takes.
    async fn gather(
        &self,
        reader: &Reader<'_>,
        keeping: &Keeping<'_>,
        when: &Compaction,
        limit: u64,
    ) -> Result<Batchful> {
        let mut found = Batchful {
            items: Vec::new(),
            bytes: 0,
            is_full: false,
        };
        let mut query = reader.query(false, ITEMS_AT_ONCE);
        query.until = until(limit.saturating_sub(1));
        let mut entries = 0;
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            for record in records {
                let item = item_of(&record)?;
                if item.last() >= limit || last_ms(&item)? > keeping.since(when.min_age) {
                    return Ok(found);
                }
                // Pages are no snapshot; what is not in one piece is not written as one.
                if let Some(Old { item: before, .. }) = found.items.last()
                    && before.last() + 1 != item.first
                {
                    return Err(Error::new(ErrorKind::Conflict, "a log that is changing"));
                }
                let bytes = record.value.len() as u64;
                let count = item.last() + 1 - item.first;
                let fits = entries + count <= when.segment_entries
                    && found.bytes + bytes <= when.segment_bytes as u64;
                if !fits && entries > 0 {
                    found.is_full = true;
                    return Ok(found);
                }
                entries += count;
                found.bytes += bytes;
                found.items.push(Old { item, record });
            }
            if !more {
                found.is_full = entries >= when.segment_entries;
                return Ok(found);
            }
        }
    }

    /// Removes items that a segment has, from the oldest up.
    pub(super) async fn remove_old(
        &self,
        reader: &Reader<'_>,
        claim: &Claim,
        old: Vec<Old>,
    ) -> Result<()> {
        for some in old.chunks(REMOVED_AT_ONCE) {
            let batch = some.iter().fold(Batch::new(), |batch, old| {
                let key = item_key(reader, &old.record);
                batch.delete(key, Condition::Version(old.record.version))
            });
            let batch = batch.check(claim.key(), Condition::Exists);
            self.table.write(batch).await?;
        }
        Ok(())
    }
}

/// What is to be done.
enum Due {
    Fold,
    Segment,
}

fn item_key(reader: &Reader<'_>, record: &Record) -> Key {
    Key {
        space: Space::Log,
        partition: reader.partition.clone(),
        sort: record.sort.clone(),
    }
}

fn last_ms(item: &Item) -> Result<u64> {
    Ok(item.times().last().transpose()?.unwrap_or_default())
}
