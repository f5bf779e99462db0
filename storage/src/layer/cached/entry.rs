//! What stands at a key of the cache, and its bytes.
//!
//! ```text
//! 01           format; another one is of a later version of this program, and is left alone
//! kind         0 record, 1 absence, 2 marker of a writer, 3 lease of a reader, 4 closed, 5 blob
//! time         8 bytes, little-endian, milliseconds since 1970: since when it is known, or until when it stands
//! ...          record: version, expiry (8 bytes each, no expiry is all ones), value
//!              marker, lease: its owner (8 bytes);  blob: length of the tag (2 bytes), tag, bytes
//! crc32        of all this and of the key, so that what belongs to another key is not taken for this one's
//! ```
//!
//! Why the time: a cache that was stopped does what it was told when it goes on, minutes later, and counts lifetimes
//! from then. What a reader may believe, it can see by its own clock.

use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::shape::{Blob, Record};

const FORMAT: u8 = 1;
const CRC: usize = 4;
/// What an entry costs beside its value.
pub(super) const OVERHEAD: usize = 2 + 8 + 16 + CRC;

/// What stands at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// What the store held at this time (or a moment later).
    Known {
        /// The record, whose sort key the reader knows; `None`: there is none.
        record: Option<Record>,
        /// When.
        at: Duration,
    },
    /// A writer is about to change it.
    Marker { owner: u64, until: Duration },
    /// A reader is about to fill it.
    Lease { owner: u64, until: Duration },
    /// It has changed, or several are changing it: nobody fills it until then.
    Closed { until: Duration },
    /// A blob.
    Blob { blob: Blob, at: Duration },
}

/// Why there is nothing to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Of a format that this version does not know.
    Foreign,
    /// Not what was written.
    Damaged,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Entry {
    /// Its bytes at this key.
    pub(super) fn encode(&self, key: &str) -> Bytes {
        let (kind, time) = match self {
            Self::Known {
                record: Some(_),
                at,
            } => (0, at),
            Self::Known { record: None, at } => (1, at),
            Self::Marker { until, .. } => (2, until),
            Self::Lease { until, .. } => (3, until),
            Self::Closed { until } => (4, until),
            Self::Blob { at, .. } => (5, at),
        };
        let mut bytes = vec![FORMAT, kind];
        bytes.extend(millis(*time).to_le_bytes());
        match self {
            Self::Known {
                record: Some(record),
                ..
            } => {
                bytes.extend(record.version.to_le_bytes());
                bytes.extend(record.expires.unwrap_or(u64::MAX).to_le_bytes());
                bytes.extend_from_slice(&record.value);
            }
            Self::Marker { owner, .. } | Self::Lease { owner, .. } => {
                bytes.extend(owner.to_le_bytes());
            }
            Self::Blob { blob, .. } => {
                let tag = u16::try_from(blob.tag.len()).expect("tags are short");
                bytes.extend(tag.to_le_bytes());
                bytes.extend_from_slice(blob.tag.as_bytes());
                bytes.extend_from_slice(&blob.bytes);
            }
            Self::Known { record: None, .. } | Self::Closed { .. } => {}
        }
        bytes.extend(checksum(&bytes, key).to_le_bytes());
        bytes.into()
    }

    /// The entry of these bytes at this key; a record gets this sort key.
    pub(super) fn decode(bytes: &Bytes, key: &str, sort: &Bytes) -> Result<Self, Unreadable> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(_) => return Err(Unreadable::Foreign),
            None => return Err(Unreadable::Damaged),
        }
        let end = bytes.len().checked_sub(CRC).ok_or(Unreadable::Damaged)?;
        if bytes[end..] != checksum(&bytes[..end], key).to_le_bytes() {
            return Err(Unreadable::Damaged);
        }
        read(bytes.slice(1..end), sort).ok_or(Unreadable::Damaged)
    }
}

fn checksum(bytes: &[u8], key: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn read(mut rest: Bytes, sort: &Bytes) -> Option<Entry> {
    let kind = rest.try_get_u8().ok()?;
    let time = Duration::from_millis(rest.try_get_u64_le().ok()?);
    Some(match kind {
        0 => {
            let version = rest.try_get_u64_le().ok()?;
            let expires = rest.try_get_u64_le().ok()?;
            let record = Record {
                sort: sort.clone(),
                value: rest,
                version,
                expires: (expires != u64::MAX).then_some(expires),
            };
            Entry::Known {
                record: Some(record),
                at: time,
            }
        }
        1 => Entry::Known {
            record: None,
            at: time,
        },
        2 | 3 => {
            let (owner, until) = (rest.try_get_u64_le().ok()?, time);
            match kind {
                2 => Entry::Marker { owner, until },
                _ => Entry::Lease { owner, until },
            }
        }
        4 => Entry::Closed { until: time },
        5 => {
            let length = usize::from(rest.try_get_u16_le().ok()?);
            if rest.len() < length {
                return None;
            }
            let tag = String::from_utf8(rest.split_to(length).to_vec()).ok()?;
            Entry::Blob {
                blob: Blob { bytes: rest, tag },
                at: time,
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries() -> Vec<Entry> {
        let (at, until) = (
            Duration::from_millis(1_800_000_000_123),
            Duration::from_secs(9),
        );
        let record = |value: &'static [u8], expires| Record {
            sort: "s".into(),
            value: value.into(),
            version: 7,
            expires,
        };
        let blob = Blob {
            bytes: "bytes".into(),
            tag: "tag".to_owned(),
        };
        let known = |record| Entry::Known { record, at };
        vec![
            known(Some(record(b"value", Some(12)))),
            known(Some(record(b"", None))),
            known(None),
            Entry::Marker { owner: 3, until },
            Entry::Lease { owner: 4, until },
            Entry::Closed { until },
            Entry::Blob { blob, at },
        ]
    }

    #[test]
    fn what_is_written_is_read_at_its_key_only() {
        let sort = Bytes::from("s");
        for entry in entries() {
            let bytes = entry.encode("k");
            assert_eq!(Entry::decode(&bytes, "k", &sort), Ok(entry));
            assert_eq!(Entry::decode(&bytes, "l", &sort), Err(Unreadable::Damaged));
            for at in 1..bytes.len() {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 4;
                let damaged = Entry::decode(&damaged.into(), "k", &sort);
                assert_eq!(damaged, Err(Unreadable::Damaged));
            }
            let mut later = bytes.to_vec();
            later[0] = 2;
            let later = Entry::decode(&later.into(), "k", &sort);
            assert_eq!(later, Err(Unreadable::Foreign));
        }
    }

    proptest! {
        #[test]
        fn nothing_read_panics(kind in 0u8..8, rest in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = vec![FORMAT, kind];
            bytes.extend(rest);
            bytes.extend(checksum(&bytes, "k").to_le_bytes());
            // Any answer will do.
            let _ = Entry::decode(&bytes.into(), "k", &Bytes::new());
        }
    }
}
