//! Which batches of a transaction are done, and what is to be written then. Pure.
//!
//! Batches that share a transaction are done one after the other: each sees what those before it leave. So any number of
//! rivals over one record cost one transaction.

use std::collections::BTreeMap;

use bytes::Bytes;
use storage::{
    backend::rule,
    shape::{Batch, Condition, Key, Operation, Record},
};

use crate::stored::{self, Row, StoredKey};

/// The rows of a transaction, by key.
pub(super) type Slots = BTreeMap<StoredKey, Slot>;

/// What is known of a row.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// It is there and locked, maybe expired.
    there: bool,
    live: Option<Live>,
    changed: bool,
    /// A batch counts on its absence, which cannot be locked.
    absence_counts: bool,
    whole: Option<Bytes>,
}

/// A record that has not expired.
#[derive(Debug)]
struct Live {
    version: u64,
    expires: Option<u64>,
    /// As a batch of this transaction put it.
    value: Option<Bytes>,
}

/// How a batch ends if the transaction commits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Conflict { index: usize, current: Current },
}

/// What stands in the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Current {
    Nothing,
    /// A batch of this transaction put it.
    Put(Record),
    /// It is to be read.
    Stored(StoredKey),
}

/// What is to be written, each list in the order of keys.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Rows that are not there.
    pub(super) insert: Vec<Row>,
    /// Rows that are there.
    pub(super) replace: Vec<Row>,
    /// Rows that are there, and those that were inserted to hold a place.
    pub(super) delete: Vec<StoredKey>,
}

impl Slot {
    /// Nothing is there, as far as is known.
    pub(super) fn absent(key: &Key) -> Self {
        Self {
            whole: stored::whole(&key.partition),
            ..Self::default()
        }
    }

    /// This is there and locked.
    pub(super) fn found(&mut self, version: u64, expires: Option<u64>, now: u64) {
        self.there = true;
        self.live = rule::is_live(expires, now).then_some(Live {
            version,
            expires,
            value: None,
        });
    }

    fn row(&self, key: &StoredKey) -> Option<Row> {
        let live = self.live.as_ref().filter(|_| self.changed)?;
        Some(Row {
            key: key.clone(),
            whole: self.whole.clone(),
            value: live.value.clone().unwrap_or_default(),
            version: stored::signed(live.version),
            expires: live.expires.map(stored::signed),
        })
    }
}

/// Judges batches, one after the other, and remembers in the slots what they leave.
pub(super) fn decide(batches: &[&Batch], slots: &mut Slots) -> Vec<Verdict> {
    batches
        .iter()
        .map(|batch| decide_one(batch, slots))
        .collect()
}

fn decide_one(batch: &Batch, slots: &mut Slots) -> Verdict {
    for (index, operation) in batch.operations.iter().enumerate() {
        let key = StoredKey::of(operation.key());
        let live = slots.get(&key).and_then(|slot| slot.live.as_ref());
        if !operation
            .condition()
            .holds_for(live.map(|live| live.version))
        {
            let current = live.map_or(Current::Nothing, |live| current(live, key));
            return Verdict::Conflict { index, current };
        }
    }
    for operation in &batch.operations {
        let slot = slots.entry(StoredKey::of(operation.key())).or_default();
        // One operation alone is done at the moment when it was looked at.
        if operation.condition() == Condition::Absent && batch.operations.len() > 1 {
            slot.absence_counts |= !slot.there;
        }
        match operation {
            Operation::Put { value, expires, .. } => {
                slot.live = Some(Live {
                    version: slot.live.as_ref().map_or(1, |live| live.version + 1),
                    expires: *expires,
                    value: Some(value.clone()),
                });
                slot.changed = true;
            }
            Operation::Delete { .. } => {
                slot.live = None;
                slot.changed = true;
            }
            Operation::Check { .. } => {}
        }
    }
    Verdict::Done
}

fn current(live: &Live, key: StoredKey) -> Current {
    match &live.value {
        Some(value) => Current::Put(Record {
            sort: key.sort,
            value: value.clone(),
            version: live.version,
            expires: live.expires,
        }),
        None => Current::Stored(key),
    }
}

/// What is to be written. An absence that counts is held by a row that is inserted, so that whoever inserts there as well
/// waits, and that is deleted before the transaction ends.
pub(super) fn changes(slots: &Slots) -> Changes {
    let mut changes = Changes::default();
    for (key, slot) in slots {
        match (slot.row(key), slot.there) {
            (Some(row), true) => changes.replace.push(row),
            (Some(row), false) => changes.insert.push(row),
            (None, true) if slot.changed && slot.live.is_none() => changes.delete.push(key.clone()),
            (None, false) if slot.absence_counts => {
                changes.insert.push(Row {
                    key: key.clone(),
                    whole: slot.whole.clone(),
                    value: Bytes::new(),
                    version: 0,
                    expires: Some(0),
                });
                changes.delete.push(key.clone());
            }
            (None, _) => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests;
