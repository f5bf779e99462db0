//! A transaction of any batches: the rows are locked in the order of their keys, the batches judged (`decide`), the changes
//! written. What the server gives up for a deadlock, or what somebody else inserted meanwhile, was not done and begins again.
//!
//! A connection that breaks before the commit was sent is no commit. One that breaks after it leaves a doubt, which the write
//! id may settle.

use std::{collections::BTreeSet, time::Duration};

use storage::{Error, ErrorKind, Result, shape::Batch};
use tokio::time::{sleep, timeout};

use super::{
    commit::{Committer, Ends, concerns_all, fresh_id},
    decide::{self, Changes, Current, Slot, Slots, Verdict},
    read,
};
use crate::{
    dialect::Lock,
    error::Failure,
    name::SPACES,
    pool::Lease,
    stored::{Row, StoredKey},
};

/// How often a transaction begins again.
const ATTEMPTS: u32 = 10;
/// How long to look for a write id after an answer was lost: whoever waits has waited already.
const PROOF: Duration = Duration::from_secs(1);

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

impl Committer {
    /// A transaction of these batches, or one for each if they cannot share one.
    pub(super) async fn transact(&self, batches: &[&Batch]) -> Ends {
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
    pub(super) async fn proven(&self, keys: &[&StoredKey], write_id: i64) -> Vec<StoredKey> {
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

/// The rows that bear the write id of a transaction when it is committed.
fn written(changes: &Changes) -> Vec<StoredKey> {
    let deleted: BTreeSet<&StoredKey> = changes.delete.iter().collect();
    let rows = changes.insert.iter().chain(&changes.replace);
    rows.map(|row| &row.key)
        .filter(|key| !deleted.contains(key))
        .cloned()
        .collect()
}
