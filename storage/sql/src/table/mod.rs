//! Records in four tables.
//!
//! ```text
//! p        partition, as it is stored (`stored`)      \ primary key, compares as bytes
//! s        sort key                                   /
//! whole    the partition, where it is stored otherwise
//! value    the value
//! version  1, one more with each change
//! expires  seconds since 1970, or null
//! w        write id: drawn for each attempt at a commit
//! ```
//!
//! A write waits in a queue (`queue`) for one of few writers; what gathers there while they are at work shares a transaction
//! (`commit`, `transaction`). Rows are locked in the order of their keys, so batches of ours do not wait for each other in a circle.
//! What has expired is absent to everyone, by our clock, and is removed by [`SqlTable::sweep`].

mod commit;
mod decide;
mod queue;
mod read;
mod transaction;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use storage::{
    Error, ErrorKind, Expire, Result,
    backend::rule,
    shape::{Batch, Consistency, Done, Key, Page, Query, Record, Space, Table},
};
use tokio::sync::oneshot;

use self::{commit::Committer, queue::Queue, read::Reader};
use crate::{
    Inner,
    name::SPACES,
    statement::Statement,
    stored::{self, StoredKey},
};

/// A write whose queue went away, which it does when the runtime ends.
const STOPPED: &str = "the writer of the database stopped";

/// The table.
#[derive(Clone)]
pub struct SqlTable {
    inner: Arc<Inner>,
    queue: Arc<Queue>,
    reader: Arc<Reader>,
}

impl SqlTable {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self {
            queue: Arc::new(Queue::new(Committer::new(inner.clone()))),
            reader: Arc::new(Reader::new(inner.clone())),
            inner,
        }
    }

    /// Removes records that have expired by `now` (seconds since 1970), at most `limit` of each of the four tables; how many
    /// it removed. For a task that calls it now and then.
    ///
    /// # Errors
    /// As any write; what was removed until then is gone.
    pub async fn sweep(&self, now: u64, limit: usize) -> Result<u64> {
        let now = stored::signed(now);
        let mut removed = 0;
        for space in SPACES {
            removed += self.sweep_space(space, now, limit).await?;
        }
        Ok(removed)
    }

    async fn sweep_space(&self, space: Space, now: i64, limit: usize) -> Result<u64> {
        let (names, pool) = (&self.inner.names, &self.inner.writers);
        let dialect = pool.dialect();
        let mut lease = pool.lease().await?;
        let select = format!("SELECT p, s FROM {} WHERE expires <= ", names.of(space));
        let select = Statement::new(dialect, select)
            .int(now)
            .then(" ORDER BY expires LIMIT ")
            .int(i64::try_from(limit).unwrap_or(i64::MAX));
        let found = lease.all(select, |row| {
            Ok(StoredKey {
                space,
                partition: row.bytes(0)?,
                sort: row.bytes(1)?,
            })
        });
        let mut found = found.await.map_err(crate::error::Failure::into_error)?;
        found.sort();
        let mut removed = 0;
        for keys in found.chunks(Batch::MAX) {
            let keys: Vec<&StoredKey> = keys.iter().collect();
            // One that was renewed meanwhile stays.
            let delete = dialect.delete(names.of(space), &keys, Some(now));
            removed += lease
                .execute(delete)
                .await
                .map_err(crate::error::Failure::into_error)?;
        }
        Ok(removed)
    }
}

#[async_trait]
impl Expire for SqlTable {
    async fn expire(&self, now: u64, limit: usize) -> Result<u64> {
        self.sweep(now, limit).await
    }
}

#[async_trait]
impl Table for SqlTable {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        self.reader.get(key, consistency).await
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        self.reader.query(query).await
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        rule::check_batch(&batch)?;
        let (sender, answer) = oneshot::channel();
        self.queue.add(
            batch,
            // Who went away does not want to know.
            Box::new(move |result| drop(sender.send(result))),
        );
        answer
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Unavailable, STOPPED)))
    }

    /// Needs a runtime. Batches over the same key are done in the order of submission.
    fn submit(self: Arc<Self>, batch: Batch, done: Done) {
        match rule::check_batch(&batch) {
            Ok(()) => self.queue.add(batch, done),
            Err(error) => done(Err(error)),
        }
    }

    fn trouble(&self) -> Option<Error> {
        self.queue.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.reader.partitions(space, after, limit).await
    }
}
