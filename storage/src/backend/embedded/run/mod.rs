//! Runs: immutable sorted files.
//!
//! A file is `section* | top | trailer`. A section is up to 128 data blocks of about 8 KiB, then its index (the first
//! key of each data block and where it is) and its filter; each is a block. The top is a block with the first key of
//! each section; only it stays in memory: about 60 bytes for each MiB on disk. The trailer, 40 bytes, is
//! `magic | top's offset, u64 | top's length, u32 | entries, u64 | erasing entries, u64 | CRC-32 of all before`.

mod cursor;
mod write;

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

pub(super) use cursor::Cursor;
pub(super) use write::RunWriter;

use super::{
    block::Block,
    filter,
    io::{BlockCache, Patience, ReadError, corrupt, failed, read_block},
};
use crate::error::Result;

const MAGIC: [u8; 8] = *b"SLNGRUN1";
const TRAILER: usize = 40;

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    length: u32,
}

impl Place {
    const SIZE: usize = 12;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (length, _) = rest.split_first_chunk()?;
        Some(Self {
            offset: u64::from_le_bytes(*offset),
            length: u32::from_le_bytes(*length),
        })
    }
}

/// An open run.
pub(super) struct Run {
    /// Its number, never used again.
    pub(super) id: u64,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size in bytes.
    pub(super) size: u64,
    /// How many entries it holds.
    pub(super) entries: u64,
    /// How many of them stand for older ones that they erase.
    pub(super) erasing: u64,
    file: File,
    top: Block,
}

impl Run {
    /// The name of the file with this number.
    pub(super) fn file_name(id: u64) -> String {
        format!("{id:016}.run")
    }

    /// Opens a run.
    ///
    /// # Errors
    /// `Corrupt` if its trailer or its top is damaged, `Unavailable` if it cannot be read.
    pub(super) fn open(directory: &Path, id: u64) -> Result<Self> {
        let path = directory.join(Self::file_name(id));
        let file = File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => corrupt("a missing run", &path),
            _ => failed("open", &path, error),
        })?;
        let size = file
            .metadata()
            .map_err(|error| failed("read", &path, error))?
            .len();
        let mut trailer = [0; TRAILER];
        let at = size
            .checked_sub(TRAILER as u64)
            .ok_or_else(|| corrupt("a run cut short", &path))?;
        file.read_exact_at(&mut trailer, at)
            .map_err(|error| failed("read", &path, error))?;
        let (body, sum) = trailer.split_at(TRAILER - 4);
        let number =
            |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("eight bytes"));
        let place = Place::from_bytes(&body[8..])
            .filter(|place| place.offset + u64::from(place.length) <= at);
        let (Some(place), true) = (
            place,
            body.starts_with(&MAGIC) && crc32fast::hash(body).to_le_bytes() == sum,
        ) else {
            return Err(corrupt("a damaged trailer", &path));
        };
        let top = read_block(
            &file,
            &path,
            place.offset,
            place.length as usize,
            Patience::Wait,
        )?;
        Ok(Self {
            id,
            size,
            entries: number(20),
            erasing: number(28),
            file,
            top,
            path,
        })
    }

    /// The entry of a key, tombstones included.
    pub(super) fn find(
        &self,
        key: &[u8],
        hash: u64,
        cache: &BlockCache,
        patience: Patience,
    ) -> Result<Option<Bytes>, ReadError> {
        let Some(section) = self.top.floor(key) else {
            return Ok(None);
        };
        let (index, filter) = self.section(section)?;
        let filter = self.block(filter, Some(cache), patience)?;
        if !filter::may_hold(filter.value(0), hash) {
            return Ok(None);
        }
        let index = self.block(index, Some(cache), patience)?;
        let Some(at) = index.floor(key) else {
            return Ok(None);
        };
        let data = self.block(self.place(&index, at)?, Some(cache), patience)?;
        let at = data.floor(key).filter(|&at| data.entry(at).key == key);
        Ok(at.map(|at| data.bytes(at)))
    }

    /// Where the index and the filter of a section are.
    fn section(&self, at: usize) -> Result<(Place, Place)> {
        let value = self.top.value(at);
        let places = value.split_at_checked(Place::SIZE);
        let places = places.and_then(|(index, filter)| {
            Some((Place::from_bytes(index)?, Place::from_bytes(filter)?))
        });
        places.ok_or_else(|| corrupt("a section without a place", &self.path))
    }

    /// Where a data block is.
    fn place(&self, index: &Block, at: usize) -> Result<Place> {
        Place::from_bytes(index.value(at))
            .ok_or_else(|| corrupt("a block without a place", &self.path))
    }

    fn block(
        &self,
        place: Place,
        cache: Option<&BlockCache>,
        patience: Patience,
    ) -> Result<Arc<Block>, ReadError> {
        let name = (self.id, place.offset);
        if let Some(block) = cache.and_then(|cache| cache.get(name)) {
            return Ok(block);
        }
        if place.offset + u64::from(place.length) > self.size {
            return Err(corrupt("a block beyond the end", &self.path).into());
        }
        let block = read_block(
            &self.file,
            &self.path,
            place.offset,
            place.length as usize,
            patience,
        )?;
        let block = Arc::new(block);
        if let Some(cache) = cache {
            cache.insert(name, block.clone());
        }
        Ok(block)
    }
}
