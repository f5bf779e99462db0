//! What goes to one peer in one class: in order, kept until acknowledged, within the receiver's credit. Pure.
//!
//! A frame gets its number when it is first written. What was written waits in `sent` for its acknowledgement, and is
//! written again on the next connection; what was not, in `waiting` for credit, or in `urgent` if it needs none.
//! Bound of all three: [`super::lane::Lane::room`] for what is credited, the other side's requests for what answers them.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::{
    frame::{Ack, HEADER, Header, ID, NotAFrame, What},
    inbound::Credit,
};

/// What is gathered for one write. One body more may follow it.
const BATCH: usize = 64 * 1024;
/// How long written frames may go without any acknowledgement before their connection counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often patience doubles at most, if connections die one after the other and nothing gets through: a link may also
/// just be slow.
const MOST_DOUBLINGS: u32 = 4;
/// What a frame costs beside its body, about: the place in the queue, and the allocation.
pub(super) const OVERHEAD: usize = 64;

/// A frame on its way out.
pub(super) struct Letter {
    pub(super) what: What,
    pub(super) kind: u8,
    /// The request's; 0 for messages.
    pub(super) id: u64,
    pub(super) body: Bytes,
    /// What the request that this answers took of the other side's credit: given back when the answer has arrived.
    #[expect(dead_code, reason = "what counts is when it is dropped")]
    pub(super) held: Option<Credit>,
}

impl Letter {
    /// What it takes of the sender's room.
    pub(super) fn cost(&self) -> usize {
        if self.what.is_credited() {
            self.body.len() + OVERHEAD
        } else {
            0
        }
    }
    fn write(&self, number: u64, out: &mut Vec<u8>) {
        let id = if self.what.has_id() { ID } else { 0 };
        let header = Header {
            length: id + self.body.len(),
            what: self.what,
            kind: self.kind,
            number,
        };
        out.reserve(HEADER + header.length);
        header.write(out);
        if id > 0 {
            out.extend_from_slice(&self.id.to_be_bytes());
        }
        out.extend_from_slice(&self.body);
    }
}

/// A message that was not acknowledged when its receiver's life was declared over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unacknowledged {
    /// In which class it was sent.
    pub class: super::Class,
    /// Its kind.
    pub kind: u8,
    /// Its body.
    pub body: Bytes,
    /// Whether it was written: then the receiver may have got it, otherwise it certainly did not.
    pub may_have_arrived: bool,
}

/// See the file's head.
pub(super) struct Outbound {
    /// The connection that may write, if one is attached.
    pub(super) generation: u64,
    pub(super) is_attached: bool,
    /// Nothing comes in or out any more.
    pub(super) is_closed: bool,
    /// The writer sleeps until it is woken.
    pub(super) is_idle: bool,
    /// While detached: from when on this side may dial.
    pub(super) dial_from: Instant,
    sent: VecDeque<Letter>,
    /// How many of `sent` were written on this connection.
    written: usize,
    /// The number before the first of `sent`.
    acked: u64,
    urgent: VecDeque<Letter>,
    waiting: VecDeque<Letter>,
    used: (u64, u64),
    granted: (u64, u64),
    /// When the connection was attached, something was acknowledged, or written after everything was.
    progress: Instant,
    doublings: u32,
}

impl Outbound {
    pub(super) fn new(now: Instant, dial_from: Instant) -> Self {
        Self {
            generation: 0,
            is_attached: false,
            is_closed: false,
            is_idle: false,
            dial_from,
            sent: VecDeque::new(),
            written: 0,
            acked: 0,
            urgent: VecDeque::new(),
            waiting: VecDeque::new(),
            used: (0, 0),
            granted: (0, 0),
            progress: now,
            doublings: 0,
        }
    }

    /// Takes a frame. The caller wakes the writer if this says so.
    pub(super) fn push(&mut self, letter: Letter) -> bool {
        if letter.what.is_credited() {
            self.waiting.push_back(letter);
        } else {
            self.urgent.push_back(letter);
        }
        std::mem::take(&mut self.is_idle)
    }

