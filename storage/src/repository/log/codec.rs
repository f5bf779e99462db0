//! Items of a log: compact binary, written once per message and read in ranges.
//!
//! ```text
//! item    01 (format)  count:u8  write id:u64le  base time:u64le  length:varint extensions  entry*
//! entry   length:varint of what follows
//!         flags:u16le  time - base:zigzag varint  length:varint peer  length:varint stanza  extension*
//! extension   tag:varint  length:varint  bytes        unknown tags are skipped and survive a rewrite of a neighbour
//!   of an entry: 1 = its stanza is an object (`large`), and empty here
//! ```
//!
//! Why by hand: it is the hottest encoding there is. One allocation encodes an item; a decoded stanza shares the bytes
//! of its item.

mod gathered;
mod numbers;

use bytes::Bytes;
pub(super) use gathered::Gathered;
use numbers::{Cursor, prefixed_len, put_prefixed, put_varint, unzigzag, varint_len, zigzag};
use xmpp::Jid;

use super::{EntryFlags, LogEntry, NewEntry};
use crate::{error::Result, repository::record::corrupt};

/// Entries of one item at most.
pub(super) const MAX_ENTRIES: usize = 64;
/// An item that holds several entries is not larger than this.
pub(super) const MAX_BYTES: usize = 64 << 10;
const FORMAT: u8 = 1;
const HEADER: usize = 18;
/// Longest varint.
const VARINT: usize = 10;
/// Extension of an entry: where its stanza is.
const LARGE: u64 = 1;
/// What a new entry has besides what every entry has: nothing, as a rule.
const PLAIN: &[u8] = &[];

/// How many bytes an entry needs at most.
pub(super) fn size_bound(entry: &NewEntry) -> usize {
    2 + 4 * VARINT + entry.peer.as_str().len() + entry.stanza.len()
}

/// An item of these entries, at least one, at most [`MAX_ENTRIES`], with the extensions of each.
pub(super) fn encode<'a>(
    write_id: u64,
    entries: &[NewEntry],
    extensions: impl Fn(usize) -> &'a [u8],
) -> Bytes {
    debug_assert!((1..=MAX_ENTRIES).contains(&entries.len()));
    let base = entries[0].time_ms;
    let mut out = Vec::with_capacity(HEADER + 1 + entries.iter().map(size_bound).sum::<usize>());
    put_header(&mut out, entries.len(), write_id, base);
    for (at, entry) in entries.iter().enumerate() {
        put_entry(&mut out, base, entry, extensions(at));
    }
    out.into()
}

fn put_header(out: &mut Vec<u8>, count: usize, write_id: u64, base: u64) {
    out.push(FORMAT);
    out.push(u8::try_from(count).expect("a bounded number of entries"));
    out.extend_from_slice(&write_id.to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    out.push(0);
}

fn put_entry(out: &mut Vec<u8>, base: u64, entry: &NewEntry, extensions: &[u8]) {
    let time = zigzag(entry.time_ms.wrapping_sub(base).cast_signed());
    let peer = entry.peer.as_str().as_bytes();
    // What is elsewhere is not here.
    let stanza = if extensions.is_empty() {
        &entry.stanza[..]
    } else {
        &[]
    };
    let length =
        2 + varint_len(time) + prefixed_len(peer) + prefixed_len(stanza) + extensions.len();
    put_varint(out, length as u64);
    out.extend_from_slice(&entry.flags.bits().to_le_bytes());
    put_varint(out, time);
    put_prefixed(out, peer);
    put_prefixed(out, stanza);
    out.extend_from_slice(extensions);
}

/// The extension of an entry whose stanza is elsewhere.
pub(super) fn large_extension(pointer: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pointer.len() + 3);
    put_varint(&mut out, LARGE);
    put_prefixed(&mut out, pointer);
    out
}

/// An entry and, if its stanza is elsewhere, what says where.
pub(super) struct Found {
    pub(super) entry: LogEntry,
    pub(super) pointer: Option<Bytes>,
}

/// An item that was read: its entries can be walked without decoding them.
pub(super) struct Item {
    bytes: Bytes,
    /// Number of its first entry.
    pub(super) first: u64,
    count: u8,
    base: u64,
    /// Where the entries begin.
    entries: usize,
}

impl Item {
    /// Reads the header.
    pub(super) fn parse(first: u64, bytes: Bytes) -> Result<Self> {
        let mut rest = Cursor { bytes: &bytes };
        let [format, count] = rest.array()?;
        if format != FORMAT || count == 0 {
            return Err(corrupt(format!(
                "log item of format {format} with {count} entries"
            )));
        }
        rest.array::<8>()?;
        let base = u64::from_le_bytes(rest.array()?);
        rest.prefixed()?;
        let entries = bytes.len() - rest.bytes.len();
        Ok(Self {
            first,
            count,
            base,
            entries,
            bytes,
        })
    }

    /// Number of its last entry.
    pub(super) fn last(&self) -> u64 {
        self.first + u64::from(self.count - 1)
    }

    /// The raw entries, in order.
    fn raw(&self) -> impl Iterator<Item = Result<&[u8]>> {
        let mut rest = Cursor {
            bytes: &self.bytes[self.entries..],
        };
        (0..self.count).map(move |_| rest.prefixed())
    }

    /// Whether it has extensions of its own, which only that item may keep.
    pub(super) fn is_extended(&self) -> bool {
        self.entries != HEADER + 1
    }

