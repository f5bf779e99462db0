//! Logs of a service: dense, appended at the head, read in ranges.
//!
//! Cost: an append is one request, however many entries; a read one for each page that the service tells at once; a rewrite
//! a read and a write.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use storage::{
    Error, ErrorKind, Result,
    repository::{LogEntry, LogRange, LogRepository, NewEntry, Rewrite, Tip},
    shape::Done,
};
use tokio::runtime::Handle;
use xmpp::BareJid;

use super::{
    Http,
    call::{Call, Condition},
    client::Client,
    wire::{Append, Entry, MAX_NUMBER, Number, Numbers, OneEntry, Page, TipOf, Truncate},
};
use crate::corrupt;

/// How often a rewrite begins again when another was faster.
const MAX_ATTEMPTS: usize = 16;
/// Entries that are asked for at once.
const PAGE: usize = 1_000;
/// Entries of one append.
const MAX_APPENDED: usize = 6_400;

/// The logs of a service.
pub struct HttpLogs {
    client: Arc<Client>,
    runtime: Handle,
}

impl HttpLogs {
    /// Of this service. Appends that nobody waits for run on `runtime`.
    pub fn new(http: &Http, runtime: Handle) -> Self {
        Self {
            client: http.client.clone(),
            runtime,
        }
    }

    async fn pages(
        &self,
        archive: &BareJid,
        contact: Option<&BareJid>,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        let mut found: Vec<LogEntry> = Vec::new();
        let LogRange { mut from, mut to } = range;
        while found.len() < limit && from <= to.min(MAX_NUMBER) {
            let mut call = Call::get(&["logs", archive.as_str(), "entries"])
                .with_query("from", from)
                .with_query("limit", PAGE.min(limit - found.len()))
                .with_query("reverse", reverse);
            if to <= MAX_NUMBER {
                call = call.with_query("to", to);
            }
            if let Some(contact) = contact {
                call = call.with_query("with", contact.as_str());
            }
            let page: Page = self.client.ask(call).await?.json()?;
            let entries = page.entries.into_iter().map(Entry::entry);
            for entry in entries {
                let entry = entry?;
                if !(from..=to).contains(&entry.number) {
                    return Err(corrupt("the service tells entries in a wrong order"));
                }
                match reverse {
                    false => from = entry.number + 1,
                    true => to = entry.number.saturating_sub(1),
                }
                found.push(entry);
            }
            if !page.more || to == 0 {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn truncated(&self, archive: &BareJid, before: u64, keep_archived: bool) -> Result<u64> {
        let call = Call::new(Method::POST, &["logs", archive.as_str(), "truncate"]);
        let call = call.with_body(&Truncate {
            before: before.min(MAX_NUMBER),
            keep_archived,
        });
        Ok(self.client.ask(call).await?.json::<Number>()?.number)
    }

    /// `None`: another was faster.
    async fn rewrite_once(
        &self,
        archive: &BareJid,
        number: u64,
        change: &Rewrite<'_>,
    ) -> Result<Option<bool>> {
        let text = number.to_string();
        let path = ["logs", archive.as_str(), "entries", text.as_str()];
        let Some(found) = self.client.find(Call::get(&path)).await? else {
            return Ok(Some(false));
        };
        let found: OneEntry = found.json()?;
        let Some(new) = change(&found.entry.entry()?) else {
            return Ok(Some(false));
        };
        let call = Call::new(Method::PUT, &path)
            .if_seen(Condition::Version(found.version))
            .with_body(&Entry::of(&new)?);
        match self.client.find(call).await {
            Ok(written) => Ok(Some(written.is_some())),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The request for an append; `None`: there is nothing to append.
fn append(
    archive: &BareJid,
    head: u64,
    write_id: u64,
    entries: &[NewEntry],
) -> Result<Option<Call>> {
    if entries.is_empty() {
        return Ok(None);
    }
    if entries.len() > MAX_APPENDED {
        let context = format!("append of {} entries", entries.len());
        return Err(Error::new(ErrorKind::TooLarge, context));
    }
    let body = Append {
        head,
        write_id: format!("{write_id:016x}"),
        entries: entries.iter().map(Entry::of).collect::<Result<_>>()?,
    };
    let call = Call::new(Method::POST, &["logs", archive.as_str(), "entries"]);
    Ok(Some(call.with_body(&body)))
}

#[async_trait]
impl LogRepository for HttpLogs {
    async fn tip(&self, archive: &BareJid) -> Result<Tip> {
        let call = Call::get(&["logs", archive.as_str()]);
        let tip: TipOf = self.client.ask(call).await?.json()?;
        Ok(Tip {
            head: tip.head,
            time_ms: tip.time_ms,
        })
    }

    async fn append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
    ) -> Result<()> {
        match append(archive, head, write_id, entries)? {
            None => Ok(()),
            // A log is there as soon as something is appended: that it is not says nothing of what was done.
            Some(call) => self.client.ask(call).await.map(drop),
        }
    }

    fn submit_append(
        &self,
        archive: &BareJid,
        head: u64,
        write_id: u64,
        entries: &[NewEntry],
        done: Done,
    ) {
        match append(archive, head, write_id, entries) {
            Err(error) => done(Err(error)),
            Ok(None) => done(Ok(())),
            Ok(Some(call)) => {
                let client = self.client.clone();
                self.runtime
                    .spawn(async move { done(client.ask(call).await.map(drop)) });
            }
        }
    }

    async fn read(
        &self,
        archive: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        self.pages(archive, None, range, reverse, limit).await
    }

    async fn read_with(
        &self,
        archive: &BareJid,
        contact: &BareJid,
        range: LogRange,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<LogEntry>> {
        self.pages(archive, Some(contact), range, reverse, limit)
            .await
    }

    async fn first_since(&self, archive: &BareJid, time_ms: u64) -> Result<u64> {
        let call = Call::get(&["logs", archive.as_str(), "first-since"])
            .with_query("time_ms", time_ms.min(MAX_NUMBER));
        Ok(self.client.ask(call).await?.json::<Number>()?.number)
    }

    async fn rewrite(&self, archive: &BareJid, number: u64, change: &Rewrite<'_>) -> Result<bool> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(changed) = self.rewrite_once(archive, number, change).await? {
                return Ok(changed);
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "an entry is being changed by others",
        ))
    }

    async fn truncate(&self, archive: &BareJid, before: u64) -> Result<u64> {
        self.truncated(archive, before, false).await
    }

    async fn truncate_unarchived(&self, archive: &BareJid, before: u64) -> Result<u64> {
        self.truncated(archive, before, true).await
    }

    async fn blank(&self, archive: &BareJid, numbers: &[u64]) -> Result<()> {
        for numbers in numbers.chunks(PAGE) {
            let call = Call::new(Method::POST, &["logs", archive.as_str(), "blank"]);
            let call = call.with_body(&Numbers { numbers });
            self.client.ask(call).await?;
        }
        Ok(())
    }

    async fn erase(&self, archive: &BareJid) -> Result<()> {
        let call = Call::new(Method::DELETE, &["logs", archive.as_str()]);
        self.client.find(call).await.map(drop)
    }
}
