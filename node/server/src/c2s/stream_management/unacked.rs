//! The outbound half: what was sent and waits for the peer's `h`.

use std::collections::{VecDeque, vec_deque};

use xmpp::{Element, StreamError, StreamErrorCondition, ns};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Stanzas.
    pub stanzas: usize,
    /// Bytes of stanzas.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stanzas: 1_000,
            bytes: 1 << 20,
        }
    }
}

/// When to ask the peer with `<r/>`: after so many stanzas or bytes since the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckPolicy {
    /// Stanzas.
    pub stanzas: u32,
    /// Bytes.
    pub bytes: usize,
}

impl Default for AckPolicy {
    fn default() -> Self {
        Self {
            stanzas: 5,
            bytes: 16 << 10,
        }
    }
}

/// The peer acknowledges more than it was sent (XEP-0198 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("peer acknowledged {h} stanzas of {sent}")]
pub struct TooHigh {
    /// What it claims.
    pub h: u32,
    /// What it was sent.
    pub sent: u32,
}

impl From<TooHigh> for StreamError {
    fn from(error: TooHigh) -> Self {
        let detail = Element::new("handled-count-too-high", ns::SM)
            .with_attr("h", error.h.to_string())
            .with_attr("send-count", error.sent.to_string());
        let mut stream_error = Self::from(StreamErrorCondition::UndefinedCondition);
        stream_error.application = Some(Box::new(detail));
        stream_error
    }
}

/// Stanzas sent and not acknowledged, oldest first.
#[derive(Debug, Clone)]
pub struct Unacked<T> {
    queue: VecDeque<(T, usize)>,
    bytes: usize,
    /// All that were ever sent; the wire sees it modulo 2^32.
    sent: u64,
    limits: Limits,
    policy: AckPolicy,
    /// Sent since the last `<r/>`.
    unasked: u32,
    unasked_bytes: usize,
}

impl<T> Unacked<T> {
    /// Nothing sent.
    pub fn new(limits: Limits, policy: AckPolicy) -> Self {
        Self::resumed(0, limits, policy)
    }
    /// Continues after `acked` stanzas.
    pub fn resumed(acked: u64, limits: Limits, policy: AckPolicy) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            sent: acked,
            limits,
            policy,
            unasked: 0,
            unasked_bytes: 0,
        }
    }
    /// Whether another stanza of `bytes` may wait. One that alone is larger than the limit finds room in an empty queue.
    pub fn has_room(&self, bytes: usize) -> bool {
        let full = self.queue.len() >= self.limits.stanzas
            || self.bytes.saturating_add(bytes) > self.limits.bytes;
        !full || self.queue.is_empty()
    }
    /// Notes a stanza of `bytes` before it is written, whatever waits: see [`Self::has_room`].
    pub fn push_anyway(&mut self, item: T, bytes: usize) {
        self.queue.push_back((item, bytes));
        self.bytes += bytes;
        self.sent += 1;
        self.unasked = self.unasked.saturating_add(1);
        self.unasked_bytes = self.unasked_bytes.saturating_add(bytes);
    }
    /// Whether `<r/>` is due. Asking is then noted: write it.
    pub fn wants_ack(&mut self) -> bool {
        let due = self.unasked >= self.policy.stanzas || self.unasked_bytes >= self.policy.bytes;
        if due {
            self.unasked = 0;
            self.unasked_bytes = 0;
        }
        due
    }
    /// `<a h='...'/>`: takes out what is acknowledged, oldest first. An `h` that was acknowledged before takes out
    /// nothing.
    ///
    /// # Errors
    /// [`TooHigh`]: more than was sent. The queue is as it was.
    pub fn ack(&mut self, h: u32) -> Result<vec_deque::Drain<'_, (T, usize)>, TooHigh> {
        let count = self.newly_acked(h)?;
        self.bytes -= self
            .queue
            .iter()
            .take(count)
            .map(|(_, bytes)| bytes)
            .sum::<usize>();
        Ok(self.queue.drain(..count))
    }
    fn newly_acked(&self, h: u32) -> Result<usize, TooHigh> {
        let acked = self.acked();
        let ahead = h.wrapping_sub(acked as u32);
        if usize::try_from(ahead).is_ok_and(|ahead| ahead <= self.queue.len()) {
            return Ok(ahead as usize);
        }
        // The counter wraps, so a number that cannot lie ahead may be an old one, if so many were ever sent.
        let behind = u64::from((acked as u32).wrapping_sub(h));
        if behind <= acked.min(u64::from(u32::MAX / 2)) {
            return Ok(0);
        }
        Err(TooHigh {
            h,
            sent: self.sent(),
        })
    }
    /// How many were sent, modulo 2^32.
    pub fn sent(&self) -> u32 {
        self.sent as u32
    }
    /// How many were acknowledged, in all.
    pub fn acked(&self) -> u64 {
        self.sent - self.queue.len() as u64
    }
    /// What waits, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().map(|(item, _)| item)
    }
    /// The newest `count` that wait, oldest first; fewer if there are not so many.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = &T> {
        let from = self.queue.len().saturating_sub(count);
        self.queue.range(from..).map(|(item, _)| item)
    }
    /// Takes out what waits: the stream is over and somebody else is to have it (XEP-0198 §4).
    pub fn into_items(self) -> impl Iterator<Item = T> {
        self.queue.into_iter().map(|(item, _)| item)
    }
    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
