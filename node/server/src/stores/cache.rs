//! The cache in front of a store.

use std::sync::Arc;

use storage::{
    Place, Result, SystemClock,
    backend::memcached::{Memcached, MemcachedOptions, Servers},
    layer::{CacheLimits, CacheObserver, Cached, CachedBlobs, Class},
};

use crate::config;

/// A place whose rosters, vCards, private XML and objects are read through memcached. It is looked after by a task until
/// the place is dropped.
pub(super) fn before(
    place: Place,
    cache: &config::Memcached,
    observer: Arc<dyn CacheObserver>,
) -> Result<Place> {
    let servers = match &cache.configuration {
        Some(endpoint) => Servers::Cluster(endpoint.clone()),
        None => Servers::Fixed(cache.servers.iter().map(|name| (name.clone(), 1)).collect()),
    };
    let options = MemcachedOptions {
        namespace: cache.namespace.clone(),
        connect_timeout: cache.timeout,
        operation_timeout: cache.timeout,
        ..MemcachedOptions::default()
    };
    let clock = Arc::new(SystemClock);
    let memcached = Arc::new(Memcached::new(servers, options, clock.clone())?);
    let limits = CacheLimits {
        present: cache.lifetime,
        absent: cache.lifetime.min(CacheLimits::default().absent),
        blob: cache.lifetime,
        ..CacheLimits::default()
    };
    let cached = Cached::new(
        place.table_for(Class::Roster),
        memcached.clone(),
        limits,
        clock.clone(),
        observer.clone(),
    );
    let blobs = CachedBlobs::new(
        place.blobs.clone(),
        memcached.clone(),
        limits,
        clock,
        observer,
    );
    tokio::spawn(memcached.run());
    Ok(Place {
        blobs: Arc::new(blobs),
        cached: Some(Arc::new(cached)),
        ..place
    })
}
