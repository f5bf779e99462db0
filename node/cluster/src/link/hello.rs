//! Who a node says it is, once it has proven that it is of the cluster; and whether two nodes fit.
//!
//! Encoded as CBOR maps with numbers for keys. Keys are added, never changed: this is what any two versions understand, so
//! that they can tell each other that they have no protocol in common.

use std::ops::RangeInclusive;

use bytes::Bytes;
use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{Class, Config};
use crate::NodeId;

/// The protocols this build speaks.
///
/// Protocol 1: what [`super`] describes. Protocol 2: the same; who speaks it knows the frames by which a client's connection
/// follows its session to another node. Protocol 3: the same; who speaks it knows the frames by which nodes tell each other of
/// what was published. Protocol 4: the same; who speaks it knows the frames that came after those.
/// Protocol 5: the same; who speaks it takes back what it asked of a node that does not serve the account.
pub const PROTOCOLS: RangeInclusive<u16> = 1..=5;
/// What a hello or a refusal may have of bytes.
pub(super) const MAX_HELLO: usize = 16 * 1024;
/// What a server may tell of itself in a hello.
pub const MAX_FACTS: usize = 8 * 1024;
const MAX_NAME: usize = 255;

/// A hello, as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Hello {
    #[n(0)]
    pub(super) cluster: String,
    #[n(1)]
    pub(super) node: u64,
    #[n(2)]
    pub(super) name: String,
    #[n(3)]
    pub(super) oldest: u16,
    #[n(4)]
    pub(super) newest: u16,
    /// Where others reach this node.
    #[n(5)]
    pub(super) advertised: String,
    /// What this connection is for ([`Class`]).
    #[n(6)]
    pub(super) class: u8,
    #[n(7)]
    pub(super) facts: ByteVec,
}

/// Why a connection is not taken. Told to both: who refuses logs it, the other is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No secret in common.
    #[error("the cluster secrets differ")]
    Secret,
    /// Two clusters.
    #[error("another cluster: {0:?}")]
    Cluster(String),
    /// No protocol in common.
    #[error("no protocol in common: {ours:?} here, {theirs:?} there")]
    Protocol {
        /// What this side speaks.
        ours: RangeInclusive<u16>,
        /// What the other speaks.
        theirs: RangeInclusive<u16>,
    },
    /// It is the node itself that answers at this address.
    #[error("this is the node itself")]
    Myself,
    /// This life of the other was declared over here; it must begin a new one.
    #[error("this life of the node was declared over")]
    Over,
    /// The other side declared this life of this node over; it must begin a new one.
    #[error("the other side declared this life of this node over")]
    Disowned,
    /// This node has as many peers as it may.
    #[error("too many peers")]
    TooMany,
    /// It does not stand in a hello what must.
    #[error("not a hello: {0}")]
    Malformed(&'static str),
    /// The other side refused, for this reason.
    #[error("refused by the other side: {0}")]
    ByPeer(String),
}

/// What one side thinks of the other's hello.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Verdict {
    /// Why not; absent: it is fine.
    #[n(0)]
    pub(super) refused: Option<String>,
    /// Whether because the other's life was declared over.
    #[n(1)]
    pub(super) is_over: Option<bool>,
}

impl Verdict {
    pub(super) fn of(judged: &Result<u16, Refusal>) -> Self {
        Self {
            refused: judged.as_ref().err().map(Refusal::to_string),
            is_over: (*judged == Err(Refusal::Over)).then_some(true),
        }
    }
    pub(super) fn check(self) -> Result<(), Refusal> {
        match self.refused {
            Some(_) if self.is_over == Some(true) => Err(Refusal::Disowned),
            None => Ok(()),
            Some(mut why) => {
                why.truncate(why.floor_char_boundary(256));
                Err(Refusal::ByPeer(why))
            }
        }
    }
}

/// Where a connection that was agreed on begins: what its sender has got of this class so far, over all connections before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Welcome {
    /// Which connection of this class it is. Chosen by the node with the smaller id; the highest number counts.
    #[n(0)]
    pub(super) generation: u64,
    /// What the sender keeps of the receiver has this number. Another one than before: it forgot the receiver meanwhile.
    #[n(1)]
    pub(super) memory: u64,
    /// The number of the last frame that the sender has seen.
    #[n(2)]
    pub(super) received: u64,
    /// Frames that the receiver may have sent in all.
    #[n(3)]
    pub(super) frames: u64,
    /// Bytes that it may have sent in all.
    #[n(4)]
    pub(super) bytes: u64,
}

