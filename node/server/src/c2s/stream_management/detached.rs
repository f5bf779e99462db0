//! A stream without its socket, as bytes: 24, and 8 for each stanza that the log has.
//!
//! Layout, big endian: version (1 byte, 1), three reserved bytes (0), `h` (4), stanzas acknowledged (8), number of
//! entries (8), then the entries, oldest first. An entry below 2^63 is a number in the account's log; above, the low
//! 32 bits are the length of the stanza that follows.

use super::{AckPolicy, Handled, Limits, StreamManagement, Unacked};

const VERSION: u8 = 1;
const INLINE: u64 = 1 << 63;
const HEADER: usize = 24;

/// What is kept of a stanza that waits for its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Its number in the account's log, below 2^63.
    Logged(u64),
    /// The stanza, which is in no log: presence, IQ, a chat state.
    Inline(&'a [u8]),
}

/// The bytes are no detached stream of a version that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed detached stream")]
pub struct Malformed;

impl<T> StreamManagement<T> {
    /// The stream as bytes, `entry` saying how each item that waits is kept. `None` while stanzas of the client are
    /// being handled: `h` must cover them first, or the client would send them again.
    pub fn detach(&self, mut entry: impl FnMut(&T) -> Entry<'_>) -> Option<Vec<u8>> {
        if self.inbound.in_flight() > 0 {
            return None;
        }
        let mut out = Vec::with_capacity(HEADER + 8 * self.outbound.len());
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&self.inbound.h().to_be_bytes());
        out.extend_from_slice(&self.outbound.acked().to_be_bytes());
        out.extend_from_slice(&(self.outbound.len() as u64).to_be_bytes());
        for item in self.outbound.iter() {
            match entry(item) {
                Entry::Logged(number) => {
                    out.extend_from_slice(&(number & !INLINE).to_be_bytes());
                }
                Entry::Inline(bytes) => {
                    out.extend_from_slice(&(INLINE | bytes.len() as u64).to_be_bytes());
                    out.extend_from_slice(bytes);
                }
            }
        }
        Some(out)
    }
    /// The stream back from bytes; `item` makes an item and its size of each entry. Entries above the limits are
    /// kept: they were sent.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn attach(
        bytes: &[u8],
        limits: Limits,
        policy: AckPolicy,
        mut item: impl FnMut(Entry<'_>) -> (T, usize),
    ) -> Result<Self, Malformed> {
        let mut rest = bytes;
        if take::<4>(&mut rest)? != [VERSION, 0, 0, 0] {
            return Err(Malformed);
        }
        let h = u32::from_be_bytes(take(&mut rest)?);
        let acked = u64::from_be_bytes(take(&mut rest)?);
        let count = u64::from_be_bytes(take(&mut rest)?);
        let mut outbound = Unacked::resumed(acked, limits, policy);
        for _ in 0..count {
            let word = u64::from_be_bytes(take(&mut rest)?);
            let (item, size) = if word & INLINE == 0 {
                item(Entry::Logged(word))
            } else {
                let length = usize::try_from(word & !INLINE).map_err(|_| Malformed)?;
                let (stanza, after) = rest.split_at_checked(length).ok_or(Malformed)?;
                rest = after;
                item(Entry::Inline(stanza))
            };
            outbound.restore(item, size);
        }
        if !rest.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            inbound: Handled::resumed(h),
            outbound,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Malformed> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    *rest = tail;
    Ok(*head)
}
