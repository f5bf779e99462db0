//! Stream management: what was handled, what was sent and not yet acknowledged.
//!
//! Source: XEP-0198 v1.6.3.
//! Why two counters of different shape: stanzas of the client are handled out of order (one waits for the store,
//! the next is a ping), but `h` may pass a stanza only after all before it, so [`Handled`] is a window. What we send
//! waits in [`Unacked`] in order, bounded in number and bytes, until the client's `h` passes it.
//! Pure: no clock, no socket.

mod handled;
mod unacked;

pub use handled::{Handled, Ticket};
pub use unacked::{AckPolicy, Limits, TooHigh, Unacked};

#[cfg(test)]
mod tests;
