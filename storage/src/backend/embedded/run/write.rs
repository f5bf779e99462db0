//! Writing of runs: entries in order, once, to a file that nobody sees before the manifest names it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{MAGIC, Place, Run};
use crate::{
    backend::embedded::{
        block::BlockBuilder,
        disk::{Disk, DiskFile},
        entry::{Content, Entry},
        filter,
        io::failed,
    },
    error::Result,
};

/// A data block ends at this size; an entry is never split.
const BLOCK: usize = 8 << 10;
/// A section ends after this many data blocks.
const SECTION: usize = 128;
/// Writes go out in pieces of this size.
const BUFFER: usize = 256 << 10;

/// A run in the making.
pub(in crate::backend::embedded) struct RunWriter {
    id: u64,
    directory: PathBuf,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    flushed: u64,
    data: BlockBuilder,
    data_key: Vec<u8>,
    index: BlockBuilder,
    section_key: Vec<u8>,
    hashes: Vec<u64>,
    top: BlockBuilder,
    entries: u64,
    erasing: u64,
}

impl RunWriter {
    /// An empty run.
    pub(in crate::backend::embedded) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        id: u64,
    ) -> Result<Self> {
        let path = directory.join(Run::file_name(id));
        let file = disk
            .open(&path)
            .map_err(|error| failed("create", &path, error))?;
        file.set_len(0)
            .map_err(|error| failed("create", &path, error))?;
        Ok(Self {
            id,
            directory: directory.to_owned(),
            path,
            disk: disk.clone(),
            file,
            buffer: Vec::with_capacity(BUFFER + 2 * BLOCK),
            flushed: 0,
            data: BlockBuilder::default(),
            data_key: Vec::new(),
            index: BlockBuilder::default(),
            section_key: Vec::new(),
            hashes: Vec::new(),
            top: BlockBuilder::default(),
            entries: 0,
            erasing: 0,
        })
    }

    /// Adds an entry and its encoding; its key is above all before.
    pub(in crate::backend::embedded) fn push(
        &mut self,
        entry: &Entry<'_>,
        bytes: &[u8],
    ) -> Result<()> {
        if self.data.count() == 0 {
            self.data_key.clear();
            self.data_key.extend_from_slice(entry.key);
        }
        self.data.push(bytes);
        self.hashes.push(filter::hash(entry.key));
        self.entries += 1;
        self.erasing += u64::from(entry.content.is_none_or(|content| content.version > 1));
        if self.data.size() >= BLOCK {
            self.end_block()
        } else {
            Ok(())
        }
    }

    fn end_block(&mut self) -> Result<()> {
        let place = put(&mut self.data, &mut self.buffer, self.flushed);
        if self.index.count() == 0 {
            self.section_key.clone_from(&self.data_key);
        }
        self.index
            .push_entry(&named(&self.data_key, &place.to_bytes()));
        if self.index.count() >= SECTION {
            self.end_section();
        }
        if self.buffer.len() >= BUFFER {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn end_section(&mut self) {
        let index = put(&mut self.index, &mut self.buffer, self.flushed);
        let mut block = BlockBuilder::default();
        block.push_entry(&named(&[], &filter::build(&self.hashes)));
        self.hashes.clear();
        let filter = put(&mut block, &mut self.buffer, self.flushed);
        let places = [index.to_bytes(), filter.to_bytes()].concat();
        self.top.push_entry(&named(&self.section_key, &places));
    }

    fn flush(&mut self) -> Result<()> {
        self.file
            .write_at(&self.buffer, self.flushed)
            .map_err(|error| failed("write", &self.path, error))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left, makes it durable and opens it. `None` if no entry came.
    ///
    /// # Errors
    /// `Unavailable`: nothing is left of it. It may be written again, for that makes another file.
    pub(in crate::backend::embedded) fn finish(mut self) -> Result<Option<Run>> {
        if self.entries == 0 {
            self.discard();
            return Ok(None);
        }
        match self.end() {
            Ok(()) => Run::open(&self.directory, self.id).map(Some),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        if self.data.count() > 0 {
            self.end_block()?;
        }
        if self.index.count() > 0 {
            self.end_section();
        }
        let top = put(&mut self.top, &mut self.buffer, self.flushed);
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&MAGIC);
        self.buffer.extend_from_slice(&top.to_bytes());
        self.buffer.extend_from_slice(&self.entries.to_le_bytes());
        self.buffer.extend_from_slice(&self.erasing.to_le_bytes());
        let sum = crc32fast::hash(&self.buffer[start..]);
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        self.flush()?;
        self.file
            .sync()
            .map_err(|error| failed("write", &self.path, error))
    }

    /// Gives the run up.
    pub(in crate::backend::embedded) fn discard(self) {
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an unfinished run");
        }
    }
}

/// Ends a block at the end of the buffer, whose first byte is at `flushed` in the file.
fn put(block: &mut BlockBuilder, buffer: &mut Vec<u8>, flushed: u64) -> Place {
    let offset = flushed + buffer.len() as u64;
    let length = u32::try_from(block.finish(buffer)).expect("a block ends long before 4 GiB");
    Place { offset, length }
}

fn named<'a>(key: &'a [u8], value: &'a [u8]) -> Entry<'a> {
    Entry {
        key,
        content: Some(Content {
            version: 0,
            expires: None,
            value,
        }),
    }
}
