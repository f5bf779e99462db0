//! What this node wrote, or read strongly, of late: so that it never believes anything older.
//!
//! Why: a cache may hold what was before, for as long as an entry lives, when a writer could not reach it or its server
//! was another one for a while. Nobody may see less than what they have done themselves. A record that this node wrote
//! is therefore taken from the cache only if it is exactly that; otherwise the store says what it is. The same heals a
//! conflict: who tried to write does not get the old version from the cache again.
//!
//! The memory is a fixed number of slots. Keys that share a slot at the same time are both read from the store until
//! it is forgotten: full is slower, never wrong. A slot is kept for as long as an entry lives.

use std::{hash::BuildHasher, sync::Arc, time::Duration};

use foldhash::quality::FixedState;
use parking_lot::Mutex;

use crate::{
    clock::Clock,
    shape::{Key, Record},
};

/// What a record is, as far as needed to know it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fact(Option<(u64, u64)>);

/// What may be believed of what a cache says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// All: this node had nothing to do with it.
    Any,
    /// Only this.
    Only(Fact),
    /// Nothing: ask the store.
    Nothing,
}

#[derive(Clone, Copy)]
struct Slot {
    /// Hash of the key.
    owner: u64,
    /// Whether several keys are here.
    shared: bool,
    /// Of the key of this slot; never `Any`.
    trust: Trust,
    /// Until when it is kept.
    until: Duration,
    /// One more with each change.
    turn: u64,
    /// Writes under way.
    writing: u32,
}

const EMPTY: Slot = Slot {
    owner: 0,
    shared: false,
    trust: Trust::Nothing,
    until: Duration::ZERO,
    turn: 0,
    writing: 0,
};

impl Slot {
    fn is_free(&self, now: Duration) -> bool {
        self.writing == 0 && self.until <= now
    }
    /// Makes the slot this key's, or one of several.
    fn claim(&mut self, key: u64, now: Duration) {
        if self.is_free(now) {
            (self.owner, self.shared) = (key, false);
        } else if self.owner != key {
            self.shared = true;
        }
        self.trust = Trust::Nothing;
        self.turn += 1;
    }
}

/// The memory.
pub(super) struct Recent {
    slots: Mutex<Box<[Slot]>>,
    hasher: FixedState,
    keep: Duration,
    clock: Arc<dyn Clock>,
}

impl Recent {
    /// A memory of so many slots (72 bytes each) that keeps what it knows for so long. Nobody but this process shall be
    /// able to tell from the seed which keys share a slot.
    pub(super) fn new(slots: usize, keep: Duration, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self {
            slots: Mutex::new(vec![EMPTY; slots.max(1)].into()),
            hasher: FixedState::with_seed(seed),
            keep,
            clock,
        }
    }

    /// What a record is.
    pub(super) fn fact(&self, record: Option<&Record>) -> Fact {
        let known = |record: &Record| {
            let hash = self.hasher.hash_one((record.expires, &record.value));
            (record.version, hash)
        };
        Fact(record.map(known))
    }

    fn with<T>(&self, key: &Key, work: impl FnOnce(&mut Slot, u64, Duration) -> T) -> T {
        let hash = self.hasher.hash_one(key);
        let mut slots = self.slots.lock();
        let at = (hash % slots.len() as u64) as usize;
        work(&mut slots[at], hash, self.clock.now())
    }

    /// What may be believed of a key, and the turn that says so.
    pub(super) fn trust(&self, key: &Key) -> (Trust, u64) {
        self.with(key, |slot, hash, now| {
            let trust = if slot.is_free(now) {
                Trust::Any
            } else if slot.shared {
                Trust::Nothing
            } else if slot.owner == hash {
                slot.trust
            } else {
                Trust::Any
            };
            (trust, slot.turn)
        })
    }

    /// A write begins: nothing is believed until it ends.
    pub(super) fn write(&self, key: &Key) -> Writing<'_> {
        let turn = self.with(key, |slot, hash, now| {
            slot.claim(hash, now);
            slot.writing += 1;
            slot.turn
        });
        Writing {
            recent: self,
            key: key.clone(),
            turn,
            known: None,
        }
    }

    /// The store said this to a read that began at this turn. Of two that overlap and differ nobody knows which is true.
    pub(super) fn learn(&self, key: &Key, turn: u64, fact: Fact) {
        self.with(key, |slot, hash, now| {
            let is_known = slot.owner == hash && slot.trust == Trust::Only(fact);
            let is_latest = slot.writing == 0 && (slot.turn == turn || is_known);
            slot.claim(hash, now);
            slot.until = slot.until.max(now + self.keep);
            if is_latest && !slot.shared {
                slot.trust = Trust::Only(fact);
            }
        });
    }
}

