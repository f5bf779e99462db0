//! Blobs: objects with conditional put, ranged get and paged listing.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;

/// What must hold for a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIf {
    /// Anything.
    Any,
    /// No object at the key.
    Absent,
    /// The object there has this tag.
    Match(String),
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its bytes.
    pub bytes: Bytes,
    /// Changes whenever the bytes do.
    pub tag: String,
}

/// The shape. Keys are `/`-separated text without empty, `.` or `..` segments.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// An object, whole.
    async fn get(&self, key: &str) -> Result<Option<Blob>>;
    /// Part of an object; the range is cut to its size.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>>;
    /// Writes an object, whole or not at all; returns its tag. `Conflict` if the condition does not hold.
    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String>;
    /// Removes an object; absent is fine.
    async fn remove(&self, key: &str) -> Result<()>;
    /// Keys that start with `prefix`, each once, in an order of the backend's own, paged: `after` is the last one of the
    /// page before, and an empty page is the end.
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>>;
}
