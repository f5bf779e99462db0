//! The shelf: what readers and writers say to each other at a key of the cache.
//!
//! ```text
//! writer   mark: the entry becomes its marker (or Closed, if another writer's marker stands there)
//!          commit in the store
//!          settle: its marker, and only that, becomes what it wrote; else what stands there becomes Closed
//! reader   a record that is young enough: the answer
//!          a marker, a lease, Closed: ask the store, fill nothing
//!          nothing, or something beyond its time: take the lease (or the token), ask the store, fill if nothing
//!          was changed since
//! ```
//!
//! Every change but the first of an absent key is a compare-and-set, so nobody undoes what they have not seen. A reader
//! fills only what it read while no writer was at work: a writer's mark or its settling changes the token. A writer that
//! dies leaves its marker: until that expires everybody asks the store, then a reader fills in what is true. If markers
//! are lost (an emptied server, an eviction), the writer finds out when it settles. Only who dies as well then, or who
//! cannot reach the cache, leaves what is old: see [`Shelf::settle`].

use std::{sync::Arc, time::Duration};

use super::{
    CacheLimits,
    entry::{Entry, OVERHEAD, Unreadable},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    repository::record::fresh_id,
    shape::{Cache, Cached, Record},
};

/// How often somebody who lost a race begins again.
const MAX_RACES: usize = 4;
/// How often a writer tries to reach the cache when it settles.
const MAX_SETTLING: usize = 2;

/// What a reader found.
#[derive(Debug)]
pub(super) enum Found {
    /// The record (or that there is none), young enough, and the token it has.
    Known(Option<Record>, u64),
    /// Something that has outlived its time, or is damaged, and may be replaced.
    Outlived(u64),
    /// Nothing.
    Nothing,
    /// Somebody is at it.
    Busy,
    /// Of a later version.
    Foreign,
    /// No answer.
    Unreachable,
}

/// What a writer could do before it commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Its marker stands there, under this token.
    Own(u64),
    /// Another writer is at it too: nobody fills it for a while.
    Shared,
    /// It could not be reached.
    Failed,
}

/// How a writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Published,
    Closed,
    Distrusted,
}

/// The protocol over a cache.
pub(super) struct Shelf {
    cache: Arc<dyn Cache>,
    clock: Arc<dyn Clock>,
    limits: CacheLimits,
}

impl Shelf {
    pub(super) fn new(cache: Arc<dyn Cache>, clock: Arc<dyn Clock>, limits: CacheLimits) -> Self {
        Self {
            cache,
            clock,
            limits,
        }
    }

    /// What stands at a key. One round trip.
    pub(super) async fn look(&self, name: &str, sort: &bytes::Bytes) -> Found {
        let Ok(found) = self.get(name).await else {
            return Found::Unreachable;
        };
        let Some(Cached { value, token }) = found else {
            return Found::Nothing;
        };
        let now = self.clock.now();
        match Entry::decode(&value, name, sort) {
            Ok(Entry::Known { record, at }) if self.is_young(record.as_ref(), at, now) => {
                Found::Known(record, token)
            }
            Ok(entry) if is_standing(&entry, now) => Found::Busy,
            Ok(_) | Err(Unreadable::Damaged) => Found::Outlived(token),
            Err(Unreadable::Foreign) => Found::Foreign,
        }
    }

    fn lifetime(&self, record: Option<&Record>) -> Duration {
        match record {
            Some(_) => self.limits.present,
            None => self.limits.absent,
        }
    }

    fn is_young(&self, record: Option<&Record>, at: Duration, now: Duration) -> bool {
        let is_live = record
            .and_then(|record| record.expires)
            .is_none_or(|expires| now.as_secs() < expires);
        // From beyond what clocks may differ by: whoever wrote that knows nothing about time.
        at <= now + self.limits.skew && now.saturating_sub(at) < self.lifetime(record) && is_live
    }

