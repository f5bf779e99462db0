//! Items: a record as DynamoDB keeps it.
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `p` | B, partition key | partition |
//! | `s` | B, sort key | sort |
//! | `d` | B | value |
//! | `v` | N | version |
//! | `w` | B | id of the write that made it so |
//! | `o` | B | id of the write before that one; empty for the first |
//! | `x` | N, the TTL attribute | when it expires, in seconds since 1970; absent: never |
//!
//! Names are a letter because every item pays for them. An item that has expired is absent to us, however long
//! DynamoDB still shows it (days, it says).

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use bytes::Bytes;
use storage::{
    Error, ErrorKind, Result,
    shape::{Key, Record},
};

use crate::write_id::WriteId;

pub(super) const PARTITION: &str = "p";
pub(super) const SORT: &str = "s";
pub(super) const VALUE: &str = "d";
pub(super) const VERSION: &str = "v";
pub(super) const WRITE: &str = "w";
pub(super) const BEFORE: &str = "o";
pub(super) const EXPIRES: &str = "x";

/// DynamoDB's limit on an item, names and all.
const MAX_ITEM: usize = 400 << 10;
/// What the names, the numbers and the ids of an item take at least.
const OVERHEAD: usize = 7 + 2 + 24;

pub(super) type Item = HashMap<String, AttributeValue>;

/// An item that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) record: Record,
    write: Bytes,
    before: Bytes,
    /// Its size, about.
    pub(super) size: usize,
}

pub(super) fn binary(bytes: &Bytes) -> AttributeValue {
    AttributeValue::B(Blob::new(&bytes[..]))
}

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The primary key of a record.
pub(super) fn primary_key(partition: &Bytes, sort: &Bytes) -> Item {
    HashMap::from([
        (PARTITION.to_owned(), binary(partition)),
        (SORT.to_owned(), binary(sort)),
    ])
}

/// A record that nothing was before.
pub(super) fn first(key: &Key, value: &Bytes, expires: Option<u64>, id: &WriteId) -> Item {
    let mut item = primary_key(&key.partition, &key.sort);
    item.insert(VALUE.to_owned(), binary(value));
    item.insert(VERSION.to_owned(), number(1));
    item.insert(WRITE.to_owned(), binary(id.bytes()));
    item.insert(BEFORE.to_owned(), binary(&Bytes::new()));
    if let Some(expires) = expires {
        item.insert(EXPIRES.to_owned(), number(expires));
    }
    item
}

/// At least how long the item of such a record is.
pub(super) fn size(key: &Key, value: &Bytes) -> usize {
    OVERHEAD + key.partition.len() + key.sort.len() + value.len()
}

/// Whether an item of this size cannot be.
pub(super) fn is_too_large(size: usize) -> bool {
    size > MAX_ITEM
}

/// Reads an item.
///
/// # Errors
/// `Corrupt`: it is none of ours.
pub(super) fn read(mut item: Item) -> Result<Stored> {
    let mut bytes = |name: &str| match item.remove(name) {
        Some(AttributeValue::B(bytes)) => Some(Bytes::from(bytes.into_inner())),
        _ => None,
    };
    let (partition, sort, value) = (bytes(PARTITION), bytes(SORT), bytes(VALUE));
    let (write, before) = (bytes(WRITE), bytes(BEFORE));
    let number = |name: &str| match item.get(name) {
        Some(AttributeValue::N(number)) => number.parse::<u64>().ok(),
        _ => None,
    };
    let expires = match item.get(EXPIRES) {
        None => Some(None),
        Some(_) => number(EXPIRES).map(Some),
    };
    let corrupt = || Error::new(ErrorKind::Corrupt, "an item that is not a record of ours");
    let (Some(sort), Some(value), Some(version), Some(expires)) =
        (sort, value, number(VERSION), expires)
    else {
        return Err(corrupt());
    };
    let size = OVERHEAD + partition.map_or(0, |key| key.len()) + sort.len() + value.len();
    Ok(Stored {
        record: Record {
            sort,
            value,
            version,
            expires,
        },
        write: write.ok_or_else(corrupt)?,
        before: before.unwrap_or_default(),
        size,
    })
}

impl Stored {
    /// Whether this write made it so, or made what the next one replaced.
    pub(super) fn is_by(&self, id: &WriteId) -> bool {
        self.write == id.bytes() || self.before == id.bytes()
    }
    /// Whether it is still there.
    pub(super) fn is_live(&self, now: u64) -> bool {
        storage::backend::rule::is_live(self.record.expires, now)
    }
    /// The record, if it is still there.
    pub(super) fn live(self, now: u64) -> Option<Record> {
        self.is_live(now).then_some(self.record)
    }
}

#[cfg(test)]
mod tests {
    use storage::shape::Space;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let key = Key {
            space: Space::Core,
            partition: "p".into(),
            sort: vec![0, 255].into(),
        };
        for (value, expires) in [("", None), ("value", Some(12))] {
            let id = WriteId::random();
            let stored = read(first(&key, &value.into(), expires, &id)).unwrap();
            let expected = Record {
                sort: key.sort.clone(),
                value: value.into(),
                version: 1,
                expires,
            };
            assert_eq!(stored.record, expected);
            assert!(stored.is_by(&id) && !stored.is_by(&WriteId::random()));
            assert!(stored.is_live(11));
            assert_eq!(stored.is_live(12), expires.is_none());
            assert!(stored.size >= size(&key, &value.into()));
        }
    }

    #[test]
    fn what_is_not_ours_is_corrupt() {
        let key = Key {
            space: Space::Core,
            partition: "p".into(),
            sort: "s".into(),
        };
        let item = || first(&key, &"v".into(), Some(1), &WriteId::random());
        for name in [SORT, VALUE, VERSION, WRITE] {
            let mut item = item();
            item.remove(name);
            assert_eq!(read(item).unwrap_err().kind(), ErrorKind::Corrupt, "{name}");
        }
        let mut item = item();
        item.insert(EXPIRES.to_owned(), AttributeValue::N("-1".into()));
        assert_eq!(read(item).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
