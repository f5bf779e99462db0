//! Cached blobs: those whose name is used once, so that what is cached of them cannot be wrong.
//!
//! A blob that was removed may be read for as long as an entry lives, by who still has its name; nobody gets the name
//! from the store any more.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    CacheEvent, CacheLimits, CacheObserver, Cacheable,
    entry::{Entry, OVERHEAD},
    flight::Flights,
    hash, policy,
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    shape::{Blob, Blobs, Cache, PutIf},
};

/// The layer over blobs.
pub struct CachedBlobs {
    inner: Arc<dyn Blobs>,
    cache: Arc<dyn Cache>,
    limits: CacheLimits,
    flights: Flights<String, Option<Blob>>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn CacheObserver>,
}

impl CachedBlobs {
    /// Caches what `policy` names of these blobs.
    pub fn new(
        inner: Arc<dyn Blobs>,
        cache: Arc<dyn Cache>,
        limits: CacheLimits,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn CacheObserver>,
    ) -> Self {
        Self {
            inner,
            cache,
            limits,
            flights: Flights::default(),
            clock,
            observer,
        }
    }

    /// The blob, if it is there and young enough; else what there is instead.
    async fn look(&self, name: &str) -> Result<Blob, CacheEvent> {
        let mut found = self.cache.get_many(&[name]).await;
        let cached = match found.pop() {
            Some(Ok(Some(cached))) => cached,
            Some(Ok(None)) => return Err(CacheEvent::Miss),
            Some(Err(_)) | None => return Err(CacheEvent::Unreachable),
        };
        match Entry::decode(&cached.value, name, &Bytes::new()) {
            Ok(Entry::Blob { blob, at }) if self.is_young(at) => Ok(blob),
            Ok(_) => Err(CacheEvent::Stale),
            Err(_) => Err(CacheEvent::Unreadable),
        }
    }

    fn is_young(&self, at: Duration) -> bool {
        let now = self.clock.now();
        at <= now + self.limits.skew && now.saturating_sub(at) < self.limits.blob
    }

    async fn fetch(&self, key: &str, name: &str, event: CacheEvent) -> Result<Option<Blob>> {
        let mut at = None;
        let ask = async || {
            at = Some(self.clock.now());
            self.inner.get(key).await
        };
        let answer = self.flights.share(key.to_owned(), ask).await?;
        let Some(at) = at else {
            self.tell(CacheEvent::Joined);
            return Ok(answer);
        };
        let Some(blob) = &answer else {
            return Ok(answer);
        };
        let fits = blob.bytes.len() + blob.tag.len() + OVERHEAD <= self.limits.max_value;
        if fits && event != CacheEvent::Unreachable {
            let blob = blob.clone();
            let entry = Entry::Blob { blob, at }.encode(name);
            let filled = self.cache.set(name, entry, self.limits.blob).await;
            self.tell(match filled {
                Ok(()) => CacheEvent::Filled,
                Err(_) => CacheEvent::NotFilled,
            });
        }
        Ok(answer)
    }

    fn tell(&self, event: CacheEvent) {
        self.observer.observe(Cacheable::Blob, event);
    }
}

#[async_trait]
impl Blobs for CachedBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>> {
        if policy::blob(key).is_none() {
            return self.inner.get(key).await;
        }
        let name = format!("b:{}", hash(key.as_bytes()));
        match self.look(&name).await {
            Ok(blob) => {
                self.tell(CacheEvent::Hit);
                Ok(Some(blob))
            }
            Err(event) => {
                self.tell(event);
                self.fetch(key, &name, event).await
            }
        }
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        self.inner.get_range(key, range).await
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String> {
        if policy::blob(key).is_some() && condition != PutIf::Absent {
            let why = format!("a blob whose name is used once: {key}");
            return Err(Error::new(ErrorKind::NotAllowed, why));
        }
        self.inner.put(key, bytes, condition).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.inner.remove(key).await?;
        if policy::blob(key).is_some() {
            // What stays expires, and cannot be wrong.
            let _ = self
                .cache
                .remove(&format!("b:{}", hash(key.as_bytes())))
                .await;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.inner.list(prefix, after, limit).await
    }
}
