//! Objects: a row for each, and a row for each part of it.
//!
//! ```text
//! <prefix>blobs       k: key (bytes)   id: drawn for each put   size   tag
//! <prefix>blob_parts  id, n: the n-th part of the object of that id   bytes: at most 256 KiB
//! ```
//!
//! A range reads the parts that it touches. A put writes new parts under a new id and turns the row to them, in one
//! transaction; so a reader that finds parts missing was overtaken by a put and begins again.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use aws_lc_rs::rand;
use bytes::{Bytes, BytesMut};
use storage::{
    Error, ErrorKind, Result,
    backend::rule,
    key,
    shape::{Blob, Blobs, PutIf},
};

use crate::{Inner, connection::Cells, error::Failure, pool::Lease, statement::Statement};

/// Bytes of a part.
const PART: usize = 256 << 10;
/// Parts that a statement carries.
const PARTS: usize = 8;
/// How often a read or a put that was overtaken begins again.
const ATTEMPTS: usize = 16;

/// The objects.
#[derive(Clone)]
pub struct SqlBlobs {
    inner: Arc<Inner>,
}

/// An object without its bytes.
struct Head {
    id: i64,
    size: u64,
    tag: String,
}

/// What a statement of a read found.
struct Found {
    head: Head,
    /// In the order of their numbers; the primary key lets none occur twice.
    part: Option<Bytes>,
}

fn head(row: &dyn Cells) -> sqlx::Result<Head> {
    let tag = row.bytes(2)?;
    Ok(Head {
        id: row.int(0)?,
        size: u64::try_from(row.int(1)?).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        tag: String::from_utf8_lossy(&tag).into_owned(),
    })
}

fn overtaken() -> Error {
    Error::new(
        ErrorKind::Throttled,
        format!("an object was replaced {ATTEMPTS} times meanwhile"),
    )
}

fn condition_not_met() -> Failure {
    Failure::Refused(Error::new(ErrorKind::Conflict, "condition not met"))
}

