//! Layers: what wraps a shape and is one itself. Written once, they serve every backend and every repository.

pub mod attempts;
pub mod cached;
pub mod faulty;
pub mod guarded;
pub mod limited;
pub mod measured;
pub(crate) mod random;
pub mod retrying;
pub mod usage;

pub use attempts::{Attempts, Retries, RetryPolicy};
pub use cached::{CacheEvent, CacheLimits, CacheObserver, Cacheable, Cached, CachedBlobs};
pub use faulty::{Faulty, FaultyBlobs, Switchboard};
pub use guarded::Guarded;
pub use limited::{Class, Limited, Limiter, LimiterOptions};
pub use measured::{Measured, Observer};
pub use retrying::Retrying;
pub use usage::Usage;

/// What is done to a store, for observers and faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Table::get`](crate::shape::Table::get).
    Get,
    /// [`Table::query`](crate::shape::Table::query).
    Query,
    /// [`Table::write`](crate::shape::Table::write).
    Write,
    /// [`Table::partitions`](crate::shape::Table::partitions).
    Partitions,
    /// [`Blobs::get`](crate::shape::Blobs::get) and [`get_range`](crate::shape::Blobs::get_range).
    BlobGet,
    /// [`Blobs::put`](crate::shape::Blobs::put).
    BlobPut,
    /// [`Blobs::remove`](crate::shape::Blobs::remove).
    BlobRemove,
    /// [`Blobs::list`](crate::shape::Blobs::list).
    BlobList,
}

impl Call {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Query => "query",
            Self::Write => "write",
            Self::Partitions => "partitions",
            Self::BlobGet => "blob_get",
            Self::BlobPut => "blob_put",
            Self::BlobRemove => "blob_remove",
            Self::BlobList => "blob_list",
        }
    }
    /// Whether it may change something.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::BlobPut | Self::BlobRemove)
    }
}
