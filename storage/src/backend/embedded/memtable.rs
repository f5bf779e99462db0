//! Memory of what was written last: the newest entry of each key, until a run holds it.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
};

use bytes::Bytes;
use parking_lot::RwLock;

use super::{entry::Entry, view::Range};

/// Keys and their encoded entries; both are parts of the group's buffer as it went to the log.
#[derive(Default)]
pub(super) struct Memtable {
    entries: RwLock<BTreeMap<Bytes, Bytes>>,
}

impl Memtable {
    /// The entry of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<Bytes> {
        self.entries.read().get(key).cloned()
    }

    /// Takes in the entries of a group; `None`, and nothing further, at what is not an entry.
    pub(super) fn insert(&self, group: &Bytes) -> Option<()> {
        let mut entries = self.entries.write();
        let mut at = 0;
        while at < group.len() {
            let (entry, length) = Entry::parse(&group[at..])?;
            entries.insert(group.slice_ref(entry.key), group.slice(at..at + length));
            at += length;
        }
        Some(())
    }

    /// Up to `limit` entries of the range, from its start or beyond `after`.
    pub(super) fn range(
        &self,
        range: &Range,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Bytes, Bytes)> {
        let (mut start, mut end) = (Included(&range.from[..]), Excluded(&range.until[..]));
        match after {
            Some(after) if range.reverse => end = Excluded(after),
            Some(after) => start = Excluded(after),
            None if range.from >= range.until => return Vec::new(),
            None => {}
        }
        let entries = self.entries.read();
        let found = entries.range::<[u8], _>((start, end));
        let copy = |(key, entry): (&Bytes, &Bytes)| (key.clone(), entry.clone());
        if range.reverse {
            found.rev().take(limit).map(copy).collect()
        } else {
            found.take(limit).map(copy).collect()
        }
    }

    /// Calls `with` for each entry in order, until it fails. Only for sealed tables: the lock is held throughout.
    pub(super) fn try_each<E>(
        &self,
        mut with: impl FnMut(&Entry<'_>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let entries = self.entries.read();
        for bytes in entries
            .range::<[u8], _>((Unbounded, Unbounded))
            .map(|(_, bytes)| bytes)
        {
            let (entry, _) = Entry::parse(bytes).expect("entries were parsed when they came in");
            with(&entry, bytes)?;
        }
        Ok(())
    }
}
