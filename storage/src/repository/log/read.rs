//! Logs over a table: what reads them.
//!
//! A number is found without an index: the item that holds it is the last one that begins at or before it.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use xmpp::BareJid;

use super::{
    LogEntry, LogRange, Tip,
    codec::Item,
    large::{self, Large},
    segment::{Segments, Store},
    walk::{Part, Sink},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    key,
    repository::{paging, record::corrupt},
    shape::{Blobs, Consistency, Query, Record, Space, Table},
};

/// An item's count is one byte: what holds a number begins no further below it.
pub(super) const MAX_SPAN: u64 = 254;
/// How often a search begins again because the log was compacted meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// One log.
pub(super) struct Reader<'a> {
    pub(super) table: &'a dyn Table,
    pub(super) blobs: &'a dyn Blobs,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) archive: &'a BareJid,
    pub(super) partition: Bytes,
}

/// The item in a record.
pub(super) fn item_of(record: &Record) -> Result<Item> {
    let first = key::read_number(&record.sort).ok_or_else(|| corrupt("log item without number"))?;
    Item::parse(first, record.value.clone())
}

impl<'a> Reader<'a> {
    /// Its segments.
    pub(super) fn segments(&self) -> Segments<'a> {
        let store = Store {
            table: self.table,
            blobs: self.blobs,
            clock: self.clock,
            archive: self.archive,
        };
        Segments {
            store,
            partition: key::log_segments(self.archive),
        }
    }

    /// What the table has of the log, this many items a page.
    pub(super) fn query(&self, reverse: bool, limit: usize) -> Query {
        Query {
            space: Space::Log,
            partition: self.partition.clone(),
            from: None,
            until: None,
            reverse,
            limit,
            consistency: Consistency::Strong,
        }
    }

    async fn first_of(&self, mut query: Query) -> Result<Option<(Item, u64)>> {
        let (records, _) = paging::next_page(self.table, &mut query).await?;
        records
            .first()
            .map(|record| Ok((item_of(record)?, record.version)))
            .transpose()
    }

    /// The item with the head.
    pub(super) async fn newest(&self) -> Result<Option<Item>> {
        let found = self.first_of(self.query(true, 1)).await?;
        Ok(found.map(|(item, _)| item))
    }

    /// The first item that the table has.
    pub(super) async fn oldest(&self) -> Result<Option<(Item, u64)>> {
        self.first_of(self.query(false, 1)).await
    }

    /// The first item that the table has from a number on.
    pub(super) async fn at_or_beyond(&self, number: u64) -> Result<Option<Item>> {
        let mut query = self.query(false, 1);
        query.from = Some(key::number(number));
        Ok(self.first_of(query).await?.map(|(item, _)| item))
    }

    pub(super) async fn tip(&self) -> Result<Tip> {
        let Some(item) = self.newest().await? else {
            return Ok(Tip::default());
        };
        let time_ms = item.times().last().transpose()?.unwrap_or_default();
        Ok(Tip {
            head: item.last(),
            time_ms,
        })
    }

    /// The item that holds a number, and its version, if it is in the table.
    pub(super) async fn item_with(&self, number: u64) -> Result<Option<(Item, u64)>> {
        let mut query = self.query(true, 1);
        query.from = Some(key::number(number.saturating_sub(MAX_SPAN)));
        query.until = until(number);
        Ok(self
            .first_of(query)
            .await?
            .filter(|(item, _)| number <= item.last()))
    }

    /// At most `limit` entries of a range, with their stanzas.
    pub(super) async fn read(
        &self,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        let mut found = Entries::default();
        let mut take = |part: &Part| {
            found.take(part, reverse, limit)?;
            Ok(ControlFlow::Continue(()))
        };
        self.walk(range, reverse, &mut Sink::new(limit, &mut take))
            .await?;
        self.with_stanzas(found).await
    }

    /// Fetches the stanzas that are elsewhere.
    pub(super) async fn with_stanzas(&self, found: Entries) -> Result<Vec<LogEntry>> {
        let Entries { mut list, large } = found;
        let mut dropped = Vec::new();
        for (at, pointer) in large {
            if !self.fetch_stanza(pointer, &mut list[at]).await? {
                dropped.push(list[at].number);
            }
        }
        if !dropped.is_empty() {
            list.retain(|entry| !dropped.contains(&entry.number));
        }
        Ok(list)
    }

    /// Fetches the stanza of an entry; whether the entry is still there.
    async fn fetch_stanza(&self, pointer: Bytes, entry: &mut LogEntry) -> Result<bool> {
        let number = entry.number;
        let mut pointer = Large::parse(&pointer)?;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(stanza) = large::fetch(self.blobs, &pointer).await? {
                entry.stanza = stanza;
                return Ok(true);
            }
            // The entry was rewritten since.
            let mut again = Entries::default();
            let range = LogRange {
                from: number,
                to: number,
            };
            let mut take = |part: &Part| {
                again.take(part, false, 1)?;
                Ok(ControlFlow::Break(()))
            };
            Box::pin(self.walk(range, false, &mut Sink::new(1, &mut take))).await?;
            let Entries { mut list, large } = again;
            match (list.pop(), large.into_iter().next()) {
                (Some(_), Some((_, found))) if Large::parse(&found)? == pointer => break,
                (Some(_), Some((_, found))) => pointer = Large::parse(&found)?,
                (Some(found), None) => {
                    *entry = found;
                    return Ok(true);
                }
                // It was dropped since.
                (None, _) => return Ok(false),
            }
        }
        Err(corrupt(format!("{} is missing", pointer.object)))
    }

    /// Halves the numbers between one that is known to be earlier and one that is known not to be.
    pub(super) async fn first_since(&self, time_ms: u64) -> Result<u64> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(number) = self.first_since_once(time_ms).await? {
                return Ok(number);
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "a log that is compacted faster than it is searched",
        ))
    }

    /// `None`: what was looked at went away meanwhile.
    async fn first_since_once(&self, time_ms: u64) -> Result<Option<u64>> {
        let tip = self.tip().await?;
        if tip.head == 0 || tip.time_ms < time_ms {
            return Ok(Some(tip.head + 1));
        }
        let Some((oldest, _)) = self.oldest().await? else {
            return Ok(Some(tip.head + 1));
        };
        let mut high = tip.head;
        let mut low = match since_in(&oldest, time_ms)? {
            // All that the table has is late enough.
            Some(at) if at == oldest.first && at > 1 => {
                let number = self.segments().first_since(time_ms, at).await?;
                return Ok(Some(number));
            }
            Some(at) => return Ok(Some(at)),
            None => oldest.last(),
        };
        while high > low + 1 {
            let middle = low + (high - low) / 2;
            match self.item_with(middle).await? {
                Some((item, _)) => match since_in(&item, time_ms)? {
                    None => low = item.last(),
                    Some(at) if at > item.first => return Ok(Some(at)),
                    Some(at) => high = at.max(low + 1),
                },
                None => return Ok(None),
            }
        }
        Ok(Some(high))
    }
}

