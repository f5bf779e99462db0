//! Cursor: the entries of a run in order, either way, a block at a time.

use std::sync::Arc;

use bytes::Bytes;

use super::Run;
use crate::backend::embedded::{
    block::Block,
    io::{BlockCache, Patience, ReadError},
};

/// A place in a run; `None` of an index or a block: not loaded yet, or the end.
pub(in crate::backend::embedded) struct Cursor<'a> {
    run: Arc<Run>,
    cache: Option<&'a BlockCache>,
    patience: Patience,
    reverse: bool,
    section: usize,
    index: Option<Arc<Block>>,
    in_index: usize,
    data: Option<Arc<Block>>,
    in_data: usize,
}

impl<'a> Cursor<'a> {
    /// Stands at the first entry from `key` on; in reverse, at the last one before it. A merge reads past the cache.
    pub(in crate::backend::embedded) fn seek(
        run: Arc<Run>,
        key: &[u8],
        reverse: bool,
        cache: Option<&'a BlockCache>,
        patience: Patience,
    ) -> Result<Self, ReadError> {
        let mut cursor = Self {
            run,
            cache,
            patience,
            reverse,
            section: 0,
            index: None,
            in_index: 0,
            data: None,
            in_data: 0,
        };
        // Where all keys are above, the first entry is the right one forward, and there is none in reverse.
        let first = |block: &Block| {
            if reverse {
                block.below(key).checked_sub(1)
            } else {
                Some(block.floor(key).unwrap_or(0))
            }
        };
        let Some(section) = first(&cursor.run.top) else {
            return Ok(cursor);
        };
        let index = cursor.load_section(section)?;
        let Some(in_index) = first(&index) else {
            return Ok(cursor);
        };
        let data = cursor.load_data(in_index)?;
        let below = data.below(key);
        if !reverse {
            cursor.in_data = below;
            cursor.settle()?;
        } else if let Some(last) = below.checked_sub(1) {
            cursor.in_data = last;
        } else {
            cursor.data = None;
        }
        Ok(cursor)
    }

    /// Key and bytes of the entry here; `None` at the end.
    pub(in crate::backend::embedded) fn peek(&self) -> Option<(Bytes, Bytes)> {
        let data = self.data.as_ref()?;
        let bytes = data.bytes(self.in_data);
        Some((bytes.slice_ref(data.entry(self.in_data).key), bytes))
    }

    /// Moves to the next entry.
    pub(in crate::backend::embedded) fn advance(&mut self) -> Result<(), ReadError> {
        if !self.reverse {
            self.in_data += 1;
            return self.settle();
        }
        if let Some(before) = self.in_data.checked_sub(1) {
            self.in_data = before;
            return Ok(());
        }
        let index = if let Some(before) = self.in_index.checked_sub(1) {
            before
        } else if let Some(before) = self.section.checked_sub(1) {
            let index = self.load_section(before)?;
            index.count() - 1
        } else {
            self.data = None;
            return Ok(());
        };
        self.in_data = self.load_data(index)?.count() - 1;
        Ok(())
    }

    /// Forward, beyond the end of a block: to the start of the next.
    fn settle(&mut self) -> Result<(), ReadError> {
        let past = |block: &Option<Arc<Block>>, at: usize| {
            block.as_ref().is_some_and(|block| at >= block.count())
        };
        if !past(&self.data, self.in_data) {
            return Ok(());
        }
        self.in_data = 0;
        let mut next = self.in_index + 1;
        if past(&self.index, next) {
            next = 0;
            if self.section + 1 >= self.run.top.count() {
                self.data = None;
                return Ok(());
            }
            self.load_section(self.section + 1)?;
        }
        self.load_data(next)?;
        Ok(())
    }

    fn load_section(&mut self, section: usize) -> Result<Arc<Block>, ReadError> {
        let (place, _) = self.run.section(section)?;
        let index = self.run.block(place, self.cache, self.patience)?;
        self.section = section;
        self.index = Some(index.clone());
        Ok(index)
    }

    fn load_data(&mut self, in_index: usize) -> Result<Arc<Block>, ReadError> {
        let index = self
            .index
            .as_ref()
            .expect("a section is loaded before its data");
        let data = self
            .run
            .block(self.run.place(index, in_index)?, self.cache, self.patience)?;
        self.in_index = in_index;
        self.data = Some(data.clone());
        Ok(data)
    }
}
