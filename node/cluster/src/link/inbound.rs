//! What comes from one peer in one class: seen once, in order, and counted until the caller is done with it. Pure, but for
//! the counters that [`Credit`] shares.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    frame::{Ack, Header, NotAFrame},
    lane::Lane,
};

/// What the sender may send: kept by this side in memory at most, and one body more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Frames.
    pub frames: u32,
    /// Bytes of bodies.
    pub bytes: u32,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    /// The connection that is listened to.
    pub(super) generation: u64,
    received: u64,
    taken: (u64, u64),
}

impl Inbound {
    pub(super) fn received(&self) -> u64 {
        self.received
    }
    /// Whether this frame is new; one that was seen before is not.
    ///
    /// # Errors
    /// One is missing before it, or it takes more than was granted.
    pub(super) fn accept(
        &mut self,
        header: &Header,
        granted: (u64, u64),
    ) -> Result<bool, NotAFrame> {
        if header.number <= self.received {
            return Ok(false);
        }
        if header.number != self.received + 1 {
            return Err(NotAFrame);
        }
        if header.what.is_credited() {
            if self.taken.0 >= granted.0 || self.taken.1 >= granted.1 {
                return Err(NotAFrame);
            }
            let id = if header.what.has_id() {
                super::frame::ID
            } else {
                0
            };
            self.taken.0 += 1;
            self.taken.1 += (header.length - id) as u64;
        }
        self.received = header.number;
        Ok(true)
    }
}

/// What was given back, and what the other side knows of it.
#[derive(Debug)]
pub(super) struct Grants {
    limit: Limit,
    frames: AtomicU64,
    bytes: AtomicU64,
    told_frames: AtomicU64,
    told_bytes: AtomicU64,
}

impl Grants {
    pub(super) fn new(limit: Limit) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            limit,
            frames: zero(),
            bytes: zero(),
            told_frames: zero(),
            told_bytes: zero(),
        }
    }
    /// The caller is done with a frame. Whether the other side may be short of credit by now.
    fn give_back(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let frames = self.frames.fetch_add(1, Relaxed) + 1 + u64::from(self.limit.frames);
        let bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes + u64::from(self.limit.bytes);
        frames - self.told_frames.load(Relaxed).min(frames) >= u64::from(self.limit.frames / 4)
            || bytes - self.told_bytes.load(Relaxed).min(bytes) >= u64::from(self.limit.bytes / 4)
    }
    /// What the other side was told that it may send in all.
    pub(super) fn told(&self) -> (u64, u64) {
        (
            self.told_frames.load(Relaxed),
            self.told_bytes.load(Relaxed),
        )
    }
    /// What to tell it now.
    pub(super) fn ack(&self, received: u64) -> Ack {
        let frames = self.frames.load(Relaxed) + u64::from(self.limit.frames);
        let bytes = self.bytes.load(Relaxed) + u64::from(self.limit.bytes);
        self.told_frames.fetch_max(frames, Relaxed);
        self.told_bytes.fetch_max(bytes, Relaxed);
        Ack {
            received,
            frames,
            bytes,
        }
    }
}

/// What a frame takes of its sender's credit, as long as this is kept: a caller that queues frames keeps it beside them, and
/// the sender waits when the queue is as long as [`Limit`] says.
pub struct Credit {
    lane: Arc<Lane>,
    bytes: u32,
}

impl Credit {
    pub(super) fn new(lane: Arc<Lane>, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).expect("bodies are bounded");
        Self { lane, bytes }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        let is_urgent = self.lane.grants.give_back(self.bytes as usize);
        self.lane.ack_is_due(is_urgent);
    }
}

impl fmt::Debug for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credit({})", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::frame::What, *};

    fn check(
        numbers: &[u64],
        what: What,
        granted: (u64, u64),
        expected: &[Result<bool, NotAFrame>],
    ) {
        let mut inbound = Inbound::default();
        let seen: Vec<_> = numbers
            .iter()
            .map(|&number| {
                let (length, kind) = (10, 0);
                let header = Header {
                    length,
                    what,
                    kind,
                    number,
                };
                inbound.accept(&header, granted)
            })
            .collect();
        assert_eq!(seen, expected, "{numbers:?}");
    }

    #[test]
    fn frames_are_seen_once_in_order_within_their_credit() {
        let (new, seen, wrong) = (Ok(true), Ok(false), Err(NotAFrame));
        let much = (100, 1000);
        check(&[1, 2, 3], What::Message, much, &[new, new, new]);
        check(&[1, 1, 2, 1], What::Message, much, &[new, seen, new, seen]);
        check(&[2], What::Message, much, &[wrong]);
        check(&[1, 3, 2], What::Message, much, &[new, wrong, new]);
        check(&[1, 2, 3], What::Message, (2, 1000), &[new, new, wrong]);
        // The last may go beyond what is left, the next may not.
        check(&[1, 2, 3], What::Message, (9, 11), &[new, new, wrong]);
        check(&[1, 2, 3], What::Reply, (0, 0), &[new, new, new]);
        // Of a request's ten bytes eight are its id.
        check(&[1, 2, 3], What::Request, (9, 4), &[new, new, wrong]);
    }
}
