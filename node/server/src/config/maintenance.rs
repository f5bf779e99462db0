//! What is kept of archives, and the section `maintenance`: what is done for stores in the background.

use std::time::Duration;

use storage::{
    maintenance::MaintenanceOptions,
    repository::{Compaction, Retention},
};

use super::{
    Archive, Config, Feature, Store,
    raw::{Node, Value},
    reader::{Section, Wrong, boolean, duration, number},
};

/// What is done for stores in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maintenance {
    /// Whether old messages become compressed objects; `None`: where messages are kept in DynamoDB, which charges for
    /// every kilobyte.
    pub compact: Option<bool>,
    /// Messages that are younger stay in the table. A day at least: a node trusts what it knows of a log for an hour.
    pub compact_after: Duration,
    /// The newest messages of an account stay in the table, so many.
    pub tail: u64,
    /// Messages of an object.
    pub segment: u64,
    /// Whether objects that nobody points at are removed. Not unless it is asked for: other tables, such as those restored
    /// from a backup, may point at objects of the same bucket.
    pub sweep: bool,
    /// A round begins no sooner than this after the one before.
    pub interval: Duration,
    /// How long is rested between two steps of a round.
    pub pause: Duration,
}

impl Default for Maintenance {
    fn default() -> Self {
        let compaction = Compaction::default();
        Self {
            compact: None,
            compact_after: compaction.min_age,
            tail: compaction.tail_entries,
            segment: compaction.segment_entries,
            sweep: false,
            interval: Duration::from_secs(86_400),
            pause: Duration::from_millis(250),
        }
    }
}

impl Config {
    /// When logs are compacted, whether they are or not.
    pub fn compaction(&self) -> Compaction {
        let written = &self.maintenance;
        let usual = Compaction::default();
        Compaction {
            tail_entries: written.tail,
            min_age: written.compact_after,
            segment_entries: written.segment,
            // Never before the rest.
            idle_age: usual.idle_age.max(written.compact_after),
            idle_entries: usual.idle_entries.min(written.segment),
            ..usual
        }
    }

    /// What is done for a domain in the background. Nothing is swept unless somebody says so.
    pub fn maintained(&self, domain: &str) -> MaintenanceOptions {
        let in_dynamodb = match self.storage.kept_in(Feature::Messages, domain) {
            None | Some("main") => matches!(self.storage.main, Store::DynamoDb(_)),
            Some(name) => matches!(self.storage.others.get(name), Some(Store::DynamoDb(_))),
        };
        let compacts = self.maintenance.compact.unwrap_or(in_dynamodb);
        MaintenanceOptions {
            compaction: compacts.then(|| self.compaction()),
            retention: Retention {
                max_age: self.archive.retention,
                max_entries: self.archive.max_messages,
            },
            sweep: None,
            interval: self.maintenance.interval,
            ..MaintenanceOptions::default()
        }
    }
}

/// What is kept of archives: the last keys of that section.
pub(super) fn retention(section: &mut Section<'_>, archive: &mut Archive) {
    section.read("retention", &mut archive.retention, |node| {
        unless(node, "never", duration("1d", "5200w"))
    });
    let mut max = archive.max_messages.unwrap_or(0);
    section.read("max_messages", &mut max, number(0, i64::MAX));
    archive.max_messages = (max > 0).then_some(max);
}

/// Reads the section.
pub(super) fn maintenance(mut section: Section<'_>, maintenance: &mut Maintenance) {
    section.read("compact", &mut maintenance.compact, |node| {
        unless(node, "auto", boolean)
    });
    section.read(
        "compact_after",
        &mut maintenance.compact_after,
        duration("1d", "520w"),
    );
    section.read("tail", &mut maintenance.tail, number(1, 1_000_000));
    section.read("segment", &mut maintenance.segment, number(64, 16_384));
    section.read("sweep", &mut maintenance.sweep, boolean);
    section.read("interval", &mut maintenance.interval, duration("1h", "52w"));
    section.read("pause", &mut maintenance.pause, duration("0s", "1h"));
    section.finish();
}

/// A value, unless it is this word.
fn unless<T>(
    node: &Node,
    word: &str,
    parse: impl FnOnce(&Node) -> Result<T, Wrong>,
) -> Result<Option<T>, Wrong> {
    match &node.value {
        Value::Text(text) if text == word => Ok(None),
        _ => parse(node).map(Some),
    }
}
