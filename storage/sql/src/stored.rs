//! Keys and rows as they are stored.
//!
//! PostgreSQL takes no index entry of more than a third of a page (2,704 bytes), and a key may have 2,048 and 1,024. So a
//! partition of more than 1,600 bytes is stored as its first 1,568 and the SHA-256 of all of it, in every dialect, and the
//! row has the whole of it in a column of its own. Who is asked for the order of such partitions says that of their stored
//! keys.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use bytes::Bytes;
use storage::shape::{Key, Space};

/// The longest partition that is stored as it is.
pub(crate) const MAX_PARTITION: usize = 1600;
/// The longest sort key.
pub(crate) const MAX_SORT: usize = 1024;

/// Where a row is. They are locked in this order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StoredKey {
    pub(crate) space: Space,
    pub(crate) partition: Bytes,
    pub(crate) sort: Bytes,
}

impl StoredKey {
    pub(crate) fn of(key: &Key) -> Self {
        Self {
            space: key.space,
            partition: partition(&key.partition),
            sort: key.sort.clone(),
        }
    }
}

/// A partition as it is stored.
pub(crate) fn partition(partition: &Bytes) -> Bytes {
    if partition.len() <= MAX_PARTITION {
        return partition.clone();
    }
    let kept = &partition[..MAX_PARTITION - SHA256_OUTPUT_LEN];
    [kept, digest(&SHA256, partition).as_ref()].concat().into()
}

/// The whole of a partition, if it is not stored as it is.
pub(crate) fn whole(partition: &Bytes) -> Option<Bytes> {
    (partition.len() > MAX_PARTITION).then(|| partition.clone())
}

/// A row to be written.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: StoredKey,
    pub(crate) whole: Option<Bytes>,
    pub(crate) value: Bytes,
    pub(crate) version: i64,
    pub(crate) expires: Option<i64>,
}

/// A number of ours as the database's; what it cannot hold is its largest, which is in the far future.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_partitions_stay_apart() {
        let long = |last: u8| Bytes::from([vec![b'x'; 2047], vec![last]].concat());
        for length in [0, 1, 1600] {
            let short = Bytes::from(vec![b'x'; length]);
            assert_eq!((partition(&short), whole(&short)), (short, None));
        }
        let (a, b) = (long(b'a'), long(b'b'));
        assert_eq!(partition(&a).len(), MAX_PARTITION);
        assert_ne!(partition(&a), partition(&b));
        assert_eq!(whole(&a), Some(a));
    }
}
