//! Contacts: where in a log somebody occurs, so that one conversation is read without all that lies between.
//!
//! Numbers are taken in blocks of [`BLOCK`]. Once the log has passed a block nothing is added to it, so who occurs in it
//! is written down once, by the first reader that has to go through it: appends pay nothing, and a reader that comes later
//! looks at one small row for each 1,024 messages. What a rewrite takes away stays in its row, which costs a look in vain.
//! Stored: `idx` `W#archive` / block: the format, then CRC-32s of bare addresses, ascending, 4 bytes each. All of it can be
//! made again from the log.

use std::{
    collections::BTreeSet,
    ops::{ControlFlow, Range},
};

use bytes::Bytes;
use hashbrown::HashMap;
use xmpp::BareJid;

use super::{
    LogEntry, LogRange,
    read::{Entries, Reader},
    walk::{Part, Place, Sink},
};
use crate::{
    error::{ErrorKind, Result},
    key,
    repository::{paging, record::corrupt},
    shape::{Batch, Condition, Consistency, Key, Query, Space},
};

/// Numbers of one row.
pub(super) const BLOCK: u64 = 1_024;
/// Rows that are asked for and written at once.
const ROWS_AT_ONCE: u64 = 32;
const FORMAT: u8 = 1;

/// Who is looked for, where, and how many entries are wanted.
pub(super) struct Wanted<'a> {
    pub(super) contact: &'a BareJid,
    pub(super) range: LogRange,
    pub(super) reverse: bool,
    pub(super) limit: usize,
}

/// What a walk through a block has seen.
#[derive(Default)]
struct Seen {
    hashes: BTreeSet<u32>,
    /// Where an entry of the block is, if it has any.
    place: Option<Place>,
    /// All of the block was seen.
    whole: bool,
}

pub(super) fn hash(bare: &str) -> u32 {
    crc32fast::hash(bare.as_bytes())
}

/// The bare part of an address as it is stored.
fn bare(peer: &str) -> &str {
    peer.split_once('/').map_or(peer, |(bare, _)| bare)
}

/// The numbers of a block.
fn numbers(block: u64) -> LogRange {
    LogRange {
        from: (block * BLOCK).max(1),
        to: block * BLOCK + (BLOCK - 1),
    }
}

fn row(hashes: &BTreeSet<u32>) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + 4 * hashes.len());
    row.push(FORMAT);
    for hash in hashes {
        row.extend_from_slice(&hash.to_be_bytes());
    }
    row
}

/// Whether a row names this hash.
fn names(row: &[u8], wanted: u32) -> Result<bool> {
    let hashes = match row.split_first() {
        Some((&FORMAT, hashes)) => hashes.as_chunks::<4>(),
        _ => return Err(corrupt("a row of contacts of another format")),
    };
    match hashes {
        (hashes, []) => Ok(hashes.binary_search(&wanted.to_be_bytes()).is_ok()),
        _ => Err(corrupt("a row of contacts cut short")),
    }
}

