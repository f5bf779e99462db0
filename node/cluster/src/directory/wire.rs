//! The bytes of a batch, and of a snapshot in parts: CBOR arrays that begin with a version.
//!
//! A new kind of command is sent only when every member knows it (the view's protocol), because what one node applies and
//! another cannot read would make them differ.

use std::sync::Arc;

use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode};

use super::{
    Command, Conflict, Entry, Member, REASSERT_MAX, Seat, SessionRef, Stage,
    replica::Frozen,
    state::members::{Kept, Members},
};
use crate::NodeId;

const VERSION: u64 = 1;
/// About how many bytes a part of a snapshot has.
pub const PART_BYTES: usize = 256 * 1024;

type Read<T> = Result<T, decode::Error>;

/// The commands of one node that were gathered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose.
    pub origin: NodeId,
    /// Its number; rises.
    pub number: u64,
    /// In order.
    pub commands: Vec<Command>,
}

/// Writes into memory, which takes everything.
struct Out(Encoder<Vec<u8>>);

impl Out {
    fn new() -> Self {
        Self(Encoder::new(Vec::new()))
    }

    fn array(&mut self, length: usize) -> &mut Self {
        self.0.array(length as u64).expect("memory takes all");
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.u64(number).expect("memory takes all");
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.str(text).expect("memory takes all");
        self
    }

    fn priority(&mut self, priority: Option<i8>) -> &mut Self {
        let done = match priority {
            Some(priority) => self.0.i8(priority),
            None => self.0.null(),
        };
        done.expect("memory takes all");
        self
    }

    fn session(&mut self, session: SessionRef) -> &mut Self {
        self.number(session.node.0).number(session.number)
    }

    fn entry(&mut self, entry: &Entry) -> &mut Self {
        self.session(entry.session)
            .text(&entry.resource)
            .priority(entry.priority)
            .number(entry.flags.into())
    }

    fn member(&mut self, member: &Member) -> &mut Self {
        self.number(member.node.0).text(&member.name);
        self.array(member.links.len());
        for link in &member.links {
            self.text(link);
        }
        self.number(member.weight.into())
            .text(&member.zone)
            .number(member.protocol_min.into())
            .number(member.protocol_max.into())
            .text(&member.version)
    }

    fn bytes(self) -> Bytes {
        self.0.into_writer().into()
    }
}

impl Batch {
    /// As bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Out::new();
        out.number(VERSION)
            .number(self.origin.0)
            .number(self.number)
            .array(self.commands.len());
        for command in &self.commands {
            write(&mut out, command);
        }
        out.bytes()
    }

    /// From bytes.
    ///
    /// # Errors
    /// It is no batch, or one of a newer version.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut d = Decoder::new(bytes);
        version(&mut d)?;
        let (origin, number) = (NodeId(d.u64()?), d.u64()?);
        let commands = list(&mut d, usize::MAX, command)?;
        Ok(Self {
            origin,
            number,
            commands,
        })
    }
}

fn write(out: &mut Out, command: &Command) {
    match command {
        Command::Bind {
            account,
            resource,
            alternative,
            session,
            conflict,
            limit,
        } => {
            let conflict = match conflict {
                Conflict::Replace => 0,
                Conflict::Refuse => 1,
                Conflict::Rename => 2,
            };
            out.number(0).text(account).text(resource).text(alternative);
            out.session(*session).number(conflict).number(*limit as u64);
        }
        Command::Update {
            account,
            session,
            priority,
            flags,
        } => {
            out.number(1).text(account).session(*session);
            out.priority(*priority).number((*flags).into());
        }
        Command::Relocate {
            account,
            from,
            to,
            changed,
        } => {
            out.number(2).text(account).session(*from).session(*to);
            out.array(if changed.is_some() { 2 } else { 0 });
            if let Some((priority, flags)) = changed {
                out.priority(*priority).number((*flags).into());
            }
        }
        Command::Unbind { account, session } => {
            out.number(3).text(account).session(*session);
        }
        Command::Reassert {
            node,
            epoch,
            entries,
        } => {
            out.number(4).number(node.0).number(*epoch);
            out.array(entries.len());
            for (account, entry) in entries {
                out.text(account).entry(entry);
            }
        }
        Command::NodeUp(member) => {
            out.number(5).member(member);
        }
        Command::NodeReady(node) => {
            out.number(6).number(node.0);
        }
        Command::NodeDraining(node) => {
            out.number(7).number(node.0);
        }
        Command::NodeDown(node) => {
            out.number(8).number(node.0);
        }
    }
}

