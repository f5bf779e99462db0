//! The model sees what breaks the protocol: each flaw, which takes one thing away from it, is found at this level.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    model::{Making, Tally, run},
    servers::NodeCache,
    world::Level,
};
use crate::{
    clock::Clock,
    error::Result,
    layer::cached::{Cached as Layer, entry::Entry, recent::Recent},
    shape::{Cache, Cached},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Writers put no marker.
    NoMarker,
    /// Whoever fills or publishes does not compare.
    NoCompare,
    /// Readers fill although a writer or another reader is at it.
    FillDespiteMarker,
    /// A writer puts its marker in the place of another's.
    MarkerOverMarker,
    /// A writer whose marker is gone lets things be.
    NoClosing,
    /// A node does not remember what it wrote.
    NoMemory,
    /// Readers do not look how old an entry is.
    NoAge,
    /// Who could not reach a server trusts it afterwards.
    NoDistrust,
}

struct Flawed {
    inner: NodeCache,
    flaw: Flaw,
}

impl Flawed {
    fn entry(&self, key: &str, value: &Bytes) -> Option<Entry> {
        Entry::decode(value, key, &Bytes::new()).ok()
    }

    fn shown(&self, key: &str, cached: Cached) -> Cached {
        let entry = match (self.flaw, self.entry(key, &cached.value)) {
            (Flaw::FillDespiteMarker, Some(Entry::Marker { .. } | Entry::Closed { .. })) => {
                Entry::Closed {
                    until: Duration::ZERO,
                }
            }
            (Flaw::MarkerOverMarker, Some(Entry::Marker { owner, until })) => {
                Entry::Lease { owner, until }
            }
            (Flaw::NoAge, Some(Entry::Known { record, .. })) => {
                let clock = self.inner.world.node_clock(self.inner.node);
                Entry::Known {
                    record,
                    at: clock.now(),
                }
            }
            _ => return cached,
        };
        Cached {
            value: entry.encode(key),
            ..cached
        }
    }

    /// Whether a change is left out.
    fn skips(&self, key: &str, value: &Bytes) -> bool {
        match self.entry(key, value) {
            Some(Entry::Marker { .. }) => self.flaw == Flaw::NoMarker,
            Some(Entry::Closed { .. }) => self.flaw == Flaw::NoClosing,
            _ => false,
        }
    }
}

#[async_trait]
impl Cache for Flawed {
    async fn get_many(&self, keys: &[&str]) -> Vec<Result<Option<Cached>>> {
        let found = self.inner.get_many(keys).await;
        let shown = |(key, found): (&&str, Result<Option<Cached>>)| {
            found.map(|found| found.map(|cached| self.shown(key, cached)))
        };
        keys.iter().zip(found).map(shown).collect()
    }
    async fn set(&self, key: &str, value: Bytes, expires: Duration) -> Result<()> {
        self.inner.set(key, value, expires).await
    }
    async fn add(&self, key: &str, value: Bytes, expires: Duration) -> Result<Option<u64>> {
        if self.skips(key, &value) {
            return Ok(Some(0));
        }
        self.inner.add(key, value, expires).await
    }
    async fn compare_and_set(
        &self,
        key: &str,
        token: u64,
        value: Bytes,
        expires: Duration,
    ) -> Result<Option<u64>> {
        if self.skips(key, &value) {
            return Ok(Some(0));
        }
        let is_known = matches!(self.entry(key, &value), Some(Entry::Known { .. }));
        if self.flaw == Flaw::NoCompare && is_known {
            self.inner.set(key, value, expires).await?;
            return Ok(Some(0));
        }
        self.inner.compare_and_set(key, token, value, expires).await
    }
    async fn remove(&self, key: &str) -> Result<()> {
        self.inner.remove(key).await
    }
    fn distrust(&self, key: &str) {
        if self.flaw != Flaw::NoDistrust {
            self.inner.distrust(key);
        }
    }
}

impl Making for Flaw {
    fn cache(&self, inner: NodeCache) -> Arc<dyn Cache> {
        Arc::new(Flawed { inner, flaw: *self })
    }
    fn layer(&self, layer: Layer, clock: Arc<dyn Clock>) -> Layer {
        match self {
            Self::NoMemory => Layer {
                recent: Recent::new(4, Duration::ZERO, clock, 1),
                ..layer
            },
            _ => layer,
        }
    }
}

/// The first seed at which a level finds a flaw.
fn found(flaw: Flaw, level: Level) -> Option<u64> {
    let tally = Arc::new(Tally::default());
    (0..4000).find(|seed| run(*seed, level, &flaw, &tally).is_err())
}

#[test]
fn each_flaw_is_found() {
    let check = |flaw, level| {
        let seed = found(flaw, level);
        assert!(seed.is_some(), "{flaw:?} passes at {level:?}");
    };
    check(Flaw::NoMarker, Level::Deaths);
    check(Flaw::NoCompare, Level::Losses);
    check(Flaw::FillDespiteMarker, Level::Deaths);
    check(Flaw::MarkerOverMarker, Level::Deaths);
    check(Flaw::NoClosing, Level::Losses);
    check(Flaw::NoMemory, Level::Outages);
    check(Flaw::NoAge, Level::Outages);
    check(Flaw::NoDistrust, Level::Healed);
}
