//! Logs over a table and blobs.

use std::sync::Arc;

use async_trait::async_trait;
use xmpp::BareJid;

use super::{
    LogEntry, LogRange, LogRepository, NewEntry, Rewrite, Tip,
    append::{Append, recognise},
    contacts::Wanted,
    front::Cut,
    large::Drafts,
    read::Reader,
};
use crate::{
    clock::{Clock, SystemClock},
    error::Result,
    key,
    repository::record::repeat_on_conflict,
    shape::{Blobs, Done, Table},
};

/// How often a rewrite begins again when another was faster.
const MAX_ATTEMPTS: usize = 16;

/// The implementation over a table, and over blobs for what is old or large.
#[derive(Clone)]
pub struct TableLogs {
    pub(super) table: Arc<dyn Table>,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inline_max: usize,
}

impl TableLogs {
    /// Logs in this table; stanzas of more than `inline_max` bytes in these blobs, and what was compacted.
    pub fn new(table: Arc<dyn Table>, blobs: Arc<dyn Blobs>, inline_max: usize) -> Self {
        Self {
            table,
            blobs,
            clock: Arc::new(SystemClock),
            inline_max,
        }
    }

    /// The same under this clock, which names objects.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The table.
    pub(crate) fn table(&self) -> Arc<dyn Table> {
        self.table.clone()
    }

    pub(super) fn reader<'a>(&'a self, archive: &'a BareJid) -> Reader<'a> {
        Reader {
            table: &*self.table,
            blobs: &*self.blobs,
            clock: &self.clock,
            archive,
            partition: key::log(archive),
        }
    }

    async fn drop_before(&self, archive: &BareJid, before: u64, unarchived: bool) -> Result<u64> {
        let cut = Cut {
            before,
            unarchived,
            fence: None,
        };
        repeat_on_conflict(MAX_ATTEMPTS, || self.cut(archive, &cut)).await
    }
}

#[async_trait]
impl LogRepository for TableLogs {
    async fn tip(&self, archive: &BareJid) -> Result<Tip> {
        self.reader(archive).tip().await
    }

    async fn append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
    ) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let append = Append {
            archive,
            head,
            write_id,
            entries,
        };
        let long = self.too_long(entries);
        if !long.is_empty() {
            return Box::pin(self.append_large(append, &long)).await;
        }
        let batch = append.batch(&Drafts::default())?;
        recognise(self.table.write(batch).await, write_id)
    }

    fn submit_append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
        done: Done,
    ) {
        if entries.is_empty() {
            return done(Ok(()));
        }
        let append = Append {
            archive,
            head,
            write_id,
            entries,
        };
        let long = self.too_long(entries);
        if !long.is_empty() {
            return self.submit_large(&append, long, done);
        }
        match append.batch(&Drafts::default()) {
            Ok(batch) => {
                let done = Box::new(move |result| done(recognise(result, write_id)));
                self.table.clone().submit(batch, done);
            }
            Err(error) => done(Err(error)),
        }
    }

    async fn read(
        &self,
        archive: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        self.reader(archive).read(range, reverse, limit).await
    }

    async fn read_with(
        &self,
        archive: &BareJid,
        contact: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        let wanted = Wanted {
            contact,
            range,
            reverse,
            limit,
        };
        let rows = key::log_contacts(archive);
        self.reader(archive).with(&rows, &wanted).await
    }

    async fn first_since(&self, archive: &BareJid, time_ms: u64) -> Result<u64> {
        self.reader(archive).first_since(time_ms).await
    }

    async fn rewrite(&self, archive: &BareJid, number: u64, change: &Rewrite<'_>) -> Result<bool> {
        repeat_on_conflict(MAX_ATTEMPTS, || self.rewrite_once(archive, number, change)).await
    }

    async fn truncate(&self, archive: &BareJid, before: u64) -> Result<u64> {
        self.drop_before(archive, before, false).await
    }

    async fn truncate_unarchived(&self, archive: &BareJid, before: u64) -> Result<u64> {
        self.drop_before(archive, before, true).await
    }

    async fn blank(&self, archive: &BareJid, numbers: &[u64]) -> Result<()> {
        let mut rest = numbers;
        while !rest.is_empty() {
            let last = repeat_on_conflict(MAX_ATTEMPTS, || self.blank_once(archive, rest)).await?;
            rest = &rest[rest.partition_point(|number| *number <= last)..];
        }
        Ok(())
    }

    async fn erase(&self, archive: &BareJid) -> Result<()> {
        self.erase_records(archive).await?;
        self.erase_objects(archive).await
    }
}