/// Entries that were found, and which of them have their stanza elsewhere.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) list: Vec<LogEntry>,
    large: Vec<(usize, Bytes)>,
}

impl Entries {
    /// Takes those of a part that are meant, up to a number of entries in all.
    pub(super) fn take(&mut self, part: &Part, reverse: bool, limit: usize) -> Result<()> {
        let LogRange { from, to } = part.numbers;
        if reverse {
            let raw: Vec<_> = part.item.raw_entries(from, to).collect();
            for (number, raw) in raw.into_iter().rev().take(limit - self.list.len()) {
                self.push(&part.item, number, raw?)?;
            }
        } else {
            for (number, raw) in part
                .item
                .raw_entries(from, to)
                .take(limit - self.list.len())
            {
                self.push(&part.item, number, raw?)?;
            }
        }
        Ok(())
    }

    /// Takes one.
    pub(super) fn push(&mut self, item: &Item, number: u64, raw: &[u8]) -> Result<()> {
        let found = item.entry(number, raw)?;
        if let Some(pointer) = found.pointer {
            self.large.push((self.list.len(), pointer));
        }
        self.list.push(found.entry);
        Ok(())
    }
}

/// The sort key beyond a number; `None`: there is none.
pub(super) fn until(number: u64) -> Option<Bytes> {
    number.checked_add(1).map(key::number)
}

/// The first number of an item that is not earlier.
fn since_in(item: &Item, time_ms: u64) -> Result<Option<u64>> {
    for (number, time) in (item.first..).zip(item.times()) {
        if time? >= time_ms {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
