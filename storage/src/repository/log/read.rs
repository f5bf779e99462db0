//! Logs over a table: what reads them.
//!
//! A number is found without an index: the item that holds it is the last one that begins at or before it.

use bytes::Bytes;

use super::{LogEntry, LogRange, Tip, codec::Item};
use crate::{
    error::Result,
    key,
    repository::{paging, record::corrupt},
    shape::{Consistency, Query, Record, Space, Table},
};

/// An item's count is one byte: what holds a number begins no further below it.
pub(super) const MAX_SPAN: u64 = 254;
/// Items asked for at once.
const ITEMS_AT_ONCE: usize = 100;

/// One log.
pub(super) struct Reader<'a> {
    pub(super) table: &'a dyn Table,
    pub(super) partition: Bytes,
}

/// The item in a record.
pub(super) fn item_of(record: &Record) -> Result<Item> {
    let first = key::read_number(&record.sort).ok_or_else(|| corrupt("log item without number"))?;
    Item::parse(first, record.value.clone())
}

impl Reader<'_> {
    /// The whole log, this many items a page.
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
        Ok(self
            .first_of(self.query(true, 1))
            .await?
            .map(|(item, _)| item))
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

    /// The item that holds a number, and its version.
    pub(super) async fn item_with(&self, number: u64) -> Result<Option<(Item, u64)>> {
        let mut query = self.query(true, 1);
        query.from = Some(key::number(number.saturating_sub(MAX_SPAN)));
        query.until = until(number);
        Ok(self
            .first_of(query)
            .await?
            .filter(|(item, _)| number <= item.last()))
    }

    pub(super) async fn forward(&self, range: LogRange, limit: usize) -> Result<Vec<LogEntry>> {
        let mut found = Vec::new();
        if limit == 0 || range.from > range.to {
            return Ok(found);
        }
        let mut next = range.from;
        if range.from > 1
            && let Some((item, _)) = self.item_with(range.from).await?
        {
            take(&mut found, item.entries(range.from, range.to), limit)?;
            next = item.last().saturating_add(1);
        }
        let mut query = self.query(false, ITEMS_AT_ONCE);
        query.from = Some(key::number(next));
        query.until = until(range.to);
        while found.len() < limit && next <= range.to {
            query.limit = (limit - found.len()).min(ITEMS_AT_ONCE);
            let (records, more) = paging::next_page(self.table, &mut query).await?;
            for record in &records {
                take(
                    &mut found,
                    item_of(record)?.entries(range.from, range.to),
                    limit,
                )?;
            }
            if !more {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn backward(&self, range: LogRange, limit: usize) -> Result<Vec<LogEntry>> {
        let mut found = Vec::new();
        if range.from > range.to {
            return Ok(found);
        }
        let mut query = self.query(true, ITEMS_AT_ONCE);
        query.from = Some(key::number(range.from.saturating_sub(MAX_SPAN)));
        query.until = until(range.to);
        while found.len() < limit {
            query.limit = (limit - found.len()).min(ITEMS_AT_ONCE);
            let (records, more) = paging::next_page(self.table, &mut query).await?;
            for record in &records {
                let entries: Vec<_> = item_of(record)?.entries(range.from, range.to).collect();
                take(&mut found, entries.into_iter().rev(), limit)?;
            }
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// Halves the numbers between one that is known to be earlier and one that is known not to be.
    pub(super) async fn first_since(&self, time_ms: u64) -> Result<u64> {
        let tip = self.tip().await?;
        if tip.head == 0 || tip.time_ms < time_ms {
            return Ok(tip.head + 1);
        }
        let Some((oldest, _)) = self.first_of(self.query(false, 1)).await? else {
            return Ok(tip.head + 1);
        };
        let mut high = tip.head;
        let mut low = match since_in(&oldest, time_ms)? {
            Some(at) => return Ok(at),
            None => oldest.last(),
        };
        while high > low + 1 {
            let middle = low + (high - low) / 2;
            match self.item_with(middle).await? {
                Some((item, _)) => match since_in(&item, time_ms)? {
                    None => low = item.last(),
                    Some(at) if at > item.first => return Ok(at),
                    Some(at) => high = at.max(low + 1),
                },
                // Truncated meanwhile.
                None => low = middle,
            }
        }
        Ok(high)
    }
}

/// The sort key beyond a number; `None`: there is none.
pub(super) fn until(number: u64) -> Option<Bytes> {
    number.checked_add(1).map(key::number)
}

fn take(
    found: &mut Vec<LogEntry>,
    entries: impl Iterator<Item = Result<LogEntry>>,
    limit: usize,
) -> Result<()> {
    for entry in entries.take(limit - found.len()) {
        found.push(entry?);
    }
    Ok(())
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
