//! Pages: what is said in rooms that publish it, day by day, for people (HTML) and programs (JSON lines).
//!
//! Source: XEP-0045 §10.2 (`enablelogging`), status codes 170 and 171. Written from the room's log alone: an entry that is to
//! be published says so ([`EntryFlags::PUBLIC`]), and objects say how far they are, so a node that dies loses nothing, and
//! the next home goes on from there. A room is published so long after something was said, at one time only; two nodes that
//! do at once find out ([`Pages::put_state`]) and the later one begins again.
//! What is taken back vanishes: the retraction is met in the log and its page is written anew without the message, and without
//! what corrected it. Pages are there as long as the room publishes: they go when its owner wants that no more or opens it to
//! fewer than may be published, and come back as they were. A room that is not listed has pages that no list leads to.
//! Bounds: [`PART`] messages a page, [`AT_ONCE`] entries a step.

mod date;
mod html;
mod line;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use storage::{
    ErrorKind,
    repository::{
        EntryFlags, LogEntry, LogRange, LogRepository, MonthState, Pages, PagesState, PartState,
        pages::{Seen, place},
    },
};
use xmpp::BareJid;

use self::{
    date::Date,
    html::Ways,
    line::{Corrected, Line, Retraction, corrected},
};
use super::{Muc, home::RoomHome, room::Room};
use crate::module::Context;

/// Messages of one page.
const PART: u32 = 2_000;
/// Entries of the log that are read at once.
const AT_ONCE: usize = 1_000;
/// Entries behind a message among which is looked for what corrected it.
const MAX_CORRECTIONS: u64 = 10_000;
/// How long after a change what was published once is removed where nothing is any more.
const NOTHING_NEW: Duration = Duration::from_secs(30);
/// How often what others publish meanwhile is begun anew.
const MAX_ATTEMPTS: usize = 8;
/// How long a store that fails is left alone, at most.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// What pages say of their room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    room: BareJid,
    /// It publishes.
    published: bool,
    /// Everybody may know that there is it.
    listed: bool,
    created_ms: u64,
    name: String,
    description: String,
    lang: String,
}

impl About {
    fn of(room: &Room) -> Self {
        let config = &room.record.config;
        Self {
            room: room.address.clone(),
            published: room.is_published(),
            listed: config.public,
            created_ms: room.record.created_ms,
            name: config.name.clone(),
            description: config.description.clone(),
            lang: config.lang.clone(),
        }
    }

    fn title(&self) -> &str {
        match self.name.as_str() {
            "" => self.room.local().unwrap_or_default(),
            name => name,
        }
    }
}

impl Muc {
    /// What was said in a room is published by and by, or is public no more.
    pub(super) fn publish_later(self: &Arc<Self>, home: &Arc<RoomHome>, room: &Room, cx: &Context) {
        let every = self.options.pages.unwrap_or(NOTHING_NEW);
        *home.about.lock() = Some(About::of(room));
        if home.publishes.swap(true, Ordering::AcqRel) {
            return;
        }
        let (muc, home, via) = (self.clone(), home.clone(), cx.clone());
        cx.run(Box::pin(async move {
            let mut delay = every;
            loop {
                tokio::time::sleep(delay).await;
                home.publishes.store(false, Ordering::Release);
                let _one_at_a_time = home.publishing.lock().await;
                let Some(about) = home.about.lock().clone() else {
                    return;
                };
                match muc.publish(&about).await {
                    Ok(written) => return muc.metrics.published(written),
                    Err(error) => {
                        muc.metrics.not_published();
                        tracing::warn!(room = %about.room, %error, "a room is not published yet");
                    }
                }
                // Whoever serves it now publishes it.
                if via.is_elsewhere(&about.room) || home.publishes.swap(true, Ordering::AcqRel) {
                    return;
                }
                delay = (delay * 2).clamp(Duration::from_secs(1), MAX_DELAY);
            }
        }));
    }
}

impl Muc {
    async fn publish(&self, about: &About) -> storage::Result<u64> {
        let publishing = Publishing {
            pages: &self.pages,
            logs: &*self.archives,
            about,
        };
        if about.published {
            return publishing.run().await;
        }
        if self.pages.state(&about.room).await?.is_there() {
            self.unpublish(&about.room).await?;
        }
        Ok(0)
    }
}

/// One room on its way to its pages.
struct Publishing<'a> {
    pages: &'a Pages,
    logs: &'a dyn LogRepository,
    about: &'a About,
}

/// A month that is being changed.
struct Month {
    first: Date,
    seen: Seen<MonthState>,
    /// Days and parts whose pages are to be written.
    dirty: BTreeSet<(u8, usize)>,
}

