//! When a log is compacted, whose it is, and what came of it.

use std::time::Duration;

use xmpp::BareJid;

use crate::{
    error::Result,
    key,
    layer::guarded::erasure_mark,
    repository::{Mailbox, MailboxRepository},
    shape::{Condition, Key, Space},
};

/// When entries become a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// The newest entries stay in the table: what clients catch up with and what a retraction looks for.
    pub tail_entries: u64,
    /// What is younger stays in the table. No writer may append to a head that it learned of earlier than that; a day at
    /// least.
    pub min_age: Duration,
    /// Entries of a segment; it is made when there are so many.
    pub segment_entries: u64,
    /// Bytes of a segment before compression; it is made when there are that many, and has no more unless an item alone
    /// has.
    pub segment_bytes: usize,
    /// When the oldest entry is so old, fewer are enough...
    pub idle_age: Duration,
    /// ...so many.
    pub idle_entries: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self {
            tail_entries: 2_048,
            min_age: Duration::from_secs(7 * 86_400),
            segment_entries: 4_096,
            segment_bytes: 4 << 20,
            idle_age: Duration::from_secs(90 * 86_400),
            idle_entries: 256,
        }
    }
}

/// A log that is looked after, and what tells what of it is still needed.
#[derive(Clone)]
pub struct Keeping<'a> {
    /// Whose log.
    pub archive: &'a BareJid,
    /// What must hold for the log to be: that the account's record is there, or, in a place where that is not, that no
    /// mark of its erasure is. While an account is erased nobody begins to work on its log.
    pub guard: Option<(Key, Condition)>,
    /// What says from which number on something may still be to be delivered.
    pub mailboxes: Option<&'a dyn MailboxRepository>,
    /// Now, in time since 1970.
    pub now: Duration,
}

impl<'a> Keeping<'a> {
    /// The log of an account.
    pub fn of_account(
        account: &'a BareJid,
        mailboxes: &'a dyn MailboxRepository,
        now: Duration,
    ) -> Self {
        Self {
            archive: account,
            guard: Some((key::of_account(account, key::ACCOUNT), Condition::Exists)),
            mailboxes: Some(mailboxes),
            now,
        }
    }

    /// The same in a place where the account's own record is not.
    #[must_use]
    pub fn elsewhere(self) -> Self {
        let mark = erasure_mark(key::account(self.archive));
        Self {
            guard: Some((mark, Condition::Absent)),
            ..self
        }
    }

    /// The log of a room whose record has this version: while a room is destroyed nobody begins to work on its log. All of
    /// it was delivered.
    pub fn of_room(room: &'a BareJid, version: u64, now: Duration) -> Self {
        let key = Key {
            space: Space::Core,
            partition: key::room(room),
            sort: key::ROOM,
        };
        Self {
            archive: room,
            guard: Some((key, Condition::Version(version))),
            mailboxes: None,
            now,
        }
    }

    /// The oldest number that may still be to be delivered.
    pub(in crate::repository::log) async fn floor(&self) -> Result<u64> {
        let Some(mailboxes) = self.mailboxes else {
            return Ok(u64::MAX);
        };
        let mailbox: Mailbox = mailboxes.load(self.archive).await?;
        Ok(mailbox.floor())
    }

    pub(in crate::repository::log) fn since(&self, age: Duration) -> u64 {
        let cut = self.now.saturating_sub(age).as_millis();
        u64::try_from(cut).unwrap_or(u64::MAX)
    }
}

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compacted {
    /// There was nothing to do.
    Nothing,
    /// Entries became a segment.
    Segment {
        /// How many.
        entries: u64,
        /// Their bytes in the table.
        bytes: u64,
        /// Bytes of the object.
        object_bytes: u64,
    },
    /// Items that a dead compaction had left went from the table.
    Folded {
        /// How many.
        items: u64,
    },
    /// Somebody else is at it, or the log changed meanwhile.
    Raced,
}
