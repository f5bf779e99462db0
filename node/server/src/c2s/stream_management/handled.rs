//! The inbound half: `h` follows the completed prefix.

/// How many stanzas of a client may be under way at once: the back-pressure on a session.
const WINDOW: u8 = 64;

/// Stanzas received and not completed, and how many are handled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handled {
    /// How many are handled, modulo 2^32.
    h: u32,
    /// How many after those were begun.
    begun: u8,
    /// How many of those begun, the last ones, their client is to send again: `h` does not pass them before.
    repeats: u8,
    /// Bit n: the stanza `h + 1 + n` is completed.
    done: u64,
}

/// A stanza that is being handled.
#[must_use = "a ticket that is never completed stops `h` and in the end the stream"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u32);

impl Handled {
    /// Nothing received.
    pub fn new() -> Self {
        Self::default()
    }
    /// After `h` stanzas.
    pub(in crate::c2s) fn resumed(h: u32) -> Self {
        Self {
            h,
            ..Self::default()
        }
    }
    /// A stanza came in. `None`: the window is full, nothing more is read until one is completed.
    pub fn begin(&mut self) -> Option<Ticket> {
        if self.is_full() {
            return None;
        }
        debug_assert_eq!(self.repeats, 0, "something else than what is to come");
        self.begun += 1;
        Some(Ticket(self.h.wrapping_add(self.begun.into())))
    }
    /// The stanza is handled: what it asked for is done, stored, or answered with an error. Returns whether `h`
    /// moved.
    pub fn complete(&mut self, ticket: Ticket) -> bool {
        // A ticket always lies in the window: only `complete` moves the window past it, and consumes it.
        let offset = ticket.0.wrapping_sub(self.h).wrapping_sub(1);
        debug_assert!(offset < self.begun.into(), "a ticket of another stream");
        if offset >= self.begun.into() {
            return false;
        }
        self.done |= 1 << offset;
        self.advance()
    }
    fn advance(&mut self) -> bool {
        let prefix = self
            .done
            .trailing_ones()
            .min((self.begun - self.repeats).into());
        self.done = self.done.checked_shr(prefix).unwrap_or(0);
        // At most the window.
        self.begun -= prefix as u8;
        self.h = self.h.wrapping_add(prefix);
        prefix > 0
    }
    /// The value for `<a h='...'/>`.
    pub fn h(&self) -> u32 {
        self.h
    }
    /// Whether everything that came in before this stanza is handled.
    pub fn is_next(&self, ticket: Ticket) -> bool {
        ticket.0 == self.h.wrapping_add(1)
    }
    /// Whether `h` has passed this stanza.
    pub(in crate::c2s) fn has_passed(&self, ticket: Ticket) -> bool {
        ticket.0.wrapping_sub(self.h) as i32 <= 0
    }
    /// Whether this stanza, which `h` has not passed, is handled.
    pub(in crate::c2s) fn is_done(&self, ticket: Ticket) -> bool {
        let offset = ticket.0.wrapping_sub(self.h).wrapping_sub(1);
        offset < self.begun.into() && self.done & (1 << offset) != 0
    }
    /// How many came in, modulo 2^32: the value of `h` once they are all handled.
    pub fn received(&self) -> u32 {
        self.h.wrapping_add((self.begun - self.repeats).into())
    }
    /// Its client comes back and is told `h`: it sends again what came behind that, and what is under way is that.
    pub(in crate::c2s) fn awaits_repeats(&mut self) {
        self.repeats = self.begun;
    }
    /// How many its client is to send again.
    pub(in crate::c2s) fn repeats(&self) -> u32 {
        self.repeats.into()
    }
    /// It has sent the next one again.
    pub(in crate::c2s) fn repeated(&mut self) {
        self.repeats = self.repeats.saturating_sub(1);
        self.advance();
    }
    /// It sends something else: the others, which are all completed, do not count.
    pub(in crate::c2s) fn forget_repeats(&mut self) {
        debug_assert_eq!(self.unfinished(), 0, "nobody would know their tickets");
        self.begun -= self.repeats;
        self.repeats = 0;
        self.done &= 1_u64
            .checked_shl(self.begun.into())
            .map_or(u64::MAX, |bit| bit - 1);
        self.advance();
    }
    /// How many were begun and are not completed.
    pub(in crate::c2s) fn unfinished(&self) -> u32 {
        u32::from(self.begun) - self.done.count_ones()
    }
    /// How many were begun and `h` has not passed.
    pub fn in_flight(&self) -> u32 {
        self.begun.into()
    }
    /// Whether nothing more may be begun.
    pub fn is_full(&self) -> bool {
        self.begun == WINDOW
    }
}
