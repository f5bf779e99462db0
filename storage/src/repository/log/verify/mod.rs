//! Verifies an archive: everything that is stored of a log, read and compared.
//!
//! Twice: as a reader sees it (numbers without gaps, times that never go back, entries that decode, stanzas that are
//! there, contacts that are named), and as it is stored (every frame of every segment against its checksum and its index,
//! what is in both places, objects that nobody points at). A log in use may be verified: what moves meanwhile is looked at
//! again before it is called a problem.

mod report;
mod stored;

use std::{collections::BTreeSet, ops::ControlFlow};

use bytes::Bytes;
use hashbrown::HashMap;
pub use report::{Problem, Report};

use super::{
    LogRange, TableLogs,
    compact::Keeping,
    contacts::{self, BLOCK},
    large::{self, Large},
    read::Reader,
    walk::{Part, Place, Sink},
};
use crate::{
    error::{ErrorKind, Result},
    key,
};

/// Entries that are looked at together.
const AT_ONCE: usize = 1_024;

/// Is told how far it is.
pub type Progress<'a> = dyn FnMut(&Report) + Send + 'a;

/// What the entries of a stretch said.
struct Seen {
    next: u64,
    time_ms: u64,
    pointers: Vec<(u64, Bytes)>,
    problems: Vec<Problem>,
    entries: [u64; 2],
}

impl TableLogs {
    /// Reads all of an archive and says what is wrong with it. Objects that are younger than a sweep looks at count as
    /// under way.
    ///
    /// # Errors
    /// The store did not answer. What is damaged is no error but a problem of the report.
    pub async fn verify(
        &self,
        keeping: &Keeping<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Report> {
        let mut report = Report::new(keeping.archive.clone());
        let reader = self.reader(keeping.archive);
        let floor = keeping.floor().await?;
        self.verify_entries(&reader, floor, &mut report, progress)
            .await?;
        self.verify_segments(&reader, &mut report, progress).await?;
        self.verify_overlap(&reader, &mut report).await?;
        self.verify_objects(&reader, keeping, &mut report).await?;
        progress(&report);
        Ok(report)
    }

    /// As a reader sees it.
    async fn verify_entries(
        &self,
        reader: &Reader<'_>,
        floor: u64,
        report: &mut Report,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let head = reader.tip().await?.head;
        let mut peers: HashMap<u64, BTreeSet<u32>> = HashMap::new();
        let mut seen = Seen {
            next: 0,
            time_ms: 0,
            pointers: Vec::new(),
            problems: Vec::new(),
            entries: [0, 0],
        };
        let (mut from, mut at_once) = (1, AT_ONCE);
        while from <= head {
            let range = LogRange { from, to: head };
            let mut take = |part: &Part| {
                seen.look_at(part, floor, &mut peers)?;
                Ok(ControlFlow::Continue(()))
            };
            let walked = reader
                .walk(range, false, &mut Sink::new(at_once, &mut take))
                .await;
            match walked {
                Ok(()) if seen.next <= from => break,
                Ok(()) => from = seen.next,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    from = seen.next.max(from);
                    // One by one, to say what it is.
                    if at_once == 1 {
                        seen.problems.push(Problem::Unreadable {
                            number: from,
                            why: error.to_string(),
                        });
                        from = self.beyond_damage(reader, from).await?;
                        seen.next = 0;
                        at_once = AT_ONCE;
                    } else {
                        at_once = 1;
                    }
                }
                Err(error) => return Err(error),
            }
            for problem in std::mem::take(&mut seen.problems) {
                self.report(reader, problem, report).await?;
            }
            [report.in_table, report.in_segments] = seen.entries;
            for (number, pointer) in std::mem::take(&mut seen.pointers) {
                self.verify_stanza(reader, number, &pointer, report).await?;
            }
            self.verify_rows(reader, &mut peers, from, report).await?;
            progress(report);
        }
        report.head = head;
        Ok(())
    }

