//! Commits a group of batches and tells of each how it ended.
//!
//! - Appends (a put of what is absent, alone in its batch) are one INSERT of many rows, one round trip for all.
//! - A batch of one operation is one statement whose condition stands in it.
//! - Anything else, and whatever of these was refused, is a transaction (`transaction`).
//!
//! A statement whose answer is lost leaves a doubt; then the write id is looked for, and only if it is found the answer is
//! "done".

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Inner,
    error::Failure,
    pool::Lease,
    statement::Statement,
    stored::{self, Row, StoredKey},
};
use aws_lc_rs::rand;
use storage::{
    Error, ErrorKind, Result,
    shape::{Batch, Condition, Operation, Space},
};

/// How each batch of a group ended.
pub(super) type Ends = Vec<Result<()>>;

/// Commits groups.
pub(super) struct Committer {
    pub(super) inner: Arc<Inner>,
}

/// How a statement that is a batch of its own ended.
enum Alone {
    Ended(Result<()>),
    /// It was not done: its condition does not hold, or it has to be looked at.
    Look,
}

/// The row of a batch that appends.
pub(super) fn append(batch: &Batch) -> Option<Space> {
    match &batch.operations[..] {
        [
            Operation::Put {
                key,
                condition: Condition::Absent,
                ..
            },
        ] => Some(key.space),
        _ => None,
    }
}

fn row(operation: &Operation) -> Option<Row> {
    let Operation::Put {
        key,
        value,
        expires,
        ..
    } = operation
    else {
        return None;
    };
    Some(Row {
        key: StoredKey::of(key),
        whole: stored::whole(&key.partition),
        value: value.clone(),
        version: 1,
        expires: expires.map(stored::signed),
    })
}

pub(super) fn fresh_id() -> i64 {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).expect("the system has randomness");
    i64::from_le_bytes(bytes)
}

impl Committer {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    pub(super) fn now(&self) -> u64 {
        self.inner.clock.seconds()
    }

    /// Commits a group: appends to one table, or anything.
    pub(super) async fn commit(&self, batches: &[Batch]) -> Ends {
        let all: Vec<&Batch> = batches.iter().collect();
        let space = batches.first().and_then(append);
        let ends = match (space, batches) {
            (Some(space), _) if batches.iter().all(|batch| append(batch) == Some(space)) => {
                self.append(space, &all).await
            }
            (_, [batch]) if batch.operations.len() == 1 => {
                vec![self.one(&batch.operations[0]).await]
            }
            _ => return self.transact(&all).await,
        };
        let unclear = |end: &Alone| matches!(end, Alone::Look);
        let left: Vec<&Batch> = all
            .iter()
            .zip(&ends)
            .filter(|(_, end)| unclear(end))
            .map(|(batch, _)| *batch)
            .collect();
        let mut looked = if left.is_empty() {
            Vec::new()
        } else {
            self.transact(&left).await
        }
        .into_iter();
        let end = |end| match end {
            Alone::Ended(result) => result,
            Alone::Look => looked.next().expect("an end for each batch"),
        };
        ends.into_iter().map(end).collect()
    }

    /// One insertion of many rows.
    async fn append(&self, space: Space, batches: &[&Batch]) -> Vec<Alone> {
        let mut rows: BTreeMap<StoredKey, (usize, Row)> = BTreeMap::new();
        for (index, batch) in batches.iter().enumerate() {
            let row = row(&batch.operations[0]).expect("an append is a put");
            // Of two of the same key the second is looked at later.
            rows.entry(row.key.clone()).or_insert((index, row));
        }
        let mut ends: Vec<Alone> = batches.iter().map(|_| Alone::Look).collect();
        let everyone = |error: Error| {
            let end = |_: &&Batch| Alone::Ended(Err(error.clone()));
            batches.iter().map(end).collect::<Vec<_>>()
        };
        let mut lease = match self.inner.writers.lease().await {
            Ok(lease) => lease,
            Err(error) => return everyone(error),
        };
        let write_id = fresh_id();
        let list: Vec<&Row> = rows.values().map(|(_, row)| row).collect();
        let inserted = self.insert(&mut lease, space, &list, write_id).await;
        drop(lease);
        let inserted = match inserted {
            Ok(inserted) => inserted,
            Err(Failure::Again(_) | Failure::Taken(_)) => return ends,
            Err(Failure::Refused(error)) if concerns_all(&error, batches) => {
                return everyone(error);
            }
            // One of them is the reason: which is found when each is tried.
            Err(Failure::Refused(_)) => return ends,
            Err(Failure::Lost { error, .. }) => {
                let keys: Vec<&StoredKey> = rows.keys().collect();
                let done = self.proven(&keys, write_id).await;
                ends = everyone(error);
                done
            }
        };
        for key in inserted {
            if let Some((index, _)) = rows.get(&key) {
                ends[*index] = Alone::Ended(Ok(()));
            }
        }
        ends
    }