impl Publishing<'_> {
    /// Publishes all that is not yet; how many pages were written.
    async fn run(&self) -> storage::Result<u64> {
        let (mut written, mut attempts) = (0, 0);
        loop {
            match self.step().await {
                Ok((pages, more)) => {
                    written += pages;
                    if !more {
                        return Ok(written);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Conflict && attempts < MAX_ATTEMPTS => {
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&self) -> storage::Result<(u64, bool)> {
        let room = &self.about.room;
        let mut seen = self.pages.state(room).await?;
        if seen.state.created_ms != self.about.created_ms {
            // It is another room than the one that was published under this name.
            seen.state = PagesState {
                created_ms: self.about.created_ms,
                ..PagesState::default()
            };
        }
        let hidden = !self.about.listed;
        if seen.state.hidden != hidden {
            if !seen.state.months.is_empty() {
                self.list().await?;
            }
            seen.state.hidden = hidden;
            self.pages.put_state(room, &seen).await?;
            return Ok((1, true));
        }
        let range = LogRange::after(seen.state.done);
        let entries = self.logs.read(room, range, false, AT_ONCE).await?;
        let Some(last) = entries.last() else {
            return Ok((0, false));
        };
        seen.state.done = last.number;
        let mut months = BTreeMap::new();
        for entry in &entries {
            if let Some(retraction) = Retraction::of(entry) {
                self.take_back(&mut months, &retraction, entry.number)
                    .await?;
            }
            if Line::of(entry).is_some() {
                self.add(&mut months, entry).await?;
            }
        }
        let written = self.write(&mut months, &mut seen).await?;
        self.pages.put_state(room, &seen).await?;
        Ok((written, entries.len() == AT_ONCE))
    }

    async fn month<'m>(
        &self,
        months: &'m mut BTreeMap<String, Month>,
        date: Date,
    ) -> storage::Result<&'m mut Month> {
        let key = date.month_key();
        if !months.contains_key(&key) {
            let month = Month {
                first: date.with_day(1),
                seen: self.pages.month(&self.about.room, &key).await?,
                dirty: BTreeSet::new(),
            };
            months.insert(key.clone(), month);
        }
        Ok(months.get_mut(&key).expect("it is there now"))
    }

    /// A message goes to the last page of its day.
    async fn add(
        &self,
        months: &mut BTreeMap<String, Month>,
        entry: &LogEntry,
    ) -> storage::Result<()> {
        let date = Date::of(entry.time_ms);
        let month = self.month(months, date).await?;
        let days = &mut month.seen.state.days;
        let before = days.range(..date.day).next_back();
        let before = before.map(|(day, it)| (*day, it.parts.len()));
        let day = days.entry(date.day).or_default();
        if day.parts.iter().any(|part| part.last >= entry.number) {
            // Of a try that did not get to its end.
            let parts = &day.parts;
            let at = parts.iter().position(|part| part.last >= entry.number);
            month.dirty.extend(at.map(|at| (date.day, at)));
            return Ok(());
        }
        let is_full = |part: &PartState| part.messages >= PART;
        if day.parts.last().is_none_or(is_full) {
            // The page before leads on to the new one.
            match (day.parts.len(), before) {
                (0, Some((day, parts))) => drop(month.dirty.insert((day, parts.saturating_sub(1)))),
                (0, None) => {}
                (parts, _) => drop(month.dirty.insert((date.day, parts - 1))),
            }
            day.parts.push(PartState {
                first: entry.number,
                ..PartState::default()
            });
        }
        let at = day.parts.len() - 1;
        let part = &mut day.parts[at];
        part.last = entry.number;
        part.messages += 1;
        month.dirty.insert((date.day, at));
        Ok(())
    }

    /// Whether the list of the service's rooms names it is as it is to be.
    async fn list(&self) -> storage::Result<()> {
        let room = &self.about.room;
        let service = |rooms: &[BareJid]| html::service(room.domain(), rooms).into();
        self.pages.list(room, self.about.listed, service).await
    }

    /// A message is on no page any more, nor is what corrected it before it was taken back by the entry of this number.
    async fn take_back(
        &self,
        months: &mut BTreeMap<String, Month>,
        retraction: &Retraction,
        by: u64,
    ) -> storage::Result<()> {
        let number = retraction.number;
        let range = LogRange {
            from: number,
            to: number,
        };
        let found = self.logs.read(&self.about.room, range, false, 1).await?;
        let meant = found.first().filter(|it| retraction.is_about(it));
        let Some(meant) = meant else { return Ok(()) };
        self.hide(months, meant).await?;
        let mut range = LogRange {
            from: number + 1,
            to: by.min(number + MAX_CORRECTIONS),
        };
        let corrected = Corrected::of(meant);
        while let Some(corrected) = corrected.as_ref().filter(|_| range.from <= range.to) {
            let entries = self.logs.read(&self.about.room, range, false, AT_ONCE);
            let entries = entries.await?;
            let Some(last) = entries.last() else { break };
            range.from = last.number + 1;
            for entry in entries.iter().filter(|it| corrected.is_by(it)) {
                self.hide(months, entry).await?;
            }
        }
        Ok(())
    }

    async fn hide(
        &self,
        months: &mut BTreeMap<String, Month>,
        entry: &LogEntry,
    ) -> storage::Result<()> {
        let number = entry.number;
        if !entry.flags.contains(EntryFlags::PUBLIC) {
            return Ok(());
        }
        let date = Date::of(entry.time_ms);
        let month = self.month(months, date).await?;
        let Some(day) = month.seen.state.days.get_mut(&date.day) else {
            return Ok(());
        };
        let mut parts = day.parts.iter();
        let at = parts.position(|it| (it.first..=it.last).contains(&number));
        if let Some(at) = at {
            if !day.retracted.contains(&number) {
                day.retracted.push(number);
                day.parts[at].messages = day.parts[at].messages.saturating_sub(1);
            }
            month.dirty.insert((date.day, at));
        }
        Ok(())
    }

    /// Writes the pages that have changed, then what is on them, then what leads to them.
    async fn write(
        &self,
        months: &mut BTreeMap<String, Month>,
        seen: &mut Seen<PagesState>,
    ) -> storage::Result<u64> {
        let (room, place) = (&self.about.room, place(&self.about.room));
        let mut written = 0;
        let known = seen.state.months.len();
        let changed = months.iter().filter(|(_, month)| !month.dirty.is_empty());
        for (key, _) in changed.clone() {
            if let Err(at) = seen.state.months.binary_search(key) {
                seen.state.months.insert(at, key.clone());
            }
        }
        for (key, month) in changed {
            for (day, at) in &month.dirty {
                self.write_part(month, *day, *at).await?;
                written += 2;
            }
            let at = seen.state.months.binary_search(key).unwrap_or_default();
            let named = |at: Option<usize>| {
                let other = seen.state.months.get(at?)?;
                let name = Date::first_of(other)?.month_name();
                Some((format!("../{other}/index.html"), name))
            };
            let ways = Ways {
                before: named(at.checked_sub(1)),
                behind: named(at.checked_add(1)),
                data: String::new(),
            };
            let page = html::month(self.about, month.first, &month.seen.state, &ways);
            let path = format!("{place}/{key}/index.html");
            self.pages.put_page(&path, page.into()).await?;
            self.pages.put_month(room, key, &month.seen).await?;
            written += 1;
        }
        if seen.state.months.len() != known {
            let page = html::room(self.about, &seen.state);
            let path = format!("{place}/index.html");
            self.pages.put_page(&path, page.into()).await?;
            if self.about.listed {
                self.list().await?;
            }
            written += 2;
        }
        Ok(written)
    }

    async fn write_part(&self, month: &Month, day: u8, at: usize) -> storage::Result<()> {
        let state = &month.seen.state;
        let Some((of_day, part)) = state
            .days
            .get(&day)
            .and_then(|it| Some((it, it.parts.get(at)?)))
        else {
            return Ok(());
        };
        let mut lines = Vec::new();
        let mut from = part.first;
        while from <= part.last {
            let range = LogRange {
                from,
                to: part.last,
            };
            let read = self.logs.read(&self.about.room, range, false, AT_ONCE);
            let entries = read.await?;
            let Some(last) = entries.last() else { break };
            from = last.number + 1;
            let shown = entries
                .iter()
                .filter(|it| !of_day.retracted.contains(&it.number));
            lines.extend(shown.filter_map(Line::of));
        }
        let json: String = lines.iter().map(Line::to_json).collect();
        let lines = corrected(lines);
        let name = |day: u8, at: usize| match at {
            0 => format!("{day:02}"),
            at => format!("{day:02}-{}", at + 1),
        };
        let called = |day: u8, at: usize| match at {
            0 => month.first.with_day(day).short(),
            at => format!("{}, part {}", month.first.with_day(day).short(), at + 1),
        };
        let to = |day: u8, at: usize| (format!("{}.html", name(day, at)), called(day, at));
        let before = match at.checked_sub(1) {
            Some(at) => Some(to(day, at)),
            None => {
                let other = state.days.range(..day).next_back();
                other.map(|(day, it)| to(*day, it.parts.len().saturating_sub(1)))
            }
        };
        let behind = match at + 1 < of_day.parts.len() {
            true => Some(to(day, at + 1)),
            false => {
                let other = state.days.range(day.saturating_add(1)..).next();
                other.map(|(day, _)| to(*day, 0))
            }
        };
        let data = format!("{}.jsonl", name(day, at));
        let place = format!("{}/{}", place(&self.about.room), month.first.month_key());
        let ways = Ways {
            before,
            behind,
            data: data.clone(),
        };
        let page = html::day(self.about, month.first.with_day(day), &lines, &ways);
        let path = format!("{place}/{}.html", name(day, at));
        self.pages.put_page(&path, page.into()).await?;
        self.pages
            .put_page(&format!("{place}/{data}"), json.into())
            .await
    }
}

impl Muc {
    /// Removes all that a room has published.
    pub(super) async fn unpublish(&self, room: &BareJid) -> storage::Result<()> {
        // Pages may be there before anything says that they are.
        let service = |rooms: &[BareJid]| html::service(room.domain(), rooms).into();
        self.pages.list(room, false, service).await?;
        self.pages.erase(room).await
    }
}

#[cfg(test)]
mod tests;
