//! Values of any size: small ones are records, large ones blobs with a record that points at them.
//!
//! Why: a table charges by the kilobyte and ends at 400 KB. The blob is written first, under a name never used before,
//! then the pointer under a condition: a reader sees the old value or the new one, whole. What dies between leaves a
//! blob that nobody points at, under the prefix of its account: a sweep finds it, and it goes with the account.

use std::sync::Arc;

use minicbor::{Decode, Encode, bytes::ByteVec};
use quick_cache::sync::Cache;
use xmpp::BareJid;

use super::{
    object::{self, Draft, Kind},
    record::{self, Opened, corrupt},
};
use crate::{
    clock::{Clock, SystemClock},
    error::{Error, Result},
    shape::{Batch, Blobs, Condition, Consistency, Key, Record, Table},
};

/// How often a reader follows a pointer that changes under it.
const MAX_CHASE: usize = 8;
/// Keys of which it is remembered that a version of them has no blob.
const MAX_WITHOUT_BLOB: usize = 16_384;

#[derive(Encode, Decode)]
#[cbor(map)]
struct Pointer {
    #[n(0)]
    blob: String,
    /// What is wanted more often than the rest, so that no blob is read for it.
    #[n(1)]
    head: Option<ByteVec>,
}

/// What a value's record tells without its blob.
pub(crate) enum Head {
    /// The value itself.
    Body(Vec<u8>),
    /// What was stored as its head.
    Kept(Vec<u8>),
}

/// A value as it was found.
pub(crate) struct Loaded {
    pub(crate) body: Vec<u8>,
    pub(crate) version: u64,
    /// The blob it is in.
    blob: Option<String>,
}

/// Values of one kind.
#[derive(Clone)]
pub(crate) struct Values {
    pub(crate) table: Arc<dyn Table>,
    pub(crate) blobs: Arc<dyn Blobs>,
    /// Longest value that is a record.
    inline_max: usize,
    /// Names blobs.
    clock: Arc<dyn Clock>,
    /// By key, a version that was seen to have no blob: who replaces that one need not look for what it leaves behind. If
    /// it is wrong, because an account was erased and made again since, a sweep finds the blob.
    without_blob: Arc<Cache<Key, u64>>,
}

impl Values {
    /// Values in this table; those of more than `inline_max` bytes in these blobs.
    pub(crate) fn new(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, inline_max: usize) -> Self {
        Self {
            table,
            blobs,
            inline_max,
            clock: Arc::new(SystemClock),
            without_blob: Arc::new(Cache::new(MAX_WITHOUT_BLOB)),
        }
    }

    /// A value, for who will change it. One strong get, and a blob if it is large.
    pub(crate) async fn load(&self, key: &Key) -> Result<Option<Loaded>> {
        self.load_as(key, Consistency::Strong).await
    }

    /// A value, as a cache may know it. One cached get, and a blob if it is large.
    ///
    /// Who changes it nevertheless and meets a conflict gets what is stored the next time: `layer::cached` sees to it.
    pub(crate) async fn load_cached(&self, key: &Key) -> Result<Option<Loaded>> {
        self.load_as(key, Consistency::Cached).await
    }

    async fn load_as(&self, key: &Key, first: Consistency) -> Result<Option<Loaded>> {
        let mut consistency = first;
        for _ in 0..MAX_CHASE {
            let Some(found) = self.table.get(key, consistency).await? else {
                return Ok(None);
            };
            // A pointer to a blob that is gone is old: the next one is the one that is stored.
            consistency = Consistency::Strong;
            let Some(Pointer { blob: pointer, .. }) = pointer_of(&found)? else {
                self.without_blob.insert(key.clone(), found.version);
                return Ok(Some(Loaded {
                    body: body_of(&found.value)?,
                    version: found.version,
                    blob: None,
                }));
            };
            // Absent: a writer replaced it since; the record says by what.
            if let Some(blob) = self.blobs.get(&pointer).await? {
                return Ok(Some(Loaded {
                    body: body_of(&blob.bytes[object::read_header(&blob.bytes)?.1..])?,
                    version: found.version,
                    blob: Some(pointer),
                }));
            }
        }
        Err(corrupt("a record whose blob is missing"))
    }

    /// The head of a value and its version, as a cache may know it. One cached get; a blob only if the value has none.
    pub(crate) async fn head(&self, key: &Key) -> Result<Option<(Head, u64)>> {
        let Some(found) = self.table.get(key, Consistency::Cached).await? else {
            return Ok(None);
        };
        let head = match pointer_of(&found)? {
            None => {
                self.without_blob.insert(key.clone(), found.version);
                Head::Body(body_of(&found.value)?)
            }
            Some(Pointer {
                head: Some(head), ..
            }) => Head::Kept(head.into()),
            Some(_) => {
                let whole = self.load_cached(key).await?;
                return Ok(whole.map(|whole| (Head::Body(whole.body), whole.version)));
            }
        };
        Ok(Some((head, found.version)))
    }

