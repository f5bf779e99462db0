//! Commits a group of batches and tells of each how it ended.
//!
//! - Appends (a put of what is absent, alone in its batch) are one INSERT of many rows, one round trip for all.
//! - A batch of one operation is one statement whose condition stands in it.
//! - Anything else, and whatever of these was refused, is a transaction: the rows are locked in the order of their keys, the
//!   batches judged (`decide`), the changes written. What the server gives up for a deadlock, or what somebody else inserted
//!   meanwhile, was not done and begins again.
//!
//! A connection that breaks before a commit was sent is no commit. One that breaks after it leaves a doubt; then the write id
//! is looked for, and only if it is found the answer is "done".

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::rand;
use storage::{
    Error, ErrorKind, Result,
    shape::{Batch, Condition, Operation, Space},
};
use tokio::time::{sleep, timeout};

use super::{
    decide::{self, Changes, Current, Slot, Slots, Verdict},
    read,
};
use crate::{
    Inner,
    dialect::Lock,
    error::Failure,
    name::SPACES,
    pool::Lease,
    statement::Statement,
    stored::{self, Row, StoredKey},
};

/// How often a transaction begins again.
const ATTEMPTS: u32 = 10;
/// How long to look for a write id after an answer was lost: whoever waits has waited already.
const PROOF: Duration = Duration::from_secs(1);

/// How each batch of a group ended.
type Ends = Vec<Result<()>>;

/// Commits groups.
pub(super) struct Committer {
    pub(super) inner: Arc<Inner>,
}

/// Why a transaction did not end.
struct Broken {
    failure: Failure,
    /// A commit had been sent, of these rows.
    sent: Option<Vec<StoredKey>>,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            sent: None,
        }
    }
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

fn fresh_id() -> i64 {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).expect("the system has randomness");
    i64::from_le_bytes(bytes)
}

