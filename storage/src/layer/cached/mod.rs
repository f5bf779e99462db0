//! Cached: a coherent read-through cache before a table (`Cached`) and before blobs (`CachedBlobs`).
//!
//! Only reads that ask for it ([`Consistency::Cached`]) are answered from the cache, and only of what `policy` names.
//! Writes of that say so at the cache before and after (`shelf`). What is promised:
//!
//! 1. Nobody reads, from this node, older than what this node wrote or read strongly before, whatever the cache does
//!    (`recent`). After a conflict the next read is of the store.
//! 2. Nobody reads what was replaced longer ago than an entry lives ([`CacheLimits::present`], `absent`), give or take
//!    what the nodes' clocks differ by: each entry says since when it is known, and readers look.
//! 3. While the nodes reach the cache and agree on its servers, a read that begins after a write was answered, anywhere,
//!    sees it, whatever the cache forgets meanwhile and whoever dies.
//! 4. A cache that fails, hangs or lies makes reads slower and never fails a call.
//!
//! What is left for others to read too long, within 2: what a node replaced that could not tell the cache, until it can
//! (then the server is emptied); what a node replaced that died having been unable to; what changes while nodes do not
//! agree on the servers; what changes when a writer dies whose marker the cache has lost.
//!
//! Absence is cached as well, for a shorter time: most accounts have no vCard and are asked for it. Who creates marks
//! and publishes like who changes.
//!
//! Source: Facebook's leases (Nishtala et al., Scaling Memcache at Facebook, NSDI 2013, §3.2.1), made stricter by
//! compare-and-set on both sides. Cost: a hit one round trip, a miss three beside the store's, a write three.

mod blobs;
mod entry;
mod flight;
mod observe;
pub mod policy;
mod recent;
mod shelf;
mod write;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;

pub use blobs::CachedBlobs;
pub use observe::{CacheEvent, CacheObserver};
pub use policy::Cacheable;

use self::{
    flight::Flights,
    recent::{Fact, Recent, Trust},
    shelf::{Found, Shelf},
    write::Change,
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    repository::record::fresh_id,
    shape::{Batch, Cache, Consistency, Key, Page, Query, Record, Space, Table},
};

/// Bounds of what is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// How long a record is believed after it was read.
    pub present: Duration,
    /// How long it is believed that there is none.
    pub absent: Duration,
    /// How long a blob is kept.
    pub blob: Duration,
    /// How long a writer's marker stands: longer than a commit takes, retries included.
    pub marker: Duration,
    /// How long a reader may take to fill.
    pub lease: Duration,
    /// How long nobody fills after a change that could not be published.
    pub closed: Duration,
    /// How long nobody tries to fill what is too large.
    pub too_large: Duration,
    /// Longest entry in bytes. memcached: 1 MiB with key and header, by default.
    pub max_value: usize,
    /// What clocks of nodes may differ by.
    pub skew: Duration,
    /// How many keys this node remembers to have changed within the life of an entry. More is slower, not wrong.
    pub slots: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            present: Duration::from_secs(300),
            absent: Duration::from_secs(60),
            blob: Duration::from_secs(300),
            marker: Duration::from_secs(15),
            lease: Duration::from_secs(5),
            closed: Duration::from_secs(1),
            too_large: Duration::from_secs(60),
            max_value: 1_000_000,
            skew: Duration::from_secs(5),
            slots: 32 << 10,
        }
    }
}

impl CacheLimits {
    /// How long an entry may be believed by any node, seen from this one.
    fn longest(&self) -> Duration {
        self.present.max(self.absent) + self.skew
    }
}

/// The layer over a table.
pub struct Cached {
    inner: Arc<dyn Table>,
    shelf: Shelf,
    recent: Recent,
    flights: Flights<Key, Answer>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CacheObserver>,
}

/// What the store said, and when it was asked.
type Answer = (Option<Record>, Duration);

