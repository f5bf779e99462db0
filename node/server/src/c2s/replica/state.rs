//! What another node knows of a session, and how that follows the session; pure.
//!
//! Source: XEP-0198 §5. What is known is [`Moved`]: what a session takes along when its account moves. It is told whole at
//! first and by [`Delta`]s from then on, in order.
//! Stored: nothing; [`Delta`]s are in the frames that carry them.

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::c2s::{
    managed::Sent,
    moving::{Kept, Moved},
    stream_management::Unacked,
};

/// Numbers that were acknowledged and are remembered: the home writes them down after fifty.
const MAX_DONE: usize = 1_024;

/// Rooms of which it is known how far a session has heard them.
const MAX_ROOMS: usize = 1_000;

/// Bytes of one frame, more or less.
pub(super) const FRAME: usize = 128 << 10;

/// What has changed of a session.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(super) enum Delta {
    /// All of it, or what of it found room: the rest follows.
    #[n(0)]
    Whole(#[n(0)] Box<Moved>),
    /// So many stanzas of its client are handled.
    #[n(1)]
    Handled(#[n(0)] u32),
    /// Its client has acknowledged so many, in all.
    #[n(2)]
    Acked(#[n(0)] u64),
    /// These were sent.
    #[n(3)]
    Sent(#[n(0)] Vec<Kept>),
    /// How it stands to others.
    #[n(4)]
    Standing(#[n(0)] Standing),
    /// This waits for it, and nothing else.
    #[n(5)]
    Waiting(#[n(0)] Vec<Kept>),
    /// This waits as well.
    #[n(6)]
    More(#[n(0)] Vec<Kept>),
    /// It has ended, or is elsewhere.
    #[n(7)]
    Closed,
}

/// How a session stands to others.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub(in crate::c2s) struct Standing {
    #[n(0)]
    pub(in crate::c2s) priority: Option<i8>,
    #[n(1)]
    pub(in crate::c2s) flags: u16,
    #[n(2)]
    pub(in crate::c2s) presence: Option<ByteVec>,
    #[n(3)]
    pub(in crate::c2s) directed: Vec<String>,
    #[n(4)]
    pub(in crate::c2s) active_list: Option<String>,
}

/// What a node knows of a session of another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replica {
    pub(super) session: Moved,
    /// What its stanzas take.
    pub(super) bytes: usize,
}

impl Replica {
    /// Of a session that was told whole; `before` is what was known of it until then.
    pub(super) fn new(session: Moved, before: Option<Self>) -> Self {
        let size = |kept: &[Kept]| kept.iter().map(Kept::size).sum::<usize>();
        let mut replica = Self {
            bytes: size(&session.unacked) + size(&session.waiting),
            session,
        };
        let Moved {
            unacked, waiting, ..
        } = &replica.session;
        let said: Vec<_> = unacked.iter().chain(waiting).filter_map(said).collect();
        replica.hear(said);
        if let Some(before) = before {
            let Moved {
                acked,
                unacked,
                done,
                ..
            } = before.session;
            replica.session.done = done;
            let since = replica.session.acked.saturating_sub(acked);
            let gone = unacked
                .iter()
                .take(usize::try_from(since).unwrap_or(usize::MAX));
            replica.done(gone.filter_map(Kept::number).collect());
        }
        replica
    }

    fn done(&mut self, numbers: Vec<u64>) {
        let done = &mut self.session.done;
        done.extend(numbers);
        let old = done.len().saturating_sub(MAX_DONE);
        done.drain(..old);
    }

    /// Follows the session. [`Delta::Whole`] and [`Delta::Closed`] are the business of whoever keeps it.
    pub(super) fn apply(&mut self, delta: Delta) {
        match delta {
            Delta::Whole(_) | Delta::Closed => {}
            Delta::Handled(h) => self.session.h = h,
            Delta::Acked(total) => self.acked(total),
            Delta::Sent(items) => items.into_iter().for_each(|item| self.sent(item)),
            Delta::Waiting(items) => {
                let waited = std::mem::take(&mut self.session.waiting);
                self.bytes -= waited.iter().map(Kept::size).sum::<usize>();
                self.more(items);
            }
            Delta::More(items) => self.more(items),
            Delta::Standing(standing) => {
                let session = &mut self.session;
                session.priority = standing.priority;
                session.flags = standing.flags;
                session.presence = standing.presence;
                session.directed = standing.directed;
                session.active_list = standing.active_list;
            }
        }
    }

    fn acked(&mut self, total: u64) {
        let session = &mut self.session;
        let count = total.saturating_sub(session.acked);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let count = count.min(session.unacked.len());
        session.acked += count as u64;
        let gone: Vec<Kept> = session.unacked.drain(..count).collect();
        self.bytes -= gone.iter().map(Kept::size).sum::<usize>();
        self.done(gone.iter().filter_map(Kept::number).collect());
    }

    /// What was given to the session of its rooms.
    fn hear(&mut self, said: impl IntoIterator<Item = (String, u64)>) {
        for (room, number) in said {
            let heard = self.session.heard.get_or_insert_default();
            let known = heard.iter().position(|(known, _)| *known == room);
            match known {
                Some(at) => heard[at].1 = heard[at].1.max(number),
                None if heard.len() < MAX_ROOMS => heard.push((room, number)),
                None => {}
            }
        }
    }

    /// What is sent waits no longer.
    fn sent(&mut self, item: Kept) {
        self.hear(said(&item));
        let session = &mut self.session;
        match session.waiting.iter().position(|waiting| *waiting == item) {
            Some(place) => drop(session.waiting.remove(place)),
            None => self.bytes += item.size(),
        }
        session.unacked.push(item);
    }

    fn more(&mut self, items: Vec<Kept>) {
        self.hear(items.iter().filter_map(said));
        self.bytes += items.iter().map(Kept::size).sum::<usize>();
        self.session.waiting.extend(items);
    }
}

/// The room and the number of a message that a room said. It is not parsed for that: rooms of ours write it so, and what is
/// not found is found at the next message.
fn said(item: &Kept) -> Option<(String, u64)> {
    let Kept::Stanza(bytes) = item else {
        return None;
    };
    let text = std::str::from_utf8(bytes).ok()?;
    let value = |text: &str, name: &str| {
        let from = text.find(name)? + name.len();
        let end = text[from..].find('\'')?;
        Some((from, text[from..from + end].to_owned()))
    };
    if !text.starts_with("<message") || !text.contains("type='groupchat'") {
        return None;
    }
    let (_, from) = value(text, " from='")?;
    let room = from.split('/').next()?.to_owned();
    // The room's own is the last one: it is put behind what a client sent.
    let id = &text[text.rfind("<stanza-id")?..];
    let by_room = value(id, " by='").is_some_and(|(_, by)| by == room);
    let number = value(id, " id='")?.1.parse().ok()?;
    by_room.then_some((room, number))
}

impl Kept {
    /// What it takes in memory, more or less.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Stanza(bytes) | Self::Shared(bytes, ..) => bytes.len(),
                Self::Logged(_) | Self::Waiting => 0,
            }
    }
}

/// The counters of a session that another node was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) h: u32,
    pub(super) acked: u64,
    pub(super) sent: u64,
    /// Something waited for the client.
    pub(super) waits: bool,
}

impl Told {
    /// What is to be told by whoever tells all.
    pub(super) fn now(h: u32, outbound: &Unacked<Sent>, waits: bool) -> Self {
        let acked = outbound.acked();
        Self {
            h,
            acked,
            sent: acked + outbound.len() as u64,
            waits,
        }
    }

    /// What has changed since; `None`: too much for that, all is to be told.
    pub(super) fn changes(&self, now: &Self, outbound: &Unacked<Sent>) -> Option<Vec<Delta>> {
        let sent = usize::try_from(now.sent.checked_sub(self.sent)?).ok()?;
        if sent > outbound.len() || now.acked < self.acked {
            return None;
        }
        // Most turns change little: nothing is set aside for what does not come.
        let mut deltas = Vec::new();
        if now.h != self.h {
            deltas.push(Delta::Handled(now.h));
        }
        if sent > 0 {
            let items = outbound.newest(sent).map(Kept::of_sent).collect();
            deltas.push(Delta::Sent(items));
        }
        if now.acked != self.acked {
            deltas.push(Delta::Acked(now.acked));
        }
        if self.waits && !now.waits {
            deltas.push(Delta::Waiting(Vec::new()));
        }
        Some(deltas)
    }
}

/// A whole session in frames that are not too long.
pub(super) fn in_frames(mut session: Moved) -> Vec<Delta> {
    let unacked = chunks(std::mem::take(&mut session.unacked));
    let waiting = chunks(std::mem::take(&mut session.waiting));
    let mut unacked = unacked.into_iter();
    session.unacked = unacked.next().unwrap_or_default();
    let mut deltas = vec![Delta::Whole(Box::new(session))];
    deltas.extend(unacked.map(Delta::Sent));
    deltas.extend(waiting.into_iter().map(Delta::More));
    deltas
}

fn chunks(items: Vec<Kept>) -> Vec<Vec<Kept>> {
    let (mut chunks, mut chunk, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        if bytes + item.size() > FRAME && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += item.size();
        chunk.push(item);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests;
