//! The ledger: what was asked of the store since it was last looked at, by table, call and record.
//!
//! Why two sides: the mailbox record is written behind an operation, when the home is swept or enough was acknowledged.
//! Which operation that falls into is chance, so it is kept apart and has a line of its own.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;
use storage::{
    layer::{CacheEvent, CacheObserver, Cacheable, Call, Observer, Usage, measured::Observation},
    shape::Space,
};

/// What was asked for: table, call, record.
pub type Asked = (&'static str, &'static str, &'static str);

/// What it came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Calls to the store.
    pub calls: u64,
    /// Requests sent for them.
    pub requests: u64,
    /// Those beyond the first of their call.
    pub retries: u64,
    /// Those that were refused because there were too many.
    pub throttled: u64,
    /// Read units.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
    /// Bytes of request bodies.
    pub sent: u64,
    /// Bytes of response bodies.
    pub received: u64,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.requests += other.requests;
        self.retries += other.retries;
        self.throttled += other.throttled;
        self.read_units += other.read_units;
        self.write_units += other.write_units;
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// What was spent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// By what was asked for.
    pub asked: BTreeMap<Asked, Counts>,
    /// Reads that the cache answered.
    pub hits: u64,
    /// Reads that it could not answer.
    pub misses: u64,
}

impl Spent {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.asked.values().for_each(|counts| total.add(counts));
        total
    }

    /// Adds another to this.
    pub fn add(&mut self, other: &Self) {
        for (asked, counts) in &other.asked {
            self.asked.entry(*asked).or_default().add(counts);
        }
        self.hits += other.hits;
        self.misses += other.misses;
    }

    /// Requests to a table, or to `blobs`.
    #[must_use]
    pub fn requests_to(&self, space: &str) -> u64 {
        let of_space = self.asked.iter().filter(|((of, ..), _)| *of == space);
        of_space.map(|(_, counts)| counts.requests).sum()
    }

    fn enter(&mut self, usage: &Usage) {
        let asked = (space_name(usage.space), usage.call.name(), usage.record);
        self.asked.entry(asked).or_default().add(&Counts {
            // A transaction over two tables is told for each, its requests with the first.
            calls: u64::from(usage.requests > 0),
            requests: usage.requests.into(),
            retries: usage.retries.into(),
            throttled: usage.throttled.into(),
            read_units: usage.read_units,
            write_units: usage.write_units,
            sent: usage.sent,
            received: usage.received,
        });
    }
}

fn space_name(space: Option<Space>) -> &'static str {
    match space {
        Some(Space::Core) => "core",
        Some(Space::Log) => "log",
        Some(Space::Idx) => "idx",
        Some(Space::Ctl) => "ctl",
        None => "blobs",
    }
}

#[derive(Default)]
struct Sides {
    operation: Spent,
    behind: Spent,
}

/// The observer that adds up.
#[derive(Default)]
pub struct Ledger {
    sides: Mutex<Sides>,
    /// Calls to tables of accounts that were of no class.
    unclassed: AtomicU64,
}

impl Ledger {
    fn sides(&self) -> MutexGuard<'_, Sides> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls for accounts that came past the limiter, which knows calls by their class.
    #[must_use]
    pub fn unclassed(&self) -> u64 {
        self.unclassed.load(Ordering::Relaxed)
    }

    /// What operations spent since the last call.
    #[must_use]
    pub fn take(&self) -> Spent {
        std::mem::take(&mut self.sides().operation)
    }

    /// What was spent behind them since the last call.
    #[must_use]
    pub fn take_behind(&self) -> Spent {
        std::mem::take(&mut self.sides().behind)
    }
}

impl Observer for Ledger {
    fn observe(&self, _: &Observation) {}

    fn spent(&self, usage: &Usage) {
        // What is the node's own stands in `ctl` and is asked for by nobody.
        if usage.class.is_none() && usage.space.is_some_and(|space| space != Space::Ctl) {
            self.unclassed.fetch_add(1, Ordering::Relaxed);
        }
        let mut sides = self.sides();
        let is_behind = usage.record == "mailbox" && usage.call == Call::Write;
        let side = match is_behind {
            true => &mut sides.behind,
            false => &mut sides.operation,
        };
        side.enter(usage);
    }
}

impl CacheObserver for Ledger {
    fn observe(&self, _: Cacheable, event: CacheEvent) {
        let spent = &mut self.sides().operation;
        match event {
            CacheEvent::Hit | CacheEvent::HitAbsent => spent.hits += 1,
            CacheEvent::Miss
            | CacheEvent::Refused
            | CacheEvent::Stale
            | CacheEvent::Busy
            | CacheEvent::Unreadable
            | CacheEvent::Unreachable => spent.misses += 1,
            // What writers and fillers do, and readers that shared an answer.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailbox_writes_stand_apart() {
        let ledger = Ledger::default();
        let tell = |call, record| {
            ledger.spent(&Usage {
                call,
                space: Some(Space::Core),
                record,
                class: None,
                outcome: Ok(()),
                requests: 1,
                retries: 0,
                throttled: 0,
                read_units: 0.5,
                write_units: 2.0,
                sent: 10,
                received: 20,
            });
        };
        tell(Call::Get, "mailbox");
        tell(Call::Write, "mailbox");
        tell(Call::Write, "roster");
        tell(Call::Write, "roster");
        let (spent, behind) = (ledger.take(), ledger.take_behind());
        let asked: Vec<_> = spent.asked.keys().copied().collect();
        let expected = [("core", "get", "mailbox"), ("core", "write", "roster")];
        assert_eq!(asked, expected);
        assert_eq!(spent.asked[&expected[1]].calls, 2);
        assert_eq!(spent.total().write_units, 6.0);
        assert_eq!(behind.requests_to("core"), 1);
        assert_eq!(ledger.take(), Spent::default());
    }
}
