//! Changes a segment: another object, then the record, then the old object goes.
//!
//! Why the whole object and no overlay beside it: what is taken back in a segment is older than the tail of its log, so it
//! is rare; a reader would pay for an overlay always; and what was taken back is then really gone.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Segment, Store, body, segment_key};
use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        object::{self, Draft, Kind},
        record::{self, corrupt},
    },
    shape::{Batch, Condition, Key},
};

/// Frames of a segment that become others.
pub(in crate::repository::log) struct Replacement {
    /// The items that frames become, by their place.
    pub(in crate::repository::log) frames: BTreeMap<usize, Bytes>,
    /// What must be there when it happens.
    pub(in crate::repository::log) fence: Option<Key>,
}

impl Store<'_> {
    /// Puts other frames into a segment. Two requests to the objects, one conditional write.
    ///
    /// # Errors
    /// `Conflict` if the segment is another by now.
    pub(in crate::repository::log) async fn replace(
        &self,
        segment: &Segment,
        with: Replacement,
    ) -> Result<()> {
        let Some(old) = self.blobs.get(&segment.object).await? else {
            return Err(Error::new(
                ErrorKind::Conflict,
                "a segment whose object was replaced",
            ));
        };
        let mut frames = Vec::with_capacity(segment.frames.len());
        for (at, (first, frame)) in segment.numbered().enumerate() {
            if let Some(item) = with.frames.get(&at) {
                let packed = body::pack(item.clone())?;
                if packed.frame.count != frame.count {
                    return Err(corrupt("a frame that gets another number of entries"));
                }
                frames.push(packed);
                continue;
            }
            let range = segment.bytes_of(at..at + 1);
            let cut = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let bytes = old
                .bytes
                .get(cut(range.start)..cut(range.end))
                .ok_or_else(|| corrupt(format!("{} is cut short", segment.object)))?;
            // What is damaged is not given another name.
            body::unpack(first, frame, bytes)?;
            frames.push(body::Packed {
                frame: frame.clone(),
                bytes: bytes.to_vec(),
            });
        }
        let draft = self.draft(segment.first);
        let (bytes, frames) = body::assemble(object::header(self.archive), frames);
        draft.put(self.blobs, bytes).await?;
        let new = Segment {
            object: draft.name.clone(),
            start: self.start(),
            frames,
            ..segment.clone()
        };
        let condition = Condition::Version(segment.version);
        self.point(&draft, &new, condition, with.fence.into_iter().collect())
            .await?;
        object::forget(self.blobs, &segment.object).await;
        Ok(())
    }

    /// A name for the object of a segment that begins there.
    pub(in crate::repository::log) fn draft(&self, first: u64) -> Draft {
        Draft::new(self.archive, Kind::Segment, first, self.clock)
    }

    /// Where frames begin in an object of this archive.
    pub(in crate::repository::log) fn start(&self) -> u32 {
        let length = object::header(self.archive).len();
        u32::try_from(length).expect("an address is bounded")
    }

    /// Writes the record of a segment whose object was put; if that is refused the object goes.
    pub(in crate::repository::log) async fn point(
        &self,
        draft: &Draft,
        segment: &Segment,
        condition: Condition,
        fences: Vec<Key>,
    ) -> Result<()> {
        let batch = fences.into_iter().fold(Batch::new(), |batch, key| {
            batch.check(key, Condition::Exists)
        });
        self.point_with(draft, segment, condition, batch).await
    }

    /// The same with other operations.
    pub(in crate::repository::log) async fn point_with(
        &self,
        draft: &Draft,
        segment: &Segment,
        condition: Condition,
        with: Batch,
    ) -> Result<()> {
        let write_id = record::fresh_id();
        let key = segment_key(self.archive, segment.first);
        let mut batch = Batch::new().put(key, segment.seal(write_id)?, condition);
        batch.operations.extend(with.operations);
        let written = match draft.check() {
            Ok(()) => record::commit(self.table, batch, write_id).await,
            late => return late,
        };
        // Of a lost answer nobody knows whether the record points at it: that one is left to the sweep.
        if let Err(error) = &written
            && object::is_refused(error)
        {
            object::forget(self.blobs, &draft.name).await;
        }
        written
    }

    /// Writes the record of a segment whose object stays.
    pub(in crate::repository::log) async fn put(
        &self,
        segment: &Segment,
        fence: Option<&Key>,
    ) -> Result<()> {
        let write_id = record::fresh_id();
        let key = segment_key(self.archive, segment.first);
        let condition = Condition::Version(segment.version);
        let mut batch = Batch::new().put(key, segment.seal(write_id)?, condition);
        if let Some(fence) = fence {
            batch = batch.check(fence.clone(), Condition::Exists);
        }
        record::commit(self.table, batch, write_id).await
    }

    /// Removes a segment: its record, then its object.
    pub(in crate::repository::log) async fn drop(
        &self,
        segment: &Segment,
        fence: Option<&Key>,
    ) -> Result<()> {
        let key = segment_key(self.archive, segment.first);
        let mut batch = Batch::new().delete(key, Condition::Version(segment.version));
        if let Some(fence) = fence {
            batch = batch.check(fence.clone(), Condition::Exists);
        }
        self.table.write(batch).await?;
        object::forget(self.blobs, &segment.object).await;
        Ok(())
    }
}
