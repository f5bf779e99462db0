//! Blocks: sorted entries that are read and checked together.
//!
//! `entries | offset of each, u32 | their number, u32 | CRC-32 of all before, u32`, little-endian. Data, indexes and
//! filters are all blocks. What passed [`Block::parse`] is known to be well formed.

use bytes::Bytes;

use super::entry::Entry;

const TRAILER: usize = 8;

/// A checked block.
pub(super) struct Block {
    data: Bytes,
    offsets_at: usize,
    count: usize,
}

impl Block {
    /// Checks sum and shape; `None` if it is damaged.
    pub(super) fn parse(data: Bytes) -> Option<Self> {
        let body = data.len().checked_sub(4)?;
        if crc32fast::hash(&data[..body]) != number(&data, body)? {
            return None;
        }
        let count = number(&data, data.len().checked_sub(TRAILER)?)? as usize;
        let offsets_at = (data.len() - TRAILER).checked_sub(count.checked_mul(4)?)?;
        let block = Self {
            data,
            offsets_at,
            count,
        };
        (count > 0 && (0..count).all(|index| block.is_sound(index))).then_some(block)
    }

    fn is_sound(&self, index: usize) -> bool {
        let (start, end) = self.bounds(index);
        let entry =
            (start <= end && end <= self.offsets_at).then(|| Entry::parse(&self.data[start..end]));
        matches!(entry, Some(Some((_, length))) if length == end - start)
    }

    fn bounds(&self, index: usize) -> (usize, usize) {
        let offset = |index: usize| {
            number(&self.data, self.offsets_at + 4 * index).map_or(usize::MAX, |at| at as usize)
        };
        let end = if index + 1 < self.count {
            offset(index + 1)
        } else {
            self.offsets_at
        };
        (offset(index), end)
    }

    /// How many entries.
    pub(super) fn count(&self) -> usize {
        self.count
    }
    /// How many bytes of memory.
    pub(super) fn size(&self) -> usize {
        self.data.len()
    }
    /// An entry's bytes.
    pub(super) fn bytes(&self, index: usize) -> Bytes {
        let (start, end) = self.bounds(index);
        self.data.slice(start..end)
    }
    /// An entry.
    pub(super) fn entry(&self, index: usize) -> Entry<'_> {
        let (start, end) = self.bounds(index);
        Entry::parse(&self.data[start..end])
            .expect("entries were checked when the block was parsed")
            .0
    }
    /// The value of an entry; empty for a tombstone.
    pub(super) fn value(&self, index: usize) -> &[u8] {
        self.entry(index)
            .content
            .map_or(&[], |content| content.value)
    }
    /// How many entries have keys below this one.
    pub(super) fn below(&self, key: &[u8]) -> usize {
        self.partition_point(|other| other < key)
    }
    /// The last entry whose key is this one or below.
    pub(super) fn floor(&self, key: &[u8]) -> Option<usize> {
        self.partition_point(|other| other <= key).checked_sub(1)
    }

    fn partition_point(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_before(self.entry(middle).key) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        low
    }
}

fn number(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Makes blocks, one after the other.
#[derive(Default)]
pub(super) struct BlockBuilder {
    data: Vec<u8>,
    offsets: Vec<u32>,
}

impl BlockBuilder {
    /// Adds an encoded entry; its key is above all before.
    pub(super) fn push(&mut self, entry: &[u8]) {
        self.begin().extend_from_slice(entry);
    }
    /// Adds an entry.
    pub(super) fn push_entry(&mut self, entry: &Entry<'_>) {
        entry.encode(self.begin());
    }
    fn begin(&mut self) -> &mut Vec<u8> {
        self.offsets
            .push(u32::try_from(self.data.len()).expect("a block ends long before 4 GiB"));
        &mut self.data
    }
    /// Bytes so far.
    pub(super) fn size(&self) -> usize {
        self.data.len() + 4 * self.offsets.len()
    }
    /// Entries so far.
    pub(super) fn count(&self) -> usize {
        self.offsets.len()
    }
    /// Appends the block to `out`, returns its length and starts the next.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.append(&mut self.data);
        for offset in &self.offsets {
            out.extend_from_slice(&offset.to_le_bytes());
        }
        let count = u32::try_from(self.offsets.len()).expect("a block has far fewer entries");
        self.offsets.clear();
        out.extend_from_slice(&count.to_le_bytes());
        let sum = crc32fast::hash(&out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
        out.len() - start
    }
}
