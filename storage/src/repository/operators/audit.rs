//! The audit log: what was changed, by whom, when, and how that ended. No secret and nothing that people wrote to each other.
//!
//! Numbers are dense, from 1. An entry is written before anything is done, without an outcome; what has none afterwards is a
//! change of which nobody knows how it ended. A ring of slots bounds it, so nothing has to clean up.

use minicbor::{Decode, Encode};

use super::Operators;
use crate::{
    error::{ErrorKind, Result},
    key,
    repository::{
        paging,
        record::{self, repeat_on_conflict},
    },
    shape::{Batch, Condition, Consistency, Key, Query, Space},
};

/// How often an append is tried against others: more often than nodes and requests that write at once.
const ATTEMPTS: usize = 64;

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditOutcome {
    /// Whether it was done.
    #[n(0)]
    pub done: bool,
    /// Why not, in a word.
    #[n(1)]
    pub why: Option<String>,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AuditEntry {
    /// Its number, from 1; given by the store.
    #[n(0)]
    pub number: u64,
    /// When it was begun, in milliseconds since 1970.
    #[n(1)]
    pub at_ms: u64,
    /// Who: `token ID NAME`, `account ADDRESS`, `socket`, `command`.
    #[n(2)]
    pub who: String,
    /// From where, if that was over a network.
    #[n(3)]
    pub peer: Option<String>,
    /// Through which node.
    #[n(4)]
    pub node: Option<String>,
    /// What: the name of the operation.
    #[n(5)]
    pub operation: String,
    /// To what: an address, a node.
    #[n(6)]
    pub target: Option<String>,
    /// How it ended; `None`: nobody knows.
    #[n(7)]
    pub outcome: Option<AuditOutcome>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Head {
    #[n(0)]
    written: u64,
}

fn head() -> Key {
    Key {
        space: Space::Ctl,
        partition: key::audit(),
        sort: key::AUDIT_HEAD,
    }
}

fn slot(number: u64) -> Key {
    Key {
        space: Space::Ctl,
        partition: key::audit(),
        sort: key::audit_slot(number % Operators::MAX_ENTRIES),
    }
}

impl Operators {
    /// Writes an entry; the number that it got. One strong get, one batch of two.
    ///
    /// # Errors
    /// `Conflict` if many others write at the same time.
    pub async fn append_audit(&self, entry: &AuditEntry) -> Result<u64> {
        repeat_on_conflict(ATTEMPTS, || self.append_once(entry)).await
    }

    async fn append_once(&self, entry: &AuditEntry) -> Result<u64> {
        let (written, seen) = match self.records.load::<Head>(&head()).await? {
            Some((head, version)) => (head.written, version),
            None => (0, 0),
        };
        let number = written + 1;
        let entry = AuditEntry {
            number,
            ..entry.clone()
        };
        let value = record::seal(&record::to_cbor(&entry), record::fresh_id())?;
        let with = Batch::new().put(slot(number), value, Condition::Any);
        let next = Head { written: number };
        self.records.store_with(head(), &next, seen, with).await?;
        Ok(number)
    }

    /// Writes how it ended. One strong get, one conditional write; nothing if the entry was written over.
    pub async fn finish_audit(&self, number: u64, outcome: AuditOutcome) -> Result<()> {
        let key = slot(number);
        let Some((entry, version)) = self.records.load::<AuditEntry>(&key).await? else {
            return Ok(());
        };
        if entry.number != number {
            return Ok(());
        }
        let ended = AuditEntry {
            outcome: Some(outcome),
            ..entry
        };
        match self.records.store(key, &ended, version).await {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            // Only a later entry can have come between.
            _ => Ok(()),
        }
    }

    /// Entries, the newest first: those ahead of `before`, at most `limit`. One strong get, a strong query a page.
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<AuditEntry>> {
        let Some((head, _)) = self.records.load::<Head>(&head()).await? else {
            return Ok(Vec::new());
        };
        let end = before.map_or(head.written + 1, |before| before.min(head.written + 1));
        let oldest = (head.written + 1).saturating_sub(Self::MAX_ENTRIES).max(1);
        let limit = limit as u64;
        let begin = end.saturating_sub(limit).max(oldest);
        let mut found = Vec::new();
        let mut end = end;
        while begin < end {
            // The part of the ring that ends there.
            let last = end - 1;
            let turn = last - last % Self::MAX_ENTRIES;
            let from = begin.max(turn);
            let query = Query {
                space: Space::Ctl,
                partition: key::audit(),
                from: Some(key::audit_slot(from % Self::MAX_ENTRIES)),
                until: Some(key::successor(&key::audit_slot(last % Self::MAX_ENTRIES))),
                reverse: true,
                limit: 1,
                consistency: Consistency::Strong,
            };
            let most = usize::try_from(end - from).unwrap_or(usize::MAX);
            for record in paging::collect(&*self.records.table, query, most).await? {
                let entry: AuditEntry = record::decode(&record)?;
                if (from..end).contains(&entry.number) {
                    found.push(entry);
                }
            }
            end = from;
        }
        Ok(found)
    }
}
