//! Log writer: appends an account's messages in order, keeping the numbers they had where it can.

use std::collections::{HashMap, VecDeque};

use storage::{
    Result,
    repository::{EntryFlags, LogRepository, NewEntry},
};
use xmpp::BareJid;

use crate::random;

/// Entries appended at once.
const AT_ONCE: usize = 64;
/// Empty entries appended at once: they are small.
const FILL_AT_ONCE: u64 = 2_048;
/// Empty entries that keeping numbers may cost an account.
const MAX_FILL: u64 = 1 << 20;
/// Ids of other servers that are remembered for the messages that wait: those are the newest.
const MAX_KNOWN: usize = 20_000;

/// Writes one log.
pub(super) struct LogWriter<'a> {
    logs: &'a dyn LogRepository,
    owner: BareJid,
    head: u64,
    time_ms: u64,
    filled: u64,
    first: Option<u64>,
    buffer: Vec<NewEntry>,
    known: HashMap<String, u64>,
    order: VecDeque<String>,
}

impl<'a> LogWriter<'a> {
    /// For a log that is empty.
    pub(super) fn new(logs: &'a dyn LogRepository, owner: BareJid) -> Self {
        Self {
            logs,
            owner,
            head: 0,
            time_ms: 0,
            filled: 0,
            first: None,
            buffer: Vec::new(),
            known: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The number of the newest entry.
    pub(super) fn head(&self) -> u64 {
        self.head + self.buffer.len() as u64
    }

    /// Appends an entry that had this id; its number. Times are held to their order.
    pub(super) async fn append(&mut self, id: Option<&str>, mut entry: NewEntry) -> Result<u64> {
        entry.time_ms = entry.time_ms.max(self.time_ms);
        if let Some(number) = id.and_then(parse_number) {
            self.fill(number).await?;
        }
        self.time_ms = entry.time_ms;
        self.buffer.push(entry);
        let number = self.head();
        self.first.get_or_insert(number);
        if let Some(id) = id {
            self.remember(id, number);
        }
        if self.buffer.len() >= AT_ONCE {
            self.flush().await?;
        }
        Ok(number)
    }

    /// Fills up to the entry before `number`, if that costs not too much.
    async fn fill(&mut self, number: u64) -> Result<()> {
        let Some(missing) = number.checked_sub(self.head() + 1) else {
            return Ok(());
        };
        if missing > MAX_FILL - self.filled {
            return Ok(());
        }
        self.filled += missing;
        if missing > 0 {
            self.flush().await?;
        }
        let empty = NewEntry {
            time_ms: self.time_ms,
            ..empty_entry(&self.owner, 0)
        };
        let mut left = missing;
        while left > 0 {
            let now = left.min(FILL_AT_ONCE);
            let entries = vec![empty.clone(); usize::try_from(now).expect("a small number")];
            self.logs
                .append(&self.owner, self.head, random::number(), &entries)
                .await?;
            self.head += now;
            left -= now;
        }
        Ok(())
    }

    fn remember(&mut self, id: &str, number: u64) {
        if self.order.len() >= MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        if self.known.insert(id.to_owned(), number).is_none() {
            self.order.push_back(id.to_owned());
        }
    }

    /// Writes what waits.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.logs
            .append(&self.owner, self.head, random::number(), &self.buffer)
            .await?;
        self.head += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// A message that waits for its owner: marked where it is archived, else written; its number.
    pub(super) async fn deliver(&mut self, id: Option<&str>, entry: NewEntry) -> Result<u64> {
        let archived = id.and_then(|id| self.known.get(id).copied());
        let gap = id
            .and_then(parse_number)
            .filter(|number| *number <= self.head());
        if let Some(number) = archived.or(gap) {
            self.flush().await?;
            let (is_known, deliver) = (archived.is_some(), EntryFlags::DELIVER);
            let change = |found: &storage::repository::LogEntry| {
                let empty = found.flags == EntryFlags::NONE;
                (is_known || empty || found.stanza == entry.stanza).then(|| match empty {
                    true => NewEntry {
                        time_ms: found.time_ms,
                        flags: entry.flags | deliver,
                        ..entry.clone()
                    },
                    false => NewEntry {
                        time_ms: found.time_ms,
                        flags: found.flags | deliver,
                        peer: found.peer.clone(),
                        stanza: found.stanza.clone(),
                    },
                })
            };
            if self.logs.rewrite(&self.owner, number, &change).await? {
                return Ok(number);
            }
        }
        let entry = NewEntry {
            flags: entry.flags | EntryFlags::DELIVER,
            ..entry
        };
        self.append(id.filter(|id| parse_number(id).is_some()), entry)
            .await
    }

    /// Writes what waits and drops the empty entries before the first real one; the head.
    pub(super) async fn finish(&mut self) -> Result<u64> {
        self.flush().await?;
        if let Some(first) = self.first.filter(|first| *first > 1) {
            self.logs.truncate(&self.owner, first).await?;
        }
        Ok(self.head)
    }
}

/// What holds the place of an entry that is not there.
pub(super) fn empty_entry(owner: &BareJid, time_ms: u64) -> NewEntry {
    NewEntry {
        time_ms,
        flags: EntryFlags::NONE,
        peer: owner.as_jid().clone(),
        stanza: bytes::Bytes::from_static(b"<message/>"),
    }
}

/// One of our own ids: a number as we write it.
fn parse_number(id: &str) -> Option<u64> {
    let number: u64 = id.parse().ok()?;
    (number > 0 && number.to_string() == id).then_some(number)
}