fn bytes_of(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

impl SqlBlobs {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The head of an object and some of its parts, as one moment had them.
    async fn look(&self, key: &str, parts: Range<u64>) -> Result<Vec<Found>> {
        let (names, pool) = (&self.inner.names, &self.inner.readers);
        let text = format!(
            "SELECT b.id, b.size, b.tag, q.bytes FROM {} b LEFT JOIN {} q \
             ON q.id = b.id AND q.n >= ",
            names.blobs, names.parts
        );
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let statement = Statement::new(pool.dialect(), text)
            .int(number(parts.start))
            .then(" AND q.n < ")
            .int(number(parts.end))
            .then(" WHERE b.k = ")
            .bytes(&bytes_of(key))
            .then(" ORDER BY q.n");
        let read = |row: &dyn Cells| {
            let found = Found {
                head: head(row)?,
                part: row.maybe_bytes(3)?,
            };
            Ok((found, false))
        };
        Ok(pool.read(statement, read).await?.rows)
    }

    /// The head of an object and these of its bytes.
    async fn read(&self, key: &str, range: Range<u64>) -> Result<Option<(Head, Bytes)>> {
        rule::check_blob_key(key)?;
        for _ in 0..ATTEMPTS {
            match self.read_once(key, &range).await? {
                Read::Absent => return Ok(None),
                Read::Whole(head, bytes) => return Ok(Some((head, bytes))),
                Read::Overtaken => {}
            }
        }
        Err(overtaken())
    }

    async fn read_once(&self, key: &str, range: &Range<u64>) -> Result<Read> {
        let part = PART as u64;
        let mut next = range.start / part;
        let mut first: Option<Head> = None;
        let mut bytes = BytesMut::new();
        loop {
            // The end is known when the size is.
            let end = first
                .as_ref()
                .map_or(range.end, |head| range.end.min(head.size));
            let end = end.div_ceil(part).max(next);
            let until = end.min(next + PARTS as u64);
            let found = self.look(key, next..until).await?;
            let Some(head) = found.first().map(|found| &found.head) else {
                return Ok(if first.is_none() {
                    Read::Absent
                } else {
                    Read::Overtaken
                });
            };
            let (id, size) = (head.id, head.size);
            if first.as_ref().is_some_and(|first| first.id != id) {
                return Ok(Read::Overtaken);
            }
            let mut parts = 0;
            for part in found.iter().filter_map(|found| found.part.as_ref()) {
                bytes.extend_from_slice(part);
                parts += 1;
            }
            let expected = until.min(size.div_ceil(part)).saturating_sub(next);
            if parts != expected {
                let sentence = format!("an object lacks parts of its {size} bytes");
                return Err(Error::new(ErrorKind::Corrupt, sentence));
            }
            let head = first
                .take()
                .unwrap_or_else(|| found.into_iter().next().expect("there was one").head);
            next = until;
            if next * part >= range.end.min(size) {
                let skipped = range.start - range.start / part * part;
                return Ok(Read::Whole(head, cut(bytes.freeze(), skipped, range, size)));
            }
            first = Some(head);
        }
    }

    async fn locked(&self, lease: &mut Lease<'_>, key: &Bytes) -> Result<Option<Head>, Failure> {
        let text = format!(
            "SELECT id, size, tag FROM {} WHERE k = ",
            self.inner.names.blobs
        );
        let statement = Statement::new(lease.dialect(), text)
            .bytes(key)
            .then(lease.dialect().for_update());
        Ok(lease.all(statement, head).await?.pop())
    }

    /// Turns a key to new parts.
    async fn put_once(
        &self,
        lease: &mut Lease<'_>,
        key: &Bytes,
        bytes: &Bytes,
        condition: &PutIf,
        new: &Head,
    ) -> Result<(), Failure> {
        lease.begin().await?;
        let old = self.locked(lease, key).await?;
        let holds = match (condition, &old) {
            (PutIf::Any, _) | (PutIf::Absent, None) => true,
            (PutIf::Absent, Some(_)) => false,
            (PutIf::Match(tag), old) => old.as_ref().is_some_and(|old| old.tag == *tag),
        };
        if !holds {
            return Err(condition_not_met());
        }
        let table = &self.inner.names.blobs;
        let size = i64::try_from(new.size).unwrap_or(i64::MAX);
        let statement = Statement::new(lease.dialect(), "");
        let statement = match old {
            // Of two that insert the second waits for the first, and then begins again.
            None => statement
                .then(&format!("INSERT INTO {table} (k, id, size, tag) VALUES ("))
                .bytes(key)
                .then(", ")
                .int(new.id)
                .then(", ")
                .int(size)
                .then(", ")
                .bytes(&bytes_of(&new.tag))
                .then(")"),
            Some(old) => {
                self.remove_parts(lease, old.id).await?;
                statement
                    .then(&format!("UPDATE {table} SET id = "))
                    .int(new.id)
                    .then(", size = ")
                    .int(size)
                    .then(", tag = ")
                    .bytes(&bytes_of(&new.tag))
                    .then(" WHERE k = ")
                    .bytes(key)
            }
        };
        lease.execute(statement).await?;
        self.add_parts(lease, new.id, bytes).await
    }

    async fn add_parts(
        &self,
        lease: &mut Lease<'_>,
        id: i64,
        bytes: &Bytes,
    ) -> Result<(), Failure> {
        let text = format!(
            "INSERT INTO {} (id, n, bytes) VALUES ",
            self.inner.names.parts
        );
        let starts: Vec<usize> = (0..bytes.len()).step_by(PART).collect();
        for starts in starts.chunks(PARTS) {
            let statement =
                Statement::new(lease.dialect(), text.clone()).list(starts, ", ", |list, &start| {
                    list.then("(")
                        .int(id)
                        .then(", ")
                        .int(i64::try_from(start / PART).unwrap_or(i64::MAX))
                        .then(", ")
                        .bytes(&bytes.slice(start..bytes.len().min(start + PART)))
                        .then(")")
                });
            lease.execute(statement).await?;
        }
        Ok(())
    }

    async fn remove_parts(&self, lease: &mut Lease<'_>, id: i64) -> Result<(), Failure> {
        let text = format!("DELETE FROM {} WHERE id = ", self.inner.names.parts);
        let statement = Statement::new(lease.dialect(), text).int(id);
        lease.execute(statement).await.map(drop)
    }

    async fn remove_once(&self, lease: &mut Lease<'_>, key: &Bytes) -> Result<(), Failure> {
        lease.begin().await?;
        let Some(old) = self.locked(lease, key).await? else {
            return Ok(());
        };
        self.remove_parts(lease, old.id).await?;
        let text = format!("DELETE FROM {} WHERE k = ", self.inner.names.blobs);
        let statement = Statement::new(lease.dialect(), text).bytes(key);
        lease.execute(statement).await.map(drop)
    }

    /// Whether a put whose answer was lost was done: its id says so.
    async fn is_done(&self, key: &str, id: i64) -> bool {
        let found = self.look(key, 0..0).await;
        found.is_ok_and(|found| found.first().is_some_and(|found| found.head.id == id))
    }
}

/// How a read ended.
enum Read {
    Absent,
    Whole(Head, Bytes),
    /// The object was replaced meanwhile.
    Overtaken,
}

/// Of the bytes of whole parts those of the range, cut to the size of the object.
fn cut(bytes: Bytes, skipped: u64, range: &Range<u64>, size: u64) -> Bytes {
    let wanted = range.end.min(size).saturating_sub(range.start);
    let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    let (start, end) = (at(skipped), at(skipped.saturating_add(wanted)));
    bytes.slice(start..end.max(start))
}

#[async_trait]
impl Blobs for SqlBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>> {
        let found = self.read(key, 0..u64::MAX).await?;
        Ok(found.map(|(head, bytes)| Blob {
            bytes,
            tag: head.tag,
        }))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        Ok(self.read(key, range).await?.map(|(_, bytes)| bytes))
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String> {
        rule::check_blob_key(key)?;
        let stored = bytes_of(key);
        for _ in 0..ATTEMPTS {
            let mut id = [0; 8];
            rand::fill(&mut id).expect("the system has randomness");
            let new = Head {
                id: i64::from_le_bytes(id),
                size: bytes.len() as u64,
                tag: rule::blob_tag(&bytes),
            };
            let mut lease = self.inner.writers.lease().await?;
            let put = self
                .put_once(&mut lease, &stored, &bytes, &condition, &new)
                .await;
            if let Err(failure) = put {
                lease.rollback().await;
                match failure {
                    Failure::Again(_) | Failure::Taken(_) => continue,
                    failure => return Err(failure.into_error()),
                }
            }
            match lease.commit().await {
                Ok(()) => return Ok(new.tag),
                Err(Failure::Again(_)) => lease.rollback().await,
                Err(Failure::Lost { error, .. }) => {
                    drop(lease);
                    let done = self.is_done(key, new.id).await;
                    return if done { Ok(new.tag) } else { Err(error) };
                }
                Err(failure) => {
                    lease.rollback().await;
                    return Err(failure.into_error());
                }
            }
        }
        Err(overtaken())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        rule::check_blob_key(key)?;
        let stored = bytes_of(key);
        for _ in 0..ATTEMPTS {
            let mut lease = self.inner.writers.lease().await?;
            let mut removed = self.remove_once(&mut lease, &stored).await;
            if removed.is_ok() {
                removed = lease.commit().await;
            }
            match removed {
                Ok(()) => return Ok(()),
                Err(Failure::Again(_)) => lease.rollback().await,
                Err(failure) => {
                    lease.rollback().await;
                    return Err(failure.into_error());
                }
            }
        }
        Err(overtaken())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let (names, pool) = (&self.inner.names, &self.inner.readers);
        let text = format!("SELECT k FROM {} WHERE k >= ", names.blobs);
        let mut statement = Statement::new(pool.dialect(), text).bytes(&bytes_of(prefix));
        if let Some(after) = after {
            statement = statement.then(" AND k > ").bytes(&bytes_of(after));
        }
        if let Some(end) = key::prefix_end(prefix.as_bytes()) {
            statement = statement.then(" AND k < ").bytes(&end);
        }
        let statement = statement
            .then(" ORDER BY k LIMIT ")
            .int(i64::try_from(limit).unwrap_or(i64::MAX));
        let read = |row: &dyn Cells| {
            let key = row.bytes(0)?;
            Ok((String::from_utf8_lossy(&key).into_owned(), false))
        };
        Ok(pool.read(statement, read).await?.rows)
    }
}
