//! Logs that are compacted: between any two calls, by those that die anywhere, by two at once.

mod cost;
mod erasing;
mod large;
mod maintaining;
mod model;
mod outage;
mod racing;
mod retention;
mod sweeping;
mod verifying;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::{Fault, Unruly, memory};
use crate::{
    backend::{
        directory::DirectoryBlobs,
        embedded::{Embedded, EmbeddedOptions},
        memory::{MemoryBlobs, MemoryTable},
    },
    conformance,
    error::{ErrorKind, Result},
    repository::{
        Compacted, Compaction, EntryFlags, Keeping, LogEntry, LogRange, LogRepository, NewEntry,
        Rewrite, TableLogs, Tip,
    },
    shape::{Blobs, Done, Table},
};

/// A day on which all of the tests' entries are old.
const LATER: Duration = Duration::from_secs(4_000_000_000);

fn archive() -> BareJid {
    BareJid::parse("bob@example.org").unwrap()
}

/// Segments of a few entries, and hardly a tail.
fn eager(segment_entries: u64) -> Compaction {
    Compaction {
        tail_entries: 1,
        min_age: Duration::ZERO,
        segment_entries,
        segment_bytes: 1 << 20,
        idle_age: Duration::ZERO,
        idle_entries: 1,
    }
}

/// Of nobody's mailbox.
fn keeping(archive: &BareJid) -> Keeping<'_> {
    Keeping {
        archive,
        guard: None,
        mailboxes: None,
        now: LATER,
    }
}

fn logs(table: &Arc<MemoryTable>, blobs: &Arc<MemoryBlobs>) -> TableLogs {
    TableLogs::new(table.clone(), blobs.clone(), usize::MAX)
}

fn over(unruly: &Arc<Unruly>) -> TableLogs {
    TableLogs::new(unruly.clone(), unruly.clone(), usize::MAX)
}

fn entry(number: u64, text: &str) -> NewEntry {
    NewEntry {
        time_ms: number * 10,
        flags: EntryFlags::ARCHIVED,
        peer: Jid::parse(&format!("peer{}@example.org/x", number % 3)).unwrap(),
        stanza: Bytes::from(format!("<message id='{number}'>{text}</message>")),
    }
}

/// Appends entries up to this number, in items of these lengths.
async fn append_up_to(logs: &TableLogs, archive: &BareJid, end: u64, item: u64) {
    let mut head = logs.head(archive).await.unwrap();
    while head < end {
        let to = end.min(head + item);
        let new: Vec<_> = (head + 1..=to).map(|n| entry(n, "hello")).collect();
        logs.append(archive, head, head + 1, &new).await.unwrap();
        head = to;
    }
}

async fn all(logs: &TableLogs, archive: &BareJid) -> Vec<LogEntry> {
    logs.read(archive, LogRange::ALL, false, 100_000)
        .await
        .unwrap()
}

/// Compacts until nothing is left to do; how many segments that made.
async fn compact_all(logs: &TableLogs, archive: &BareJid, when: &Compaction) -> usize {
    let mut segments = 0;
    loop {
        match logs.compact(&keeping(archive), when).await.unwrap() {
            Compacted::Nothing => return segments,
            Compacted::Segment { .. } => segments += 1,
            Compacted::Folded { .. } => {}
            Compacted::Raced => panic!("nobody else is there"),
        }
    }
}

/// Logs that are compacted before each call; every other time by somebody who dies at it.
struct Compacting {
    logs: TableLogs,
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
    when: Compaction,
    calls: AtomicU64,
}

impl Compacting {
    fn over(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, segment_entries: u64) -> Self {
        Self {
            logs: TableLogs::new(table.clone(), blobs.clone(), usize::MAX),
            table,
            blobs,
            when: eager(segment_entries),
            calls: AtomicU64::new(0),
        }
    }

    async fn compact(&self, archive: &BareJid) -> &TableLogs {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        // Somewhere within the work, wherever that is.
        let at = (call / 2 % 13) as usize + 5;
        let fault = match call % 4 {
            0 => Fault::DieBefore(at),
            2 => Fault::DieAfter(at),
            _ => Fault::None,
        };
        let unruly =
            Arc::new(Unruly::over(self.table.clone(), self.blobs.clone()).with_fault(fault));
        let dying = over(&unruly);
        // A claim of a dead one keeps others away for a quarter of an hour: so much later is it each time.
        let keeping = Keeping {
            now: LATER + Duration::from_secs(call * 3_600),
            ..keeping(archive)
        };
        self.end_claims(archive).await;
        match dying.compact(&keeping, &self.when).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        self.end_claims(archive).await;
        &self.logs
    }

