//! Cache: expiring values; may forget anything at any time.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

/// A cached value and the token that a compare-and-set needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// The value.
    pub value: Bytes,
    /// Changes with every set.
    pub token: u64,
}

/// The shape. Keys are at most 250 bytes without white space or control characters (memcached).
///
/// A failure of any call is `Unavailable`, or `TooLarge` for a value that the cache does not take; nobody may depend on
/// a cache, so it is never more than a reason to ask the store.
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// Values in the order of the keys. Each has its own answer: of several servers some may be gone, and "gone" is not
    /// "nothing there".
    async fn get_many(&self, keys: &[&str]) -> Vec<Result<Option<Cached>>>;
    /// Sets, whatever is there.
    async fn set(&self, key: &str, value: Bytes, expires: Duration) -> Result<()>;
    /// Sets if absent; the token it has then, or `None` if something is there.
    async fn add(&self, key: &str, value: Bytes, expires: Duration) -> Result<Option<u64>>;
    /// Sets if the token is still that; the token it has then, or `None` if something else is there, or nothing.
    async fn compare_and_set(
        &self,
        key: &str,
        token: u64,
        value: Bytes,
        expires: Duration,
    ) -> Result<Option<u64>>;
    /// Forgets.
    async fn remove(&self, key: &str) -> Result<()>;
    /// What is cached at this key may be wrong and could not be told so. The cache gives nothing of what it holds there
    /// now, to anybody, once it can be reached again; a cache that can always be reached has nothing to do.
    fn distrust(&self, _key: &str) {}
}
