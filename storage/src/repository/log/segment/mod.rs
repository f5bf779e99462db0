//! Segments: the old entries of a log, compressed, in an object; a record says where and has the index.
//!
//! ```text
//! object   the owner (`repository::object`)  frame*
//! frame    zstd of a log item (`codec`) of up to 64 entries
//! record   `log` `S#archive` / first number: CBOR, see [`Segment`], sealed as any record
//! ```
//!
//! Why the index is in the record: a page reads one record of some 2 KB and asks the object once for the frames it needs.
//! An object never changes. Who changes a segment writes another object, then the record under its version, then removes
//! the old object: a reader that finds no object looks at the record again.
//! What is in the table is never in a segment in vain: an item that is in both counts as it is in the table.

pub(super) mod body;
mod read;
mod replace;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use minicbor::{Decode, Encode};
pub(super) use read::Segments;
pub(super) use replace::Replacement;
use xmpp::BareJid;

use super::LogRange;
use crate::{
    clock::Clock,
    error::Result,
    key,
    repository::record::{self, Opened, corrupt},
    shape::{Blobs, Key, Record, Space, Table},
};

/// What the index tells of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Frame {
    /// How many entries it has.
    #[n(0)]
    pub(super) count: u8,
    /// Its bytes in the object.
    #[n(1)]
    pub(super) length: u32,
    /// Its bytes when they are not compressed.
    #[n(2)]
    pub(super) raw: u32,
    /// CRC-32 of its bytes in the object.
    #[n(3)]
    pub(super) crc: u32,
    /// Time of its first entry.
    #[n(4)]
    pub(super) first_ms: u64,
    /// For how long it goes on.
    #[n(5)]
    pub(super) span_ms: u64,
    /// Which of its entries is the first that the archive shows.
    #[n(6)]
    pub(super) archived: Option<u8>,
}

/// A segment's record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Segment {
    /// The object.
    #[n(0)]
    pub(super) object: String,
    /// Where the frames begin in it.
    #[n(1)]
    pub(super) start: u32,
    /// The lowest number that is shown: what is below was dropped from the front of the log.
    #[n(2)]
    pub(super) from: u64,
    /// The frames, in order.
    #[n(3)]
    pub(super) frames: Vec<Frame>,
    /// Number of its first entry, whether it is shown or not.
    #[cbor(skip)]
    pub(super) first: u64,
    /// Version of the record.
    #[cbor(skip)]
    pub(super) version: u64,
}

impl Segment {
    /// The segment of a record.
    pub(super) fn of(record: &Record) -> Result<Self> {
        let first =
            key::read_number(&record.sort).ok_or_else(|| corrupt("log segment without number"))?;
        let Opened::Body(body) = record::open(&record.value)? else {
            return Err(corrupt("a pointer where a segment belongs"));
        };
        let segment = Self {
            first,
            version: record.version,
            ..record::from_cbor(&body)?
        };
        match segment.frames.iter().any(|frame| frame.count == 0) || segment.frames.is_empty() {
            true => Err(corrupt("log segment without entries")),
            false => Ok(segment),
        }
    }

    /// Its record.
    pub(super) fn seal(&self, write_id: u64) -> Result<Bytes> {
        record::seal(&record::to_cbor(self), write_id).map(Bytes::from)
    }

    /// Number of its last entry.
    pub(super) fn last(&self) -> u64 {
        let count: u64 = self.frames.iter().map(|frame| u64::from(frame.count)).sum();
        self.first + count - 1
    }

    /// The numbers of a range that it shows.
    pub(super) fn shown(&self, range: LogRange) -> LogRange {
        LogRange {
            from: range.from.max(self.from).max(self.first),
            to: range.to.min(self.last()),
        }
    }

    /// Its frames with their first numbers.
    pub(super) fn numbered(&self) -> impl DoubleEndedIterator<Item = (u64, &Frame)> {
        let mut first = self.first;
        let firsts: Vec<u64> = self
            .frames
            .iter()
            .map(|frame| {
                let at = first;
                first += u64::from(frame.count);
                at
            })
            .collect();
        firsts.into_iter().zip(&self.frames)
    }

    /// The frames that hold any of these numbers.
    pub(super) fn frames_with(&self, range: LogRange) -> Range<usize> {
        let mut frames = 0..0;
        for (at, (first, frame)) in self.numbered().enumerate() {
            if first + u64::from(frame.count) <= range.from {
                frames = at + 1..at + 1;
            } else if first <= range.to {
                frames.end = at + 1;
            }
        }
        frames
    }

    /// Where frames lie in the object.
    pub(super) fn bytes_of(&self, frames: Range<usize>) -> Range<u64> {
        let length =
            |frames: &[Frame]| -> u64 { frames.iter().map(|frame| u64::from(frame.length)).sum() };
        let start = u64::from(self.start) + length(&self.frames[..frames.start]);
        start..start + length(&self.frames[frames])
    }

    /// How long the object is.
    pub(super) fn object_bytes(&self) -> u64 {
        self.bytes_of(0..self.frames.len()).end
    }

    /// The first number that it shows and that is of the archive; not before it, but maybe not itself, if what was
    /// dropped ends within its frame.
    pub(super) fn first_archived(&self) -> Option<u64> {
        self.numbered()
            .filter(|(first, frame)| first + u64::from(frame.count) > self.from)
            .find_map(|(first, frame)| Some(first + u64::from(frame.archived?)))
            .map(|number| number.max(self.from))
    }

    /// Time of its first and of its last entry.
    pub(super) fn times(&self) -> (u64, u64) {
        let first = self.frames.first().map_or(0, |frame| frame.first_ms);
        let last = self.frames.last().map_or(0, Frame::last_ms);
        (first, last)
    }
}

impl Frame {
    /// Time of its last entry.
    pub(super) fn last_ms(&self) -> u64 {
        self.first_ms.saturating_add(self.span_ms)
    }
}

/// The record of a segment.
pub(super) fn segment_key(archive: &BareJid, first: u64) -> Key {
    Key {
        space: Space::Log,
        partition: key::log_segments(archive),
        sort: key::number(first),
    }
}

/// Where the segments of an archive are kept.
pub(super) struct Store<'a> {
    pub(super) table: &'a dyn Table,
    pub(super) blobs: &'a dyn Blobs,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) archive: &'a BareJid,
}

#[cfg(test)]
mod tests;
