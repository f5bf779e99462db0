//! The three shapes of storage.

pub mod blobs;
pub mod cache;
pub mod table;

pub use blobs::{Blob, Blobs, PutIf};
pub use cache::{Cache, Cached};
pub use table::{
    Batch, Condition, Consistency, Done, Key, Operation, Page, Query, Record, Space, Table,
};
