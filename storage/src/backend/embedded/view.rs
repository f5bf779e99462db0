//! View: what a reader sees, newest first, and how it finds the entry that counts.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{
    io::{BlockCache, Patience, ReadError},
    memtable::Memtable,
    run::{Cursor, Run},
};

/// Entries are taken from a memtable this many at a time.
const CHUNK: usize = 128;

/// The tables and runs of a moment.
#[derive(Clone)]
pub(super) struct View {
    /// Where new entries go.
    pub(super) active: Arc<Memtable>,
    /// Full tables on their way to disk, newest first.
    pub(super) sealed: Vec<Arc<Memtable>>,
    /// Runs, newest first.
    pub(super) runs: Vec<Arc<Run>>,
}

impl View {
    fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }

    /// The newest entry of a key, which may be a tombstone.
    pub(super) fn find(
        &self,
        key: &[u8],
        hash: u64,
        cache: &BlockCache,
        patience: Patience,
    ) -> Result<Option<Bytes>, ReadError> {
        if let Some(found) = self.memtables().find_map(|table| table.find(key)) {
            return Ok(Some(found));
        }
        for run in &self.runs {
            if let Some(found) = run.find(key, hash, cache, patience)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// One of the sources that a scan merges, and the entry it stands at.
struct Source<'a> {
    head: Option<(Bytes, Bytes)>,
    rest: Rest<'a>,
}

enum Rest<'a> {
    Memory(Chunks),
    Disk(Box<Cursor<'a>>),
}

/// A memtable, copied a chunk at a time so that its lock is never held while a disk is read.
struct Chunks {
    table: Arc<Memtable>,
    chunk: VecDeque<(Bytes, Bytes)>,
    is_last: bool,
}

/// The range of keys that a scan passes, and which way.
pub(super) struct Range {
    /// The least key.
    pub(super) from: Vec<u8>,
    /// The least key beyond.
    pub(super) until: Vec<u8>,
    /// From the end.
    pub(super) reverse: bool,
}

/// The newest entries of a range in order, tombstones included.
pub(super) struct Scan<'a> {
    /// Newest first.
    sources: Vec<Source<'a>>,
    range: Range,
}

impl<'a> Scan<'a> {
    /// Over a view.
    pub(super) fn new(
        view: &View,
        range: Range,
        cache: &'a BlockCache,
        patience: Patience,
    ) -> Result<Self, ReadError> {
        let mut sources = Vec::with_capacity(view.runs.len() + 3);
        for table in view.memtables() {
            let chunk = VecDeque::from(table.range(&range, None, CHUNK));
            let is_last = chunk.len() < CHUNK;
            let mut rest = Rest::Memory(Chunks {
                table: table.clone(),
                chunk,
                is_last,
            });
            sources.push(Source {
                head: rest.take(&range)?,
                rest,
            });
        }
        Self::over_runs(sources, &view.runs, range, Some(cache), patience)
    }

    /// Over runs alone, newest first, without the cache: a merge would only push out what readers need.
    pub(super) fn of_runs(runs: &[Arc<Run>], range: Range) -> Result<Self, ReadError> {
        Self::over_runs(Vec::new(), runs, range, None, Patience::Wait)
    }

    fn over_runs(
        mut sources: Vec<Source<'a>>,
        runs: &[Arc<Run>],
        range: Range,
        cache: Option<&'a BlockCache>,
        patience: Patience,
    ) -> Result<Self, ReadError> {
        let start = if range.reverse {
            &range.until
        } else {
            &range.from
        };
        for run in runs {
            let mut rest = Rest::Disk(Box::new(Cursor::seek(
                run.clone(),
                start,
                range.reverse,
                cache,
                patience,
            )?));
            sources.push(Source {
                head: rest.take(&range)?,
                rest,
            });
        }
        Ok(Self { sources, range })
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let mut best: Option<(usize, &[u8])> = None;
        for (at, source) in self.sources.iter().enumerate() {
            let Some((key, _)) = &source.head else {
                continue;
            };
            if best.is_none_or(|(_, least)| {
                if self.range.reverse {
                    key > least
                } else {
                    key < least
                }
            }) {
                best = Some((at, key));
            }
        }
        let Some((newest, _)) = best else {
            return Ok(None);
        };
        let (newest, older) = self.sources[newest..]
            .split_first_mut()
            .expect("the best is one of them");
        let Some((key, bytes)) = newest.head.take() else {
            return Ok(None);
        };
        newest.head = newest.rest.take(&self.range)?;
        for source in older {
            if source.head.as_ref().is_some_and(|(other, _)| *other == key) {
                source.head = source.rest.take(&self.range)?;
            }
        }
        Ok(Some(bytes))
    }
}

impl Rest<'_> {
    /// The entry here, within the range, and moves on.
    fn take(&mut self, range: &Range) -> Result<Option<(Bytes, Bytes)>, ReadError> {
        match self {
            Self::Memory(chunks) => Ok(chunks.take(range)),
            Self::Disk(cursor) => {
                let found = cursor
                    .peek()
                    .filter(|(key, _)| range.from[..] <= key[..] && key[..] < range.until[..]);
                if found.is_some() {
                    cursor.advance()?;
                }
                Ok(found)
            }
        }
    }
}

impl Chunks {
    fn take(&mut self, range: &Range) -> Option<(Bytes, Bytes)> {
        let found = self.chunk.pop_front();
        if let (Some((last, _)), true, false) = (&found, self.chunk.is_empty(), self.is_last) {
            self.chunk = self.table.range(range, Some(last), CHUNK).into();
            self.is_last = self.chunk.len() < CHUNK;
        }
        found
    }
}
