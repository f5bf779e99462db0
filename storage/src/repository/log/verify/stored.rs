//! Verifies what is stored: segments, what they share with the table, and the objects.

use super::{Problem, Progress, Report};
use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        log::{
            LogRange, TableLogs,
            codec::Item,
            compact::Keeping,
            read::{Reader, item_of, until},
            segment::{Frame, Segment, body},
        },
        object::{self, GRACE, Kind},
        paging,
    },
    sweep::is_pointed_at,
};

/// Records that are asked for at once.
const AT_ONCE: usize = 16;
/// Objects that are listed at once.
const LISTED: usize = 500;

impl TableLogs {
    /// Every frame of every segment.
    pub(super) async fn verify_segments(
        &self,
        reader: &Reader<'_>,
        report: &mut Report,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let mut query = reader.segments().query(false, AT_ONCE);
        let mut last = 0;
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            for record in &records {
                let segment = match Segment::of(record) {
                    Ok(segment) => segment,
                    Err(error) => {
                        report.add(unreadable(last + 1, &error));
                        continue;
                    }
                };
                report.segments += 1;
                report.object_bytes += segment.object_bytes();
                let made_for = object::read_name(&segment.object).map(|name| name.number);
                if segment.first <= last || made_for != Some(segment.first) {
                    report.add(Problem::SegmentsOverlap {
                        number: segment.first,
                    });
                }
                last = segment.last();
                self.verify_segment(reader, segment, report).await?;
                progress(report);
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn verify_segment(
        &self,
        reader: &Reader<'_>,
        segment: Segment,
        report: &mut Report,
    ) -> Result<()> {
        let segments = reader.segments();
        for at in 0..segment.frames.len() {
            let number = segment.numbered().nth(at).map_or(0, |(first, _)| first);
            let items = match segments.items(&segment, at..at + 1).await {
                Ok(items) => items,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    report.add(unreadable(number, &error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(items) = items else {
                // Replaced or dropped meanwhile, or missing: the record says which.
                let now = segments.at_or_before(segment.first).await?;
                return match now {
                    Some(now) if now == segment => {
                        report.add(Problem::Unreadable {
                            number,
                            why: format!("{} is missing", segment.object),
                        });
                        Ok(())
                    }
                    Some(now) if now.first == segment.first => {
                        Box::pin(self.verify_segment(reader, now, report)).await
                    }
                    _ => Ok(()),
                };
            };
            for item in items {
                report.frames += 1;
                if !is_indexed(&item, &segment, at)? {
                    report.add(Problem::WrongIndex { number });
                }
            }
        }
        Ok(())
    }

    /// What is in the table and in a segment.
    pub(super) async fn verify_overlap(
        &self,
        reader: &Reader<'_>,
        report: &mut Report,
    ) -> Result<()> {
        let segments = reader.segments();
        let Some(newest) = segments.at_or_before(u64::MAX - 1).await? else {
            return Ok(());
        };
        let mut query = reader.query(false, AT_ONCE);
        query.until = until(newest.last());
        loop {
            let (records, more) = paging::next_page(&*self.table, &mut query).await?;
            for record in &records {
                let Ok(item) = item_of(record) else {
                    continue;
                };
                report.overlapping_items += 1;
                if !self.is_of_segment(reader, &item).await? {
                    report.add(Problem::StrayItem { number: item.first });
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Whether an item has the times that its segment has: a rewrite keeps them.
    async fn is_of_segment(&self, reader: &Reader<'_>, item: &Item) -> Result<bool> {
        let segments = reader.segments();
        let Some(segment) = segments.at_or_before(item.first).await? else {
            return Ok(true);
        };
        if segment.last() < item.first {
            return Ok(true);
        }
        let range = LogRange {
            from: item.first,
            to: item.last(),
        };
        let Ok(Some(frames)) = segments.items(&segment, segment.frames_with(range)).await else {
            // Told where the segment was looked at.
            return Ok(true);
        };
        let mut times = Vec::new();
        for frame in &frames {
            for (number, time) in (frame.first..).zip(frame.times()) {
                if (range.from..=range.to).contains(&number) {
                    times.push(time?);
                }
            }
        }
        let own: Vec<u64> = item.times().collect::<Result<_>>()?;
        Ok(own == times)
    }

    /// Objects that nobody points at.
    pub(super) async fn verify_objects(
        &self,
        reader: &Reader<'_>,
        keeping: &Keeping<'_>,
        report: &mut Report,
    ) -> Result<()> {
        for kind in [Kind::Segment, Kind::Stanza] {
            let prefix = object::prefix(reader.archive, kind);
            let mut after: Option<String> = None;
            loop {
                let listed = self.blobs.list(&prefix, after.as_deref(), LISTED).await?;
                for name in &listed {
                    if is_pointed_at(self, reader.archive, name).await? {
                        continue;
                    }
                    let made = object::read_name(name).map(|name| name.made_ms);
                    if made.is_some_and(|made| made > keeping.since(GRACE)) {
                        report.objects_under_way += 1;
                    } else {
                        let object = name.clone();
                        report.add(Problem::Dangling { object });
                    }
                }
                match listed.last() {
                    Some(last) if listed.len() == LISTED => after = Some(last.clone()),
                    _ => break,
                }
            }
        }
        Ok(())
    }
}

/// Whether the index says of a frame what it is; its bytes were compared when they were read.
fn is_indexed(item: &Item, segment: &Segment, at: usize) -> Result<bool> {
    let frame = &segment.frames[at];
    let found = body::describe(item, &[])?;
    let (length, crc) = (frame.length, frame.crc);
    Ok(*frame
        == Frame {
            length,
            crc,
            ..found
        })
}

fn unreadable(number: u64, error: &Error) -> Problem {
    Problem::Unreadable {
        number,
        why: error.to_string(),
    }
}
