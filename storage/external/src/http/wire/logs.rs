//! Logs.

use serde::{Deserialize, Serialize};
use storage::{
    Result,
    repository::{EntryFlags, LogEntry, NewEntry},
};
use xmpp::Jid;

use super::{MAX_NUMBER, text_of, wrong};

#[derive(Serialize, Deserialize)]
pub(in crate::http) struct Entry {
    #[serde(default, skip_serializing)]
    number: u64,
    time_ms: u64,
    flags: u16,
    peer: String,
    stanza: String,
}

#[derive(Serialize)]
pub(in crate::http) struct Append {
    pub(in crate::http) head: u64,
    pub(in crate::http) write_id: String,
    pub(in crate::http) entries: Vec<Entry>,
}

#[derive(Deserialize)]
pub(in crate::http) struct TipOf {
    pub(in crate::http) head: u64,
    pub(in crate::http) time_ms: u64,
}

#[derive(Deserialize)]
pub(in crate::http) struct Page {
    pub(in crate::http) entries: Vec<Entry>,
    pub(in crate::http) more: bool,
}

#[derive(Deserialize)]
pub(in crate::http) struct Number {
    pub(in crate::http) number: u64,
}

#[derive(Serialize)]
pub(in crate::http) struct Truncate {
    pub(in crate::http) before: u64,
    pub(in crate::http) keep_archived: bool,
}

#[derive(Serialize)]
pub(in crate::http) struct Numbers<'a> {
    pub(in crate::http) numbers: &'a [u64],
}

#[derive(Deserialize)]
pub(in crate::http) struct OneEntry {
    pub(in crate::http) entry: Entry,
    pub(in crate::http) version: u64,
}

impl Entry {
    pub(in crate::http) fn of(entry: &NewEntry) -> Result<Self> {
        Ok(Self {
            number: 0,
            time_ms: entry.time_ms.min(MAX_NUMBER),
            flags: entry.flags.bits(),
            peer: entry.peer.as_str().to_owned(),
            stanza: text_of(&entry.stanza)?,
        })
    }

    pub(in crate::http) fn entry(self) -> Result<LogEntry> {
        Ok(LogEntry {
            number: self.number,
            time_ms: self.time_ms,
            flags: EntryFlags::from_bits(self.flags),
            peer: Jid::parse(&self.peer).map_err(|_| wrong("an address"))?,
            stanza: self.stanza.into(),
        })
    }
}
