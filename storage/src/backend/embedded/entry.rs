//! Entries and keys as bytes: the one encoding that log, memory and runs share, so that an entry is encoded once.
//!
//! A key is `space | partition, escaped | 00 01 | sort`, where each `00` of the partition becomes `00 FF`. It compares
//! as (space, partition, sort) does, and no partition can run into another.
//! An entry is `key length | key | kind | version | expiry, if any | value length | value`; numbers are LEB128.

use bytes::Bytes;

use crate::shape::{Key, Record, Space};

const TOMBSTONE: u8 = 0;
const PUT: u8 = 1;
const PUT_UNTIL: u8 = 2;

/// What an entry says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) content: Option<Content<'a>>,
}

/// A record; an entry without one is a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content<'a> {
    pub(super) version: u64,
    pub(super) expires: Option<u64>,
    pub(super) value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// Appends it to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.key.len() as u64);
        out.extend_from_slice(self.key);
        let Some(content) = &self.content else {
            out.push(TOMBSTONE);
            return;
        };
        out.push(if content.expires.is_some() {
            PUT_UNTIL
        } else {
            PUT
        });
        put_number(out, content.version);
        if let Some(expires) = content.expires {
            put_number(out, expires);
        }
        put_number(out, content.value.len() as u64);
        out.extend_from_slice(content.value);
    }

    /// The entry that `bytes` starts with, and its length.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let mut rest = bytes;
        let key = take_bytes(&mut rest)?;
        let (&kind, after) = rest.split_first()?;
        rest = after;
        let content = match kind {
            TOMBSTONE => None,
            PUT | PUT_UNTIL => {
                let version = take_number(&mut rest)?;
                let expires = if kind == PUT_UNTIL {
                    Some(take_number(&mut rest)?)
                } else {
                    None
                };
                Some(Content {
                    version,
                    expires,
                    value: take_bytes(&mut rest)?,
                })
            }
            _ => return None,
        };
        Some((Self { key, content }, bytes.len() - rest.len()))
    }
}

impl Content<'_> {
    /// A record of its own memory, so that who keeps it does not keep the block it came from.
    pub(super) fn to_record(self, sort: &[u8]) -> Record {
        Record {
            sort: Bytes::copy_from_slice(sort),
            value: Bytes::copy_from_slice(self.value),
            version: self.version,
            expires: self.expires,
        }
    }
}

/// Appends the key's bytes to `out`.
pub(super) fn put_key(out: &mut Vec<u8>, key: &Key) {
    put_partition(out, key.space, &key.partition);
    out.extend_from_slice(&key.sort);
}

/// Appends what all keys of a partition start with.
pub(super) fn put_partition(out: &mut Vec<u8>, space: Space, partition: &[u8]) {
    out.push(space as u8);
    for part in partition.split_inclusive(|&byte| byte == 0) {
        out.extend_from_slice(part);
        if part.last() == Some(&0) {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 1]);
}

/// The least key beyond all keys of the partition that `prefix` stands for.
pub(super) fn after_partition(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = 2;
    }
    end
}

/// The length of the partition's part of a key, and the partition.
pub(super) fn partition_of(key: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut partition = Vec::new();
    let mut at = 1;
    loop {
        match (*key.get(at)?, key.get(at + 1)) {
            (0, Some(1)) => return Some((at + 2, partition)),
            (0, Some(0xff)) => {
                partition.push(0);
                at += 2;
            }
            (0, _) => return None,
            (byte, _) => {
                partition.push(byte);
                at += 1;
            }
        }
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_key(partition: &[u8], sort: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_key(
            &mut out,
            &Key {
                space: Space::Log,
                partition: partition.to_vec().into(),
                sort: sort.to_vec().into(),
            },
        );
        out
    }

    fn tricky() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(
            prop::sample::select(vec![0u8, 1, 2, 0x7f, 0xfe, 0xff]),
            0..6,
        )
    }

    proptest! {
        #[test]
        fn keys_compare_as_their_parts(a in (tricky(), tricky()), b in (tricky(), tricky())) {
            prop_assert_eq!(bytes_key(&a.0, &a.1).cmp(&bytes_key(&b.0, &b.1)), a.cmp(&b));
        }

        #[test]
        fn partitions_come_back(partition in tricky(), sort in tricky()) {
            let key = bytes_key(&partition, &sort);
            let (length, found) = partition_of(&key).expect("a key");
            prop_assert_eq!(&key[length..], &sort[..]);
            prop_assert!(after_partition(&key[..length]) > key);
            prop_assert_eq!(found, partition);
        }

        #[test]
        fn entries_come_back(
            key in tricky(), value in tricky(), version: u64, expires: Option<u64>, put: bool, noise in tricky(),
        ) {
            let content = put.then_some(Content { version, expires, value: &value });
            let entry = Entry { key: &key, content };
            let mut bytes = Vec::new();
            entry.encode(&mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(&noise);
            prop_assert_eq!(Entry::parse(&bytes), Some((entry, length)));
            for cut in 0..length {
                prop_assert_eq!(Entry::parse(&bytes[..cut]), None);
            }
        }

        #[test]
        fn noise_does_not_panic(noise in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Entry::parse(&noise);
            let _ = partition_of(&noise);
        }
    }
}