/// Whether a row names all of these.
pub(super) fn all_named(row: &[u8], seen: &BTreeSet<u32>) -> Result<bool> {
    for hash in seen {
        if !names(row, *hash)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Reader<'_> {
    /// Entries whose peer is this contact, in the direction asked for; rows of contacts are in `rows`.
    pub(super) async fn with(&self, rows: &Bytes, wanted: &Wanted<'_>) -> Result<Vec<LogEntry>> {
        let mut found = Entries::default();
        let head = self.tip().await?.head;
        let range = LogRange {
            from: wanted.range.from.max(1),
            to: wanted.range.to.min(head),
        };
        if wanted.limit == 0 || range.from > range.to {
            return Ok(Vec::new());
        }
        let wanted_hash = hash(wanted.contact.as_str());
        let mut rest = range.from / BLOCK..range.to / BLOCK + 1;
        while !rest.is_empty() && found.list.len() < wanted.limit {
            let window = take_window(&mut rest, wanted.reverse);
            let known = self.rows(rows, window.clone()).await?;
            let mut learned = Batch::new();
            for step in 0..window.end - window.start {
                let block = if wanted.reverse {
                    window.end - 1 - step
                } else {
                    window.start + step
                };
                let known_row = known.get(&block);
                if let Some(row) = known_row
                    && !names(row, wanted_hash)?
                {
                    continue;
                }
                let within = numbers(block);
                let there = LogRange {
                    to: within.to.min(head),
                    ..within
                };
                let seen = self.look_through(there, range, wanted, &mut found).await?;
                if known_row.is_none()
                    && within.to <= head
                    && seen.whole
                    && let Some(place) = seen.place
                {
                    learned = self.learn(learned, rows, block, row(&seen.hashes), &place);
                }
                if found.list.len() == wanted.limit {
                    break;
                }
                // A log may be long, and others want to run.
                tokio::task::yield_now().await;
            }
            self.write_rows(learned).await?;
        }
        self.with_stanzas(found).await
    }

    /// Goes through a block in the direction asked for and takes what is wanted.
    async fn look_through(
        &self,
        block: LogRange,
        range: LogRange,
        wanted: &Wanted<'_>,
        found: &mut Entries,
    ) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut is_cut = false;
        let mut take = |part: &Part| {
            let LogRange { from, to } = part.numbers;
            let mut hits = Vec::new();
            for (number, raw) in part.item.raw_entries(from, to) {
                let raw = raw?;
                let peer = bare(part.item.peer(raw)?);
                seen.hashes.insert(hash(peer));
                let is_hit =
                    peer == wanted.contact.as_str() && range.from <= number && number <= range.to;
                if is_hit {
                    hits.push((number, raw));
                }
            }
            if wanted.reverse {
                hits.reverse();
            }
            hits.truncate(wanted.limit - found.list.len());
            for (number, raw) in hits {
                found.push(&part.item, number, raw)?;
            }
            seen.place = Some(part.place.clone());
            is_cut = found.list.len() == wanted.limit;
            Ok(if is_cut {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        self.walk(block, wanted.reverse, &mut Sink::new(usize::MAX, &mut take))
            .await?;
        seen.whole = !is_cut;
        Ok(seen)
    }

    pub(super) async fn rows(
        &self,
        rows: &Bytes,
        blocks: Range<u64>,
    ) -> Result<HashMap<u64, Bytes>> {
        let mut query = Query {
            space: Space::Idx,
            partition: rows.clone(),
            from: Some(key::number(blocks.start)),
            until: Some(key::number(blocks.end)),
            reverse: false,
            limit: ROWS_AT_ONCE as usize,
            consistency: Consistency::Eventual,
        };
        let mut found = HashMap::new();
        loop {
            let (records, more) = paging::next_page(self.table, &mut query).await?;
            for record in records {
                let block = key::read_number(&record.sort)
                    .ok_or_else(|| corrupt("a row of contacts without a number"))?;
                found.insert(block, record.value);
            }
            if !more {
                return Ok(found);
            }
        }
    }

    /// Adds a row. It is written only while the log is there that it tells of: one that is being erased gets no rows.
    fn learn(&self, batch: Batch, rows: &Bytes, block: u64, row: Vec<u8>, place: &Place) -> Batch {
        let check = place.key(self);
        // Blocks may share an item, and a batch names a key once.
        let known = batch.operations.iter().any(|it| *it.key() == check);
        let batch = match known {
            true => batch,
            false => batch.check(check, Condition::Exists),
        };
        let key = Key {
            space: Space::Idx,
            partition: rows.clone(),
            sort: key::number(block),
        };
        batch.put(key, row, Condition::Any)
    }

    async fn write_rows(&self, learned: Batch) -> Result<()> {
        if learned.operations.is_empty() {
            return Ok(());
        }
        match self.table.write(learned).await {
            // Without the rows the next reader goes through the log as this one did.
            Err(error) if error.kind() != ErrorKind::Corrupt => {
                tracing::debug!(%error, "contacts of a log not written down");
                Ok(())
            }
            result => result,
        }
    }
}

/// The next blocks in the direction asked for.
fn take_window(rest: &mut Range<u64>, reverse: bool) -> Range<u64> {
    if reverse {
        let start = rest.end.saturating_sub(ROWS_AT_ONCE).max(rest.start);
        let window = start..rest.end;
        rest.end = start;
        window
    } else {
        let end = (rest.start + ROWS_AT_ONCE).min(rest.end);
        let window = rest.start..end;
        rest.start = end;
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_those_that_were_seen() {
        let hashes: BTreeSet<u32> = ["a@b", "c@d", "e@f"].into_iter().map(hash).collect();
        let row = row(&hashes);
        for (contact, expected) in [("a@b", true), ("c@d", true), ("e@f", true), ("a@c", false)] {
            assert_eq!(names(&row, hash(contact)).unwrap(), expected, "{contact}");
        }
        for damaged in [&[][..], &[2], &row[..row.len() - 1]] {
            let error = names(damaged, 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damaged:?}");
        }
        assert!(!names(&[FORMAT], 1).unwrap());
    }

    #[test]
    fn windows_cover_all_blocks_once() {
        for reverse in [false, true] {
            let mut rest = 3..100;
            let mut all = Vec::new();
            while !rest.is_empty() {
                all.extend(take_window(&mut rest, reverse));
            }
            all.sort_unstable();
            assert_eq!(all, (3..100).collect::<Vec<_>>());
        }
    }
}