    /// The item as it is stored.
    pub(super) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Flags, time and the rest of a raw entry.
    pub(super) fn parts<'a>(&self, raw: &'a [u8]) -> Result<(EntryFlags, u64, &'a [u8])> {
        let mut rest = Cursor { bytes: raw };
        let flags = EntryFlags::from_bits(u16::from_le_bytes(rest.array()?));
        let time_ms = self.time(&mut rest)?;
        Ok((flags, time_ms, rest.bytes))
    }

    /// What says where the stanza of a raw entry is, if it is elsewhere.
    pub(super) fn pointer(&self, raw: &[u8]) -> Result<Option<Bytes>> {
        let (_, _, bytes) = self.parts(raw)?;
        let mut rest = Cursor { bytes };
        rest.prefixed()?;
        rest.prefixed()?;
        self.pointer_in(rest)
    }

    fn pointer_in(&self, mut rest: Cursor<'_>) -> Result<Option<Bytes>> {
        while !rest.bytes.is_empty() {
            let tag = rest.varint()?;
            let bytes = rest.prefixed()?;
            if tag == LARGE {
                return Ok(Some(self.bytes.slice_ref(bytes)));
            }
        }
        Ok(None)
    }

    /// The entries whose numbers lie within, in order, undecoded.
    pub(super) fn raw_entries(
        &self,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = (u64, Result<&[u8]>)> {
        let numbered = (self.first..).zip(self.raw());
        numbered.filter(move |(number, _)| (from..=to).contains(number))
    }

    /// The peer of a raw entry, as it is stored.
    pub(super) fn peer<'a>(&self, raw: &'a [u8]) -> Result<&'a str> {
        let mut rest = Cursor { bytes: raw };
        rest.array::<2>()?;
        rest.varint()?;
        std::str::from_utf8(rest.prefixed()?).map_err(|e| corrupt("log entry").with_source(e))
    }

    /// Whether any entry has all of these flags.
    pub(super) fn any(&self, flags: EntryFlags) -> Result<bool> {
        for raw in self.raw() {
            if flags_of(raw?)?.contains(flags) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same item without what these entries hold, unless they have one of the flags; `None`: that changes nothing.
    /// Numbers and times stay; the other side becomes `nobody`.
    pub(super) fn blanked(
        &self,
        numbers: &[u64],
        unless: EntryFlags,
        nobody: &Jid,
    ) -> Result<Option<Bytes>> {
        let mut out = Vec::with_capacity(self.bytes.len());
        out.extend_from_slice(&self.bytes[..self.entries]);
        for (at, raw) in (self.first..).zip(self.raw()) {
            let raw = raw?;
            if numbers.binary_search(&at).is_err() || flags_of(raw)?.contains(unless) {
                put_prefixed(&mut out, raw);
                continue;
            }
            let mut rest = Cursor { bytes: raw };
            rest.array::<2>()?;
            let blank = NewEntry {
                time_ms: self.time(&mut rest)?,
                flags: EntryFlags::NONE,
                peer: nobody.clone(),
                stanza: Bytes::new(),
            };
            put_entry(&mut out, self.base, &blank, PLAIN);
        }
        Ok((out != self.bytes[..]).then(|| out.into()))
    }

    /// The times of the entries, in order.
    pub(super) fn times(&self) -> impl Iterator<Item = Result<u64>> {
        self.raw().map(|raw| {
            let mut rest = Cursor { bytes: raw? };
            rest.array::<2>()?;
            self.time(&mut rest)
        })
    }

    /// The same item with this entry in the place of the one of this number; the others stay as they are, to the byte.
    pub(super) fn with_entry(
        &self,
        number: u64,
        entry: &NewEntry,
        extensions: &[u8],
    ) -> Result<Bytes> {
        let mut out = Vec::with_capacity(self.bytes.len() + size_bound(entry));
        out.extend_from_slice(&self.bytes[..self.entries]);
        for (at, raw) in (self.first..).zip(self.raw()) {
            if at == number {
                put_entry(&mut out, self.base, entry, extensions);
            } else {
                put_prefixed(&mut out, raw?);
            }
        }
        Ok(out.into())
    }

    fn time(&self, rest: &mut Cursor<'_>) -> Result<u64> {
        Ok(self
            .base
            .wrapping_add(unzigzag(rest.varint()?).cast_unsigned()))
    }

    /// A raw entry, decoded.
    pub(super) fn entry(&self, number: u64, raw: &[u8]) -> Result<Found> {
        let mut rest = Cursor { bytes: raw };
        let flags = EntryFlags::from_bits(u16::from_le_bytes(rest.array()?));
        let time_ms = self.time(&mut rest)?;
        let peer = std::str::from_utf8(rest.prefixed()?)
            .map_err(|e| corrupt("log entry").with_source(e))?;
        let peer = Jid::parse(peer).map_err(|e| corrupt("log entry").with_source(e))?;
        let stanza = self.bytes.slice_ref(rest.prefixed()?);
        let entry = LogEntry {
            number,
            time_ms,
            flags,
            peer,
            stanza,
        };
        Ok(Found {
            entry,
            pointer: self.pointer_in(rest)?,
        })
    }
}

pub(super) fn flags_of(raw: &[u8]) -> Result<EntryFlags> {
    let flags = Cursor { bytes: raw }.array()?;
    Ok(EntryFlags::from_bits(u16::from_le_bytes(flags)))
}

/// The write id of an item, if it is one.
pub(super) fn write_id_of(item: &[u8]) -> Option<u64> {
    item.get(2..10)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
