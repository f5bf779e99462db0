//! Rules that every backend of ours shares: what a batch may hold, when a condition holds, what a blob may be called.
//!
//! Source: the shapes' own documentation; the limits are DynamoDB's and S3's, so that what works here works there.
//! Pure: the backends load and save.

use std::collections::HashSet;

use crate::{
    error::{Error, ErrorKind, Result},
    shape::{Batch, Condition, Key, Operation, Record},
};

/// DynamoDB's limit on a partition key.
pub const MAX_PARTITION: usize = 2048;
/// DynamoDB's limit on a sort key.
pub const MAX_SORT: usize = 1024;
/// Longest value: what is larger belongs in blobs.
pub const MAX_VALUE: usize = 16 << 20;
/// A page is cut after this many bytes of values, as DynamoDB does.
pub const PAGE_BYTES: usize = 1 << 20;
/// S3's limit on a key.
const MAX_BLOB_KEY: usize = 1024;

impl Operation {
    /// The key it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }
    /// What must hold.
    pub fn condition(&self) -> Condition {
        match self {
            Self::Put { condition, .. }
            | Self::Delete { condition, .. }
            | Self::Check { condition, .. } => *condition,
        }
    }
}

impl Condition {
    /// Whether it holds when `current`, unexpired, is what stands at the key.
    pub fn holds(self, current: Option<&Record>) -> bool {
        self.holds_for(current.map(|record| record.version))
    }
    /// The same, of the version alone.
    pub fn holds_for(self, current: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => current.is_none(),
            Self::Version(version) => current == Some(version),
            Self::Exists => current.is_some(),
        }
    }
}

/// Whether a record that expires then is still there now.
pub fn is_live(expires: Option<u64>, now: u64) -> bool {
    expires.is_none_or(|at| now < at)
}

/// Refuses what no backend could take.
///
/// # Errors
/// `TooLarge` for too many operations, a key or a value that is too long; `NotAllowed` for a key that occurs twice.
pub fn check_batch(batch: &Batch) -> Result<()> {
    if batch.operations.len() > Batch::MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("a batch of {} operations", batch.operations.len()),
        ));
    }
    for operation in &batch.operations {
        let key = operation.key();
        if key.partition.len() > MAX_PARTITION || key.sort.len() > MAX_SORT {
            return Err(Error::new(ErrorKind::TooLarge, "a key that is too long"));
        }
        if matches!(operation, Operation::Put { value, .. } if value.len() > MAX_VALUE) {
            return Err(Error::new(ErrorKind::TooLarge, "a value that is too long"));
        }
    }
    if has_repeated_key(&batch.operations) {
        return Err(Error::new(
            ErrorKind::NotAllowed,
            "a batch that names a key twice",
        ));
    }
    Ok(())
}

fn has_repeated_key(operations: &[Operation]) -> bool {
    if operations.len() <= 8 {
        return operations
            .iter()
            .enumerate()
            .any(|(i, a)| operations[..i].iter().any(|b| a.key() == b.key()));
    }
    let mut seen = HashSet::with_capacity(operations.len());
    operations
        .iter()
        .any(|operation| !seen.insert(operation.key()))
}

/// Refuses a blob key that is not `/`-separated text without empty, `.` or `..` segments or control characters.
///
/// # Errors
/// `NotAllowed`.
pub fn check_blob_key(key: &str) -> Result<()> {
    let sound = key.len() <= MAX_BLOB_KEY
        && !key.chars().any(char::is_control)
        && key
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."));
    if sound {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::NotAllowed,
            format!("not a blob key: {key:?}"),
        ))
    }
}

/// The tag of a blob's bytes: the first half of their SHA-256, in hexadecimal.
pub fn blob_tag(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
