//! What nodes say to each other about accounts and clients: a number, and what it is about.

use bytes::Bytes;

use crate::home::Doubt;

/// In the number of a pipe: for the end where the client's socket is.
pub(super) const TO_FRONT: u64 = 1 << 63;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A client that has logged in, for the home of its account: a pipe's number, and a [`crate::c2s::Passage`].
    Passage = 1,
    /// Bytes of a pipe.
    Bytes = 2,
    /// So many bytes of a pipe were read.
    Credit = 3,
    /// The end of a pipe: 1 if it is done, 0 if it broke.
    End = 4,
    /// A stanza for an account; its number is named in the answer.
    Route = 5,
    /// The answer to that: 1 if the sender's side is to follow.
    Done = 6,
    /// Who has just come, a line feed, and whose presence it wants to see.
    Look = 7,
    /// An account was made: what was known of its name counts no longer.
    Forget = 8,
    /// An account whose home is the sender's now: what is here of it is asked for; its number is named in the answer.
    Yield = 9,
    /// The answer to that: sessions, as a list.
    Yielded = 10,
    /// An account that has sessions here, whose home is the recipient's now.
    Nudge = 11,
}

impl Kind {
    /// The kind of this number, if there is one.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Passage,
            2 => Self::Bytes,
            3 => Self::Credit,
            4 => Self::End,
            5 => Self::Route,
            6 => Self::Done,
            7 => Self::Look,
            8 => Self::Forget,
            9 => Self::Yield,
            10 => Self::Yielded,
            11 => Self::Nudge,
            _ => return None,
        })
    }
}

/// A number and what follows it.
#[must_use]
pub fn numbered(number: u64, rest: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(8 + rest.len());
    body.extend_from_slice(&number.to_be_bytes());
    body.extend_from_slice(rest);
    body.into()
}

/// A stanza to be delivered: the number that its answer names, since when it may be in the log already (0: it is not),
/// and its bytes.
pub(super) fn route(number: u64, doubt: Option<Doubt>, stanza: &[u8]) -> Bytes {
    let since_ms = doubt.map_or(0, |doubt| doubt.since_ms);
    let mut body = Vec::with_capacity(16 + stanza.len());
    body.extend_from_slice(&number.to_be_bytes());
    body.extend_from_slice(&since_ms.to_be_bytes());
    body.extend_from_slice(stanza);
    body.into()
}

/// What of a stanza to be delivered follows its number.
#[must_use]
pub fn routed(rest: &Bytes) -> Option<(Option<Doubt>, Bytes)> {
    let (since_ms, stanza) = split(rest)?;
    let doubt = (since_ms > 0).then_some(Doubt {
        since_ms,
        looked: false,
    });
    Some((doubt, stanza))
}

/// The number, and what follows it.
#[must_use]
pub fn split(body: &Bytes) -> Option<(u64, Bytes)> {
    let number = body.first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), body.slice(8..)))
}

/// A count that stands alone.
pub(super) fn count(rest: &[u8]) -> usize {
    let count = rest
        .first_chunk::<8>()
        .map(|count| u64::from_be_bytes(*count));
    count.and_then(|count| count.try_into().ok()).unwrap_or(0)
}
