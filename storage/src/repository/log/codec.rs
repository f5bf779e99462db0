//! Items of a log: compact binary, written once per message and read in ranges.
//!
//! ```text
//! item    01 (format)  count:u8  write id:u64le  base time:u64le  length:varint extensions  entry*
//! entry   length:varint of what follows
//!         flags:u16le  time - base:zigzag varint  length:varint peer  length:varint stanza  extension*
//! extension   tag:varint  length:varint  bytes        unknown tags are skipped and survive a rewrite of a neighbour
//! ```
//!
//! Why by hand: it is the hottest encoding there is. One allocation encodes an item; a decoded stanza shares the bytes
//! of its item.

use bytes::Bytes;
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

/// How many bytes an entry needs at most.
pub(super) fn size_bound(entry: &NewEntry) -> usize {
    2 + 4 * VARINT + entry.peer.as_str().len() + entry.stanza.len()
}

/// An item of these entries: at least one, at most [`MAX_ENTRIES`].
pub(super) fn encode(write_id: u64, entries: &[NewEntry]) -> Bytes {
    debug_assert!((1..=MAX_ENTRIES).contains(&entries.len()));
    let base = entries[0].time_ms;
    let mut out = Vec::with_capacity(HEADER + 1 + entries.iter().map(size_bound).sum::<usize>());
    out.push(FORMAT);
    out.push(u8::try_from(entries.len()).expect("a bounded number of entries"));
    out.extend_from_slice(&write_id.to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    out.push(0);
    for entry in entries {
        put_entry(&mut out, base, entry);
    }
    out.into()
}

fn put_entry(out: &mut Vec<u8>, base: u64, entry: &NewEntry) {
    let time = zigzag(entry.time_ms.wrapping_sub(base).cast_signed());
    let (peer, stanza) = (entry.peer.as_str().as_bytes(), &entry.stanza[..]);
    let length = 2 + varint_len(time) + prefixed_len(peer) + prefixed_len(stanza);
    put_varint(out, length as u64);
    out.extend_from_slice(&entry.flags.bits().to_le_bytes());
    put_varint(out, time);
    put_prefixed(out, peer);
    put_prefixed(out, stanza);
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

    /// The entries whose numbers lie within, in order.
    pub(super) fn entries(&self, from: u64, to: u64) -> impl Iterator<Item = Result<LogEntry>> {
        self.raw_entries(from, to)
            .map(|(number, raw)| self.entry(number, raw?))
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
            put_entry(&mut out, self.base, &blank);
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
    pub(super) fn with_entry(&self, number: u64, entry: &NewEntry) -> Result<Bytes> {
        let mut out = Vec::with_capacity(self.bytes.len() + size_bound(entry));
        out.extend_from_slice(&self.bytes[..self.entries]);
        for (at, raw) in (self.first..).zip(self.raw()) {
            if at == number {
                put_entry(&mut out, self.base, entry);
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
    pub(super) fn entry(&self, number: u64, raw: &[u8]) -> Result<LogEntry> {
        let mut rest = Cursor { bytes: raw };
        let flags = EntryFlags::from_bits(u16::from_le_bytes(rest.array()?));
        let time_ms = self.time(&mut rest)?;
        let peer = std::str::from_utf8(rest.prefixed()?)
            .map_err(|e| corrupt("log entry").with_source(e))?;
        let peer = Jid::parse(peer).map_err(|e| corrupt("log entry").with_source(e))?;
        let stanza = self.bytes.slice_ref(rest.prefixed()?);
        Ok(LogEntry {
            number,
            time_ms,
            flags,
            peer,
            stanza,
        })
    }
}

fn flags_of(raw: &[u8]) -> Result<EntryFlags> {
    let flags = Cursor { bytes: raw }.array()?;
    Ok(EntryFlags::from_bits(u16::from_le_bytes(flags)))
}

/// The write id of an item, if it is one.
pub(super) fn write_id_of(item: &[u8]) -> Option<u64> {
    item.get(2..10)?.try_into().ok().map(u64::from_le_bytes)
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or_else(|| corrupt("log item cut short"))?;
        self.bytes = rest;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(corrupt("overlong number in a log item"))
    }
    fn prefixed(&mut self) -> Result<&'a [u8]> {
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|e| corrupt("log item").with_source(e))?)
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn prefixed_len(bytes: &[u8]) -> usize {
    varint_len(bytes.len() as u64) + bytes.len()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests;
