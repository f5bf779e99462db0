//! What nodes say to each other: a kind, the generation, a body; and the answers.

use bytes::{BufMut, Bytes, BytesMut};

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Raft's entries and heartbeats, with how long ago the leader heard of a quorum.
    Append = 1,
    /// Raft's request for a vote.
    Vote = 2,
    /// A part of a snapshot.
    Part = 3,
    /// A batch for the leader.
    Forward = 4,
    /// Let me in.
    Join = 5,
    /// Which generation, and whether there is contact.
    Probe = 6,
    /// Whom I cannot reach.
    Report = 7,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        use Kind::*;
        [Append, Vote, Part, Forward, Join, Probe, Report]
            .into_iter()
            .find(|k| *k as u8 == byte)
    }
}

/// A message.
pub(super) fn message(kind: Kind, generation: u64, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(9 + body.len());
    bytes.put_u8(kind as u8);
    bytes.put_u64(generation);
    bytes.put_slice(body);
    bytes.freeze()
}

/// What a message says; `None` if it is none that this program knows.
pub(super) fn read(bytes: &Bytes) -> Option<(Kind, u64, Bytes)> {
    let kind = Kind::of(*bytes.first()?)?;
    let generation = u64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?);
    Some((kind, generation, bytes.slice(9..)))
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Done; what it says depends on the kind.
    Done(Bytes),
    /// There is a newer generation: this one.
    Newer(u64),
    /// Not here, not now.
    Away,
    /// Another leads.
    NotLeader,
    /// You were declared down.
    Fallen,
}

impl Answer {
    /// As bytes.
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        match self {
            Self::Done(body) => {
                bytes.put_u8(0);
                bytes.put_slice(body);
            }
            Self::Newer(generation) => {
                bytes.put_u8(1);
                bytes.put_u64(*generation);
            }
            Self::Away => bytes.put_u8(2),
            Self::NotLeader => bytes.put_u8(3),
            Self::Fallen => bytes.put_u8(4),
        }
        bytes.freeze()
    }

    /// From bytes; what is not known is [`Answer::Away`].
    pub(super) fn decode(bytes: &Bytes) -> Self {
        match bytes.first() {
            Some(0) => Self::Done(bytes.slice(1..)),
            Some(1) => match bytes.get(1..9).and_then(|b| b.try_into().ok()) {
                Some(generation) => Self::Newer(u64::from_be_bytes(generation)),
                None => Self::Away,
            },
            Some(3) => Self::NotLeader,
            Some(4) => Self::Fallen,
            _ => Self::Away,
        }
    }
}
