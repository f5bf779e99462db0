//! Scratch: buffers that belong to a thread, lent to whichever connection works on it now.
//!
//! Source: measurement; a read buffer per connection is most of the memory of an idle session.
//! Why here: reading, decrypting, encrypting and sending happen between two awaits, so one buffer a thread is enough for
//! any number of connections.
//! Stored: at most [`KEPT`] buffers a thread.

use std::cell::RefCell;

/// Room for three full TLS records and a bit: what one call reads, or sends in one system call.
pub(super) const SIZE: usize = 64 * 1024;

/// One to read into, one to encrypt into, one to gather small writes in.
const KEPT: usize = 3;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Lends a buffer of [`SIZE`] bytes for the time of a call. What is in it is left over from before.
///
/// Calls nest: an inner call gets another buffer.
pub(super) fn with<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = POOL
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| vec![0; SIZE].into_boxed_slice());
    let result = work(&mut buffer);
    POOL.with_borrow_mut(|pool| {
        if pool.len() < KEPT {
            pool.push(buffer);
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_calls_get_different_buffers_and_the_pool_stays_bounded() {
        with(|a| {
            a[0] = 1;
            with(|b| {
                b[0] = 2;
                with(|c| with(|d| (c[0], d[0]) = (3, 4)));
            });
            assert_eq!(a[0], 1);
            assert_eq!(a.len(), SIZE);
        });
        assert_eq!(POOL.with_borrow(Vec::len), KEPT);
    }
}