    async fn get(&self, name: &str) -> Result<Option<Cached>> {
        let mut found = self.cache.get_many(&[name]).await;
        found.pop().unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unavailable,
                "a cache that says nothing",
            ))
        })
    }

    /// Takes the lease of an absent key; its token. One round trip.
    pub(super) async fn lease(&self, name: &str) -> Option<u64> {
        let lease = Entry::Lease {
            owner: fresh_id(),
            until: self.clock.now() + self.limits.lease,
        };
        let bytes = lease.encode(name);
        let taken = self.cache.add(name, bytes, self.limits.lease).await;
        taken.ok().flatten()
    }

    /// Fills in what the store held at that time, if nothing was changed since the token. One round trip.
    pub(super) async fn fill(
        &self,
        name: &str,
        token: u64,
        record: Option<Record>,
        at: Duration,
    ) -> bool {
        let (entry, expires) = if !self.fits(record.as_ref()) {
            self.closed(self.limits.too_large)
        } else if let Some(known) = self.known(record, at) {
            known
        } else {
            return false;
        };
        let bytes = entry.encode(name);
        let filled = self.cache.compare_and_set(name, token, bytes, expires);
        filled.await.is_ok_and(|token| token.is_some())
    }

    fn fits(&self, record: Option<&Record>) -> bool {
        record.is_none_or(|record| record.value.len() + OVERHEAD <= self.limits.max_value)
    }

    /// What is known, and how long it is to be kept; `None`: it is too large, or over already.
    fn known(&self, record: Option<Record>, at: Duration) -> Option<(Entry, Duration)> {
        let age = self.clock.now().saturating_sub(at);
        let left = self.lifetime(record.as_ref()).saturating_sub(age);
        let may = self.fits(record.as_ref()) && !left.is_zero();
        may.then_some((Entry::Known { record, at }, left))
    }

    fn closed(&self, time: Duration) -> (Entry, Duration) {
        let until = self.clock.now() + time;
        (Entry::Closed { until }, time)
    }

    /// Says that a write is about to begin. Two round trips.
    pub(super) async fn mark(&self, name: &str) -> Mark {
        for _ in 0..MAX_RACES {
            match self.mark_once(name).await {
                Ok(Some(mark)) => return mark,
                Ok(None) => {}
                Err(_) => return Mark::Failed,
            }
        }
        Mark::Failed
    }

    async fn mark_once(&self, name: &str) -> Result<Option<Mark>> {
        let time = self.limits.marker;
        let marker = Entry::Marker {
            owner: fresh_id(),
            until: self.clock.now() + time,
        };
        let Some(found) = self.get(name).await? else {
            let added = self.cache.add(name, marker.encode(name), time).await?;
            return Ok(added.map(Mark::Own));
        };
        let swap = async |entry: Entry| {
            let bytes = entry.encode(name);
            self.cache
                .compare_and_set(name, found.token, bytes, time)
                .await
        };
        if self.is_writers(&found, name) {
            let closed = swap(self.closed(time).0).await?;
            return Ok(closed.map(|_| Mark::Shared));
        }
        Ok(swap(marker).await?.map(Mark::Own))
    }

    /// Whether writers are at it.
    fn is_writers(&self, found: &Cached, name: &str) -> bool {
        let entry = Entry::decode(&found.value, name, &bytes::Bytes::new());
        let now = self.clock.now();
        entry.is_ok_and(|entry| is_standing(&entry, now) && !matches!(entry, Entry::Lease { .. }))
    }

    /// After a commit: says what was written and since when that is true, or, if it is not known or somebody else was
    /// at it too, that it changed. One round trip where nothing went wrong.
    ///
    /// If the cache cannot be reached it is told to give nothing of what it holds there from when it can be reached
    /// again: until then, and no longer than an entry lives, others who do reach it may get what was before. This node
    /// does not (`recent`).
    pub(super) async fn settle(
        &self,
        name: &str,
        mark: Mark,
        written: Option<(Option<Record>, Duration)>,
    ) -> Settled {
        let known = written.and_then(|(record, at)| self.known(record, at));
        if let (Mark::Own(token), Some((entry, expires))) = (mark, known) {
            let bytes = entry.encode(name);
            let published = self.cache.compare_and_set(name, token, bytes, expires);
            if matches!(published.await, Ok(Some(_))) {
                return Settled::Published;
            }
        }
        for _ in 0..MAX_SETTLING {
            if self.close(name).await.is_ok() {
                return Settled::Closed;
            }
        }
        self.cache.distrust(name);
        Settled::Distrusted
    }

    /// A write that did not happen takes its marker away.
    pub(super) async fn release(&self, name: &str, mark: Mark) {
        if let Mark::Own(token) = mark {
            let (entry, expires) = self.closed(self.limits.closed);
            let bytes = entry.encode(name);
            // If it fails the marker expires.
            let _ = self
                .cache
                .compare_and_set(name, token, bytes, expires)
                .await;
        }
    }

    /// Nobody knows whether it happened: a marker stands until it expires, and without one nothing there is true.
    pub(super) fn abandon(&self, name: &str, mark: Mark) -> bool {
        let unmarked = mark == Mark::Failed;
        if unmarked {
            self.cache.distrust(name);
        }
        unmarked
    }

    /// Makes of whatever stands there something that nobody believes and nobody may fill on the grounds of what they
    /// read before. Nothing is fine: who takes the lease after this reads the store after this.
    async fn close(&self, name: &str) -> Result<()> {
        for _ in 0..MAX_RACES {
            let Some(found) = self.get(name).await? else {
                return Ok(());
            };
            let now = self.clock.now();
            let entry = Entry::decode(&found.value, name, &bytes::Bytes::new());
            let time = match entry {
                Ok(Entry::Closed { until }) if now < until => return Ok(()),
                // Its writer shall find that it was not alone, for as long as it may take.
                Ok(Entry::Marker { until, .. }) if now < until => self.limits.marker,
                _ => self.limits.closed,
            };
            let (entry, expires) = self.closed(time);
            let bytes = entry.encode(name);
            let closed = self
                .cache
                .compare_and_set(name, found.token, bytes, expires)
                .await?;
            if closed.is_some() {
                return Ok(());
            }
        }
        self.cache.remove(name).await
    }
}

/// Whether it keeps readers from filling.
fn is_standing(entry: &Entry, now: Duration) -> bool {
    match entry {
        Entry::Marker { until, .. } | Entry::Lease { until, .. } | Entry::Closed { until } => {
            now < *until
        }
        Entry::Known { .. } | Entry::Blob { .. } => false,
    }
}
