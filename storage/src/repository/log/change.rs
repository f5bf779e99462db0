//! Changes entries where they are: in the table, or in a segment.
//!
//! The table first: what is in both counts as it is there, and the next compaction takes it over.

use std::{collections::BTreeMap, ops::ControlFlow};

use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::{
    EntryFlags, LogRange, Rewrite, TableLogs,
    append::standing,
    codec::Item,
    large::{self, Drafts, Large},
    read::{Entries, Reader},
    segment::{Replacement, Segment},
    walk::{Part, Sink},
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::object::{Kind, Name},
    shape::{Batch, Condition, Key, Space},
};

/// An item as it is stored, and where.
struct Stored {
    item: Item,
    at: At,
}

enum At {
    /// In the table, with this version.
    Table(u64),
    /// A frame of a segment.
    Frame(Box<Segment>, usize),
}

impl TableLogs {
    pub(super) async fn rewrite_once(
        &self,
        archive: &BareJid,
        number: u64,
        change: &Rewrite<'_>,
    ) -> Result<bool> {
        let reader = self.reader(archive);
        let Some(stored) = stored_at(&reader, number).await? else {
            return Ok(false);
        };
        let (entry, old) = {
            let mut found = Entries::default();
            let Some((_, raw)) = stored.item.raw_entries(number, number).next() else {
                return Ok(false);
            };
            let raw = raw?;
            found.push(&stored.item, number, raw)?;
            (
                reader.with_stanzas(found).await?.pop(),
                stored.item.pointer(raw)?,
            )
        };
        let Some(new) = entry.as_ref().and_then(change) else {
            return Ok(false);
        };
        let list = std::slice::from_ref(&new);
        let long = self.too_long(list);
        let drafts = Drafts::put(&*self.blobs, &self.clock, archive, number, list, &long).await?;
        let value = stored.item.with_entry(number, &new, drafts.extensions(0))?;
        let written = match drafts.check() {
            Ok(()) => self.put_back(&reader, stored, value).await,
            late => late,
        };
        drafts.settle(&*self.blobs, &written).await;
        written?;
        large::forget(&*self.blobs, old.into_iter().collect()).await;
        Ok(true)
    }

    /// Writes what an item became.
    async fn put_back(&self, reader: &Reader<'_>, stored: Stored, value: Bytes) -> Result<()> {
        match stored.at {
            At::Table(version) => {
                let key = Key {
                    space: Space::Log,
                    partition: reader.partition.clone(),
                    sort: key::number(stored.item.first),
                };
                self.replace(key, value, version).await
            }
            At::Frame(segment, at) => {
                let with = Replacement {
                    frames: BTreeMap::from([(at, value)]),
                    fence: None,
                };
                reader.segments().store.replace(&segment, with).await
            }
        }
    }

    async fn replace(&self, key: Key, value: Bytes, version: u64) -> Result<()> {
        let batch = Batch::new().put(key, value.clone(), Condition::Version(version));
        match self.table.write(batch).await {
            // What stands there is what was to be written: an earlier answer was lost.
            Err(error) if standing(&error) == Some(&value) => Ok(()),
            result => result,
        }
    }

