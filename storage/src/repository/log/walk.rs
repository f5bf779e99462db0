//! Walks through a log: what is in the table, and where that ends what is in segments.
//!
//! The table holds the end of a log: all entries from a number on. Compaction writes a segment first and removes its
//! items then, from the oldest up. So who looks at the table first finds in the segments whatever the table had no more,
//! and where both have a number it is the table that counts. Pages of a query are no snapshot: every hole between two
//! items is looked for in the segments.
//! What is not compacted costs nothing: nobody asks for segments as long as the items of a range follow each other.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{
    LogRange,
    codec::Item,
    read::{MAX_SPAN, Reader, item_of, until},
};
use crate::{
    error::Result,
    key,
    repository::paging,
    shape::{Key, Space},
};

/// Items asked for at once.
const ITEMS_AT_ONCE: usize = 100;

/// Some entries, as they are stored.
pub(super) struct Part {
    pub(super) item: Item,
    /// Which of its numbers are meant.
    pub(super) numbers: LogRange,
    pub(super) place: Place,
}

/// Where entries are stored.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In an item with this sort key.
    Item(Bytes),
    /// In the segment that begins with this number.
    Segment(u64),
}

/// Who takes parts; `Break`: no more.
pub(super) type Take<'a> = dyn FnMut(&Part) -> Result<ControlFlow<()>> + Send + 'a;

/// Where parts go, and how many entries are wanted.
pub(super) struct Sink<'a> {
    wanted: usize,
    take: &'a mut Take<'a>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(wanted: usize, take: &'a mut Take<'a>) -> Self {
        Self { wanted, take }
    }
    pub(super) fn wanted(&self) -> usize {
        self.wanted
    }
    pub(super) fn give(&mut self, part: &Part) -> Result<ControlFlow<()>> {
        let LogRange { from, to } = part.numbers;
        if from > to {
            return Ok(ControlFlow::Continue(()));
        }
        let flow = (self.take)(part)?;
        let given = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
        self.wanted = self.wanted.saturating_sub(given);
        Ok(if self.wanted == 0 {
            ControlFlow::Break(())
        } else {
            flow
        })
    }
    /// How many items are asked for: enough, if each had one entry.
    fn items(&self) -> usize {
        self.wanted.min(ITEMS_AT_ONCE)
    }
}

impl Place {
    /// The record that must be there for the entries to be.
    pub(super) fn key(&self, reader: &Reader<'_>) -> Key {
        let (partition, sort) = match self {
            Self::Item(sort) => (reader.partition.clone(), sort.clone()),
            Self::Segment(first) => (key::log_segments(reader.archive), key::number(*first)),
        };
        Key {
            space: Space::Log,
            partition,
            sort,
        }
    }
}

fn part_of(item: Item, sort: Bytes, range: LogRange) -> Part {
    Part {
        numbers: LogRange {
            from: range.from.max(item.first),
            to: range.to.min(item.last()),
        },
        item,
        place: Place::Item(sort),
    }
}

impl Reader<'_> {
    /// Gives the entries of a range to the sink, in order or from the highest down, until it wants no more.
    pub(super) async fn walk(
        &self,
        range: LogRange,
        reverse: bool,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        if sink.wanted() == 0 || range.from > range.to {
            return Ok(());
        }
        if reverse {
            self.walk_down(range, sink).await
        } else {
            self.walk_up(range, sink).await
        }
    }

    async fn walk_up(&self, range: LogRange, sink: &mut Sink<'_>) -> Result<()> {
        let mut next = range.from.max(1);
        // Nothing of the table is far, as far as we know.
        let mut is_near = true;
        if next > 1 {
            match self.item_with(next).await? {
                Some((item, _)) => {
                    let sort = key::number(item.first);
                    let last = item.last();
                    if sink.give(&part_of(item, sort, range))?.is_break() {
                        return Ok(());
                    }
                    next = last.saturating_add(1);
                }
                None => is_near = false,
            }
        }
        let mut query = self.query(false, ITEMS_AT_ONCE);
        query.from = Some(key::number(next));
        query.until = until(range.to);
        while next <= range.to {
            query.limit = if is_near { sink.items() } else { 1 };
            is_near = true;
            let (records, more) = paging::next_page(self.table, &mut query).await?;
            for record in records {
                let item = item_of(&record)?;
                if item.first > next {
                    let hole = LogRange {
                        from: next,
                        to: item.first - 1,
                    };
                    if self.segments().walk(hole, false, sink).await?.is_break() {
                        return Ok(());
                    }
                }
                next = item.last().saturating_add(1);
                if sink.give(&part_of(item, record.sort, range))?.is_break() {
                    return Ok(());
                }
            }
            if more {
                continue;
            }
            // The newest item is always in the table: without an upper bound there is nothing beyond what was found.
            if next <= range.to && range.to < u64::MAX {
                let rest = LogRange {
                    from: next,
                    to: range.to,
                };
                // `Break` or not, it was the last.
                let _ = self.segments().walk(rest, false, sink).await?;
            }
            return Ok(());
        }
        Ok(())
    }

    async fn walk_down(&self, range: LogRange, sink: &mut Sink<'_>) -> Result<()> {
        let lowest = range.from.max(1);
        // The number that comes next, where it is known.
        let mut next = Some(range.to).filter(|to| *to < u64::MAX);
        let mut query = self.query(true, ITEMS_AT_ONCE);
        query.from = Some(key::number(range.from.saturating_sub(MAX_SPAN)));
        query.until = until(range.to);
        loop {
            query.limit = sink.items();
            let (records, more) = paging::next_page(self.table, &mut query).await?;
            for record in records {
                let item = item_of(&record)?;
                if let Some(next) = next
                    && item.last() < next
                {
                    let hole = LogRange {
                        from: lowest.max(item.last() + 1),
                        to: next,
                    };
                    if self.segments().walk(hole, true, sink).await?.is_break() {
                        return Ok(());
                    }
                }
                next = Some(item.first.saturating_sub(1));
                if sink.give(&part_of(item, record.sort, range))?.is_break() {
                    return Ok(());
                }
            }
            if !more {
                break;
            }
        }
        match next {
            Some(next) if next >= lowest => {
                let rest = LogRange {
                    from: lowest,
                    to: next,
                };
                // `Break` or not, it was the last.
                let _ = self.segments().walk(rest, true, sink).await?;
            }
            _ => {}
        }
        Ok(())
    }
}
