//! Stream management: what was handled, what was sent and not yet acknowledged.
//!
//! Source: XEP-0198 v1.6.3.
//! Why two counters of different shape: stanzas of the client are handled out of order (one waits for the store,
//! the next is a ping), but `h` may pass a stanza only after all before it, so [`Handled`] is a window. What we send
//! waits in [`Unacked`] in order, bounded in number and bytes, until the client's `h` passes it.
//! Pure: no clock, no socket. A detached stream is a few bytes ([`StreamManagement::detach`]): what is in the
//! account's log is named by its number, so a stream moves to another node without its messages.

mod detached;
mod handled;
mod unacked;

pub use detached::{Entry, Malformed};
pub use handled::{Handled, Ticket};
pub use unacked::{AckPolicy, Full, Limits, TooHigh, Unacked};

/// Both directions of a managed stream; `T` is what the session keeps of a stanza that it sent.
#[derive(Debug, Clone)]
pub struct StreamManagement<T> {
    /// Stanzas of the peer.
    pub inbound: Handled,
    /// Stanzas of ours.
    pub outbound: Unacked<T>,
}

impl<T> StreamManagement<T> {
    /// At `<enabled/>`: both counters start at zero (XEP-0198 §4).
    pub fn new(limits: Limits, policy: AckPolicy) -> Self {
        Self {
            inbound: Handled::new(),
            outbound: Unacked::new(limits, policy),
        }
    }
    /// `<resume h='...'/>`: forgets what the peer had, returns what it had not, in order; all of it is sent again and
    /// still waits for its acknowledgement.
    ///
    /// # Errors
    /// [`TooHigh`]: the peer claims more than it was sent.
    pub fn resume(&mut self, h: u32) -> Result<impl Iterator<Item = &T>, TooHigh> {
        drop(self.outbound.ack(h)?);
        self.outbound.ask_again();
        Ok(self.outbound.iter())
    }
}

#[cfg(test)]
mod tests;
