//! Memory: the three shapes without a disk, for tests, trials and as the in-process cache.
//!
//! Nothing outlives the process. They pass the same conformance suites as the durable backends.

mod blobs;
mod cache;
mod table;

pub use blobs::MemoryBlobs;
pub use cache::MemoryCache;
pub use table::MemoryTable;