    /// Blanks those of the numbers that are with the first one, in its item or its segment; up to which number that was.
    pub(super) async fn blank_once(&self, archive: &BareJid, numbers: &[u64]) -> Result<u64> {
        let reader = self.reader(archive);
        let nobody = Jid::from(archive.clone());
        let blanked = |item: &Item, numbers: &[u64]| {
            let value = item.blanked(numbers, EntryFlags::ARCHIVED, &nobody)?;
            let gone = match &value {
                Some(value) => pointers_lost(item, &Item::parse(item.first, value.clone())?)?,
                None => Vec::new(),
            };
            Ok::<_, Error>((value, gone))
        };
        if let Some((item, version)) = reader.item_with(numbers[0]).await? {
            let (last, (value, gone)) = (item.last(), blanked(&item, numbers)?);
            if let Some(value) = value {
                let at = At::Table(version);
                self.put_back(&reader, Stored { item, at }, value).await?;
                large::forget(&*self.blobs, gone).await;
            }
            return Ok(last);
        }
        // What the table has of the rest is blanked there.
        let beyond = reader.at_or_beyond(numbers[0]).await?;
        let segments = reader.segments();
        let Some(segment) = segments.showing(numbers[0]).await? else {
            return Ok(numbers[0]);
        };
        let last = beyond.map_or(u64::MAX, |item| item.first - 1);
        let shown = segment.shown(LogRange {
            from: numbers[0],
            to: last,
        });
        let numbers = &numbers[..numbers.partition_point(|number| *number <= shown.to)];
        let (mut frames, mut gone) = (BTreeMap::new(), Vec::new());
        for at in segment.frames_with(shown) {
            let items = segments.items(&segment, at..at + 1).await?;
            let item = items.and_then(|mut items| items.pop()).ok_or_else(moved)?;
            let (value, mut lost) = blanked(&item, numbers)?;
            if let Some(value) = value {
                frames.insert(at, value);
                gone.append(&mut lost);
            }
        }
        if !frames.is_empty() {
            let with = Replacement {
                frames,
                fence: None,
            };
            segments.store.replace(&segment, with).await?;
            large::forget(&*self.blobs, gone).await;
        }
        Ok(shown.to)
    }
}

/// The item that holds a number.
async fn stored_at(reader: &Reader<'_>, number: u64) -> Result<Option<Stored>> {
    if let Some((item, version)) = reader.item_with(number).await? {
        let at = At::Table(version);
        return Ok(Some(Stored { item, at }));
    }
    let segments = reader.segments();
    let Some(segment) = segments.showing(number).await? else {
        return Ok(None);
    };
    let at = segment
        .frames_with(LogRange {
            from: number,
            to: number,
        })
        .start;
    let items = segments.items(&segment, at..at + 1).await?;
    let item = items.and_then(|mut items| items.pop()).ok_or_else(moved)?;
    let at = At::Frame(Box::new(segment), at);
    Ok(Some(Stored { item, at }))
}

impl TableLogs {
    /// Whether the entry or the segment that an object was made for points at it.
    pub(crate) async fn points_at(
        &self,
        archive: &BareJid,
        made_for: Name,
        object: &str,
    ) -> Result<bool> {
        let reader = self.reader(archive);
        match made_for.kind {
            Kind::Value => Ok(true),
            Kind::Segment => {
                let found = reader.segments().at_or_before(made_for.number).await?;
                Ok(found.is_some_and(|it| it.first == made_for.number && it.object == object))
            }
            Kind::Stanza => {
                let found = pointer_at(&reader, made_for.number).await?;
                let found = found.as_ref().map(|it| Large::parse(it)).transpose()?;
                Ok(found.is_some_and(|it| it.object == object))
            }
        }
    }
}

/// The pointer of an entry as it is now.
pub(super) async fn pointer_at(reader: &Reader<'_>, number: u64) -> Result<Option<Bytes>> {
    let range = LogRange {
        from: number,
        to: number,
    };
    let mut found = None;
    let mut take = |part: &Part| {
        for (_, raw) in part.item.raw_entries(number, number) {
            found = part.item.pointer(raw?)?;
        }
        Ok(ControlFlow::Break(()))
    };
    reader
        .walk(range, false, &mut Sink::new(1, &mut take))
        .await?;
    Ok(found)
}

/// What an item pointed at and the new one does not.
fn pointers_lost(old: &Item, new: &Item) -> Result<Vec<Bytes>> {
    let mut lost = pointers_of(old)?;
    let kept = pointers_of(new)?;
    lost.retain(|pointer| !kept.contains(pointer));
    Ok(lost)
}

/// What the entries of an item point at.
pub(super) fn pointers_of(item: &Item) -> Result<Vec<Bytes>> {
    let mut pointers = Vec::new();
    for (_, raw) in item.raw_entries(0, u64::MAX) {
        pointers.extend(item.pointer(raw?)?);
    }
    Ok(pointers)
}

/// What was to be changed is another object by now: look again.
fn moved() -> Error {
    Error::new(ErrorKind::Conflict, "a segment that was just replaced")
}