    /// Inserts rows that may be there already; the keys of those that were not. MySQL inserts all or none.
    pub(super) async fn insert(
        &self,
        lease: &mut Lease<'_>,
        space: Space,
        rows: &[&Row],
        write_id: i64,
    ) -> Result<Vec<StoredKey>, Failure> {
        let dialect = lease.dialect();
        let statement = dialect.insert(self.inner.names.of(space), rows, write_id);
        if dialect.inserts_what_is_absent() {
            let read = |row: &dyn crate::connection::Cells| {
                Ok(StoredKey {
                    space,
                    partition: row.bytes(0)?,
                    sort: row.bytes(1)?,
                })
            };
            lease.all(statement, read).await
        } else {
            lease.execute(statement).await?;
            Ok(rows.iter().map(|row| row.key.clone()).collect())
        }
    }

    /// One statement whose condition stands in it.
    async fn one(&self, operation: &Operation) -> Alone {
        let write_id = fresh_id();
        let Some(statement) = self.statement_of(operation, write_id) else {
            return Alone::Look;
        };
        let mut lease = match self.inner.writers.lease().await {
            Ok(lease) => lease,
            Err(error) => return Alone::Ended(Err(error)),
        };
        let result = lease.execute(statement).await;
        drop(lease);
        match result {
            Ok(0) if operation.condition() != Condition::Any => Alone::Look,
            Ok(_) => Alone::Ended(Ok(())),
            Err(Failure::Again(_) | Failure::Taken(_)) => Alone::Look,
            Err(Failure::Refused(error)) => Alone::Ended(Err(error)),
            Err(Failure::Lost { error, .. }) => {
                let key = StoredKey::of(operation.key());
                let put = matches!(operation, Operation::Put { .. });
                let done = put && !self.proven(&[&key], write_id).await.is_empty();
                Alone::Ended(if done { Ok(()) } else { Err(error) })
            }
        }
    }

    fn statement_of(&self, operation: &Operation, write_id: i64) -> Option<Statement> {
        let dialect = self.inner.writers.dialect();
        let key = StoredKey::of(operation.key());
        let table = self.inner.names.of(key.space);
        let now = stored::signed(self.now());
        let statement = match (operation, operation.condition()) {
            (Operation::Check { .. }, _) | (_, Condition::Absent) => return None,
            (Operation::Put { .. }, Condition::Any) => {
                return Some(dialect.upsert(table, &row(operation)?, write_id, now));
            }
            (Operation::Put { value, expires, .. }, _) => {
                Statement::new(dialect, format!("UPDATE {table} SET value = "))
                    .bytes(value)
                    .then(", version = version + 1, expires = ")
                    .maybe_int(expires.map(stored::signed))
                    .then(", w = ")
                    .int(write_id)
                    .then(" WHERE ")
                    .is(&key)
            }
            (Operation::Delete { .. }, Condition::Any) => {
                let statement = Statement::new(dialect, format!("DELETE FROM {table} WHERE "));
                return Some(statement.is(&key));
            }
            (Operation::Delete { .. }, _) => {
                Statement::new(dialect, format!("DELETE FROM {table} WHERE ")).is(&key)
            }
        };
        let statement = match operation.condition() {
            Condition::Version(version) => {
                // There is no version beyond what the database can count to.
                let version = i64::try_from(version).unwrap_or(-1);
                statement.then(" AND version = ").int(version)
            }
            _ => statement,
        };
        Some(
            statement
                .then(" AND (expires IS NULL OR expires > ")
                .int(now)
                .then(")"),
        )
    }
}

/// Whether each batch would be refused alone as well: a server that is asked for less is not asked once for each.
pub(super) fn concerns_all(error: &Error, batches: &[&Batch]) -> bool {
    batches.len() == 1 || error.kind() == ErrorKind::Throttled
}
