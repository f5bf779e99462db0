//! Pipe: one end of a connection whose other end is a task of ours, here or on another node.
//!
//! Why here: a session is served where its account's home is, its socket is where its client came in. Between the two goes a
//! pipe, and both ends are a `Wire` like any other: what cannot be sent now waits in it, reading is waited for, and an end
//! is an end. What carries the bytes is behind [`Far`].
//! Stored: at most [`WINDOW`] bytes in each direction; a quiet pipe holds nothing.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf as _, Bytes, BytesMut};
use parking_lot::Mutex;

/// Bytes of one direction that are sent and not read: what a socket would hold.
pub const WINDOW: usize = 64 << 10;
/// Bytes read after which the other end is told.
const CREDIT_STEP: usize = WINDOW / 2;

/// The other end of a pipe. Calls come in order and never wait.
pub trait Far: Send + Sync {
    /// Bytes for it, never more than its window has room for. Whether they are on their way.
    fn data(&self, bytes: Bytes) -> bool;
    /// So many of its bytes were read.
    fn credit(&self, bytes: usize);
    /// Nothing more comes from this end. `clean`: because it is done.
    fn end(&self, clean: bool);
}

#[derive(Default)]
struct State {
    /// In one piece: what comes byte by byte takes no more room than what comes at once.
    incoming: BytesMut,
    /// Read since the other end was last told.
    read: usize,
    /// Sent and not read there.
    outstanding: usize,
    /// How the other end has ended.
    ended: Option<bool>,
    /// This end sends no more.
    finished: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn wake(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

fn wake(wakers: impl IntoIterator<Item = Option<Waker>>) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

/// What the other end does to this one.
#[derive(Clone)]
pub struct PipeHandle(Arc<Mutex<State>>);

impl PipeHandle {
    /// Bytes came. False: more than the window allows, so the other end is not to be trusted with it.
    pub fn data(&self, bytes: &[u8]) -> bool {
        let mut state = self.0.lock();
        if state.incoming.len() + bytes.len() > WINDOW || state.ended.is_some() {
            return false;
        }
        state.incoming.extend_from_slice(bytes);
        let reader = state.reader.take();
        drop(state);
        wake([reader]);
        true
    }

    /// So many bytes were read at the other end.
    pub fn credit(&self, bytes: usize) {
        let mut state = self.0.lock();
        state.outstanding = state.outstanding.saturating_sub(bytes);
        let writer = state.writer.take();
        drop(state);
        wake([writer]);
    }

    /// The other end has ended; of two ways the first counts.
    pub fn end(&self, clean: bool) {
        let mut state = self.0.lock();
        state.ended.get_or_insert(clean);
        let wakers = state.wake();
        drop(state);
        wake(wakers);
    }
}

/// One end.
pub struct Pipe {
    state: Arc<Mutex<State>>,
    far: Box<dyn Far>,
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Pipe {
    /// An end, and what its other end does to it.
    pub fn new(far: impl Far + 'static) -> (Self, PipeHandle) {
        let state = Arc::default();
        let handle = PipeHandle(Arc::clone(&state));
        let far = Box::new(far);
        (Self { state, far }, handle)
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        if !state.incoming.is_empty() || state.ended.is_some() {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock();
        if state.outstanding < WINDOW || state.ended.is_some() {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads what is there. `None`: nothing now; `Some(0)`: the other end is done.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = self.state.lock();
        let filled = state.incoming.len().min(buffer.len());
        buffer[..filled].copy_from_slice(&state.incoming[..filled]);
        state.incoming.advance(filled);
        if state.incoming.is_empty() {
            state.incoming = BytesMut::new();
        }
        if filled == 0 {
            return match state.ended {
                None => Ok(None),
                Some(true) => Ok(Some(0)),
                Some(false) => Err(io::ErrorKind::ConnectionReset.into()),
            };
        }
        state.read += filled;
        let credit = if state.read >= CREDIT_STEP {
            std::mem::take(&mut state.read)
        } else {
            0
        };
        drop(state);
        if credit > 0 {
            self.far.credit(credit);
        }
        Ok(Some(filled))
    }

    /// Sends as much of these as there is room for. `None`: none of it.
    pub(super) fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let mut state = self.state.lock();
        if state.ended.is_some() || state.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let wanted: usize = parts.iter().map(|part| part.len()).sum();
        let room = wanted.min(WINDOW.saturating_sub(state.outstanding));
        if room == 0 {
            return Ok((wanted == 0).then_some(0));
        }
        let mut bytes = Vec::with_capacity(room);
        for part in parts {
            let left = room - bytes.len();
            bytes.extend_from_slice(&part[..part.len().min(left)]);
        }
        state.outstanding += room;
        drop(state);
        if !self.far.data(bytes.into()) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(Some(room))
    }

    /// Says that nothing more comes from this end.
    pub(super) fn finish(&mut self, clean: bool) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.finished, true) {
            return;
        }
        drop(state);
        self.far.end(clean);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.finish(false);
    }
}

#[cfg(test)]
mod tests;
