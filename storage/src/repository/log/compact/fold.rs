//! Folds what a dead compaction left into the segment that it made.
//!
//! The items count as they are in the table: a retraction that came between the segment's record and their removal is
//! there and nowhere else. So each is compared with its frame, the frames that differ are written again, and only then
//! the items go.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{
    super::{
        TableLogs,
        codec::{Gathered, Item},
        read::{Reader, item_of, until},
        segment::{Replacement, Segment},
    },
    Claim, Compacted, ITEMS_AT_ONCE, Old,
};
use crate::{
    error::{Error, ErrorKind, Result},
    repository::{paging, record::corrupt},
};

impl TableLogs {
    /// Ends what a dead compaction began.
    pub(super) async fn fold(&self, reader: &Reader<'_>, claim: &Claim) -> Result<Compacted> {
        let segments = reader.segments();
        let Some((oldest, _)) = reader.oldest().await? else {
            return Ok(Compacted::Raced);
        };
        let found = segments.at_or_before(oldest.first).await?;
        let Some(segment) = found.filter(|it| it.last() >= oldest.first) else {
            return Ok(Compacted::Raced);
        };
        let old = self.left_over(reader, &segment).await?;
        let all = segments.items(&segment, 0..segment.frames.len()).await?;
        let frames =
            all.ok_or_else(|| Error::new(ErrorKind::Conflict, "a segment that was just replaced"))?;
        let changed = changes(&frames, &old)?;
        if !changed.is_empty() {
            let with = Replacement {
                frames: changed,
                fence: Some(claim.key()),
            };
            segments.store.replace(&segment, with).await?;
        }
        let items = old.len() as u64;
        self.remove_old(reader, claim, old).await?;
        Ok(Compacted::Folded { items })
    }

    /// The items of the table that a segment has as well.
    async fn left_over(&self, reader: &Reader<'_>, segment: &Segment) -> Result<Vec<Old>> {
        let mut query = reader.query(false, ITEMS_AT_ONCE);
        query.until = until(segment.last());
        let mut old = Vec::new();
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            for record in records {
                let item = item_of(&record)?;
                if item.last() > segment.last() {
                    return Err(corrupt(format!(
                        "the item of number {} reaches beyond its segment",
                        item.first
                    )));
                }
                old.push(Old { item, record });
            }
            if !more {
                return Ok(old);
            }
        }
    }
}

/// What frames become so that they hold what the items do.
fn changes(frames: &[Item], old: &[Old]) -> Result<BTreeMap<usize, bytes::Bytes>> {
    let mut newer: HashMap<u64, (&Item, &[u8])> = HashMap::new();
    for Old { item, .. } in old {
        for (number, raw) in item.raw_entries(0, u64::MAX) {
            newer.insert(number, (item, raw?));
        }
    }
    let mut changed = BTreeMap::new();
    for (at, frame) in frames.iter().enumerate() {
        let mut differs = false;
        let base = frame.times().next().transpose()?.unwrap_or_default();
        let mut gathered = Gathered::new(base);
        for (number, raw) in frame.raw_entries(0, u64::MAX) {
            let raw = raw?;
            match newer.get(&number) {
                Some((item, new)) if item.parts(new)? != frame.parts(raw)? => {
                    if item.parts(new)?.1 != frame.parts(raw)?.1 {
                        // A rewrite keeps the time. This was never in the segment: nothing of it may get lost.
                        return Err(corrupt(format!(
                            "the entry of number {number} is not the one of its segment"
                        )));
                    }
                    differs = true;
                    gathered.push(item, new)?;
                }
                _ => gathered.push(frame, raw)?,
            }
        }
        if !differs {
            continue;
        }
        if frame.is_extended() {
            return Err(corrupt("an item of a later version was changed"));
        }
        changed.insert(at, gathered.finish());
    }
    Ok(changed)
}
