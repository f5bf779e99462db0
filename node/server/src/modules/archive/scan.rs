//! One page of an archive: which entries of the log a query is answered with.
//!
//! Source: XEP-0313 v1.1.3 §4. Ids are log numbers, so every bound of a query is a bound of numbers and a page is a read
//! from where it begins. For `with` the log knows where a contact occurs.
//! Bounds: a page has at most the configured number of messages and [`MAX_PAGE_BYTES`] (a client that reads slowly must
//! not be overrun by its own archive); a count is given only where at most [`MAX_COUNTED`] entries are read for it.

use storage::repository::{EntryFlags, LogEntry, LogRange, LogRepository};
use xmpp::{BareJid, Jid, StanzaError, StanzaErrorCondition as Condition};

use super::query::Query;

/// Bytes of stanzas after which a page ends, however many it was to have.
const MAX_PAGE_BYTES: usize = 512 << 10;
/// Entries read at once.
const READ_AT_ONCE: usize = 256;
/// Entries that may be read to answer how many there are.
const MAX_COUNTED: usize = 4_096;

/// A page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PageOf {
    /// Its entries, oldest first.
    pub entries: Vec<LogEntry>,
    /// Nothing more matches in the direction of the paging.
    pub complete: bool,
    /// How many match, where that is known.
    pub count: Option<u32>,
}

/// What an archive is searched for.
pub struct Scan<'a> {
    /// The log.
    pub logs: &'a dyn LogRepository,
    /// Whose archive.
    pub archive: &'a BareJid,
    /// The query.
    pub query: &'a Query,
}

