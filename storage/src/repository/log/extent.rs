//! What there is of a log, and where: for people who ask.

use xmpp::BareJid;

use super::{
    LogRange, TableLogs,
    read::{Reader, item_of},
    segment::Segment,
};
use crate::{error::Result, repository::paging};

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 100;

/// What there is of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Number of the oldest entry that is stored; 0: there is none.
    pub first: u64,
    /// Number of the newest entry; 0: there never was one.
    pub head: u64,
    /// Time of the oldest entry, in milliseconds since 1970.
    pub first_ms: u64,
    /// Time of the newest entry.
    pub last_ms: u64,
    /// Items in the table.
    pub items: u64,
    /// Entries in them.
    pub item_entries: u64,
    /// Their bytes.
    pub item_bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Entries in them that are shown.
    pub segment_entries: u64,
    /// Bytes of their objects.
    pub object_bytes: u64,
}

impl Extent {
    /// How many entries are stored.
    pub fn entries(&self) -> u64 {
        match self.first {
            0 => 0,
            first => (self.head + 1).saturating_sub(first),
        }
    }

    fn begin(&mut self, number: u64, time_ms: u64) {
        if self.first == 0 || number < self.first {
            self.first = number;
            self.first_ms = time_ms;
        }
    }

    async fn count_items(&mut self, reader: &Reader<'_>) -> Result<()> {
        let mut query = reader.query(false, RECORDS_AT_ONCE);
        loop {
            let (records, more) = paging::next_page(reader.table, &mut query).await?;
            for record in &records {
                let item = item_of(record)?;
                self.begin(
                    item.first,
                    item.times().next().transpose()?.unwrap_or_default(),
                );
                self.head = item.last();
                self.last_ms = item.times().last().transpose()?.unwrap_or_default();
                self.items += 1;
                self.item_entries += item.last() + 1 - item.first;
                self.item_bytes += record.value.len() as u64;
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn count_segments(&mut self, reader: &Reader<'_>) -> Result<()> {
        let mut query = reader.segments().query(false, RECORDS_AT_ONCE);
        loop {
            let (records, more) = paging::next_page(reader.table, &mut query).await?;
            for record in &records {
                let segment = Segment::of(record)?;
                self.begin(segment.from, segment.times().0);
                self.segments += 1;
                self.segment_entries += (segment.last() + 1).saturating_sub(segment.from);
                self.object_bytes += segment.object_bytes();
            }
            if !more {
                return Ok(());
            }
        }
    }
}

impl TableLogs {
    /// What there is of a log. Reads all of it that is in the table, and the records of its segments.
    ///
    /// # Errors
    /// The store did not answer, or `Corrupt`.
    pub async fn extent(&self, archive: &BareJid) -> Result<Extent> {
        let reader = self.reader(archive);
        let mut extent = Extent::default();
        // In this order nothing is missed that is compacted meanwhile.
        extent.count_items(&reader).await?;
        extent.count_segments(&reader).await?;
        if extent.segments > 0 {
            // A record tells the time of a frame; what is shown may begin within it.
            let only = LogRange {
                from: extent.first,
                to: extent.first,
            };
            let found = reader.read(only, false, 1).await?;
            extent.first_ms = found.first().map_or(extent.first_ms, |it| it.time_ms);
        }
        Ok(extent)
    }
}