fn version(d: &mut Decoder<'_>) -> Read<()> {
    match d.u64()? {
        VERSION => Ok(()),
        _ => Err(decode::Error::message("of a newer version")),
    }
}

fn list<T>(
    d: &mut Decoder<'_>,
    most: usize,
    mut one: impl FnMut(&mut Decoder<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    let length = d
        .array()?
        .ok_or_else(|| decode::Error::message("an open array"))? as usize;
    if length > most {
        return Err(decode::Error::message("too long"));
    }
    // What is said to be there is believed only as it comes.
    let mut all = Vec::with_capacity(length.min(REASSERT_MAX));
    for _ in 0..length {
        all.push(one(d)?);
    }
    Ok(all)
}

fn small<T: TryFrom<u64>>(d: &mut Decoder<'_>) -> Read<T> {
    T::try_from(d.u64()?).map_err(|_| decode::Error::message("too large"))
}

fn text(d: &mut Decoder<'_>) -> Read<Arc<str>> {
    Ok(d.str()?.into())
}

fn priority(d: &mut Decoder<'_>) -> Read<Option<i8>> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(None);
    }
    d.i8().map(Some)
}

fn session(d: &mut Decoder<'_>) -> Read<SessionRef> {
    Ok(SessionRef {
        node: NodeId(d.u64()?),
        number: d.u64()?,
    })
}

fn entry(d: &mut Decoder<'_>) -> Read<Entry> {
    Ok(Entry {
        session: session(d)?,
        resource: text(d)?,
        priority: priority(d)?,
        flags: small(d)?,
    })
}

fn member(d: &mut Decoder<'_>) -> Read<Member> {
    Ok(Member {
        node: NodeId(d.u64()?),
        name: text(d)?,
        links: list(d, REASSERT_MAX, text)?,
        weight: small(d)?,
        zone: text(d)?,
        protocol_min: small(d)?,
        protocol_max: small(d)?,
        version: text(d)?,
    })
}

fn command(d: &mut Decoder<'_>) -> Read<Command> {
    Ok(match d.u64()? {
        0 => Command::Bind {
            account: text(d)?,
            resource: text(d)?,
            alternative: text(d)?,
            session: session(d)?,
            conflict: match d.u64()? {
                0 => Conflict::Replace,
                1 => Conflict::Refuse,
                2 => Conflict::Rename,
                _ => return Err(decode::Error::message("no such policy")),
            },
            limit: small(d)?,
        },
        1 => Command::Update {
            account: text(d)?,
            session: session(d)?,
            priority: priority(d)?,
            flags: small(d)?,
        },
        2 => Command::Relocate {
            account: text(d)?,
            from: session(d)?,
            to: session(d)?,
            changed: match d.array()? {
                Some(0) => None,
                Some(2) => Some((priority(d)?, small(d)?)),
                _ => return Err(decode::Error::message("neither nothing nor both")),
            },
        },
        3 => Command::Unbind {
            account: text(d)?,
            session: session(d)?,
        },
        4 => Command::Reassert {
            node: NodeId(d.u64()?),
            epoch: d.u64()?,
            entries: list(d, REASSERT_MAX, |d| Ok((text(d)?, entry(d)?)))?,
        },
        5 => Command::NodeUp(Arc::new(member(d)?)),
        6 => Command::NodeReady(NodeId(d.u64()?)),
        7 => Command::NodeDraining(NodeId(d.u64()?)),
        8 => Command::NodeDown(NodeId(d.u64()?)),
        _ => return Err(decode::Error::message("no such command")),
    })
}