impl Hello {
    /// This node's.
    pub(super) fn of(config: &Config, advertised: &str, class: Class) -> Self {
        Self {
            cluster: config.cluster.clone(),
            node: config.node.0,
            name: config.name.clone(),
            oldest: *config.protocols.start(),
            newest: *config.protocols.end(),
            advertised: advertised.to_owned(),
            class: class as u8,
            facts: config.facts.to_vec().into(),
        }
    }
    /// The protocol that a link with the sender of this hello speaks: the highest that both know.
    ///
    /// # Errors
    /// They do not fit.
    pub(super) fn judge(&self, config: &Config) -> Result<u16, Refusal> {
        if self.cluster != config.cluster {
            return Err(Refusal::Cluster(self.cluster.clone()));
        }
        let (ours, theirs) = (config.protocols.clone(), self.oldest..=self.newest);
        let highest = *ours.end().min(theirs.end());
        if highest < *ours.start().max(theirs.start()) || theirs.is_empty() {
            return Err(Refusal::Protocol { ours, theirs });
        }
        if self.name.len() > MAX_NAME || self.advertised.len() > MAX_NAME {
            return Err(Refusal::Malformed("a name is too long"));
        }
        if self.facts.len() > MAX_FACTS {
            return Err(Refusal::Malformed("too many facts"));
        }
        Class::of(self.class).ok_or(Refusal::Malformed("no such class"))?;
        if self.node == config.node.0 {
            return Err(Refusal::Myself);
        }
        Ok(highest)
    }
    pub(super) fn node(&self) -> NodeId {
        NodeId(self.node)
    }
    pub(super) fn facts(&self) -> Bytes {
        Bytes::copy_from_slice(&self.facts)
    }
}

/// What is said in a handshake, as bytes.
pub(super) fn encoded<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tests::config;

    fn hello(change: impl FnOnce(&mut Hello)) -> Hello {
        let mut hello = Hello::of(&config(2), "b:1", Class::Bulk);
        (hello.oldest, hello.newest) = (3, 4);
        change(&mut hello);
        hello
    }

    fn check(ours: RangeInclusive<u16>, hello: &Hello, expected: &Result<u16, Refusal>) {
        let mut config = config(1);
        config.protocols = ours;
        assert_eq!(&hello.judge(&config), expected);
        let read: Hello = minicbor::decode(&encoded(hello)).unwrap();
        assert_eq!(&read, hello);
    }

    #[test]
    fn a_link_speaks_the_highest_that_both_know() {
        let no = |ours, theirs| Err(Refusal::Protocol { ours, theirs });
        check(3..=4, &hello(|_| ()), &Ok(4));
        check(4..=5, &hello(|_| ()), &Ok(4));
        check(2..=3, &hello(|_| ()), &Ok(3));
        check(1..=9, &hello(|_| ()), &Ok(4));
        check(5..=6, &hello(|_| ()), &no(5..=6, 3..=4));
        check(1..=2, &hello(|_| ()), &no(1..=2, 3..=4));
        let turned = hello(|h| (h.oldest, h.newest) = (4, 3));
        check(1..=9, &turned, &no(1..=9, RangeInclusive::new(4, 3)));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let check = |change: fn(&mut Hello), expected| check(3..=4, &hello(change), &Err(expected));
        check(|h| h.cluster = "x".into(), Refusal::Cluster("x".into()));
        check(|h| h.node = 1, Refusal::Myself);
        check(|h| h.class = 3, Refusal::Malformed("no such class"));
        check(
            |h| h.name = "x".repeat(256),
            Refusal::Malformed("a name is too long"),
        );
        check(
            |h| h.facts = vec![0; MAX_FACTS + 1].into(),
            Refusal::Malformed("too many facts"),
        );
    }

    /// Bytes that an earlier version wrote: they stay as they are until no node says them any more.
    #[track_caller]
    fn check_kept<T>(old: &[u8], value: &T)
    where
        T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + std::fmt::Debug,
    {
        let read: T = minicbor::decode(old).unwrap();
        assert_eq!(&read, value);
        // Key 23, which a later version has.
        let mut later = old.to_vec();
        later[0] += 1;
        later.extend(b"\x17\x63new");
        let read: T = minicbor::decode(&later).unwrap();
        assert_eq!(&read, value);
        // What is written now has all keys that were there, in order: an earlier version reads it.
        let written = encoded(&read);
        assert!(written[1..].starts_with(&old[1..]), "{written:02x?}");
    }

    #[test]
    fn an_earlier_version_reads_a_hello_and_is_read() {
        let said = Hello {
            cluster: "c".into(),
            node: 5,
            name: "n".into(),
            oldest: 1,
            newest: 1,
            advertised: "h:1".into(),
            class: 2,
            facts: b"facts".to_vec().into(),
        };
        check_kept(
            b"\xa8\0\x61c\x01\x05\x02\x61n\x03\x01\x04\x01\x05\x63h:1\x06\x02\x07\x45facts",
            &said,
        );
        let verdict = Verdict {
            refused: Some("why".into()),
            is_over: Some(true),
        };
        check_kept(b"\xa2\0\x63why\x01\xf5", &verdict);
        let welcome = Welcome {
            generation: 1,
            memory: 2,
            received: 3,
            frames: 4,
            bytes: 5,
        };
        check_kept(b"\xa5\0\x01\x01\x02\x02\x03\x03\x04\x04\x05", &welcome);
    }

    #[test]
    fn what_a_newer_hello_adds_is_skipped() {
        // A map of one: key 9 is known to nobody yet.
        let verdict: Verdict = minicbor::decode(&[0xa1, 0x09, 0x01]).unwrap();
        assert_eq!(verdict.check(), Ok(()));
    }
}