    /// Adds a problem, unless the front of the log went meanwhile.
    async fn report(&self, reader: &Reader<'_>, problem: Problem, to: &mut Report) -> Result<()> {
        if let Problem::Gap { to: last, .. } = problem {
            let mut lowest = u64::MAX;
            let mut take = |part: &Part| {
                lowest = part.numbers.from;
                Ok(ControlFlow::Break(()))
            };
            let mut sink = Sink::new(1, &mut take);
            let walked = reader.walk(LogRange::ALL, false, &mut sink).await;
            if walked.is_ok() && lowest > last {
                return Ok(());
            }
        }
        to.add(problem);
        Ok(())
    }

    /// The number with which to go on.
    async fn beyond_damage(&self, reader: &Reader<'_>, at: u64) -> Result<u64> {
        let mut query = reader.query(false, 1);
        query.from = Some(key::number(at + 1));
        let next = self.table.query(&query).await?.records;
        let next = next
            .first()
            .and_then(|record| key::read_number(&record.sort))
            .unwrap_or(u64::MAX);
        let frame = match reader.segments().showing(at).await {
            Ok(Some(segment)) => {
                let at = LogRange { from: at, to: at };
                let frame = segment.frames_with(at).start;
                let firsts = segment.numbered().map(|(first, _)| first);
                firsts
                    .into_iter()
                    .nth(frame + 1)
                    .unwrap_or(segment.last() + 1)
            }
            _ => u64::MAX,
        };
        Ok(next.min(frame).max(at + 1))
    }

    async fn verify_stanza(
        &self,
        reader: &Reader<'_>,
        number: u64,
        pointer: &Bytes,
        report: &mut Report,
    ) -> Result<()> {
        let found = match Large::parse(pointer) {
            Ok(large) => large::fetch(&*self.blobs, &large).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(Some(_)) => report.large += 1,
            // Unless it was rewritten meanwhile.
            Ok(None)
                if super::change::pointer_at(reader, number).await?.as_ref() == Some(pointer) =>
            {
                report.add(Problem::NoStanza { number });
            }
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                report.add(Problem::Unreadable {
                    number,
                    why: error.to_string(),
                });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whoever occurs in a block is named in its row, if it has one.
    async fn verify_rows(
        &self,
        reader: &Reader<'_>,
        peers: &mut HashMap<u64, BTreeSet<u32>>,
        next: u64,
        report: &mut Report,
    ) -> Result<()> {
        let whole: Vec<u64> = peers
            .keys()
            .copied()
            .filter(|block| (block + 1) * BLOCK <= next)
            .collect();
        for block in whole {
            let seen = peers.remove(&block).unwrap_or_default();
            let rows = key::log_contacts(reader.archive);
            let found = reader.rows(&rows, block..block + 1).await?;
            let Some(row) = found.get(&block) else {
                continue;
            };
            report.rows += 1;
            match contacts::all_named(row, &seen) {
                Ok(true) => {}
                Ok(false) => report.add(Problem::ContactNotNamed { block }),
                Err(error) => report.add(Problem::Unreadable {
                    number: block * BLOCK,
                    why: error.to_string(),
                }),
            }
        }
        Ok(())
    }
}

impl Seen {
    fn look_at(
        &mut self,
        part: &Part,
        floor: u64,
        peers: &mut HashMap<u64, BTreeSet<u32>>,
    ) -> Result<()> {
        let LogRange { from, to } = part.numbers;
        if self.next > 0 && from > self.next {
            self.problems.push(Problem::Gap {
                from: self.next,
                to: from - 1,
            });
        }
        let is_table = matches!(part.place, Place::Item(_));
        for (number, raw) in part.item.raw_entries(from, to) {
            let raw = raw?;
            let found = part.item.entry(number, raw)?;
            self.next = number + 1;
            self.entries[usize::from(!is_table)] += 1;
            if found.entry.time_ms < self.time_ms {
                self.problems.push(Problem::TimeGoesBack { number });
            }
            self.time_ms = self.time_ms.max(found.entry.time_ms);
            if !is_table
                && number >= floor
                && found.entry.flags.contains(super::EntryFlags::DELIVER)
            {
                self.problems.push(Problem::WaitsInSegment { number });
            }
            let hash = contacts::hash(found.entry.peer.bare_str());
            peers.entry(number / BLOCK).or_default().insert(hash);
            if let Some(pointer) = found.pointer {
                self.pointers.push((number, pointer));
            }
        }
        Ok(())
    }
}
