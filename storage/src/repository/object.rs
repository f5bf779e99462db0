//! Objects of repositories: what they are called, whose they are, how old.
//!
//! ```text
//! name    u/ SHA-256 of the owner / kind / made, in ms since 1970 - number - random      hexadecimal
//! bytes   02  length:u16le  the owner  the content        (before there were owners: the content, which begins with 01)
//! ```
//!
//! Why the time is in the name: a writer puts the object first and then the record that points at it. If it dies between,
//! nobody points at the object, and a sweep may remove it once no writer can be on its way any more ([`GRACE`]). A writer
//! that has slept for longer than [`COMMIT_WITHIN`] does not point at its object any more.
//! Why the owner is in the bytes: a writer may die over an erasure, and then nothing else says whose the object is.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use xmpp::BareJid;

use super::record::{self, corrupt};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind, Result},
    key,
    shape::{Blobs, PutIf},
};

/// How old an object must at least be before a sweep asks whether anybody points at it.
pub(crate) const GRACE: Duration = Duration::from_secs(4 * 3_600);
/// For how long a writer may point at an object that it made. Clocks of nodes may differ by what is left to [`GRACE`].
pub(crate) const COMMIT_WITHIN: Duration = Duration::from_secs(3_600);
/// Format of bytes that name their owner.
const OWNED: u8 = 2;
/// Bytes that surely hold the owner: an address has at most 2,047.
pub(crate) const OWNER_BYTES: u64 = 3 + 2_048;

/// What an object holds, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A segment of a log; its number is that of its first entry.
    Segment,
    /// The stanza of an entry of a log, with the number of the entry.
    Stanza,
    /// The value of a record in `core`.
    Value,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Segment, Self::Stanza, Self::Value];

    fn letter(self) -> char {
        match self {
            Self::Stanza => 'm',
            Self::Segment => 's',
            Self::Value => 'v',
        }
    }
}

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) kind: Kind,
    pub(crate) made_ms: u64,
    pub(crate) number: u64,
}

/// What the names of an owner's objects of a kind begin with.
pub(crate) fn prefix(owner: &BareJid, kind: Kind) -> String {
    format!("{}{}/", key::account_blobs(owner), kind.letter())
}

/// Reads a name; what was made before names had a time is none.
pub(crate) fn read_name(name: &str) -> Option<Name> {
    let mut parts = name.strip_prefix("u/")?.split('/').skip(1);
    let letter = parts.next()?;
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| letter.chars().eq([kind.letter()]))?;
    let mut numbers = parts.next()?.split('-');
    let mut number = || u64::from_str_radix(numbers.next()?, 16).ok();
    let name = Name {
        kind,
        made_ms: number()?,
        number: number()?,
    };
    number()?;
    (numbers.next().is_none() && parts.next().is_none()).then_some(name)
}

/// What the names of all objects of the owner of this one begin with.
pub(crate) fn owner_prefix(name: &str) -> Option<&str> {
    let hash = name.strip_prefix("u/")?.find('/')?;
    Some(&name[..hash + 3])
}

/// The beginning of an object of this owner.
pub(crate) fn header(owner: &BareJid) -> Vec<u8> {
    let owner = owner.as_str().as_bytes();
    let length = u16::try_from(owner.len()).expect("an address is bounded");
    let mut out = Vec::with_capacity(3 + owner.len());
    out.push(OWNED);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(owner);
    out
}

/// The owner that an object names, if it names one, and where its content begins.
pub(crate) fn read_header(bytes: &[u8]) -> Result<(Option<BareJid>, usize)> {
    let cut = || corrupt("an object cut short");
    match bytes {
        [OWNED, low, high, rest @ ..] => {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let owner = std::str::from_utf8(rest.get(..length).ok_or_else(cut)?)
                .map_err(|e| corrupt("the owner of an object").with_source(e))?;
            let owner = BareJid::parse(owner)
                .map_err(|e| corrupt("the owner of an object").with_source(e))?;
            Ok((Some(owner), 3 + length))
        }
        [] | [OWNED, ..] => Err(cut()),
        _ => Ok((None, 0)),
    }
}

/// An object that is being written.
pub(crate) struct Draft {
    pub(crate) name: String,
    made: Duration,
    clock: Arc<dyn Clock>,
}

impl Draft {
    /// A name never used before.
    pub(crate) fn new(owner: &BareJid, kind: Kind, number: u64, clock: &Arc<dyn Clock>) -> Self {
        let made = clock.now();
        let millis = u64::try_from(made.as_millis()).unwrap_or(u64::MAX);
        let (start, id) = (prefix(owner, kind), record::fresh_id());
        Self {
            name: format!("{start}{millis:012x}-{number:016x}-{id:016x}"),
            made,
            clock: clock.clone(),
        }
    }

