//! Reads: each is one statement by the primary key.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use storage::{
    ErrorKind, Result,
    backend::rule,
    shape::{Consistency, Key, Page, Query, Record, Space},
};

use crate::{
    Inner,
    connection::{Cells, Rows},
    statement::Statement,
    stored::{self, StoredKey},
};

/// So many rows are asked for at least, however large the last ones were.
const FEWEST_ROWS: usize = 8;
const COLUMNS: &str = "s, value, version, expires";

/// Reads records.
pub(super) struct Reader {
    inner: Arc<Inner>,
    /// Bytes of a value as the last page of each table had them: how many rows make a page is guessed from it, because what
    /// was asked for and is not read would come nevertheless.
    sizes: [AtomicU64; 4],
    replica_is_down: AtomicBool,
}

impl Reader {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            sizes: Default::default(),
            replica_is_down: AtomicBool::new(false),
        }
    }

    fn statement(&self, columns: &str, space: Space) -> Statement {
        let table = self.inner.names.of(space);
        Statement::new(
            self.inner.readers.dialect(),
            format!("SELECT {columns} FROM {table} WHERE "),
        )
    }

    /// Reads from the replica where that is allowed and there is one that answers.
    async fn read<T>(
        &self,
        consistency: Consistency,
        statement: Statement,
        mut read: impl FnMut(&dyn Cells) -> sqlx::Result<(T, bool)>,
    ) -> Result<Rows<T>> {
        if !consistency.is_strong()
            && let Some(replica) = &self.inner.replica
        {
            let result = replica.read(statement.clone(), &mut read).await;
            let failed = matches!(&result, Err(error) if error.kind() != ErrorKind::Corrupt);
            let before = self.replica_is_down.swap(failed, Ordering::Relaxed);
            match result {
                Err(error) if failed => {
                    if !before {
                        tracing::warn!(%error, "the replica of the database does not serve; reading from the primary");
                    }
                }
                result => {
                    if before {
                        tracing::info!("the replica of the database serves again");
                    }
                    return result;
                }
            }
        }
        self.inner.readers.read(statement, read).await
    }

    pub(super) async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        let statement = self.statement(COLUMNS, key.space).is(&StoredKey::of(key));
        let found = self
            .read(consistency, statement, |row| Ok((record(row)?, false)))
            .await?;
        let now = self.inner.clock.seconds();
        let mut live = found
            .rows
            .into_iter()
            .filter(|record| rule::is_live(record.expires, now));
        Ok(live.next())
    }

    pub(super) async fn query(&self, query: &Query) -> Result<Page> {
        let limit = query.limit.max(1);
        let size = &self.sizes[query.space as usize];
        let typical = usize::try_from(size.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let asked = (2 * rule::PAGE_BYTES / typical.max(1)).max(FEWEST_ROWS);
        let asked = asked.min(limit.saturating_add(1));
        let mut bytes = 0;
        let found = self
            .read(query.consistency, self.range(query, asked), |row| {
                let record = record(row)?;
                bytes += record.value.len();
                Ok((record, bytes >= 4 * rule::PAGE_BYTES))
            })
            .await?;
        let mut records = found.rows;
        if !records.is_empty() {
            let typical = u64::try_from(bytes / records.len()).unwrap_or(u64::MAX);
            size.store(typical, Ordering::Relaxed);
        }
        let mut more = found.cut || records.len() == asked;
        records.truncate(limit);
        more |= cut(&mut records);
        Ok(Page { records, more })
    }

    fn range(&self, query: &Query, rows: usize) -> Statement {
        let mut statement = self
            .statement(COLUMNS, query.space)
            .then("p = ")
            .bytes(&stored::partition(&query.partition));
        if let Some(from) = &query.from {
            statement = statement.then(" AND s >= ").bytes(from);
        }
        if let Some(until) = &query.until {
            statement = statement.then(" AND s < ").bytes(until);
        }
        statement
            .then(" AND (expires IS NULL OR expires > ")
            .int(stored::signed(self.inner.clock.seconds()))
            .then(if query.reverse {
                ") ORDER BY s DESC LIMIT "
            } else {
                ") ORDER BY s LIMIT "
            })
            .int(i64::try_from(rows).unwrap_or(i64::MAX))
    }

    /// Each found by a search beyond the one before, so that no rows are read but their first.
    pub(super) async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        let mut last = after.map(|after| stored::partition(&Bytes::copy_from_slice(after)));
        let mut found = Vec::new();
        while found.len() < limit {
            let mut statement = self.statement("p, whole", space);
            if let Some(last) = &last {
                statement = statement.then("p > ").bytes(last).then(" AND ");
            }
            let statement = statement
                .then("(expires IS NULL OR expires > ")
                .int(stored::signed(self.inner.clock.seconds()))
                .then(") ORDER BY p, s LIMIT 1");
            let read = |row: &dyn Cells| Ok(((row.bytes(0)?, row.maybe_bytes(1)?), false));
            let rows = self.inner.readers.read(statement, read).await?;
            let Some((partition, whole)) = rows.rows.into_iter().next() else {
                break;
            };
            found.push(whole.unwrap_or_else(|| partition.clone()));
            last = Some(partition);
        }
        Ok(found)
    }
}

/// Cuts a page where it has grown large enough; whether anything went.
fn cut(records: &mut Vec<Record>) -> bool {
    let mut bytes = 0;
    let kept = records
        .iter()
        .take_while(|record| {
            let fits = bytes < rule::PAGE_BYTES;
            bytes += record.value.len();
            fits
        })
        .count();
    let cut = kept < records.len();
    records.truncate(kept);
    cut
}

/// A row of [`COLUMNS`].
pub(super) fn record(row: &dyn Cells) -> sqlx::Result<Record> {
    Ok(Record {
        sort: row.bytes(0)?,
        value: row.bytes(1)?,
        version: number(row.int(2)?)?,
        expires: row.maybe_int(3)?.map(number).transpose()?,
    })
}

/// A number of the database as ours.
pub(super) fn number(number: i64) -> sqlx::Result<u64> {
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