impl Scan<'_> {
    /// The page; `limit` is the most that a page has.
    ///
    /// # Errors
    /// `item-not-found` if an id that the query names is not in the archive; the store did not answer.
    pub async fn page(&self, limit: usize) -> Result<PageOf, StanzaError> {
        for number in self.query.named() {
            self.find(number).await?;
        }
        let max = self.query.max.map_or(limit, |max| limit.min(max as usize));
        let range = self.range().await?;
        let mut page = match (&self.query.ids, max) {
            (Some(ids), _) => self.of_ids(ids, range, max).await?,
            (None, 0) => self.counted(range).await?,
            (None, _) => self.of_range(range, max).await?,
        };
        // What begins at the beginning and ends at the end is all there is.
        if page.complete
            && self.query.page_after.is_none()
            && self.query.page_before.is_none()
            && page.count.is_none()
        {
            page.count = u32::try_from(page.entries.len()).ok();
        }
        Ok(page)
    }

    /// The oldest and the newest message of the archive (§5).
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn ends(&self) -> Result<Option<(LogEntry, LogEntry)>, StanzaError> {
        let ((mut first, _), (mut last, _)) = tokio::try_join!(
            self.collect(LogRange::ALL, false, 1, 0),
            self.collect(LogRange::ALL, true, 1, 0),
        )?;
        Ok(first.pop().zip(last.pop()))
    }

    /// An entry that must be there and be shown.
    async fn find(&self, number: u64) -> Result<LogEntry, StanzaError> {
        let range = LogRange {
            from: number,
            to: number,
        };
        let found = self.logs.read(self.archive, range, false, 1).await?.pop();
        found
            .filter(|entry| entry.flags.contains(EntryFlags::ARCHIVED))
            .ok_or_else(|| Condition::ItemNotFound.into())
    }

    /// The numbers between which the page lies. Times never decrease in a log, so times are numbers too.
    async fn range(&self) -> Result<LogRange, StanzaError> {
        let (query, mut range) = (self.query, LogRange::ALL);
        for after in [query.after_id, query.page_after].into_iter().flatten() {
            range.from = range.from.max(after + 1);
        }
        for before in [query.before_id, query.page_before].into_iter().flatten() {
            range.to = range.to.min(before - 1);
        }
        if let Some(start) = query.start_ms {
            range.from = range
                .from
                .max(self.logs.first_since(self.archive, start).await?);
        }
        if let Some(end) = query.end_ms {
            let beyond = self
                .logs
                .first_since(self.archive, end.saturating_add(1))
                .await?;
            range.to = range.to.min(beyond.saturating_sub(1));
        }
        Ok(range)
    }

    async fn of_range(&self, range: LogRange, max: usize) -> Result<PageOf, StanzaError> {
        let backwards = self.query.backwards;
        // One more than the page tells whether it is the last.
        let (mut entries, cut) = self
            .collect(range, backwards, max + 1, MAX_PAGE_BYTES)
            .await?;
        let complete = entries.len() <= max && !cut;
        entries.truncate(max);
        if backwards {
            entries.reverse();
        }
        Ok(PageOf {
            entries,
            complete,
            count: None,
        })
    }

    /// Exactly these, as far as they match; all of them must be there.
    async fn of_ids(
        &self,
        ids: &[u64],
        range: LogRange,
        max: usize,
    ) -> Result<PageOf, StanzaError> {
        let mut found = Vec::new();
        for id in ids {
            let entry = self.find(*id).await?;
            if range.from <= entry.number && entry.number <= range.to && self.matches(&entry) {
                found.push(entry);
            }
        }
        let count = u32::try_from(found.len()).ok();
        if self.query.backwards {
            found.reverse();
        }
        let mut bytes = 0;
        let fits = |entry: &&LogEntry| {
            bytes += entry.stanza.len();
            bytes <= MAX_PAGE_BYTES
        };
        let kept = found
            .iter()
            .take(max)
            .take_while(fits)
            .count()
            .max(max.min(1))
            .min(found.len());
        let complete = kept == found.len();
        found.truncate(kept);
        if self.query.backwards {
            found.reverse();
        }
        Ok(PageOf {
            entries: found,
            complete,
            count,
        })
    }

    /// No entry, only their number (XEP-0059 §2.7), if it can be told without reading for long.
    async fn counted(&self, range: LogRange) -> Result<PageOf, StanzaError> {
        let (mut from, mut read, mut count) = (range.from, 0, 0);
        loop {
            let page = self
                .read(LogRange { from, ..range }, false, READ_AT_ONCE)
                .await?;
            count += page.iter().filter(|entry| self.matches(entry)).count();
            read += page.len();
            match page.last() {
                Some(last) if page.len() == READ_AT_ONCE && read < MAX_COUNTED => {
                    from = last.number + 1
                }
                Some(_) if page.len() == READ_AT_ONCE => return Ok(PageOf::default()),
                _ => break,
            }
            tokio::task::yield_now().await;
        }
        Ok(PageOf {
            entries: Vec::new(),
            complete: count == 0,
            count: u32::try_from(count).ok(),
        })
    }

    /// Up to `wanted` matching entries from one end of a range; whether `max_bytes` (0: no bound) cut them short. At
    /// least one, however long.
    async fn collect(
        &self,
        mut range: LogRange,
        reverse: bool,
        wanted: usize,
        max_bytes: usize,
    ) -> Result<(Vec<LogEntry>, bool), StanzaError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let at_once = wanted.min(READ_AT_ONCE);
        while range.from <= range.to {
            let page = self.read(range, reverse, at_once).await?;
            let (read, last) = (page.len(), page.last().map(|entry| entry.number));
            for entry in page.into_iter().filter(|entry| self.matches(entry)) {
                bytes += entry.stanza.len();
                if max_bytes > 0 && bytes > max_bytes && !found.is_empty() {
                    return Ok((found, true));
                }
                found.push(entry);
                if found.len() == wanted {
                    return Ok((found, false));
                }
            }
            let Some(last) = last.filter(|_| read == at_once) else {
                break;
            };
            if reverse {
                range.to = last - 1;
            } else {
                range.from = last + 1;
            }
            tokio::task::yield_now().await;
        }
        Ok((found, false))
    }

    /// Entries of the log, of the contact that is asked for if one is.
    async fn read(
        &self,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> storage::Result<Vec<LogEntry>> {
        match &self.query.with {
            Some(with) => {
                let contact = with.to_bare();
                self.logs
                    .read_with(self.archive, &contact, range, reverse, limit)
                    .await
            }
            None => self.logs.read(self.archive, range, reverse, limit).await,
        }
    }

    fn matches(&self, entry: &LogEntry) -> bool {
        entry.flags.contains(EntryFlags::ARCHIVED)
            && !(self.query.without_groupchat && entry.flags.contains(EntryFlags::GROUPCHAT))
            && self
                .query
                .with
                .as_ref()
                .is_none_or(|with| is_with(with, &entry.peer))
    }
}

/// §4.1.1: a full address matches itself, a bare one all its resources. The other side of what the account sent to
/// itself is the account, and of nothing else.
fn is_with(with: &Jid, peer: &Jid) -> bool {
    if with.is_full() {
        with == peer
    } else {
        with.as_str() == peer.bare_str()
    }
}