/// The parts of a snapshot, each about [`PART_BYTES`]; the first has the members.
pub fn parts(frozen: &Frozen) -> impl Iterator<Item = Bytes> + '_ {
    let mut accounts = frozen.accounts.iter().peekable();
    let mut first = true;
    std::iter::from_fn(move || {
        if !first && accounts.peek().is_none() {
            return None;
        }
        let mut out = Out::new();
        out.number(VERSION).array(usize::from(first));
        if std::mem::take(&mut first) {
            write_members(&mut out, &frozen.members);
        }
        while out.0.writer().len() < PART_BYTES
            && let Some((account, entries)) = accounts.next()
        {
            out.text(account).array(entries.len());
            for entry in entries.iter() {
                out.entry(entry);
            }
        }
        Some(out.bytes())
    })
}

fn write_members(out: &mut Out, members: &Members) {
    out.number(members.epoch).array(members.kept.len());
    for kept in members.kept.values() {
        let stage = match kept.seat.stage {
            Stage::Up => 0,
            Stage::Ready => 1,
            Stage::Draining => 2,
        };
        out.member(&kept.seat.member).number(stage);
        out.number(kept.seat.since).number(kept.applied);
    }
    out.array(members.fallen.len());
    for node in &members.fallen {
        out.number(node.0);
    }
}

/// Adds a part to what is there of a snapshot.
///
/// # Errors
/// It is no part, or one of a newer version.
pub fn take_part(frozen: &mut Frozen, part: &[u8]) -> Read<()> {
    let mut d = Decoder::new(part);
    version(&mut d)?;
    if d.array()? == Some(1) {
        frozen.members = members(&mut d)?;
    }
    while d.position() < part.len() {
        let account = text(&mut d)?;
        let entries = list(&mut d, usize::MAX, entry)?;
        frozen.accounts.push((account, entries.into()));
    }
    Ok(())
}