    /// As time does.
    async fn end_claims(&self, archive: &BareJid) {
        end_claims(&*self.table, archive).await;
    }
}

/// Takes away the claims of the dead, as time does.
async fn end_claims(table: &dyn Table, archive: &BareJid) {
    use crate::{key, shape};
    let partition = key::log_segments(archive);
    let query = shape::Query {
        space: shape::Space::Log,
        partition: partition.clone(),
        from: Some(Bytes::from_static(key::LOG_CLAIMS)),
        until: None,
        reverse: false,
        limit: 100,
        consistency: shape::Consistency::Strong,
    };
    for claim in table.query(&query).await.unwrap().records {
        let key = shape::Key {
            space: shape::Space::Log,
            partition: partition.clone(),
            sort: claim.sort,
        };
        let batch = shape::Batch::new().delete(key, shape::Condition::Any);
        table.write(batch).await.unwrap();
    }
}

#[async_trait]
impl LogRepository for Compacting {
    async fn tip(&self, archive: &BareJid) -> Result<Tip> {
        self.compact(archive).await.tip(archive).await
    }
    async fn append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
    ) -> Result<()> {
        let logs = self.compact(archive).await;
        logs.append(archive, head, write_id, entries).await
    }
    fn submit_append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
        done: Done,
    ) {
        self.logs
            .submit_append(archive, head, write_id, entries, done);
    }
    async fn read(
        &self,
        archive: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        let logs = self.compact(archive).await;
        logs.read(archive, range, reverse, limit).await
    }
    async fn read_with(
        &self,
        archive: &BareJid,
        contact: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        let logs = self.compact(archive).await;
        logs.read_with(archive, contact, range, reverse, limit)
            .await
    }
    async fn first_since(&self, archive: &BareJid, time_ms: u64) -> Result<u64> {
        let logs = self.compact(archive).await;
        logs.first_since(archive, time_ms).await
    }
    async fn rewrite(&self, archive: &BareJid, number: u64, change: &Rewrite<'_>) -> Result<bool> {
        let logs = self.compact(archive).await;
        logs.rewrite(archive, number, change).await
    }
    async fn truncate(&self, archive: &BareJid, before: u64) -> Result<u64> {
        let logs = self.compact(archive).await;
        logs.truncate(archive, before).await
    }
    async fn truncate_unarchived(&self, archive: &BareJid, before: u64) -> Result<u64> {
        let logs = self.compact(archive).await;
        logs.truncate_unarchived(archive, before).await
    }
    async fn blank(&self, archive: &BareJid, numbers: &[u64]) -> Result<()> {
        let logs = self.compact(archive).await;
        logs.blank(archive, numbers).await
    }
    async fn erase(&self, archive: &BareJid) -> Result<()> {
        let logs = self.compact(archive).await;
        logs.erase(archive).await
    }
}

async fn conforms(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, segment_entries: u64) {
    let repo = Compacting::over(table, blobs.clone(), segment_entries);
    conformance::logs_at_rest(&repo).await;
    // What counts is that segments were made at all.
    assert!(!blobs.list("", None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn logs_that_are_compacted_between_any_two_calls_conform() {
    for segment_entries in [10, 100] {
        let (table, blobs) = memory();
        conforms(table, blobs, segment_entries).await;
    }
}

#[tokio::test]
async fn compacted_logs_over_short_pages_conform() {
    let (table, blobs) = memory();
    let unruly = Arc::new(Unruly::over(table, blobs).with_page(2));
    conforms(unruly.clone(), unruly, 70).await;
}

#[tokio::test]
async fn compacted_logs_on_disk_conform() {
    let directory = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        sync: false,
        ..EmbeddedOptions::default()
    };
    let table = Embedded::open(directory.path().join("table"), options).unwrap();
    let blobs = DirectoryBlobs::open(directory.path().join("blobs")).unwrap();
    conforms(Arc::new(table), Arc::new(blobs), 200).await;
}
