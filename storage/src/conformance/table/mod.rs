//! What every table must do.

mod read;
mod write;

use std::{
    fmt::Debug,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{
    clock::{Clock, ManualClock},
    error::{ErrorKind, Result},
    shape::{Batch, Condition, Consistency, Key, Page, Query, Record, Space, Table},
};

/// A table to be examined.
pub struct Subject {
    /// The table.
    pub table: Arc<dyn Table>,
    /// Its clock, if it can be moved.
    pub clock: Option<ManualClock>,
    /// What the names of all partitions start with. Nobody else uses it.
    pub run: String,
    /// The longest value that it must hold: a mebibyte, or less where the backend's own limit is lower.
    pub largest: usize,
}

impl Subject {
    /// A fresh table that reads this clock.
    pub fn new(table: impl Table, clock: ManualClock) -> Self {
        Self {
            table: Arc::new(table),
            clock: Some(clock),
            run: "conformance".into(),
            largest: 1 << 20,
        }
    }

    fn now(&self) -> u64 {
        let system = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs()
        };
        self.clock.as_ref().map_or_else(system, Clock::seconds)
    }
    fn partition(&self, name: &[u8]) -> Bytes {
        [self.run.as_bytes(), b"#", name].concat().into()
    }
    fn key(&self, partition: &str, sort: impl AsRef<[u8]>) -> Key {
        self.key_in(Space::Core, partition.as_bytes(), sort.as_ref())
    }
    fn key_in(&self, space: Space, partition: &[u8], sort: &[u8]) -> Key {
        Key {
            space,
            partition: self.partition(partition),
            sort: Bytes::copy_from_slice(sort),
        }
    }
    async fn get(&self, key: &Key) -> Option<Record> {
        self.table.get(key, Consistency::Strong).await.expect("get")
    }
    async fn value(&self, key: &Key) -> Option<(Bytes, u64)> {
        self.get(key)
            .await
            .map(|record| (record.value, record.version))
    }
    async fn put(&self, key: &Key, value: impl Into<Bytes>) {
        self.table
            .write(Batch::new().put(key.clone(), value, Condition::Any))
            .await
            .expect("put");
    }
    /// All pages of a query, after the rules that hold for each.
    async fn all(&self, mut query: Query) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let Page { records, more } = self.table.query(&query).await.expect("query");
            assert!(
                records.len() <= query.limit,
                "a page of {} where {} were asked for",
                records.len(),
                query.limit
            );
            all.extend(records);
            if !more {
                return all;
            }
            let last = all
                .last()
                .expect("a page that is not the last has records")
                .sort
                .clone();
            if query.reverse {
                query.until = Some(last);
            } else {
                query.from = Some([&last[..], &[0]].concat().into());
            }
        }
    }
    fn query(&self, partition: &str) -> Query {
        Query {
            space: Space::Core,
            partition: self.partition(partition.as_bytes()),
            from: None,
            until: None,
            reverse: false,
            limit: 1000,
            consistency: Consistency::Strong,
        }
    }
}

/// Asserts a conflict at this operation with this version in the way.
fn assert_conflict(result: Result<()>, index: usize, current: Option<(&[u8], u64)>) {
    let error = result.expect_err("a condition that does not hold");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let at = error.conflict_at().expect("a conflict says where");
    let found = at
        .current
        .as_ref()
        .map(|record| (&record.value[..], record.version));
    assert_eq!((at.index, found), (index, current));
}

fn assert_kind<T: Debug>(result: Result<T>, kind: ErrorKind) {
    assert_eq!(result.expect_err("must be refused").kind(), kind);
}

/// Examines a table.
pub async fn table(subject: Subject) {
    write::conditions(&subject).await;
    write::all_or_nothing(&subject).await;
    write::versions(&subject).await;
    write::limits(&subject).await;
    write::races(&subject).await;
    write::submissions(&subject).await;
    write::expiry(&subject).await;
    read::ranges(&subject).await;
    read::pages(&subject).await;
    read::binary_keys(&subject).await;
    read::isolation(&subject).await;
    read::big_values(&subject).await;
    read::partitions(&subject).await;
}
