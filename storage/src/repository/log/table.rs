//! Logs over a table: what changes them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::{BareJid, Jid};

use super::{
    EntryFlags, LogEntry, LogRange, LogRepository, NewEntry, Rewrite, Tip,
    codec::{self, Item, MAX_BYTES, MAX_ENTRIES},
    contacts::Wanted,
    read::Reader,
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{paging, record::repeat_on_conflict},
    shape::{Batch, Condition, Done, Key, Query, Space, Table},
};

/// How often a rewrite begins again when another was faster.
const MAX_ATTEMPTS: usize = 16;
/// How many items are removed at once.
const REMOVED_AT_ONCE: usize = 50;

/// The implementation over a table.
pub struct TableLogs {
    table: Arc<dyn Table>,
}

impl TableLogs {
    /// Logs in this table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self { table }
    }

    fn reader(&self, archive: &BareJid) -> Reader<'_> {
        Reader {
            table: &*self.table,
            partition: key::log(archive),
        }
    }

    async fn rewrite_once(
        &self,
        archive: &BareJid,
        number: u64,
        change: &Rewrite<'_>,
    ) -> Result<bool> {
        let reader = self.reader(archive);
        let Some((item, version)) = reader.item_with(number).await? else {
            return Ok(false);
        };
        let Some(entry) = item.entries(number, number).next().transpose()? else {
            return Ok(false);
        };
        let Some(new) = change(&entry) else {
            return Ok(false);
        };
        let value = item.with_entry(number, &new)?;
        let key = Key {
            space: Space::Log,
            partition: reader.partition,
            sort: key::number(item.first),
        };
        self.replace(key, value, version).await?;
        Ok(true)
    }

    async fn replace(&self, key: Key, value: Bytes, version: u64) -> Result<()> {
        let batch = Batch::new().put(key, value.clone(), Condition::Version(version));
        match self.table.write(batch).await {
            // What stands there is what was to be written: an earlier answer was lost.
            Err(error) if standing(&error) == Some(&value) => Ok(()),
            result => result,
        }
    }

    /// Blanks those of the numbers that the item of the first one holds; up to which number that was.
    async fn blank_once(&self, archive: &BareJid, numbers: &[u64]) -> Result<u64> {
        let reader = self.reader(archive);
        let Some((item, version)) = reader.item_with(numbers[0]).await? else {
            return Ok(numbers[0]);
        };
        let nobody = Jid::from(archive.clone());
        if let Some(value) = item.blanked(numbers, EntryFlags::ARCHIVED, &nobody)? {
            let key = Key {
                space: Space::Log,
                partition: reader.partition,
                sort: key::number(item.first),
            };
            self.replace(key, value, version).await?;
        }
        Ok(item.last())
    }

    /// Removes items that lie wholly before a number, up to the first that is to be kept.
    async fn truncate_until(
        &self,
        archive: &BareJid,
        before: u64,
        is_kept: impl Fn(&Item) -> Result<bool> + Send,
    ) -> Result<u64> {
        let reader = self.reader(archive);
        let Some(newest) = reader.newest().await? else {
            return Ok(1);
        };
        let mut query = reader.query(false, REMOVED_AT_ONCE);
        // The newest item carries the head.
        query.until = Some(key::number(newest.first));
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            let mut old = Vec::new();
            let mut kept = None;
            for record in records {
                let item = super::read::item_of(&record)?;
                if item.last() >= before || is_kept(&item)? {
                    kept = Some(item.first);
                    break;
                }
                old.push(record);
            }
            paging::delete_all(&*self.table, Space::Log, &reader.partition, old).await?;
            if let Some(first) = kept {
                return Ok(first);
            }
            if !more {
                return Ok(newest.first);
            }
        }
    }
}

/// The value that stood in the way of the first operation of a batch.
fn standing(error: &Error) -> Option<&Bytes> {
    let at = error.conflict_at().filter(|at| at.index == 0)?;
    at.current.as_ref().map(|record| &record.value)
}

/// The batch that appends entries at `head + 1`. Every item is put where no item is: of two appenders from the same
/// head one fails at the first item, which both begin at the same number.
fn append_batch(
    archive: &BareJid,
    head: u64,
    write_id: u64,
    entries: &[NewEntry],
) -> Result<Batch> {
    let partition = key::log(archive);
    let mut batch = Batch::new();
    let mut first = head + 1;
    let mut rest = entries;
    while !rest.is_empty() {
        let (item, beyond) = rest.split_at(entries_that_fit(rest));
        let key = Key {
            space: Space::Log,
            partition: partition.clone(),
            sort: key::number(first),
        };
        batch = batch.put(key, codec::encode(write_id, item), Condition::Absent);
        first += item.len() as u64;
        rest = beyond;
    }
    if batch.operations.len() > Batch::MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("append of {} entries", entries.len()),
        ));
    }
    Ok(batch)
}

/// How many of these entries share an item: at least one.
fn entries_that_fit(entries: &[NewEntry]) -> usize {
    let mut size = 0;
    let fits = entries.iter().take(MAX_ENTRIES).take_while(|entry| {
        size += codec::size_bound(entry);
        size <= MAX_BYTES
    });
    fits.count().max(1)
}

/// Success if what stood in the way was written by this very append.
fn recognise(result: Result<()>, write_id: u64) -> Result<()> {
    match result {
        Err(error)
            if standing(&error).and_then(|value| codec::write_id_of(value)) == Some(write_id) =>
        {
            Ok(())
        }
        result => result,
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
        let batch = append_batch(archive, head, write_id, entries)?;
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
        match append_batch(archive, head, write_id, entries) {
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
        let reader = self.reader(archive);
        if reverse {
            reader.backward(range, limit).await
        } else {
            reader.forward(range, limit).await
        }
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
        self.truncate_until(archive, before, |_| Ok(false)).await
    }

    async fn truncate_unarchived(&self, archive: &BareJid, before: u64) -> Result<u64> {
        let is_archived = |item: &Item| item.any(EntryFlags::ARCHIVED);
        self.truncate_until(archive, before, is_archived).await
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
        let reader = self.reader(archive);
        let mut query = reader.query(false, REMOVED_AT_ONCE);
        loop {
            // From the oldest up, so that a head never points below what is left.
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            paging::delete_all(&*self.table, Space::Log, &reader.partition, records).await?;
            if !more {
                break;
            }
        }
        // The rows last: none is added to a log without items.
        let mut query = Query {
            space: Space::Idx,
            partition: key::log_contacts(archive),
            ..reader.query(false, REMOVED_AT_ONCE)
        };
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            paging::delete_all(
                &*self.table,
                Space::Idx,
                &key::log_contacts(archive),
                records,
            )
            .await?;
            if !more {
                return Ok(());
            }
        }
    }
}
