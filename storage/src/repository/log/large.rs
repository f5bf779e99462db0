//! Large stanzas: one that is too long for an item is an object, and its entry points at it.
//!
//! The object first, then the item: what dies between leaves an object that a sweep finds by the number in its name, and
//! the entry of that number points elsewhere or nowhere.
//! A table that can take them all (the embedded one) is given a bound that nothing reaches.

use std::sync::Arc;

use bytes::Bytes;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

use super::{NewEntry, codec};
use crate::{
    clock::Clock,
    error::Result,
    repository::{
        object::{self, Draft, Kind},
        record::{self, corrupt},
    },
    shape::Blobs,
};

/// Bytes of stanzas that a batch may hold: DynamoDB takes 4 MB in a transaction.
const BATCH_BYTES: usize = 3 << 20;

/// Where a stanza is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Large {
    #[n(0)]
    pub(super) object: String,
    /// CRC-32 of the stanza.
    #[n(1)]
    pub(super) crc: u32,
}

impl Large {
    pub(super) fn parse(pointer: &[u8]) -> Result<Self> {
        record::from_cbor(pointer)
    }
}

/// Which of these stanzas do not fit, if any: those beyond `inline_max`, and the longest of a batch that is too long.
pub(super) fn too_long(entries: &[NewEntry], inline_max: usize) -> Vec<usize> {
    let mut left: usize = entries.iter().map(|entry| entry.stanza.len()).sum();
    if left <= inline_max.min(BATCH_BYTES) {
        return Vec::new();
    }
    let mut by_length: Vec<usize> = (0..entries.len()).collect();
    by_length.sort_by_key(|at| std::cmp::Reverse(entries[*at].stanza.len()));
    let is_too_long = |at: &usize| {
        let length = entries[*at].stanza.len();
        let no = length <= inline_max && (left <= BATCH_BYTES || inline_max == usize::MAX);
        left -= length;
        !no
    };
    let mut long: Vec<usize> = by_length.into_iter().take_while(is_too_long).collect();
    long.sort_unstable();
    long
}

/// Stanzas that were put as objects for an item that is to be written.
#[derive(Default)]
pub(super) struct Drafts {
    drafts: Vec<(usize, Draft, Vec<u8>)>,
}

impl Drafts {
    /// Puts those entries of an append at `first` that are too long.
    pub(super) async fn put(
        blobs: &dyn Blobs,
        clock: &Arc<dyn Clock>,
        archive: &BareJid,
        first: u64,
        entries: &[NewEntry],
        long: &[usize],
    ) -> Result<Self> {
        let mut drafts = Vec::with_capacity(long.len());
        for at in long {
            let draft = Draft::new(archive, Kind::Stanza, first + *at as u64, clock);
            let stanza = &entries[*at].stanza;
            let mut bytes = object::header(archive);
            bytes.extend_from_slice(stanza);
            draft.put(blobs, bytes.into()).await?;
            let large = Large {
                object: draft.name.clone(),
                crc: crc32fast::hash(stanza),
            };
            let extension = codec::large_extension(&record::to_cbor(&large));
            drafts.push((*at, draft, extension));
        }
        Ok(Self { drafts })
    }

    /// The extensions of an entry of the append.
    pub(super) fn extensions(&self, at: usize) -> &[u8] {
        let found = self.drafts.iter().find(|(of, ..)| *of == at);
        found.map_or(&[], |(_, _, extension)| extension)
    }

    /// Call it right before the write.
    pub(super) fn check(&self) -> Result<()> {
        self.drafts
            .iter()
            .try_for_each(|(_, draft, _)| draft.check())
    }

    /// Removes the objects again that nothing points at, if that is known.
    pub(super) async fn settle(&self, blobs: &dyn Blobs, result: &Result<()>) {
        if let Err(error) = result
            && object::is_refused(error)
        {
            for (_, draft, _) in &self.drafts {
                object::forget(blobs, &draft.name).await;
            }
        }
    }
}

/// A stanza; `None`: its object is gone.
pub(super) async fn fetch(blobs: &dyn Blobs, large: &Large) -> Result<Option<Bytes>> {
    let Some(found) = blobs.get(&large.object).await? else {
        return Ok(None);
    };
    let (_, start) = object::read_header(&found.bytes)?;
    let stanza = found.bytes.slice(start..);
    if crc32fast::hash(&stanza) != large.crc {
        return Err(corrupt(format!("{} is damaged", large.object)));
    }
    Ok(Some(stanza))
}

/// Removes the objects of entries that are gone, as far as that can be done now.
pub(super) async fn forget(blobs: &dyn Blobs, pointers: Vec<Bytes>) {
    for pointer in pointers {
        if let Ok(large) = Large::parse(&pointer) {
            object::forget(blobs, &large.object).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use xmpp::Jid;

    use super::*;
    use crate::repository::EntryFlags;

    #[test]
    fn the_longest_go_until_the_rest_fits() {
        let entry = |length: usize| NewEntry {
            time_ms: 1,
            flags: EntryFlags::NONE,
            peer: Jid::parse("a@b").unwrap(),
            stanza: vec![b'x'; length].into(),
        };
        let check = |lengths: &[usize], inline_max: usize, expected: &[usize]| {
            let entries: Vec<_> = lengths.iter().map(|length| entry(*length)).collect();
            assert_eq!(too_long(&entries, inline_max), expected, "{lengths:?}");
        };
        check(&[], 100, &[]);
        check(&[100, 100, 100], 100, &[]);
        check(&[100, 101, 5, 900], 100, &[1, 3]);
        check(&[5 << 20], usize::MAX, &[]);
        check(&[2 << 20, 1 << 20, 5], 3 << 20, &[0]);
        check(&[1 << 20, 2 << 20, 1 << 20], 3 << 20, &[1]);
    }
}
