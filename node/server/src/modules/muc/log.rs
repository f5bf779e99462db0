//! What is said in a room, on its way into the room's log.
//!
//! An append whose answer is lost stays as it is until it is known whether it was done, so that nothing is said twice and
//! nobody is told that a message was lost which is in the archive. Until then nothing else is said in the room.
//! Stored: the log under the room's address.

use std::time::Duration;

use bytes::Bytes;
use storage::{
    ErrorKind,
    repository::{EntryFlags, LogEntry, LogRange, LogRepository, NewEntry},
};
use xmpp::{BareJid, Element, Node, Stanza, ns, payload::sid};

use super::{
    home::Spoken,
    room::{History, Policy, Remembered, Retracts, Saying},
};

/// How often an append is tried at once, and how long it waits between.
const ATTEMPTS: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(20);
/// A head is read again when it was learned of longer ago than this: what was compacted refuses nobody.
const HEAD_TRUSTED_MS: u64 = 3_600_000;

/// Messages that are remembered in any case, however few are shown: what may have been said already is looked for among them.
const LOOKED_FOR: usize = 256;
/// Retractions that are looked after when a room is loaded.
const MAX_UNFINISHED: usize = 16;

/// What every message of a room is.
const FLAGS: EntryFlags = EntryFlags::ARCHIVED.with(EntryFlags::GROUPCHAT);

/// The end of a room's log, as it is known here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Log {
    head: u64,
    known_ms: u64,
    newest_ms: u64,
}

/// An append of which nobody knows whether it was done.
pub(super) struct Stuck {
    append: Append,
    /// What it says; those without a number among them.
    pub(super) spoken: Vec<Spoken>,
}

struct Append {
    head: u64,
    write_id: u64,
    entries: Vec<NewEntry>,
    time_ms: u64,
}

/// What became of messages.
pub(super) enum Kept {
    /// They are kept, the first behind this number, at this time.
    Yes(Vec<Spoken>, u64, u64),
    /// They are not.
    No(Vec<Spoken>, storage::Error),
    /// Nobody knows.
    Unknown(Stuck),
}

impl Log {
    /// The newest number.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Reads the end of a room's log: what was said last, and what was taken back there and is no tombstone yet.
    pub(super) async fn load(
        logs: &dyn LogRepository,
        room: &BareJid,
        policy: &Policy,
        now_ms: u64,
    ) -> storage::Result<(Self, History, Vec<Retracts>)> {
        let tip = logs.tip(room).await?;
        let log = Self {
            head: tip.head,
            known_ms: now_ms,
            newest_ms: tip.time_ms,
        };
        let limit = policy.history.max(LOOKED_FOR);
        let mut history = History::new(limit);
        let last = logs.read(room, LogRange::ALL, true, limit).await?;
        let unfinished = unfinished(&last);
        for entry in last.into_iter().rev() {
            let is_meant = |it: &&Retracts| it.number == entry.number;
            let mut meant = unfinished.iter().filter(is_meant);
            if meant.any(|it| tombstone(&entry, it).is_some()) {
                continue;
            }
            history_of(&entry, room)
                .into_iter()
                .for_each(|it| history.push(it));
        }
        Ok((log, history, unfinished))
    }

    /// Keeps messages, those that are worth it in one item. In their order.
    pub(super) async fn keep(
        &mut self,
        logs: &dyn LogRepository,
        room: &BareJid,
        spoken: Vec<Spoken>,
        now_ms: u64,
    ) -> Kept {
        let time_ms = now_ms.max(self.newest_ms);
        let kept = spoken.iter().filter(|it| it.saying.kept);
        let entries: Vec<NewEntry> = kept.map(|it| entry(&it.saying, time_ms)).collect();
        if entries.is_empty() {
            return Kept::Yes(spoken, self.head, time_ms);
        }
        if now_ms.abs_diff(self.known_ms) > HEAD_TRUSTED_MS
            && let Err(error) = self.look(logs, room, now_ms).await
        {
            return Kept::No(spoken, error);
        }
        let append = Append {
            head: self.head,
            write_id: crate::random::number(),
            entries,
            time_ms,
        };
        self.append(logs, room, Stuck { append, spoken }, now_ms)
            .await
    }

    /// Tries again what may have been done.
    pub(super) async fn settle(
        &mut self,
        logs: &dyn LogRepository,
        room: &BareJid,
        stuck: Stuck,
        now_ms: u64,
    ) -> Kept {
        self.append(logs, room, stuck, now_ms).await
    }

    async fn append(
        &mut self,
        logs: &dyn LogRepository,
        room: &BareJid,
        stuck: Stuck,
        now_ms: u64,
    ) -> Kept {
        let Stuck { mut append, spoken } = stuck;
        let (mut delay, mut maybe_done) = (FIRST_DELAY, false);
        for attempt in 1..=ATTEMPTS {
            let written = logs
                .append(room, append.head, append.write_id, &append.entries)
                .await;
            let Err(error) = written else {
                let before = append.head;
                self.head = before + append.entries.len() as u64;
                self.known_ms = now_ms;
                self.newest_ms = append.time_ms;
                return Kept::Yes(spoken, before, append.time_ms);
            };
            tracing::warn!(%room, %error, "a room's log was not appended to");
            match error.kind() {
                // Whoever else appended, this is not in the log.
                ErrorKind::Conflict => {
                    maybe_done = false;
                    if let Err(error) = self.look(logs, room, now_ms).await {
                        return Kept::No(spoken, error);
                    }
                    append.time_ms = append.time_ms.max(self.newest_ms);
                    append.head = self.head;
                    append.write_id = crate::random::number();
                    let time_ms = append.time_ms;
                    append
                        .entries
                        .iter_mut()
                        .for_each(|it| it.time_ms = time_ms);
                }
                ErrorKind::Unavailable => maybe_done = true,
                _ if !maybe_done => return Kept::No(spoken, error),
                _ => {}
            }
            if attempt == ATTEMPTS && !maybe_done {
                return Kept::No(spoken, error);
            }
            tokio::time::sleep(delay).await;
            delay *= 2;
        }
        Kept::Unknown(Stuck { append, spoken })
    }