impl Committer {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    fn now(&self) -> u64 {
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
    async fn insert(
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

    /// A transaction of these batches, or one for each if they cannot share one.
    async fn transact(&self, batches: &[&Batch]) -> Ends {
        match self.transaction(batches).await {
            Ok(ends) => ends,
            Err(Failure::Refused(error)) if !concerns_all(&error, batches) => {
                let mut ends = Vec::with_capacity(batches.len());
                for batch in batches {
                    let end = self.transaction(&[batch]).await;
                    ends.push(match end {
                        Ok(mut ends) => ends.pop().expect("an end for the batch"),
                        Err(failure) => Err(failure.into_error()),
                    });
                }
                ends
            }
            Err(failure) => {
                let error = failure.into_error();
                batches.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// A transaction, begun again as long as it surely was not done and may yet be.
    async fn transaction(&self, batches: &[&Batch]) -> Result<Ends, Failure> {
        let mut reconnected = false;
        for attempt in 0..ATTEMPTS {
            let write_id = fresh_id();
            let lease = self.inner.writers.lease().await;
            let mut lease = lease.map_err(|error| Failure::Lost { error, late: true })?;
            let mut ends = Vec::new();
            let result = self.attempt(&mut lease, batches, write_id, &mut ends).await;
            let Err(Broken { failure, sent }) = result else {
                return Ok(ends);
            };
            lease.rollback().await;
            drop(lease);
            match (failure, sent) {
                (Failure::Again(_) | Failure::Taken(_), _) => {
                    // Up to 1, 2, 4 ... ms, by what has been drawn already.
                    let wait = write_id.unsigned_abs() % (1000 << attempt);
                    sleep(Duration::from_micros(wait)).await;
                }
                (Failure::Lost { late: false, .. }, None) if !reconnected => reconnected = true,
                (Failure::Lost { error, late }, Some(keys)) => {
                    let keys: Vec<&StoredKey> = keys.iter().collect();
                    if self.proven(&keys, write_id).await.is_empty() {
                        return Err(Failure::Lost { error, late });
                    }
                    return Ok(ends);
                }
                (failure, _) => return Err(failure),
            }
        }
        Err(Failure::Refused(Error::new(
            ErrorKind::Throttled,
            format!("others were faster {ATTEMPTS} times"),
        )))
    }

    /// One transaction; how the batches end if it commits is in `ends` before it does.
    async fn attempt(
        &self,
        lease: &mut Lease<'_>,
        batches: &[&Batch],
        write_id: i64,
        ends: &mut Ends,
    ) -> Result<(), Broken> {
        lease.begin().await?;
        let mut slots = self.lock(lease, batches).await?;
        let verdicts = decide::decide(batches, &mut slots);
        *ends = self.ends(lease, verdicts).await?;
        let changes = decide::changes(&slots);
        self.write(lease, &changes, write_id).await?;
        lease.commit().await.map_err(|failure| Broken {
            failure,
            sent: Some(written(&changes)),
        })
    }

    /// Locks what is there of all keys.
    async fn lock(&self, lease: &mut Lease<'_>, batches: &[&Batch]) -> Result<Slots, Failure> {
        let operations = batches.iter().flat_map(|batch| &batch.operations);
        let mut slots: Slots = operations
            .map(|operation| {
                (
                    StoredKey::of(operation.key()),
                    Slot::absent(operation.key()),
                )
            })
            .collect();
        let now = self.now();
        for space in SPACES {
            let keys: Vec<&StoredKey> = slots.keys().filter(|key| key.space == space).collect();
            if keys.is_empty() {
                continue;
            }
            let table = self.inner.names.of(space);
            let columns = "p, s, version, expires";
            let select = lease.dialect().select(table, columns, &keys, Lock::Rows);
            let found = lease.all(select, |row| {
                let key = StoredKey {
                    space,
                    partition: row.bytes(0)?,
                    sort: row.bytes(1)?,
                };
                let expires = row.maybe_int(3)?.map(read::number).transpose()?;
                Ok((key, read::number(row.int(2)?)?, expires))
            });
            for (key, version, expires) in found.await? {
                slots.entry(key).or_default().found(version, expires, now);
            }
        }
        Ok(slots)
    }

    /// How the batches end, with what stands in their way.
    async fn ends(&self, lease: &mut Lease<'_>, verdicts: Vec<Verdict>) -> Result<Ends, Failure> {
        let mut ends = Vec::with_capacity(verdicts.len());
        for verdict in verdicts {
            ends.push(match verdict {
                Verdict::Done => Ok(()),
                Verdict::Conflict { index, current } => {
                    let current = match current {
                        Current::Nothing => None,
                        Current::Put(record) => Some(record),
                        Current::Stored(key) => {
                            let table = self.inner.names.of(key.space);
                            let columns = "s, value, version, expires";
                            let select =
                                lease.dialect().select(table, columns, &[&key], Lock::None);
                            lease.all(select, read::record).await?.pop()
                        }
                    };
                    Err(Error::conflict(index, current))
                }
            });
        }
        Ok(ends)
    }

    async fn write(
        &self,
        lease: &mut Lease<'_>,
        changes: &Changes,
        write_id: i64,
    ) -> Result<(), Failure> {
        let dialect = lease.dialect();
        for space in SPACES {
            let of = |rows: &'_ [Row]| -> Vec<usize> {
                let here = rows
                    .iter()
                    .enumerate()
                    .filter(|(_, row)| row.key.space == space);
                here.map(|(at, _)| at).collect()
            };
            let table = self.inner.names.of(space);
            let insert: Vec<&Row> = of(&changes.insert)
                .iter()
                .map(|&at| &changes.insert[at])
                .collect();
            if !insert.is_empty() {
                let inserted = self.insert(lease, space, &insert, write_id).await?;
                if inserted.len() < insert.len() {
                    let raced = Error::new(ErrorKind::Throttled, "somebody else was faster");
                    return Err(Failure::Again(raced));
                }
            }
            let replace: Vec<&Row> = of(&changes.replace)
                .iter()
                .map(|&at| &changes.replace[at])
                .collect();
            if !replace.is_empty() {
                lease
                    .execute(dialect.replace(table, &replace, write_id))
                    .await?;
            }
            let delete: Vec<&StoredKey> = changes
                .delete
                .iter()
                .filter(|key| key.space == space)
                .collect();
            if !delete.is_empty() {
                lease.execute(dialect.delete(table, &delete, None)).await?;
            }
        }
        Ok(())
    }

    /// The keys whose rows bear this write id: what wrote them was committed. None if that cannot be found out soon.
    async fn proven(&self, keys: &[&StoredKey], write_id: i64) -> Vec<StoredKey> {
        let look = async {
            let mut lease = self.inner.writers.lease().await?;
            let mut proven = Vec::new();
            for space in SPACES {
                let keys: Vec<&StoredKey> = keys
                    .iter()
                    .copied()
                    .filter(|key| key.space == space)
                    .collect();
                if keys.is_empty() {
                    continue;
                }
                let table = self.inner.names.of(space);
                let select = lease.dialect().select(table, "p, s, w", &keys, Lock::None);
                let found = lease.all(select, |row| {
                    let key = StoredKey {
                        space,
                        partition: row.bytes(0)?,
                        sort: row.bytes(1)?,
                    };
                    Ok((key, row.int(2)?))
                });
                let found = found.await.map_err(Failure::into_error)?;
                proven.extend(
                    found
                        .into_iter()
                        .filter(|(_, id)| *id == write_id)
                        .map(|(key, _)| key),
                );
            }
            Ok::<_, Error>(proven)
        };
        match timeout(PROOF, look).await {
            Ok(Ok(proven)) => proven,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

/// Whether each batch would be refused alone as well: a server that is asked for less is not asked once for each.
fn concerns_all(error: &Error, batches: &[&Batch]) -> bool {
    batches.len() == 1 || error.kind() == ErrorKind::Throttled
}

/// The rows that bear the write id of a transaction when it is committed.
fn written(changes: &Changes) -> Vec<StoredKey> {
    let deleted: BTreeSet<&StoredKey> = changes.delete.iter().collect();
    let rows = changes.insert.iter().chain(&changes.replace);
    rows.map(|row| &row.key)
        .filter(|key| !deleted.contains(key))
        .cloned()
        .collect()
}
