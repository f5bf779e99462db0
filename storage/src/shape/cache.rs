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
#[async_trait]
pub trait Cache: Send + Sync + 'static {
    /// Values in the order of the keys.
    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Cached>>>;
    /// Sets, whatever is there.
    async fn set(&self, key: &str, value: Bytes, expires: Duration) -> Result<()>;
    /// Sets if absent; whether it did.
    async fn add(&self, key: &str, value: Bytes, expires: Duration) -> Result<bool>;
    /// Sets if the token is still that; whether it did.
    async fn compare_and_set(
        &self,
        key: &str,
        token: u64,
        value: Bytes,
        expires: Duration,
    ) -> Result<bool>;
    /// Forgets.
    async fn remove(&self, key: &str) -> Result<()>;
}
