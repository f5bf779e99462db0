//! Reading of runs: checked blocks through a bounded cache, without blocking where that was asked for.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::Bytes;
use foldhash::fast::RandomState;
use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};
use rustix::io::{Errno, ReadWriteFlags};

use super::block::Block;
use crate::error::{Error, ErrorKind};

/// What a block costs in the cache beside its bytes.
const OVERHEAD: u64 = 96;

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Only what memory holds, ours or the kernel's: on the threads of the runtime.
    Now,
    /// As long as it takes.
    Wait,
}

/// Why a read did not succeed.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It would have waited.
    WouldWait,
    /// It failed.
    Failed(Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::WouldWait => {
                Self::new(ErrorKind::Unavailable, "a read that may wait did not")
            }
            ReadError::Failed(error) => error,
        }
    }
}

/// An I/O error in the store's words.
pub(super) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("cannot {what} {}", path.display()),
    )
    .with_source(error)
}

/// What is stored cannot be understood.
pub(super) fn corrupt(what: &str, path: &Path) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{what} in {}", path.display()))
}

/// Which block: the run's number and the offset.
type Place = (u64, u64);

#[derive(Clone)]
struct Size;

impl Weighter<Place, Arc<Block>> for Size {
    fn weight(&self, _: &Place, block: &Arc<Block>) -> u64 {
        block.size() as u64 + OVERHEAD
    }
}

/// The blocks that were read last, up to a number of bytes.
pub(super) struct BlockCache {
    blocks: Cache<Place, Arc<Block>, Size, RandomState>,
}

impl BlockCache {
    /// A cache of this many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let expected = usize::try_from(bytes / 8192).unwrap_or(usize::MAX).max(16);
        Self {
            blocks: Cache::with(
                expected,
                bytes,
                Size,
                RandomState::default(),
                DefaultLifecycle::default(),
            ),
        }
    }
    /// A block, if it is held.
    pub(super) fn get(&self, place: Place) -> Option<Arc<Block>> {
        self.blocks.get(&place)
    }
    /// Holds a block.
    pub(super) fn insert(&self, place: Place, block: Arc<Block>) {
        self.blocks.insert(place, block);
    }
}

/// Reads and checks the block of `length` bytes at `offset`.
pub(super) fn read_block(
    file: &File,
    path: &Path,
    offset: u64,
    length: usize,
    patience: Patience,
) -> Result<Block, ReadError> {
    let mut data = vec![0; length];
    match patience {
        Patience::Wait => {
            file.read_exact_at(&mut data, offset)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => corrupt("a block beyond the end", path),
                    _ => failed("read", path, error),
                })?
        }
        Patience::Now => read_now(file, path, offset, &mut data)?,
    }
    let block = Block::parse(Bytes::from(data));
    block.ok_or_else(|| corrupt(&format!("a damaged block at {offset}"), path).into())
}

/// Reads what the kernel holds; a file system that cannot tell counts as one that would wait.
fn read_now(file: &File, path: &Path, offset: u64, data: &mut [u8]) -> Result<(), ReadError> {
    let length = data.len();
    let mut buffers = [io::IoSliceMut::new(data)];
    match rustix::io::preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == length => Ok(()),
        Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => {
            Err(ReadError::WouldWait)
        }
        Err(error) => Err(failed("read", path, error.into()).into()),
    }
}