    /// Writes it.
    pub(crate) async fn put(&self, blobs: &dyn Blobs, bytes: Bytes) -> Result<()> {
        match blobs.put(&self.name, bytes.clone(), PutIf::Absent).await {
            // Nobody else has this name: it may be the repeat of a put whose answer was lost. Then the object is there.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let found = blobs.get(&self.name).await?;
                if found.is_some_and(|found| found.bytes == bytes) {
                    return Ok(());
                }
                let sentence = "an object was refused as if it were there, and is not";
                Err(Error::new(ErrorKind::Unavailable, sentence).with_source(error))
            }
            result => result.map(drop),
        }
    }

    /// Call it right before the write that points at the object.
    ///
    /// # Errors
    /// `Unavailable` if that comes so late that the object may have been swept.
    pub(crate) fn check(&self) -> Result<()> {
        if self.clock.now().saturating_sub(self.made) <= COMMIT_WITHIN {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "an object was written too long ago to be pointed at",
        ))
    }
}

/// Removes an object that nobody points at any more. What cannot be removed is left to the sweep.
pub(crate) async fn forget(blobs: &dyn Blobs, name: &str) {
    if let Err(error) = blobs.remove(name).await {
        tracing::warn!(%error, name, "an object was left behind");
    }
}

/// Whether a write that ended like this surely did not happen.
pub(crate) fn is_refused(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::memory::MemoryBlobs,
        clock::ManualClock,
        layer::{
            Call,
            faulty::{Fault, FaultyBlobs, Switchboard, When},
        },
    };

    #[test]
    fn names_and_headers_come_back() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_800_000_000));
        let owner = BareJid::parse("bob@example.org").unwrap();
        for kind in Kind::ALL {
            let draft = Draft::new(&owner, kind, 77, &clock);
            let expected = Name {
                kind,
                made_ms: 1_800_000_000_000,
                number: 77,
            };
            assert_eq!(read_name(&draft.name), Some(expected), "{}", draft.name);
            let all = key::account_blobs(&owner);
            assert_eq!(owner_prefix(&draft.name), Some(&all[..]));
            assert!(draft.name.starts_with(&prefix(&owner, kind)));
        }
        let bytes = [&header(&owner)[..], b"content"].concat();
        let (found, at) = read_header(&bytes).unwrap();
        assert_eq!((found, &bytes[at..]), (Some(owner), &b"content"[..]));
        assert_eq!(read_header(&[1, 2, 3]).unwrap(), (None, 0));
        for cut in [0, 1, 2, 5] {
            let error = read_header(&bytes[..cut]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{cut}");
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for name in [
            "",
            "u/",
            "u/abc",
            "u/abc/0123456789abcdef",
            "u/abc/v/1-2",
            "u/abc/x/1-2-3",
            "u/abc/v/1-2-3-4",
            "u/abc/v/1-2-3/4",
            "u/abc/vv/1-2-3",
            "x/abc/v/1-2-3",
        ] {
            assert_eq!(read_name(name), None, "{name}");
        }
        assert!(read_name("u/abc/v/1-2-3").is_some());
    }

    #[tokio::test]
    async fn a_refused_put_counts_only_if_the_object_is_there() {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_800_000_000));
        let owner = BareJid::parse("bob@example.org").unwrap();
        let check = async |fault: Option<Fault>,
                           before: Option<&'static str>,
                           expected: Result<(), ErrorKind>| {
            let (inner, switchboard) = (Arc::new(MemoryBlobs::new()), Switchboard::new(1));
            let draft = Draft::new(&owner, Kind::Segment, 1, &clock);
            if let Some(bytes) = before {
                let put = inner.put(&draft.name, bytes.into(), PutIf::Any);
                put.await.unwrap();
            }
            for fault in fault.iter().cloned() {
                let next = When::Sequence([true].into());
                switchboard.add(|target| target.call == Call::BlobPut, next, fault);
            }
            let blobs = FaultyBlobs::new(inner.clone(), switchboard);
            let found = draft.put(&blobs, "new".into()).await;
            let found = found.map_err(|error| error.kind());
            assert_eq!(found, expected, "{fault:?} {before:?}");
            if expected.is_ok() {
                let found = inner.get(&draft.name).await.unwrap().unwrap();
                assert_eq!(found.bytes, "new", "{fault:?} {before:?}");
            }
        };
        let refused = || Some(Fault::Fail(ErrorKind::Conflict));
        check(None, None, Ok(())).await;
        check(None, Some("new"), Ok(())).await;
        check(refused(), Some("new"), Ok(())).await;
        check(refused(), None, Err(ErrorKind::Unavailable)).await;
        check(None, Some("of another"), Err(ErrorKind::Unavailable)).await;
        let throttled = Some(Fault::Fail(ErrorKind::Throttled));
        check(throttled, None, Err(ErrorKind::Throttled)).await;
    }

    #[test]
    fn who_sleeps_for_long_does_not_point() {
        let clock = ManualClock::at(1_800_000_000);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let draft = Draft::new(&BareJid::parse("a@b").unwrap(), Kind::Value, 0, &shared);
        clock.advance(COMMIT_WITHIN);
        draft.check().unwrap();
        clock.advance(Duration::from_millis(1));
        assert_eq!(draft.check().unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
