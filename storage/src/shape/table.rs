//! Table: records by partition and sort key, conditional all-or-nothing batches, ranges both ways, expiry.
//!
//! Modelled on the production store (DynamoDB), so nothing is lost there; embedded and memory imitate it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::{Error, Result},
    layer::Class,
};

/// Which of the four tables a record lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// Accounts and small state.
    Core,
    /// Logs of accounts, rooms, remote domains.
    Log,
    /// Hand-written indexes.
    Idx,
    /// Cluster control.
    Ctl,
}

/// Where a record lives. Both parts are opaque bytes that compare as bytes; build them with `crate::key`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The table.
    pub space: Space,
    /// The partition: what is read together.
    pub partition: Bytes,
    /// The sort key within it.
    pub sort: Bytes,
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its sort key.
    pub sort: Bytes,
    /// Its value.
    pub value: Bytes,
    /// Its version: 1 when created, one more with each change.
    pub version: u64,
    /// When it may vanish, in seconds since 1970. Readers treat it as absent from then on.
    pub expires: Option<u64>,
}

/// What must hold for an operation to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Anything.
    Any,
    /// No (unexpired) record at the key.
    Absent,
    /// A record with this version.
    Version(u64),
    /// Some record.
    Exists,
}

/// One operation of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes a record; its version becomes 1, or one more than what was there.
    Put {
        /// Where.
        key: Key,
        /// What.
        value: Bytes,
        /// If.
        condition: Condition,
        /// Until, in seconds since 1970.
        expires: Option<u64>,
    },
    /// Removes a record. Removing what is absent is fine under `Any`.
    Delete {
        /// Where.
        key: Key,
        /// If.
        condition: Condition,
    },
    /// Changes nothing; the batch fails if the condition does not hold.
    Check {
        /// Where.
        key: Key,
        /// If.
        condition: Condition,
    },
}

/// Operations that happen all or not at all. At most [`Batch::MAX`]; each key at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The operations.
    pub operations: Vec<Operation>,
}

impl Batch {
    /// DynamoDB's limit on a transaction.
    pub const MAX: usize = 100;
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: Key, value: impl Into<Bytes>, condition: Condition) -> Self {
        self.operations.push(Operation::Put {
            key,
            value: value.into(),
            condition,
            expires: None,
        });
        self
    }
    /// Adds a put that expires (seconds since 1970).
    #[must_use]
    pub fn put_until(
        mut self,
        key: Key,
        value: impl Into<Bytes>,
        condition: Condition,
        expires: u64,
    ) -> Self {
        self.operations.push(Operation::Put {
            key,
            value: value.into(),
            condition,
            expires: Some(expires),
        });
        self
    }
    /// Adds a delete.
    #[must_use]
    pub fn delete(mut self, key: Key, condition: Condition) -> Self {
        self.operations.push(Operation::Delete { key, condition });
        self
    }
    /// Adds a check.
    #[must_use]
    pub fn check(mut self, key: Key, condition: Condition) -> Self {
        self.operations.push(Operation::Check { key, condition });
        self
    }
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every write that was answered before.
    Strong,
    /// May be a little behind; half the price.
    Eventual,
    /// May come from a cache: never older than what this node wrote or read strongly before, and not older than the
    /// time limit of `layer::cached`. A table without a cache before it reads strongly.
    Cached,
}

impl Consistency {
    /// Whether a store itself must answer with what is newest: only a cache in front of it may know it otherwise.
    pub fn is_strong(self) -> bool {
        self != Self::Eventual
    }
}

/// A part of a partition, by sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The table.
    pub space: Space,
    /// The partition.
    pub partition: Bytes,
    /// Lowest sort key, inclusive.
    pub from: Option<Bytes>,
    /// Highest sort key, exclusive.
    pub until: Option<Bytes>,
    /// Highest first.
    pub reverse: bool,
    /// At most this many records (at least 1). A page may be shorter and still not be the last.
    pub limit: usize,
    /// How fresh.
    pub consistency: Consistency,
}

/// A page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order asked for.
    pub records: Vec<Record>,
    /// Whether there may be more beyond the last one.
    pub more: bool,
}

/// Who is told how a batch ended.
pub type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// The shape.
#[async_trait]
pub trait Table: Send + Sync + 'static {
    /// One record. Expired ones are absent.
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>>;
    /// A page of a partition.
    async fn query(&self, query: &Query) -> Result<Page>;
    /// All or nothing.
    ///
    /// # Errors
    /// `Conflict` with the index of the first operation whose condition failed and what stood there. `Unavailable`:
    /// it may or may not have happened; a caller that repeats must be able to recognise its own write.
    async fn write(&self, batch: Batch) -> Result<()>;
    /// The same without waiting: `done` is called with the answer, maybe on a thread of the backend, so it must be
    /// short. A backend that has a cheaper way than a task overrides it; otherwise it needs a runtime. When too much
    /// waits already the answer is `Throttled`.
    fn submit(self: Arc<Self>, batch: Batch, done: Done) {
        let class = Class::current();
        tokio::spawn(async move {
            let write = self.write(batch);
            done(match class {
                Some(class) => class.calling(write).await,
                None => write.await,
            });
        });
    }
    /// What keeps this table from taking writes on this node, if that is known. Trouble that all nodes would have is not
    /// told.
    fn trouble(&self) -> Option<Error>;
    /// The partitions of a table, each once, in an order of the backend's own, paged: `after` is the last one of the page
    /// before, and an empty page is the end. What is written or removed meanwhile may be in it or not. For maintenance and
    /// administration only; never on a hot path.
    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>>;
}
