//! Drops what is old from the front of a log, and all of a log that is erased.
//!
//! Segments are older than the table, so they go first; a segment of which something stays only shows less. A compaction
//! may move items while this goes on, so the segments are looked at again when items were removed.

use bytes::Bytes;
use xmpp::BareJid;

use super::{
    EntryFlags, TableLogs, change::pointers_of, codec::Item, large, read::item_of, segment::Segment,
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        object::{self, Kind},
        paging,
    },
    shape::{Batch, Condition, Key, Query, Record, Space},
};

/// How many items are removed at once.
const REMOVED_AT_ONCE: usize = 50;
/// How many segments are looked at at once.
const SEGMENTS_AT_ONCE: usize = 4;
/// How often segments are looked at again.
const MAX_ROUNDS: usize = 16;

/// What is dropped.
#[derive(Clone)]
pub(super) struct Cut {
    /// Nothing from this number on.
    pub(super) before: u64,
    /// Nothing from the first entry of the archive on.
    pub(super) unarchived: bool,
    /// What must be there when it happens.
    pub(super) fence: Option<Key>,
}

impl TableLogs {
    /// Drops what lies before a number; the lowest number that is left.
    pub(super) async fn cut(&self, archive: &BareJid, cut: &Cut) -> Result<u64> {
        let reader = self.reader(archive);
        let Some(newest) = reader.newest().await? else {
            return Ok(1);
        };
        // The newest item carries the head.
        let cut = Cut {
            before: cut.before.min(newest.first),
            ..cut.clone()
        };
        for _ in 0..MAX_ROUNDS {
            if let Some(first) = self.cut_segments(archive, &cut).await? {
                // What a dead compaction left of it in the table goes as well.
                let cut = Cut {
                    before: first,
                    ..cut
                };
                let (left, _) = self.cut_items(archive, &cut, newest.first).await?;
                return Ok(left.map_or(first, |left| left.min(first)));
            }
            let (first, removed) = self.cut_items(archive, &cut, newest.first).await?;
            if !removed || !self.has_segments(archive).await? {
                return Ok(first.unwrap_or(newest.first));
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "a log that is compacted faster than it is cut",
        ))
    }

    async fn has_segments(&self, archive: &BareJid) -> Result<bool> {
        let oldest = self.reader(archive).segments().at_or_beyond(0).await?;
        Ok(oldest.is_some())
    }

    /// Drops segments; the lowest number that is left if one of them has it.
    async fn cut_segments(&self, archive: &BareJid, cut: &Cut) -> Result<Option<u64>> {
        let segments = self.reader(archive).segments();
        let mut query = segments.query(false, SEGMENTS_AT_ONCE);
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            for record in &records {
                let segment = Segment::of(record)?;
                let stop = Some(cut.unarchived)
                    .filter(|it| *it)
                    .and_then(|_| segment.first_archived());
                let before = stop.map_or(cut.before, |stop| stop.min(cut.before));
                if before > segment.last() {
                    segments.store.drop(&segment, cut.fence.as_ref()).await?;
                    continue;
                }
                let from = segment.from.max(before);
                if from > segment.from {
                    let shown = Segment {
                        from,
                        ..segment.clone()
                    };
                    segments.store.put(&shown, cut.fence.as_ref()).await?;
                }
                return Ok(Some(from));
            }
            if !more {
                return Ok(None);
            }
        }
    }

    /// Removes items that lie wholly before the cut; the first that is left there, and whether any went.
    async fn cut_items(
        &self,
        archive: &BareJid,
        cut: &Cut,
        newest: u64,
    ) -> Result<(Option<u64>, bool)> {
        let reader = self.reader(archive);
        let mut query = reader.query(false, REMOVED_AT_ONCE);
        query.until = Some(key::number(newest));
        let mut removed = false;
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            let (mut old, mut pointers, mut kept) = (Vec::new(), Vec::new(), None);
            for record in records {
                let item = item_of(&record)?;
                if item.last() >= cut.before || (cut.unarchived && is_archived(&item)?) {
                    kept = Some(item.first);
                    break;
                }
                pointers.extend(pointers_of(&item)?);
                old.push(record);
            }
            removed |= !old.is_empty();
            self.remove(&reader.partition, old, cut.fence.as_ref())
                .await?;
            large::forget(&*self.blobs, pointers).await;
            if kept.is_some() || !more {
                return Ok((kept, removed));
            }
        }
    }

    async fn remove(&self, partition: &Bytes, old: Vec<Record>, fence: Option<&Key>) -> Result<()> {
        if old.is_empty() {
            return Ok(());
        }
        let key = |sort| Key {
            space: Space::Log,
            partition: partition.clone(),
            sort,
        };
        let batch = old.into_iter().fold(Batch::new(), |batch, record| {
            batch.delete(key(record.sort), Condition::Any)
        });
        let batch = match fence {
            Some(fence) => batch.check(fence.clone(), Condition::Exists),
            None => batch,
        };
        self.table.write(batch).await
    }

    /// Removes the records of a log: items, segments, rows.
    pub(crate) async fn erase_records(&self, archive: &BareJid) -> Result<()> {
        // From the oldest up, so that a head never points below what is left; the rows last: none is added to a log
        // without entries.
        for (space, partition) in [
            (Space::Log, key::log(archive)),
            (Space::Log, key::log_segments(archive)),
            (Space::Idx, key::log_contacts(archive)),
        ] {
            let mut query = Query {
                space,
                partition: partition.clone(),
                ..self.reader(archive).query(false, REMOVED_AT_ONCE)
            };
            loop {
                let (records, more) = paging::next_page(&*self.table, &mut query).await?;
                paging::delete_all(&*self.table, space, &partition, records).await?;
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Removes the objects of a log. After its records: none is left that points at one.
    pub(super) async fn erase_objects(&self, archive: &BareJid) -> Result<()> {
        for kind in [Kind::Segment, Kind::Stanza] {
            let prefix = object::prefix(archive, kind);
            loop {
                let found = self.blobs.list(&prefix, None, REMOVED_AT_ONCE).await?;
                if found.is_empty() {
                    break;
                }
                for name in found {
                    self.blobs.remove(&name).await?;
                }
            }
        }
        Ok(())
    }
}

fn is_archived(item: &Item) -> Result<bool> {
    item.any(EntryFlags::ARCHIVED)
}
