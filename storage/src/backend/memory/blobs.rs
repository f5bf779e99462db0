//! Blobs in memory: a sorted map under a lock.

use std::{
    collections::BTreeMap,
    ops::{
        Bound::{Excluded, Included, Unbounded},
        Range,
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use crate::{
    backend::rule,
    error::{Error, ErrorKind, Result},
    shape::{Blob, Blobs, PutIf},
};

/// The objects.
#[derive(Default)]
pub struct MemoryBlobs {
    objects: RwLock<BTreeMap<String, Blob>>,
}

impl MemoryBlobs {
    /// No objects.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>> {
        rule::check_blob_key(key)?;
        Ok(self.objects.read().get(key).cloned())
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        rule::check_blob_key(key)?;
        Ok(self.objects.read().get(key).map(|blob| {
            let cut = |at: u64| {
                usize::try_from(at)
                    .unwrap_or(usize::MAX)
                    .min(blob.bytes.len())
            };
            let end = cut(range.end);
            blob.bytes.slice(cut(range.start).min(end)..end)
        }))
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: PutIf) -> Result<String> {
        rule::check_blob_key(key)?;
        let tag = rule::blob_tag(&bytes);
        let mut objects = self.objects.write();
        let holds = match condition {
            PutIf::Any => true,
            PutIf::Absent => !objects.contains_key(key),
            PutIf::Match(expected) => objects.get(key).is_some_and(|blob| blob.tag == expected),
        };
        if !holds {
            return Err(Error::new(ErrorKind::Conflict, "condition not met"));
        }
        objects.insert(
            key.to_owned(),
            Blob {
                bytes,
                tag: tag.clone(),
            },
        );
        Ok(tag)
    }

    async fn remove(&self, key: &str) -> Result<()> {
        rule::check_blob_key(key)?;
        self.objects.write().remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let objects = self.objects.read();
        let start = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let keys = objects
            .range::<str, _>((start, Unbounded))
            .map(|(key, _)| key);
        Ok(keys
            .take_while(|key| key.starts_with(prefix))
            .take(limit)
            .cloned()
            .collect())
    }
}
