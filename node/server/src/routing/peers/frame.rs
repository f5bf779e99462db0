//! What nodes say to each other about accounts and clients: a number, and what it is about.

use bytes::Bytes;
use xmpp::{BareJid, FullJid};

use super::Piece;
use crate::{
    home::{Doubt, Parcel},
    net::Notice,
};

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
    /// What is said of a pipe ([`Notice`]): what it is, and more of it.
    Notice = 16,
    /// A client whose session has moved, for its home: a pipe's number, and a [`crate::c2s::front::Attach`].
    Attach = 17,
    /// A stanza for sessions of the recipient, which lacks only its `to`: how many, their addresses, and it.
    Spread = 18,
    /// Sessions of the sender that are in rooms of the recipient, by the epoch of the view; see `routing::assertions`.
    Assert = 19,
    /// Something was published for contacts of the recipient ([`super::events::Happened`]).
    Happened = 20,
    /// A client has come that wants to know what contacts of the recipient published ([`super::events::Came`]).
    Came = 21,
    /// Pubsub nodes of an address that the recipient serves were changed by the sender: what is known of them counts no longer.
    Changed = 22,
    /// The shared groups of a domain were changed: its name.
    Groups = 25,
    /// The answer to [`Kind::Route`] of a node that does not serve the account: the epoch of its view, and since when the stanza
    /// may be in the log, in milliseconds since 1970 (0: it is not).
    Back = 26,
}

impl Kind {
    /// Whether a client is told that it did not go, and may try again. Of the others nobody would notice; what they are about
    /// bounds them.
    #[must_use]
    pub fn may_be_refused(self) -> bool {
        matches!(self, Self::Passage | Self::Route | Self::Act | Self::Attach)
    }