    async fn look(
        &mut self,
        logs: &dyn LogRepository,
        room: &BareJid,
        now_ms: u64,
    ) -> storage::Result<()> {
        let tip = logs.tip(room).await?;
        self.head = tip.head;
        self.newest_ms = self.newest_ms.max(tip.time_ms);
        self.known_ms = now_ms;
        Ok(())
    }
}

/// A message as the log has it: with the real address behind it, for who may see that.
fn entry(saying: &Saying, time_ms: u64) -> NewEntry {
    let stanza = match &saying.real {
        Some(real) => {
            let item = Element::new("item", ns::MUC_USER).with_attr("jid", real.as_str());
            let x = Element::new("x", ns::MUC_USER).with_child(item);
            saying.stanza.spliced(|_| false, &x.to_bytes(ns::CLIENT))
        }
        None => saying.stanza.raw().clone(),
    };
    NewEntry {
        time_ms,
        flags: match saying.published {
            true => FLAGS | EntryFlags::PUBLIC,
            false => FLAGS,
        },
        peer: saying.from.clone(),
        stanza,
    }
}

/// The bytes of an entry without the real address.
pub(super) fn without_address(stanza: &Stanza) -> Bytes {
    stanza.spliced(|child| child.ns() == ns::MUC_USER, b"")
}

fn history_of(entry: &LogEntry, room: &BareJid) -> Option<Remembered> {
    if entry.flags.contains(EntryFlags::TOMBSTONE) || !entry.flags.contains(EntryFlags::ARCHIVED) {
        return None;
    }
    let stanza = Stanza::parse(without_address(&Stanza::parse(entry.stanza.clone()).ok()?)).ok()?;
    let is_subject =
        stanza.child("subject", ns::CLIENT).is_some() && stanza.child("body", ns::CLIENT).is_none();
    if is_subject {
        return None;
    }
    let id = sid::stanza_id_element(&entry.number.to_string(), room).to_bytes(ns::CLIENT);
    Some(Remembered {
        number: entry.number,
        time_ms: entry.time_ms,
        from: entry.peer.clone(),
        bytes: stanza.spliced(|_| false, &id),
    })
}

/// What the newest entries take back, newest first, but for what is known to be a tombstone.
fn unfinished(newest: &[LogEntry]) -> Vec<Retracts> {
    let is_done = |retracts: &Retracts| {
        let mut entries = newest.iter();
        let meant = entries.find(|it| it.number == retracts.number);
        meant.is_some_and(|it| tombstone(it, retracts).is_none())
    };
    let retracts = newest.iter().filter_map(|entry| {
        let stanza = Stanza::parse(entry.stanza.clone()).ok()?;
        Retracts::of(&stanza, &entry.peer, entry.time_ms)
    });
    let open = retracts.filter(|it| !is_done(it));
    open.take(MAX_UNFINISHED).collect()
}

/// Whether an entry is a message, or was one: not the retraction of another, which stays (XEP-0424 §5).
pub(super) fn can_be_taken_back(entry: &LogEntry) -> bool {
    let stanza = Stanza::parse(entry.stanza.clone()).ok();
    stanza.is_some_and(|it| it.child("retract", ns::RETRACT).is_none())
}

/// What stands in the place of a message that was taken back; `None`: it is not the one, or was taken back before.
pub(super) fn tombstone(entry: &LogEntry, retracts: &Retracts) -> Option<NewEntry> {
    let stanza = Stanza::parse(entry.stanza.clone()).ok()?;
    let id = stanza.child("occupant-id", ns::OCCUPANT_ID);
    let by = id.and_then(|id: Node<'_>| id.attr("id"));
    let is_meant = retracts
        .only_by
        .as_deref()
        .is_none_or(|only| by.as_deref() == Some(only));
    if !is_meant || !can_be_taken_back(entry) || entry.flags.contains(EntryFlags::TOMBSTONE) {
        return None;
    }
    let mut stone = Element::new("message", ns::CLIENT);
    for name in ["from", "type", "id", "xml:lang"] {
        if let Some(value) = stanza.root().attr(name) {
            stone.set_attr(name, value);
        }
    }
    let stays = |child: &Node<'_>| matches!(child.ns(), ns::OCCUPANT_ID | ns::MUC_USER);
    let kept = stanza.root().children().filter(stays).map(Node::to_element);
    let stone = stone
        .with_child(retracts.tombstone.clone())
        .with_children(kept);
    Some(NewEntry {
        time_ms: entry.time_ms,
        flags: entry.flags | EntryFlags::TOMBSTONE,
        peer: entry.peer.clone(),
        stanza: stone.to_bytes(ns::CLIENT).into(),
    })
}