fn members(d: &mut Decoder<'_>) -> Read<Members> {
    let epoch = d.u64()?;
    let kept = list(d, super::member::MEMBERS_MAX, |d| {
        let member = Arc::new(member(d)?);
        let stage = match d.u64()? {
            0 => Stage::Up,
            1 => Stage::Ready,
            2 => Stage::Draining,
            _ => return Err(decode::Error::message("no such stage")),
        };
        let (since, applied) = (d.u64()?, d.u64()?);
        let seat = Seat {
            member,
            stage,
            since,
        };
        Ok((seat.member.node, Kept { seat, applied }))
    })?;
    let fallen = list(d, super::state::members::FALLEN_MAX, |d| {
        d.u64().map(NodeId)
    })?;
    Ok(Members {
        epoch,
        kept: kept.into_iter().collect(),
        fallen: fallen.into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::directory::{
        Replica,
        replica::tests::{any_command, contents},
    };

    proptest! {
        #[test]
        fn a_batch_reads_as_it_was_written(origin: u64, number: u64, commands in prop::collection::vec(any_command(), 0..20)) {
            let batch = Batch { origin: NodeId(origin), number, commands };
            prop_assert_eq!(Batch::decode(&batch.encode()).unwrap(), batch);
        }

        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Batch::decode(&bytes);
            let _ = take_part(&mut Frozen::default(), &bytes);
        }

        #[test]
        fn a_snapshot_reads_as_it_was_written(commands in prop::collection::vec(any_command(), 0..80)) {
            let replica = Replica::default();
            replica.replace(Frozen { members: Members::founded(1), accounts: Vec::new() });
            for (number, command) in commands.into_iter().enumerate() {
                replica.apply_batch(NodeId(1), number as u64 + 1, vec![command]);
            }
            let frozen = replica.freeze();
            let mut read = Frozen::default();
            for part in parts(&frozen) {
                take_part(&mut read, &part).unwrap();
            }
            prop_assert_eq!(contents(&read), contents(&frozen));
        }
    }

    /// One command of each kind, as an earlier version writes and reads them. There is no room for more: what is new is a
    /// kind of its own, or a version of its own that members agree on.
    #[test]
    fn an_earlier_version_reads_a_batch_and_is_read() {
        let session = |node, number| SessionRef {
            node: NodeId(node),
            number,
        };
        let account = || Arc::from("ada@b");
        let relocate = |changed| Command::Relocate {
            account: account(),
            from: session(5, 6),
            to: session(7, 8),
            changed,
        };
        let entry = Entry {
            session: session(5, 6),
            resource: "phone".into(),
            priority: None,
            flags: 3,
        };
        let member = Member {
            node: NodeId(5),
            name: "n".into(),
            links: vec!["a:1".into()],
            weight: 1,
            zone: "zone".into(),
            protocol_min: 1,
            protocol_max: 1,
            version: "0.1".into(),
        };
        let commands = vec![
            Command::Bind {
                account: account(),
                resource: "phone".into(),
                alternative: "phone-2".into(),
                session: session(5, 6),
                conflict: Conflict::Replace,
                limit: 10,
            },
            Command::Update {
                account: account(),
                session: session(5, 6),
                priority: Some(-1),
                flags: 3,
            },
            relocate(Some((Some(-1), 3))),
            relocate(None),
            Command::Unbind {
                account: account(),
                session: session(5, 6),
            },
            Command::Reassert {
                node: NodeId(5),
                epoch: 9,
                entries: vec![(account(), entry)],
            },
            Command::NodeUp(Arc::new(member)),
            Command::NodeReady(NodeId(5)),
            Command::NodeDraining(NodeId(5)),
            Command::NodeDown(NodeId(5)),
        ];
        let batch = Batch {
            origin: NodeId(5),
            number: 12,
            commands,
        };
        let mut old = b"\x01\x05\x0c\x8a".to_vec();
        for command in [
            &b"\0\x65ada@b\x65phone\x67phone-2\x05\x06\0\x0a"[..],
            b"\x01\x65ada@b\x05\x06\x20\x03",
            b"\x02\x65ada@b\x05\x06\x07\x08\x82\x20\x03",
            b"\x02\x65ada@b\x05\x06\x07\x08\x80",
            b"\x03\x65ada@b\x05\x06",
            b"\x04\x05\x09\x81\x65ada@b\x05\x06\x65phone\xf6\x03",
            b"\x05\x05\x61n\x81\x63a:1\x01\x64zone\x01\x01\x630.1",
            b"\x06\x05\x07\x05\x08\x05",
        ] {
            old.extend(command);
        }
        assert_eq!(batch.encode(), old);
        assert_eq!(Batch::decode(&old).unwrap(), batch);
    }

    #[test]
    fn a_large_snapshot_has_parts() {
        let entry = Entry {
            session: SessionRef {
                node: NodeId(1),
                number: 2,
            },
            resource: "phone".into(),
            priority: Some(-1),
            flags: 3,
        };
        let accounts = (0..20_000).map(|n| {
            (
                format!("user{n}@example.org").into(),
                [entry.clone()].into(),
            )
        });
        let frozen = Frozen {
            members: Members::founded(3),
            accounts: accounts.collect(),
        };
        let mut read = Frozen::default();
        let mut count = 0;
        for part in parts(&frozen) {
            assert!(part.len() < PART_BYTES * 2);
            take_part(&mut read, &part).unwrap();
            count += 1;
        }
        assert!(count > 1);
        assert_eq!(contents(&read), contents(&frozen));
    }
}
