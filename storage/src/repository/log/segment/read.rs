//! Reads segments: entries by their numbers, and where a time is.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::{Segment, Store, body};
use crate::{
    error::Result,
    key,
    repository::{
        log::{
            LogRange,
            codec::Item,
            read::until,
            walk::{Part, Place, Sink},
        },
        paging,
        record::corrupt,
    },
    shape::{Consistency, Query, Space},
};

/// How often a reader looks at a record again whose object is gone.
const MAX_CHASE: usize = 8;
/// Bytes of an object that are asked for at once, unless one frame is larger.
const RANGE_BYTES: u64 = 1 << 20;

/// The segments of one log.
pub(in crate::repository::log) struct Segments<'a> {
    pub(in crate::repository::log) store: Store<'a>,
    pub(in crate::repository::log) partition: Bytes,
}

impl Segments<'_> {
    /// All of them, this many a page; not who works on the log.
    pub(in crate::repository::log) fn query(&self, reverse: bool, limit: usize) -> Query {
        Query {
            space: Space::Log,
            partition: self.partition.clone(),
            from: None,
            until: Some(Bytes::from_static(key::LOG_CLAIMS)),
            reverse,
            limit,
            consistency: Consistency::Strong,
        }
    }

    async fn first_of(&self, mut query: Query) -> Result<Option<Segment>> {
        let (records, _) = paging::next_page(self.store.table, &mut query).await?;
        records.first().map(Segment::of).transpose()
    }

    /// The last segment that begins at or before a number.
    pub(in crate::repository::log) async fn at_or_before(
        &self,
        number: u64,
    ) -> Result<Option<Segment>> {
        let mut query = self.query(true, 1);
        query.until = until(number).or(query.until);
        self.first_of(query).await
    }

    /// The first segment that begins at or beyond a number.
    pub(in crate::repository::log) async fn at_or_beyond(
        &self,
        number: u64,
    ) -> Result<Option<Segment>> {
        let mut query = self.query(false, 1);
        query.from = Some(key::number(number));
        self.first_of(query).await
    }

    /// The segment that shows a number.
    pub(in crate::repository::log) async fn showing(&self, number: u64) -> Result<Option<Segment>> {
        let found = self.at_or_before(number).await?;
        Ok(found.filter(|it| it.from <= number && number <= it.last()))
    }

    /// The items in frames that follow each other, by one request; `None`: the object is gone.
    pub(in crate::repository::log) async fn items(
        &self,
        segment: &Segment,
        frames: Range<usize>,
    ) -> Result<Option<Vec<Item>>> {
        let range = segment.bytes_of(frames.clone());
        let start = range.start;
        let Some(bytes) = self.store.blobs.get_range(&segment.object, range).await? else {
            return Ok(None);
        };
        let mut items = Vec::with_capacity(frames.len());
        for at in frames.clone() {
            let (first, frame) = segment.numbered().nth(at).expect("a frame of this segment");
            let own = segment.bytes_of(at..at + 1);
            let cut = |end: u64| usize::try_from(end - start).ok();
            let bytes = cut(own.start)
                .zip(cut(own.end))
                .and_then(|(start, end)| bytes.get(start..end))
                .ok_or_else(|| corrupt(format!("{} is cut short", segment.object)))?;
            items.push(body::unpack(first, frame, bytes)?);
        }
        Ok(Some(items))
    }

    /// Gives the entries of a range to the sink, in order or from the highest down.
    pub(in crate::repository::log) async fn walk(
        &self,
        range: LogRange,
        reverse: bool,
        sink: &mut Sink<'_>,
    ) -> Result<ControlFlow<()>> {
        let mut rest = range;
        let mut chase = 0;
        while rest.from <= rest.to {
            let Some(segment) = self.next(rest, reverse).await? else {
                break;
            };
            let given = self.give(&segment, rest, reverse, sink).await?;
            match given {
                Given::All => chase = 0,
                Given::Enough => return Ok(ControlFlow::Break(())),
                // Somebody wrote another object meanwhile, and removed this one.
                Given::Until(beyond) => {
                    chase += 1;
                    if chase == MAX_CHASE {
                        return Err(corrupt(format!("{} is missing", segment.object)));
                    }
                    match reverse {
                        true => rest.to = beyond,
                        false => rest.from = beyond,
                    }
                    continue;
                }
            }
            if reverse {
                let Some(below) = segment.first.checked_sub(1) else {
                    break;
                };
                rest.to = below;
            } else {
                rest.from = segment.last() + 1;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The next segment with numbers of a range.
    async fn next(&self, rest: LogRange, reverse: bool) -> Result<Option<Segment>> {
        let found = match rest {
            LogRange { to, .. } if reverse => self.at_or_before(to).await?,
            // Nothing begins before the first number.
            LogRange { from: 0..=1, .. } => self.at_or_beyond(0).await?,
            LogRange { from, .. } => match self.at_or_before(from).await? {
                Some(found) if found.last() >= from => Some(found),
                // What is below was dropped.
                _ => self.at_or_beyond(from).await?,
            },
        };
        Ok(found.filter(|it| it.first <= rest.to && it.last() >= rest.from))
    }

    async fn give(
        &self,
        segment: &Segment,
        rest: LogRange,
        reverse: bool,
        sink: &mut Sink<'_>,
    ) -> Result<Given> {
        let shown = segment.shown(rest);
        let mut frames = segment.frames_with(shown);
        if shown.from > shown.to {
            return Ok(Given::All);
        }
        let mut at = if reverse { shown.to } else { shown.from };
        while !frames.is_empty() {
            let group = take_group(segment, &mut frames, reverse, shown, sink.wanted());
            let Some(mut items) = self.items(segment, group).await? else {
                return Ok(Given::Until(at));
            };
            if reverse {
                items.reverse();
            }
            for item in items {
                at = if reverse {
                    item.first.saturating_sub(1)
                } else {
                    item.last() + 1
                };
                let part = Part {
                    numbers: LogRange {
                        from: shown.from.max(item.first),
                        to: shown.to.min(item.last()),
                    },
                    place: Place::Segment(segment.first),
                    item,
                };
                if sink.give(&part)?.is_break() {
                    return Ok(Given::Enough);
                }
            }
        }
        Ok(Given::All)
    }

    /// The first number below `below` that is not earlier than `time_ms`; `below` if there is none. Halves the numbers;
    /// reads one frame at most.
    pub(in crate::repository::log) async fn first_since(
        &self,
        time_ms: u64,
        below: u64,
    ) -> Result<u64> {
        for _ in 0..MAX_CHASE {
            let (mut low, mut high) = (0, below.saturating_sub(1));
            let mut earlier = None;
            while low <= high {
                let middle = low + (high - low) / 2;
                match self.at_or_before(middle).await? {
                    Some(found) if found.times().0 < time_ms => {
                        low = found.last().max(middle) + 1;
                        earlier = Some(found);
                    }
                    Some(found) if found.first > low => high = found.first - 1,
                    Some(_) => break,
                    // Nothing begins there.
                    None => low = middle + 1,
                }
            }
            let Some(segment) = earlier else {
                let oldest = self.at_or_beyond(0).await?;
                return Ok(oldest.map_or(below, |it| it.from.min(below)));
            };
            if let Some(number) = self.since_in(&segment, time_ms).await? {
                return Ok(number.max(segment.from).min(below));
            }
        }
        Err(corrupt("a segment whose object is missing"))
    }

    /// The first number in a segment that begins earlier, or the one behind it; `None`: the object is gone.
    async fn since_in(&self, segment: &Segment, time_ms: u64) -> Result<Option<u64>> {
        let mut beyond = segment.first;
        for (at, (first, frame)) in segment.numbered().enumerate() {
            if frame.first_ms >= time_ms {
                return Ok(Some(first));
            }
            beyond = first + u64::from(frame.count);
            if frame.last_ms() < time_ms {
                continue;
            }
            let Some(items) = self.items(segment, at..at + 1).await? else {
                return Ok(None);
            };
            for item in &items {
                for (number, time) in (item.first..).zip(item.times()) {
                    if time? >= time_ms {
                        return Ok(Some(number));
                    }
                }
            }
        }
        Ok(Some(beyond))
    }
}

/// How far a segment was given.
enum Given {
    All,
    /// The sink wants no more.
    Enough,
    /// The object went away; the number that is next.
    Until(u64),
}

/// The next frames that are asked for at once: enough for what is wanted.
fn take_group(
    segment: &Segment,
    frames: &mut Range<usize>,
    reverse: bool,
    shown: LogRange,
    wanted: usize,
) -> Range<usize> {
    let firsts: Vec<u64> = segment.numbered().map(|(first, _)| first).collect();
    let (mut entries, mut bytes, mut taken) = (0, 0, 0);
    while taken < frames.len() {
        let at = match reverse {
            true => frames.end - 1 - taken,
            false => frames.start + taken,
        };
        let frame = &segment.frames[at];
        bytes += u64::from(frame.length);
        if taken > 0 && (entries >= wanted || bytes > RANGE_BYTES) {
            break;
        }
        let last = firsts[at] + u64::from(frame.count) - 1;
        let (from, to) = (shown.from.max(firsts[at]), shown.to.min(last));
        entries += usize::try_from((to + 1).saturating_sub(from)).unwrap_or(usize::MAX);
        taken += 1;
    }
    if reverse {
        let start = frames.end - taken;
        let group = start..frames.end;
        frames.end = start;
        group
    } else {
        let group = frames.start..frames.start + taken;
        frames.start = group.end;
        group
    }
}
