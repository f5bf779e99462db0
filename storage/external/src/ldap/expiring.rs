//! Expiring: what was found, for a while. Bounded; the time is asked of the machine, for nothing durable depends on it.

use std::{
    hash::Hash,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use storage::Result;

/// Answers that are kept.
const MAX_KEPT: usize = 4_096;

pub(super) struct Expiring<K, V> {
    cache: Cache<K, (Instant, V)>,
    life: Duration,
}

impl<K: Eq + Hash + Clone, V: Clone> Expiring<K, V> {
    /// Keeps answers for so long; not at all if that is nothing.
    pub(super) fn new(life: Duration) -> Self {
        Self {
            cache: Cache::new(MAX_KEPT),
            life,
        }
    }

    /// What is known, or what `find` finds. What fails is not kept.
    pub(super) async fn get(&self, key: K, find: impl Future<Output = Result<V>>) -> Result<V> {
        if let Some((at, known)) = self.cache.get(&key)
            && at.elapsed() < self.life
        {
            return Ok(known);
        }
        let found = find.await?;
        if !self.life.is_zero() {
            self.cache.insert(key, (Instant::now(), found.clone()));
        }
        Ok(found)
    }
}