    /// From now on the connection of this generation writes: what was sent and did not arrive, then the rest.
    ///
    /// # Errors
    /// The other side says that it got what was never sent.
    pub(super) fn attach(
        &mut self,
        generation: u64,
        ack: Ack,
        now: Instant,
    ) -> Result<usize, NotAFrame> {
        let freed = self.acknowledge(ack, now)?;
        self.generation = generation;
        self.is_attached = true;
        self.written = 0;
        self.progress = now;
        Ok(freed)
    }

    /// Gathers what may be written now. `wanted` says whether a request still is; what is not gives its room back, which is
    /// returned.
    pub(super) fn fill(
        &mut self,
        out: &mut Vec<u8>,
        now: Instant,
        mut wanted: impl FnMut(u64) -> bool,
    ) -> usize {
        let (begin, mut freed) = (out.len(), 0);
        if self.written == 0 {
            self.progress = now;
        }
        while out.len() - begin < BATCH {
            if self.written == self.sent.len() {
                let Some(letter) = self.next() else { break };
                if letter.what == What::Request && !wanted(letter.id) {
                    freed += letter.cost();
                    continue;
                }
                if letter.what.is_credited() {
                    self.used.0 += 1;
                    self.used.1 += letter.body.len() as u64;
                }
                self.sent.push_back(letter);
            }
            let number = self.acked + 1 + self.written as u64;
            self.sent[self.written].write(number, out);
            self.written += 1;
        }
        self.is_idle = out.len() == begin;
        freed
    }

    /// The next that was never written and may be. A frame may go as long as anything of the credit is left, so the largest
    /// one needs no room of its size.
    fn next(&mut self) -> Option<Letter> {
        let may = self.used.0 < self.granted.0 && self.used.1 < self.granted.1;
        match self.urgent.pop_front() {
            None if may => self.waiting.pop_front(),
            urgent => urgent,
        }
    }

    /// The other side got frames, or has room for more. What room this frees here is returned.
    ///
    /// # Errors
    /// It says that it got what was never sent.
    pub(super) fn acknowledge(&mut self, ack: Ack, now: Instant) -> Result<usize, NotAFrame> {
        let arrived =
            usize::try_from(ack.received.saturating_sub(self.acked)).unwrap_or(usize::MAX);
        if arrived > self.sent.len() {
            return Err(NotAFrame);
        }
        self.granted.0 = self.granted.0.max(ack.frames);
        self.granted.1 = self.granted.1.max(ack.bytes);
        if arrived > 0 {
            self.acked = ack.received;
            self.written = self.written.saturating_sub(arrived);
            self.progress = now;
            self.doublings = 0;
        }
        Ok(self.sent.drain(..arrived).map(|letter| letter.cost()).sum())
    }

    /// Whether the writer has something to do that it may not know of.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_idle && !self.waiting.is_empty()
    }

    /// Whether written frames have waited for too long: the connection takes and does not deliver.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        let patience = PATIENCE * 2u32.pow(self.doublings);
        self.is_attached && self.written > 0 && now.duration_since(self.progress) > patience
    }
    /// The next connection gets twice the time.
    pub(super) fn be_patient(&mut self) {
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
    }

    /// Frames and bytes that were not acknowledged.
    pub(super) fn queued(&self) -> (usize, usize) {
        let all = || self.sent.iter().chain(&self.urgent).chain(&self.waiting);
        (all().count(), all().map(|letter| letter.body.len()).sum())
    }

    /// Ends it: what was not acknowledged, in order.
    pub(super) fn close(&mut self, class: super::Class) -> Vec<Unacknowledged> {
        self.is_closed = true;
        self.is_attached = false;
        self.urgent.clear();
        self.written = 0;
        let sent = self.sent.drain(..).map(|letter| (letter, true));
        let waiting = self.waiting.drain(..).map(|letter| (letter, false));
        sent.chain(waiting)
            .filter(|(letter, _)| letter.what == What::Message)
            .map(|(letter, may_have_arrived)| Unacknowledged {
                class,
                kind: letter.kind,
                body: letter.body,
                may_have_arrived,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