/// The name of a key in the cache.
fn name_of(key: &Key) -> String {
    let mut bytes = vec![key.space as u8];
    bytes.extend((key.partition.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&key.partition);
    bytes.extend_from_slice(&key.sort);
    format!("r:{}", hash(&bytes))
}

/// 43 characters that no two names share.
fn hash(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

impl Cached {
    /// Caches what `policy` names of this table. Several nodes share a cache only with the same limits.
    pub fn new(
        inner: Arc<dyn Table>,
        cache: Arc<dyn Cache>,
        limits: CacheLimits,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn CacheObserver>,
    ) -> Self {
        Self {
            inner,
            recent: Recent::new(limits.slots, limits.longest(), clock.clone(), fresh_id()),
            flights: Flights::default(),
            shelf: Shelf::new(cache, clock.clone(), limits),
            clock,
            observer,
        }
    }

    /// Reads the store and remembers what it said.
    async fn read_strongly(&self, key: &Key) -> Result<Answer> {
        let (_, turn) = self.recent.trust(key);
        let at = self.clock.now();
        let record = self.inner.get(key, Consistency::Strong).await?;
        self.recent
            .learn(key, turn, self.recent.fact(record.as_ref()));
        Ok((record, at))
    }

    async fn read(&self, key: &Key, what: Cacheable) -> Result<Option<Record>> {
        let tell = |event| self.observer.observe(what, event);
        if self.recent.trust(key).0 == Trust::Nothing {
            tell(CacheEvent::Refused);
            return Ok(self.read_strongly(key).await?.0);
        }
        let name = name_of(key);
        let found = self.shelf.look(&name, &key.sort).await;
        // Asked again: a write of this node may have ended since.
        let (trust, _) = self.recent.trust(key);
        if let Found::Known(record, token) = found {
            let fact = self.recent.fact(record.as_ref());
            if trust == Trust::Any || trust == Trust::Only(fact) {
                tell(match record {
                    Some(_) => CacheEvent::Hit,
                    None => CacheEvent::HitAbsent,
                });
                return Ok(record);
            }
            tell(CacheEvent::Stale);
            return self.correct(key, what, &name, token, fact).await;
        }
        tell(match found {
            Found::Nothing => CacheEvent::Miss,
            Found::Outlived(_) => CacheEvent::Stale,
            Found::Busy => CacheEvent::Busy,
            Found::Foreign => CacheEvent::Unreadable,
            Found::Unreachable | Found::Known(..) => CacheEvent::Unreachable,
        });
        if trust != Trust::Any {
            return Ok(self.read_strongly(key).await?.0);
        }
        self.fetch(key, what, &name, &found).await
    }

    /// What stands in the cache is not what this node knows: it may be older or newer. The store says.
    async fn correct(
        &self,
        key: &Key,
        what: Cacheable,
        name: &str,
        token: u64,
        cached: Fact,
    ) -> Result<Option<Record>> {
        let (record, at) = self.read_strongly(key).await?;
        if self.recent.fact(record.as_ref()) != cached {
            self.fill(what, name, token, &record, at).await;
        }
        Ok(record)
    }

    /// Reads the store, together with whoever misses the same, and fills if nobody is at it.
    async fn fetch(
        &self,
        key: &Key,
        what: Cacheable,
        name: &str,
        found: &Found,
    ) -> Result<Option<Record>> {
        let (mut is_first, mut token) = (false, None);
        let ask = async || {
            is_first = true;
            token = match found {
                Found::Nothing => self.shelf.lease(name).await,
                Found::Outlived(token) => Some(*token),
                _ => None,
            };
            let at = self.clock.now();
            let record = self.inner.get(key, Consistency::Strong).await?;
            Ok((record, at))
        };
        let answer = self.flights.share(key.clone(), ask).await;
        if !is_first {
            self.observer.observe(what, CacheEvent::Joined);
        }
        let (record, at) = answer?;
        if let Some(token) = token {
            self.fill(what, name, token, &record, at).await;
        }
        Ok(record)
    }

    async fn fill(
        &self,
        what: Cacheable,
        name: &str,
        token: u64,
        record: &Option<Record>,
        at: Duration,
    ) {
        let filled = self.shelf.fill(name, token, record.clone(), at).await;
        let event = if filled {
            CacheEvent::Filled
        } else {
            CacheEvent::NotFilled
        };
        self.observer.observe(what, event);
    }
}

#[async_trait]
impl Table for Cached {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        match (policy::record(key), consistency) {
            (Some(what), Consistency::Cached) => self.read(key, what).await,
            (Some(_), Consistency::Strong) => Ok(self.read_strongly(key).await?.0),
            (_, Consistency::Eventual) => self.inner.get(key, Consistency::Eventual).await,
            (None, _) => self.inner.get(key, Consistency::Strong).await,
        }
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        if query.consistency != Consistency::Cached {
            return self.inner.query(query).await;
        }
        let query = Query {
            consistency: Consistency::Strong,
            ..query.clone()
        };
        self.inner.query(&query).await
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let changes: Vec<Change> = batch.operations.iter().filter_map(Change::of).collect();
        if changes.is_empty() {
            return self.inner.write(batch).await;
        }
        self.write_marked(batch, changes).await
    }

    fn submit(self: Arc<Self>, batch: Batch, done: crate::shape::Done) {
        // What is hot is not cached: it keeps the cheap way of the table below.
        if batch
            .operations
            .iter()
            .all(|one| policy::record(one.key()).is_none())
        {
            return self.inner.clone().submit(batch, done);
        }
        tokio::spawn(async move { done(self.write(batch).await) });
    }

    fn trouble(&self) -> Option<Error> {
        self.inner.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.inner.partitions(space, after, limit).await
    }
}

#[cfg(test)]
mod tests;
