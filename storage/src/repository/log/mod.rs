//! The log: one dense, gap-free, numbered sequence per account, room and remote domain.
//!
//! It is at once the archive (XEP-0313), the offline store (XEP-0160) and the queue that a crash cannot lose.
//! Why numbers and not clocks: an id from a clock can commit after a later one, and a client that syncs from the newest
//! then skips a message for ever.
//! Stored: `log` `A#archive` / first number; one item holds up to 64 entries. Who occurs where: see `contacts`. What is old
//! may be in objects instead, see `segment` and `compact`; a stanza that is too long for an item is one, see `large`.

mod append;
mod change;
mod codec;
pub mod compact;
mod contacts;
pub mod extent;
mod front;
mod large;
mod read;
pub mod retain;
mod segment;
mod table;
pub mod verify;
mod walk;

use std::ops::{BitOr, BitOrAssign};

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::{BareJid, Jid};

use crate::{error::Result, shape::Done};

pub use table::TableLogs;

/// What an entry is: a set of flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EntryFlags(u16);

impl EntryFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// The owner sent it; otherwise it was received.
    pub const SENT: Self = Self(1);
    /// The archive shows it (XEP-0313).
    pub const ARCHIVED: Self = Self(1 << 1);
    /// It is to be handed to a resource.
    pub const DELIVER: Self = Self(1 << 2);
    /// Its content was taken back (XEP-0424); the stanza says so.
    pub const TOMBSTONE: Self = Self(1 << 3);
    /// It gets no carbons (XEP-0280 §6).
    pub const NO_COPY: Self = Self(1 << 4);
    /// It was addressed to one resource (type `chat` to a full address and the like).
    pub const TO_RESOURCE: Self = Self(1 << 5);
    /// It is a groupchat message.
    pub const GROUPCHAT: Self = Self(1 << 6);
    /// Its room publishes what is said in it (XEP-0045, `enablelogging`).
    pub const PUBLIC: Self = Self(1 << 7);

    /// As stored.
    pub const fn bits(self) -> u16 {
        self.0
    }
    /// From storage; unknown bits are kept.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// This set without the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for EntryFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl BitOrAssign for EntryFlags {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.with(other);
    }
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// When, in milliseconds since 1970; not before the entry that precedes it.
    pub time_ms: u64,
    /// What it is.
    pub flags: EntryFlags,
    /// The other side, bare or full (a room's log: the occupant).
    pub peer: Jid,
    /// The stanza as it is delivered.
    pub stanza: Bytes,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number, from 1.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// What it is.
    pub flags: EntryFlags,
    /// The other side, bare or full.
    pub peer: Jid,
    /// The stanza as it is delivered.
    pub stanza: Bytes,
}

/// Numbers from `from` to `to`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRange {
    /// Lowest.
    pub from: u64,
    /// Highest.
    pub to: u64,
}

impl LogRange {
    /// All there is.
    pub const ALL: Self = Self {
        from: 1,
        to: u64::MAX,
    };
    /// Everything beyond a number.
    pub const fn after(number: u64) -> Self {
        Self {
            from: number.saturating_add(1),
            to: u64::MAX,
        }
    }
}

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tip {
    /// Number of the newest entry; 0: empty.
    pub head: u64,
    /// Time of the newest entry.
    pub time_ms: u64,
}

/// What a rewrite makes of an entry; `None`: leave it.
pub type Rewrite<'a> = dyn Fn(&LogEntry) -> Option<NewEntry> + Sync + 'a;

/// The contract. Reads are strong.
#[async_trait]
pub trait LogRepository: Send + Sync + 'static {
    /// Number of the newest entry, 0 if there never was one. One strong query.
    async fn head(&self, archive: &BareJid) -> Result<u64> {
        Ok(self.tip(archive).await?.head)
    }
    /// Number and time of the newest entry. One strong query.
    async fn tip(&self, archive: &BareJid) -> Result<Tip>;
    /// Appends entries as `head + 1` and so on, all or none. One conditional write; up to 64 entries or 64 KiB share
    /// an item, more become several items of one batch.
    ///
    /// `write_id` is drawn at random per append and kept over its repeats: a repeat whose first try had succeeded is
    /// recognised and is success. Times must not decrease.
    ///
    /// Where logs are compacted, a `head` must not be older than [`Compaction::min_age`](compact::Compaction::min_age):
    /// who heard of the log so long ago reads its tip first. What is no more in the table refuses nobody.
    ///
    /// A stanza that does not fit an item is put as an object first.
    ///
    /// # Errors
    /// `Conflict` if the log is not at `head`: nothing was written. `TooLarge` if the entries do not fit a batch.
    async fn append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
    ) -> Result<()>;
    /// The same without waiting: encodes at once and calls `done` with the answer, maybe on a thread of the backend, so
    /// it must be short.
    fn submit_append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
        done: Done,
    );
    /// At most `limit` entries of a range in order of their numbers, or from the highest down. Fewer than `limit` only
    /// if the range has no more. One query for the item that holds the start, one per page. Of what was compacted: two or
    /// three queries and one ranged read of an object.
    ///
    /// # Errors
    /// `Unavailable` if objects do not answer and the range has any of what was compacted; what is to be delivered never
    /// has.
    async fn read(
        &self,
        archive: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>>;
    /// The same of the entries whose peer has this bare address. Costs a row for each 1,024 numbers of the range, and a
    /// read of those 1,024 where the contact occurs; the first reader after an append of 1,024 makes their row, and the
    /// very first one goes through the whole range.
    async fn read_with(
        &self,
        archive: &BareJid,
        contact: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>>;
    /// The first number with a time of at least `time_ms`; `head + 1` if there is none. Logarithmic in the length of
    /// the log, one query a step; of what was compacted one frame at most.
    async fn first_since(&self, archive: &BareJid, time_ms: u64) -> Result<u64>;
    /// Replaces an entry by what `change` makes of it (`None`: leave it); whether it was there and changed. Its number
    /// and its neighbours stay, and so must its time. One query, one conditional write, repeated on conflict; of what was
    /// compacted the whole segment is written again.
    async fn rewrite(&self, archive: &BareJid, number: u64, change: &Rewrite<'_>) -> Result<bool>;
    /// Removes what lies before a number, items only as a whole, in bounded batches; returns the lowest number still stored
    /// (`head + 1` of an empty log). The newest item always stays, so the numbers go on.
    async fn truncate(&self, archive: &BareJid, before: u64) -> Result<u64>;
    /// As [`truncate`](Self::truncate), but no further than the first item that holds an entry of the archive: what turns
    /// an archive off does not destroy it.
    async fn truncate_unarchived(&self, archive: &BareJid, before: u64) -> Result<u64>;
    /// Takes the content of these entries (ascending) away: what is not of the archive and was handed over. Their numbers
    /// and times stay, and what is of the archive. One query and one conditional write for each item that holds any.
    async fn blank(&self, archive: &BareJid, numbers: &[u64]) -> Result<()>;
    /// Removes a log with its head. Repeatable.
    async fn erase(&self, archive: &BareJid) -> Result<()>;
}
