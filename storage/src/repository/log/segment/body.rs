//! What a segment's object holds: frames, made of items and read again.

use bytes::Bytes;

use super::Frame;
use crate::{
    error::Result,
    repository::{
        EntryFlags,
        log::codec::{Gathered, Item, MAX_ENTRIES},
        record::corrupt,
    },
};

/// How hard zstd tries: what is written once and kept for years may cost half a millisecond a frame.
const LEVEL: i32 = 9;
/// A frame of several entries is not larger than this, so that a reader of one needs not read much.
const FRAME_BYTES: usize = 128 << 10;

/// A frame that is compressed.
pub(in crate::repository::log) struct Packed {
    pub(in crate::repository::log) frame: Frame,
    pub(in crate::repository::log) bytes: Vec<u8>,
}

/// Compresses an item to a frame.
pub(in crate::repository::log) fn pack(item: Bytes) -> Result<Packed> {
    let bytes = zstd::bulk::compress(&item, LEVEL).map_err(|e| corrupt("zstd").with_source(e))?;
    let frame = describe(&Item::parse(1, item)?, &bytes)?;
    Ok(Packed { frame, bytes })
}

/// What the index tells of a frame with this item and these bytes.
pub(in crate::repository::log) fn describe(item: &Item, bytes: &[u8]) -> Result<Frame> {
    let size = |bytes: usize| u32::try_from(bytes).map_err(|e| corrupt("a frame").with_source(e));
    let mut times = Vec::with_capacity(MAX_ENTRIES);
    for time in item.times() {
        times.push(time?);
    }
    let mut archived = None;
    for (number, entry) in item.raw_entries(0, u64::MAX) {
        let (flags, ..) = item.parts(entry?)?;
        if flags.contains(EntryFlags::ARCHIVED) {
            archived = u8::try_from(number - item.first).ok();
            break;
        }
    }
    let first_ms = times.first().copied().unwrap_or_default();
    let last_ms = times.last().copied().unwrap_or_default();
    Ok(Frame {
        count: u8::try_from(times.len()).expect("an item counts in one byte"),
        length: size(bytes.len())?,
        raw: size(item.bytes().len())?,
        crc: crc32fast::hash(bytes),
        first_ms,
        span_ms: last_ms.saturating_sub(first_ms),
        archived,
    })
}

/// The item in a frame.
///
/// # Errors
/// `Corrupt` if the bytes are not those that were written, or not what the index says.
pub(in crate::repository::log) fn unpack(first: u64, frame: &Frame, bytes: &[u8]) -> Result<Item> {
    if bytes.len() != frame.length as usize || crc32fast::hash(bytes) != frame.crc {
        return Err(corrupt(format!("the frame of number {first} is damaged")));
    }
    let raw = zstd::bulk::decompress(bytes, frame.raw as usize)
        .map_err(|e| corrupt(format!("the frame of number {first}")).with_source(e))?;
    let item = Item::parse(first, raw.into())?;
    if item.last() + 1 != first + u64::from(frame.count) {
        return Err(corrupt(format!(
            "the frame of number {first} has not {} entries",
            frame.count
        )));
    }
    Ok(item)
}

/// Gathers the entries of items into frames.
pub(in crate::repository::log) struct Framing {
    open: Option<(Gathered, usize, usize)>,
    frames: Vec<Packed>,
}

impl Framing {
    pub(in crate::repository::log) fn new() -> Self {
        Self {
            open: None,
            frames: Vec::new(),
        }
    }

    /// Adds an item, all of it. One with extensions that only it may keep becomes a frame as it is.
    pub(in crate::repository::log) fn push(&mut self, item: &Item) -> Result<()> {
        if item.is_extended() {
            self.close()?;
            self.frames.push(pack(item.bytes())?);
            return Ok(());
        }
        for ((_, raw), time) in item.raw_entries(0, u64::MAX).zip(item.times()) {
            let raw = raw?;
            if let Some((_, count, bytes)) = &self.open
                && (*count == MAX_ENTRIES || bytes + raw.len() > FRAME_BYTES)
            {
                self.close()?;
            }
            let time = time?;
            let (gathered, count, bytes) =
                self.open.get_or_insert_with(|| (Gathered::new(time), 0, 0));
            gathered.push(item, raw)?;
            *count += 1;
            *bytes += raw.len();
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((gathered, ..)) = self.open.take() {
            self.frames.push(pack(gathered.finish())?);
        }
        Ok(())
    }

    /// The frames.
    pub(in crate::repository::log) fn finish(mut self) -> Result<Vec<Packed>> {
        self.close()?;
        Ok(self.frames)
    }
}

/// Frames and index of an object: behind this header.
pub(in crate::repository::log) fn assemble(
    header: Vec<u8>,
    frames: Vec<Packed>,
) -> (Bytes, Vec<Frame>) {
    let mut bytes = header;
    bytes.reserve(frames.iter().map(|packed| packed.bytes.len()).sum());
    let mut index = Vec::with_capacity(frames.len());
    for packed in frames {
        bytes.extend_from_slice(&packed.bytes);
        index.push(packed.frame);
    }
    (bytes.into(), index)
}