/// A write under way. If it is dropped nobody knows what became of it.
pub(super) struct Writing<'a> {
    recent: &'a Recent,
    key: Key,
    turn: u64,
    known: Option<Fact>,
}

impl Writing<'_> {
    /// What it made, if that is known.
    pub(super) fn end(mut self, known: Option<Fact>) {
        self.known = known;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let keep = self.recent.keep;
        self.recent.with(&self.key, |slot, _, now| {
            slot.writing -= 1;
            slot.until = slot.until.max(now + keep);
            let is_only = slot.turn == self.turn && slot.writing == 0 && !slot.shared;
            slot.turn += 1;
            slot.trust = match self.known {
                Some(fact) if is_only => Trust::Only(fact),
                _ => Trust::Nothing,
            };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::ManualClock, shape::Space};

    const KEEP: Duration = Duration::from_secs(10);

    fn key(name: &'static str) -> Key {
        Key {
            space: Space::Core,
            partition: name.into(),
            sort: "s".into(),
        }
    }
    fn recent(slots: usize) -> (Recent, ManualClock) {
        let clock = ManualClock::at(1_000);
        (Recent::new(slots, KEEP, Arc::new(clock.clone()), 1), clock)
    }
    fn fact(recent: &Recent, version: u64) -> Fact {
        recent.fact(Some(&Record {
            sort: "s".into(),
            value: "v".into(),
            version,
            expires: None,
        }))
    }

    #[test]
    fn what_was_written_is_believed_and_nothing_else() {
        let (recent, clock) = recent(64);
        let key = key("a");
        let check = |expected| assert_eq!(recent.trust(&key).0, expected);
        check(Trust::Any);
        let write = recent.write(&key);
        check(Trust::Nothing);
        clock.advance(KEEP * 3);
        check(Trust::Nothing);
        write.end(Some(fact(&recent, 1)));
        check(Trust::Only(fact(&recent, 1)));
        clock.advance(KEEP);
        check(Trust::Any);
        drop(recent.write(&key));
        check(Trust::Nothing);
        recent.learn(&key, recent.trust(&key).1, fact(&recent, 2));
        check(Trust::Only(fact(&recent, 2)));
    }

    #[test]
    fn of_what_overlaps_nobody_knows_which_was_last() {
        let (recent, _) = recent(64);
        let key = key("a");
        let nothing = || assert_eq!(recent.trust(&key).0, Trust::Nothing);
        let turn = recent.trust(&key).1;
        let (first, second) = (recent.write(&key), recent.write(&key));
        recent.learn(&key, turn, fact(&recent, 1));
        second.end(Some(fact(&recent, 3)));
        nothing();
        first.end(Some(fact(&recent, 2)));
        nothing();
        recent.learn(&key, turn, fact(&recent, 1));
        nothing();
        let turn = recent.trust(&key).1;
        recent.write(&key).end(None);
        recent.learn(&key, turn, fact(&recent, 3));
        nothing();
        let turn = recent.trust(&key).1;
        recent.learn(&key, turn, fact(&recent, 3));
        assert_eq!(recent.trust(&key).0, Trust::Only(fact(&recent, 3)));
        recent.learn(&key, turn, fact(&recent, 3));
        assert_eq!(recent.trust(&key).0, Trust::Only(fact(&recent, 3)));
        recent.learn(&key, turn, fact(&recent, 4));
        nothing();
    }

    #[test]
    fn a_full_memory_believes_less() {
        let (recent, clock) = recent(1);
        let (a, b, c) = (key("a"), key("b"), key("c"));
        recent.write(&a).end(Some(fact(&recent, 1)));
        assert_eq!(recent.trust(&b).0, Trust::Any);
        recent.write(&b).end(Some(fact(&recent, 1)));
        for key in [&a, &b, &c] {
            assert_eq!(recent.trust(key).0, Trust::Nothing);
        }
        clock.advance(KEEP);
        assert_eq!(recent.trust(&a).0, Trust::Any);
        recent.write(&b).end(Some(fact(&recent, 1)));
        assert_eq!(recent.trust(&b).0, Trust::Only(fact(&recent, 1)));
        assert_eq!(recent.trust(&a).0, Trust::Any);
    }
}
