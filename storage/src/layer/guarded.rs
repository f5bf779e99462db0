//! Guarded: a batch happens only while a certain record is there.
//!
//! Why here: what an account owns may be written only while there is the account, whoever writes it: a session that has
//! just removed its account, a change that was under way, an anonymous user who never had one. One layer says so for
//! every repository. An erasure is guarded the same way, by the mark of the name that it erases: once somebody else has
//! finished it, the name may have a new owner.
//! Cost: one check within the batch, of a record beside those it writes. Batches that only remove are not guarded by an
//! account, and neither are logs: their writers are few and are ended first.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    error::{Error, ErrorKind, Result},
    key,
    shape::{
        Batch, Condition, Consistency, Done, Key, Operation, Page, Query, Record, Space, Table,
    },
};

/// What must be there.
#[derive(Debug, Clone)]
enum Guard {
    /// The account that a record in `core` belongs to.
    Owner,
    /// No mark of an erasure, where accounts themselves are not.
    Unmarked,
    /// This record, for any write.
    Record(Key),
}

/// The layer.
#[derive(Clone)]
pub struct Guarded {
    inner: Arc<dyn Table>,
    guard: Guard,
}

impl Guarded {
    /// Puts what accounts own only while they exist; else `NotAllowed`.
    pub fn by_owner(inner: Arc<dyn Table>) -> Self {
        Self {
            inner,
            guard: Guard::Owner,
        }
    }

    /// Puts what accounts own only while their names are not being erased (`erasure_mark`); else `NotAllowed`. For a table
    /// that accounts themselves are not in.
    pub fn unless_erased(inner: Arc<dyn Table>) -> Self {
        Self {
            inner,
            guard: Guard::Unmarked,
        }
    }

    /// Writes only while this record is there; else `NotAllowed`.
    pub fn by_record(inner: Arc<dyn Table>, key: Key) -> Self {
        Self {
            inner,
            guard: Guard::Record(key),
        }
    }

    /// The batch with its checks, which stand behind what was asked for.
    fn with_checks(&self, batch: Batch) -> Batch {
        match &self.guard {
            Guard::Record(key) => batch.check(key.clone(), Condition::Exists),
            Guard::Owner => owners(&batch)
                .into_iter()
                .fold(batch, |batch, owner| batch.check(owner, Condition::Exists)),
            Guard::Unmarked => owners(&batch).into_iter().fold(batch, |batch, owner| {
                batch.check(erasure_mark(owner.partition), Condition::Absent)
            }),
        }
    }
}

/// The mark that the account of a partition is being erased, in a table where it is not itself.
pub(crate) fn erasure_mark(account: Bytes) -> Key {
    Key {
        space: Space::Idx,
        partition: account,
        sort: key::ERASED,
    }
}

/// The accounts whose records a batch puts, as the keys of their own records; not those that it asks about itself.
fn owners(batch: &Batch) -> Vec<Key> {
    let mut owners: Vec<Key> = Vec::new();
    for operation in &batch.operations {
        let Operation::Put { key, .. } = operation else {
            continue;
        };
        if key.space != Space::Core || !key::is_of_account(&key.partition) {
            continue;
        }
        let owner = Key {
            space: Space::Core,
            partition: key.partition.clone(),
            sort: key::ACCOUNT,
        };
        let asked = batch.operations.iter().any(|known| *known.key() == owner);
        if !asked && !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners
}

/// A check of ours that failed is no conflict: nothing is gained by looking again.
fn told(result: Result<()>, asked: usize) -> Result<()> {
    match result {
        Err(error) if error.conflict_at().is_some_and(|at| at.index >= asked) => Err(Error::new(
            ErrorKind::NotAllowed,
            "there is no account to write for",
        )),
        result => result,
    }
}

#[async_trait]
impl Table for Guarded {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        self.inner.get(key, consistency).await
    }

    async fn query(&self, query: &Query) -> Result<Page> {
        self.inner.query(query).await
    }

    async fn write(&self, batch: Batch) -> Result<()> {
        let asked = batch.operations.len();
        told(self.inner.write(self.with_checks(batch)).await, asked)
    }

    fn submit(self: Arc<Self>, batch: Batch, done: Done) {
        let asked = batch.operations.len();
        let batch = self.with_checks(batch);
        let done = Box::new(move |result| done(told(result, asked)));
        self.inner.clone().submit(batch, done);
    }

    fn trouble(&self) -> Option<Error> {
        self.inner.trouble()
    }

    async fn partitions(
        &self,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Bytes>> {
        self.inner.partitions(space, after, limit).await
    }
}

#[cfg(test)]
mod tests {
    use xmpp::BareJid;

    use super::*;
    use crate::backend::memory::MemoryTable;

    fn of(account: &str, sort: Bytes) -> Key {
        key::of_account(&BareJid::parse(account).unwrap(), sort)
    }

    #[tokio::test]
    async fn what_accounts_own_is_put_only_while_they_exist() {
        let plain: Arc<dyn Table> = Arc::new(MemoryTable::new());
        let table = Guarded::by_owner(plain.clone());
        let put = |key| Batch::new().put(key, "x", Condition::Any);
        let check = async |batch: Batch, expected: Result<(), ErrorKind>, what: &str| {
            let outcome = table.write(batch).await.map_err(|error| error.kind());
            assert_eq!(outcome, expected, "{what}");
        };
        let (denied, conflict) = (Err(ErrorKind::NotAllowed), Err(ErrorKind::Conflict));
        let (bob, ann) = ("bob@a.example", "ann@a.example");
        let roster = || of(bob, key::ROSTER);
        check(put(roster()), denied, "no account").await;
        let room = Key {
            partition: key::room(&BareJid::parse(bob).unwrap()),
            ..roster()
        };
        check(put(room), Ok(()), "no account's").await;
        check(put(of(bob, key::ACCOUNT)), Ok(()), "the account itself").await;
        check(put(roster()), Ok(()), "an account").await;
        let twice = put(roster()).put(of(ann, key::ROSTER), "x", Condition::Any);
        check(twice, denied, "one of two").await;
        let stale = Batch::new().put(roster(), "y", Condition::Version(9));
        check(stale, conflict, "its own condition").await;
        let asked = put(of(ann, key::ROSTER)).check(of(ann, key::ACCOUNT), Condition::Exists);
        check(asked, conflict, "what was asked for anyway").await;
        let remove = |key| Batch::new().delete(key, Condition::Any);
        check(remove(of(bob, key::ACCOUNT)), Ok(()), "removing").await;
        check(remove(roster()), Ok(()), "removing what is left").await;
        check(put(roster()), denied, "afterwards").await;
    }

    #[tokio::test]
    async fn a_record_guards_every_write() {
        let plain: Arc<dyn Table> = Arc::new(MemoryTable::new());
        let (mark, other) = (of("a@b", key::VCARD), of("a@b", key::ROSTER));
        let table = Guarded::by_record(plain.clone(), mark.clone());
        let remove = || Batch::new().delete(other.clone(), Condition::Any);
        let refused = table.write(remove()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotAllowed);
        plain
            .write(Batch::new().put(mark, "", Condition::Any))
            .await
            .unwrap();
        table.write(remove()).await.unwrap();
    }
}