    /// The protocol of the links since which nodes know it.
    #[must_use]
    pub fn since(self) -> u16 {
        match self {
            Self::Back => 5,
            Self::Groups => 4,
            Self::Happened | Self::Came | Self::Changed => 3,
            Self::Notice | Self::Attach | Self::Spread | Self::Assert => 2,
            _ => 1,
        }
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
            16 => Self::Notice,
            17 => Self::Attach,
            18 => Self::Spread,
            19 => Self::Assert,
            20 => Self::Happened,
            21 => Self::Came,
            22 => Self::Changed,
            25 => Self::Groups,
            26 => Self::Back,
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

/// The bytes of a stanza that comes back, without it.
pub(super) fn back(number: u64, epoch: u64, doubt: Option<Doubt>) -> Bytes {
    let since_ms = doubt.map_or(0, |doubt| doubt.since_ms);
    let rest = [epoch.to_be_bytes(), since_ms.to_be_bytes()];
    numbered(number, rest.as_flattened())
}

/// What of that follows the number: the epoch, and since when it may be in the log.
#[must_use]
pub fn came_back(rest: &Bytes) -> Option<(u64, Option<u64>)> {
    let (epoch, rest) = split(rest)?;
    let (since_ms, _) = split(&rest)?;
    Some((epoch, Some(since_ms).filter(|since_ms| *since_ms > 0)))
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

/// A stanza for many: their number, the addresses with their lengths, and the stanza as it is.
pub(in crate::routing) fn spread(stanza: &Bytes, to: &[&FullJid]) -> Bytes {
    let addresses: usize = to.iter().map(|to| 2 + to.as_str().len()).sum();
    let mut body = Vec::with_capacity(4 + addresses + stanza.len());
    body.extend_from_slice(&u32::try_from(to.len()).unwrap_or(u32::MAX).to_be_bytes());
    for to in to {
        let name = to.as_str().as_bytes();
        // An address has at most 3,071 bytes.
        body.extend_from_slice(&(name.len() as u16).to_be_bytes());
        body.extend_from_slice(name);
    }
    body.extend_from_slice(stanza);
    body.into()
}

/// The stanza, and whom it is for.
pub(in crate::routing) fn spread_of(body: &Bytes) -> Option<(Bytes, Vec<FullJid>)> {
    let count = u32::from_be_bytes(*body.first_chunk::<4>()?);
    let mut rest = body.slice(4..);
    let mut to = Vec::new();
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        let name = rest.get(2..2 + length)?;
        to.push(FullJid::parse(std::str::from_utf8(name).ok()?).ok()?);
        rest = rest.slice(2 + length..);
    }
    Some((rest, to))
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

/// What is said of the pipe of this number.
pub(super) fn notice(number: u64, notice: &Notice) -> Bytes {
    let (kind, rest) = match notice {
        Notice::Hold => (0, &[][..]),
        Notice::Held => (1, &[][..]),
        Notice::Elsewhere(how) => (2, &how[..]),
        Notice::Attached => (3, &[][..]),
        Notice::Close(other) => (4, other.as_deref().unwrap_or_default().as_bytes()),
    };
    let mut body = Vec::with_capacity(9 + rest.len());
    body.extend_from_slice(&number.to_be_bytes());
    body.push(kind);
    body.extend_from_slice(rest);
    body.into()
}

/// What of a notice follows its number.
pub(super) fn noticed(rest: &Bytes) -> Option<Notice> {
    Some(match rest.first()? {
        0 => Notice::Hold,
        1 => Notice::Held,
        2 => Notice::Elsewhere(rest.slice(1..)),
        3 => Notice::Attached,
        4 => {
            let other = std::str::from_utf8(&rest[1..]).ok()?;
            Notice::Close((!other.is_empty()).then(|| other.to_owned()))
        }
        _ => return None,
    })
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
            Act, Acted, Assert, Attach, Bytes, Came, Changed, Credit, Done, End, Forget, Happened,
            Look, Notice, Nudge, Passage, Replica, Replicated, Route, Spread, Yield, Yielded,
        };
        let all = [
            Passage, Bytes, Credit, End, Route, Done, Look, Forget, Yield, Yielded, Nudge, Replica,
            Replicated, Act, Acted, Notice, Attach, Spread, Assert, Happened, Came, Changed,
        ];
        for (kind, number) in all.into_iter().zip(1_u8..) {
            assert_eq!((kind as u8, Kind::of(number)), (number, Some(kind)));
        }
        assert_eq!((Kind::Groups as u8, Kind::of(25)), (25, Some(Kind::Groups)));
        assert_eq!((Kind::Back as u8, Kind::of(26)), (26, Some(Kind::Back)));
        let doubt = |since_ms| Doubt {
            since_ms,
            looked: false,
        };
        for (doubted, since_ms) in [(None, None), (Some(doubt(513)), Some(513))] {
            let body = back(5, 9, doubted);
            let (number, rest) = split(&body).unwrap();
            assert_eq!((number, came_back(&rest)), (5, Some((9, since_ms))));
        }
        let account = BareJid::parse("ada@example.org").unwrap();
        assert_eq!(
            yields(5, 9, &account),
            &b"\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09ada@example.org"[..]
        );
        assert_eq!(numbered(5, b"rest"), &b"\0\0\0\0\0\0\0\x05rest"[..]);
        let [one, two] =
            ["ada@example.org/a", "bob@example.org/b"].map(|it| FullJid::parse(it).unwrap());
        let spread_body = spread(&bytes::Bytes::from_static(b"<message/>"), &[&one, &two]);
        assert_eq!(
            spread_body,
            &b"\0\0\0\x02\0\x11ada@example.org/a\0\x11bob@example.org/b<message/>"[..]
        );
        let (spread_stanza, to) = spread_of(&spread_body).unwrap();
        assert_eq!(
            (&spread_stanza[..], to),
            (&b"<message/>"[..], vec![one, two])
        );
        assert_eq!(spread_of(&spread_body.slice(..20)), None);
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

    #[test]
    fn a_notice_comes_as_it_was_said() {
        use crate::net::Notice;
        let check = |said: Notice| {
            let (number, rest) = split(&notice(7, &said)).unwrap();
            assert_eq!((number, noticed(&rest)), (7, Some(said)));
        };
        check(Notice::Hold);
        check(Notice::Held);
        check(Notice::Elsewhere(Bytes::from_static(b"there")));
        check(Notice::Elsewhere(Bytes::new()));
        check(Notice::Attached);
        check(Notice::Close(None));
        check(Notice::Close(Some("b.example.org:5222".to_owned())));
        for wrong in [&b""[..], b"\x05", b"\x04\xff", b"\xff"] {
            assert_eq!(noticed(&Bytes::from_static(wrong)), None);
        }
    }
}
