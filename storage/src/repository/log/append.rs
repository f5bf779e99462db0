//! What an append writes, and how it recognises itself.

use bytes::Bytes;
use xmpp::BareJid;

use super::{
    NewEntry, TableLogs,
    codec::{self, MAX_BYTES, MAX_ENTRIES},
    large::{self, Drafts},
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    shape::{Batch, Condition, Done, Key, Space},
};

/// What is appended: at `head + 1` and so on.
pub(super) struct Append<'a> {
    pub(super) archive: &'a BareJid,
    pub(super) head: u64,
    pub(super) write_id: u64,
    pub(super) entries: &'a [NewEntry],
}

impl Append<'_> {
    /// The batch. Every item is put where no item is: of two appenders from the same head one fails at the first item,
    /// which both begin at the same number.
    pub(super) fn batch(&self, drafts: &Drafts) -> Result<Batch> {
        let partition = key::log(self.archive);
        let mut batch = Batch::new();
        let mut done = 0;
        while done < self.entries.len() {
            let rest = &self.entries[done..];
            let item = &rest[..entries_that_fit(rest, |at| drafts.extensions(done + at))];
            let key = Key {
                space: Space::Log,
                partition: partition.clone(),
                sort: key::number(self.head + 1 + done as u64),
            };
            let extensions = |at| drafts.extensions(done + at);
            let value = codec::encode(self.write_id, item, extensions);
            batch = batch.put(key, value, Condition::Absent);
            done += item.len();
        }
        if batch.operations.len() > Batch::MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("append of {} entries", self.entries.len()),
            ));
        }
        Ok(batch)
    }
}

impl TableLogs {
    /// Appends with stanzas that do not fit.
    pub(super) async fn append_large(&self, append: Append<'_>, long: &[usize]) -> Result<()> {
        let Append {
            archive,
            head,
            write_id,
            entries,
        } = append;
        // Of the log itself nothing was asked yet: whatever the objects' store answered, nothing was appended.
        let drafts = Drafts::put(&*self.blobs, &self.clock, archive, head + 1, entries, long)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Unavailable => {
                    Error::new(ErrorKind::Throttled, "a large message was not stored")
                        .with_source(error)
                }
                _ => error,
            })?;
        let batch = append.batch(&drafts);
        let result = match (batch, drafts.check()) {
            (Ok(batch), Ok(())) => self.table.write(batch).await,
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        let recognised = recognise(result.clone(), write_id);
        if recognised.is_err() {
            drafts.settle(&*self.blobs, &result).await;
        }
        recognised
    }

    /// The same without waiting.
    pub(super) fn submit_large(&self, append: &Append<'_>, long: Vec<usize>, done: Done) {
        let logs = self.clone();
        let (archive, entries) = (append.archive.clone(), append.entries.to_vec());
        let (head, write_id) = (append.head, append.write_id);
        tokio::spawn(async move {
            let append = Append {
                archive: &archive,
                head,
                write_id,
                entries: &entries,
            };
            done(logs.append_large(append, &long).await);
        });
    }

    /// Which of these stanzas do not fit.
    pub(super) fn too_long(&self, entries: &[NewEntry]) -> Vec<usize> {
        large::too_long(entries, self.inline_max)
    }
}

/// How many of these entries share an item: at least one.
fn entries_that_fit<'a>(entries: &[NewEntry], extensions: impl Fn(usize) -> &'a [u8]) -> usize {
    let mut size = 0;
    let fits = entries
        .iter()
        .enumerate()
        .take(MAX_ENTRIES)
        .take_while(|(at, entry)| {
            let elsewhere = extensions(*at).len();
            size += codec::size_bound(entry);
            if elsewhere > 0 {
                size -= entry.stanza.len() - elsewhere.min(entry.stanza.len());
            }
            size <= MAX_BYTES
        });
    fits.count().max(1)
}

/// The value that stood in the way of the first operation of a batch.
pub(super) fn standing(error: &Error) -> Option<&Bytes> {
    let at = error.conflict_at().filter(|at| at.index == 0)?;
    at.current.as_ref().map(|record| &record.value)
}

/// Success if what stood in the way was written by this very append.
pub(super) fn recognise(result: Result<()>, write_id: u64) -> Result<()> {
    match result {
        Err(error)
            if standing(&error).and_then(|value| codec::write_id_of(value)) == Some(write_id) =>
        {
            Ok(())
        }
        result => result,
    }
}