    /// Puts a value if its version is still `seen`, with operations that must happen too; returns the new version.
    /// One conditional write, one get before it unless that version is known to have no blob, and a blob if it is large.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen`, `TooLarge` beyond what can be read back.
    pub(crate) async fn store(
        &self,
        owner: &BareJid,
        key: Key,
        body: &[u8],
        seen: u64,
        with: Batch,
    ) -> Result<u64> {
        self.store_with_head(owner, key, body, None, seen, with)
            .await
    }

    /// The same, with a head that can be read apart from a large body.
    pub(crate) async fn store_with_head(
        &self,
        owner: &BareJid,
        key: Key,
        body: &[u8],
        head: Option<Vec<u8>>,
        seen: u64,
        with: Batch,
    ) -> Result<u64> {
        let old = self.replaced_blob(&key, seen).await?;
        let write_id = record::fresh_id();
        let sealed = record::seal(body, write_id)?;
        let (value, draft) = if sealed.len() <= self.inline_max {
            (sealed, None)
        } else {
            let draft = Draft::new(owner, Kind::Value, 0, &self.clock);
            let mut bytes = object::header(owner);
            bytes.extend_from_slice(&sealed);
            draft.put(&*self.blobs, bytes.into()).await?;
            let pointer = Pointer {
                blob: draft.name.clone(),
                head: head.map(Into::into),
            };
            let pointer = record::seal_pointer(&record::to_cbor(&pointer), write_id);
            (pointer, Some(draft))
        };
        if let Some(draft) = &draft {
            draft.check()?;
        }
        let mut batch = Batch::new().put(key.clone(), value, record::unchanged_since(seen));
        batch.operations.extend(with.operations);
        match record::commit(&*self.table, batch, write_id).await {
            Ok(()) => {
                if draft.is_none() {
                    self.without_blob.insert(key, seen + 1);
                }
                self.forget(old).await;
                Ok(seen + 1)
            }
            Err(error) => {
                // Of a lost answer nobody knows whether the record points at it.
                if object::is_refused(&error) {
                    self.forget(draft.map(|draft| draft.name)).await;
                }
                Err(error)
            }
        }
    }

    /// Removes a value if its version is still that, with operations that must happen too.
    pub(crate) async fn remove(&self, key: Key, found: Loaded, with: Batch) -> Result<()> {
        let mut batch = Batch::new().delete(key, Condition::Version(found.version));
        batch.operations.extend(with.operations);
        self.table.write(batch).await?;
        self.forget(found.blob).await;
        Ok(())
    }

    /// The blob that a store will leave behind.
    async fn replaced_blob(&self, key: &Key, seen: u64) -> Result<Option<String>> {
        if seen == 0 || self.without_blob.get(key) == Some(seen) {
            return Ok(None);
        }
        match self.table.get(key, Consistency::Strong).await? {
            Some(found) if found.version == seen => {
                Ok(pointer_of(&found)?.map(|pointer| pointer.blob))
            }
            found => Err(Error::conflict(0, found)),
        }
    }

    async fn forget(&self, blob: Option<String>) {
        if let Some(blob) = blob {
            object::forget(&*self.blobs, &blob).await;
        }
    }
}

/// The blob that a record of `core` points at.
pub(crate) fn blob_of(found: &Record) -> Result<Option<String>> {
    Ok(pointer_of(found)?.map(|pointer| pointer.blob))
}

/// What a pointer says: the blob, and what stands beside it.
pub(crate) fn read_pointer(pointer: &[u8]) -> Result<(String, Option<Vec<u8>>)> {
    let pointer: Pointer = record::from_cbor(pointer)?;
    Ok((pointer.blob, pointer.head.map(Into::into)))
}

/// A pointer to a blob, with what is wanted more often than that beside it.
pub(crate) fn pointer(blob: String, head: Vec<u8>) -> Vec<u8> {
    record::to_cbor(&Pointer {
        blob,
        head: Some(head.into()),
    })
}

fn pointer_of(found: &Record) -> Result<Option<Pointer>> {
    match record::open(&found.value)? {
        Opened::Body(_) => Ok(None),
        Opened::Pointer(pointer) => record::from_cbor(pointer).map(Some),
    }
}

fn body_of(sealed: &[u8]) -> Result<Vec<u8>> {
    match record::open(sealed)? {
        Opened::Body(body) => Ok(body.into_owned()),
        Opened::Pointer(_) => Err(corrupt("a pointer to a pointer")),
    }
}

#[cfg(test)]
mod tests;
