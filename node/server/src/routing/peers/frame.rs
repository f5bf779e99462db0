//! What nodes say to each other about accounts and clients: a number, and what it is about.

use bytes::Bytes;
use xmpp::BareJid;

use super::Piece;
use crate::home::{Doubt, Parcel};

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
    /// A stanza for an account ([`Routed`]); its number is named in the answer.
    Route = 5,
    /// The answer to that: 1 if the sender's side is to follow.
    Done = 6,
    /// Who has just come, a line feed, and whose presence it wants to see.
    Look = 7,
    /// An account was made: what was known of its name counts no longer.
    Forget = 8,
    /// An account whose home is the sender's in the view of this epoch: what is here of it is asked for; its number is named
    /// in the answer.
    Yield = 9,
    /// The answer to that, in pieces: what a piece is ([`super::Piece`]), and its bytes.
    Yielded = 10,
    /// An account that has sessions here, whose home is the recipient's in the view of this epoch.
    Nudge = 11,
    /// What has changed of a session whose home the sender is, by the number of what it is told of; see
    /// [`crate::c2s::replica`].
    Replica = 12,
    /// How far the sender knows sessions of the recipient.
    Replicated = 13,
    /// Something that is done to an account where it is served ([`super::acts::Question`]); its number is named in the answer.
    Act = 14,
    /// The answer to that ([`super::acts::Outcome`]).
    Acted = 15,
    /// Something was published for contacts of the recipient ([`super::events::Happened`]).
    Happened = 16,
    /// A client has come that wants to know what contacts of the recipient published ([`super::events::Came`]).
    Came = 17,
}

impl Kind {
    /// Whether a client is told that it did not go, and may try again. Of the others nobody would notice; what they are about
    /// bounds them.
    #[must_use]
    pub fn may_be_refused(self) -> bool {
        matches!(self, Self::Passage | Self::Route | Self::Act)
    }

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
            12 => Self::Replica,
            13 => Self::Replicated,
            14 => Self::Act,
            15 => Self::Acted,
            16 => Self::Happened,
            17 => Self::Came,
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

/// A stanza that a node is asked to deliver.
#[derive(Debug)]
pub struct Routed {
    /// Of the view by which this node was found.
    pub epoch: u64,
    /// How many nodes it has come over.
    pub hops: u8,
    /// It is a copy for the account that sent it.
    pub sent: bool,
    /// It may be in the log already.
    pub doubt: Option<Doubt>,
    /// It.
    pub stanza: Bytes,
}

/// The bytes of a stanza to be delivered, behind the number that its answer names: the epoch, since when it may be in the log
/// already (0: it is not), hops, whether it is a copy, and the stanza as it is.
pub(super) fn route(number: u64, epoch: u64, parcel: &Parcel) -> Bytes {
    let stanza = parcel.stanza.raw();
    let since_ms = parcel.doubt.map_or(0, |doubt| doubt.since_ms);
    let mut body = Vec::with_capacity(26 + stanza.len());
    body.extend_from_slice(&number.to_be_bytes());
    body.extend_from_slice(&epoch.to_be_bytes());
    body.extend_from_slice(&since_ms.to_be_bytes());
    body.extend_from_slice(&[parcel.hops, u8::from(parcel.sent)]);
    body.extend_from_slice(stanza);
    body.into()
}

/// What of a stanza to be delivered follows its number.
#[must_use]
pub fn routed(rest: &Bytes) -> Option<Routed> {
    let (epoch, rest) = split(rest)?;
    let (since_ms, rest) = split(&rest)?;
    let [hops, sent] = *rest.first_chunk::<2>()?;
    let doubt = (since_ms > 0).then_some(Doubt {
        since_ms,
        looked: false,
    });
    Some(Routed {
        epoch,
        hops,
        sent: sent != 0,
        doubt,
        stanza: rest.slice(2..),
    })
}

/// An account that is asked for.
pub(super) fn yields(number: u64, epoch: u64, account: &BareJid) -> Bytes {
    let name = account.as_str().as_bytes();
    let mut body = Vec::with_capacity(16 + name.len());
    body.extend_from_slice(&number.to_be_bytes());
    body.extend_from_slice(&epoch.to_be_bytes());
    body.extend_from_slice(name);
    body.into()
}

/// A piece of what is given up.
pub(super) fn yielded(number: u64, kind: Piece, bytes: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(9 + bytes.len());
    body.extend_from_slice(&number.to_be_bytes());
    body.push(kind as u8);
    body.extend_from_slice(bytes);
    body.into()
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

#[cfg(test)]
mod tests {
    use xmpp::Stanza;

    use super::*;

    /// The numbers of kinds and the bytes of frames are what an earlier version says and understands.
    #[test]
    fn an_earlier_version_reads_them_and_is_read() {
        use Kind::{
            Act, Acted, Bytes, Came, Credit, Done, End, Forget, Happened, Look, Nudge, Passage,
            Replica, Replicated, Route, Yield, Yielded,
        };
        let all = [
            Passage, Bytes, Credit, End, Route, Done, Look, Forget, Yield, Yielded, Nudge, Replica,
            Replicated, Act, Acted, Happened, Came,
        ];
        for (kind, number) in all.into_iter().zip(1_u8..) {
            assert_eq!((kind as u8, Kind::of(number)), (number, Some(kind)));
        }
        let account = BareJid::parse("ada@example.org").unwrap();
        assert_eq!(
            yields(5, 9, &account),
            &b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09ada@example.org"[..]
        );
        assert_eq!(numbered(5, b"rest"), &b"\0\0\0\0\0\0\0\x05rest"[..]);
        let text = "<message to='ada@example.org'/>";
        let stanza = Stanza::parse(text.into()).unwrap();
        let parcel = Parcel {
            sent: true,
            hops: 2,
            doubt: Some(Doubt {
                since_ms: 513,
                looked: false,
            }),
            ..Parcel::new(stanza, None)
        };
        let body = route(5, 9, &parcel);
        let numbers = b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\x02\x01\x02\x01";
        assert_eq!(body, [&numbers[..], text.as_bytes()].concat());
        let (number, rest) = split(&body).unwrap();
        let read = routed(&rest).unwrap();
        assert_eq!((number, read.epoch, read.hops, read.sent), (5, 9, 2, true));
        assert_eq!(read.doubt.unwrap().since_ms, 513);
        assert_eq!(read.stanza, text.as_bytes());
    }
}
