//! Gathers entries of several items in one, which becomes a frame of a segment.

use bytes::Bytes;

use super::{
    Item,
    numbers::{put_varint, varint_len, zigzag},
    put_header,
};
use crate::error::Result;

/// Entries of several items as one item, which counts times from its first entry; 64 of them at most. Nobody's write id.
pub(in crate::repository::log) struct Gathered {
    out: Vec<u8>,
    base: u64,
    count: usize,
}

impl Gathered {
    /// Begins with an entry of this time.
    pub(in crate::repository::log) fn new(base: u64) -> Self {
        let mut out = Vec::new();
        put_header(&mut out, 0, 0, base);
        Self {
            out,
            base,
            count: 0,
        }
    }
    /// Adds an entry, to the byte but for its time.
    pub(in crate::repository::log) fn push(&mut self, item: &Item, raw: &[u8]) -> Result<()> {
        let (flags, time_ms, rest) = item.parts(raw)?;
        let time = zigzag(time_ms.wrapping_sub(self.base).cast_signed());
        put_varint(&mut self.out, (2 + varint_len(time) + rest.len()) as u64);
        self.out.extend_from_slice(&flags.bits().to_le_bytes());
        put_varint(&mut self.out, time);
        self.out.extend_from_slice(rest);
        self.count += 1;
        Ok(())
    }
    /// The item.
    pub(in crate::repository::log) fn finish(mut self) -> Bytes {
        self.out[1] = u8::try_from(self.count).expect("a bounded number of entries");
        self.out.into()
    }
}
