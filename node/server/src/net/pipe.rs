//! Pipe: one end of a connection whose other end is a task of ours, here or on another node.
//!
//! Why here: a session is served where its account's home is, its socket is where its client came in. Between the two goes a
//! pipe, and both ends are a `Wire` like any other: what cannot be sent now waits in it, reading is waited for, and an end
//! is an end. What carries the bytes is behind [`Far`].
//! Stored: at most [`WINDOW`] bytes in each direction; a quiet pipe holds nothing.

use std::{
    collections::VecDeque,
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
/// Notices that were not taken yet: whoever sends more is not to be trusted.
const MAX_NOTICES: usize = 4;

/// What one end says of the pipe itself. It is seen behind the bytes that were sent before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// To the client's side: nothing more is to be sent this way, the session is about to go elsewhere.
    Hold,
    /// To the session's side: nothing more comes this way.
    Held,
    /// To the client's side: the session is elsewhere, and this is how it is found. Nothing comes behind it.
    Elsewhere(Bytes),
    /// To the client's side: the session was found and goes on over this pipe.
    Attached,
    /// To the session's side: the node of the socket stops, and closes it; where its client is to go, if that is known.
    Close(Option<String>),
}

/// The other end of a pipe. Calls come in order and never wait.
pub trait Far: Send + Sync {
    /// Bytes for it, never more than its window has room for. Whether they are on their way.
    fn data(&self, bytes: Bytes) -> bool;
    /// So many of its bytes were read.
    fn credit(&self, bytes: usize);
    /// Something about the pipe. Whether it is on its way.
    fn notice(&self, notice: Notice) -> bool;
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
    notices: VecDeque<Notice>,
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

    /// Something about the pipe. False: more than there may be at a time.
    pub fn notice(&self, notice: Notice) -> bool {
        let mut state = self.0.lock();
        if state.finished {
            return true;
        }
        if state.notices.len() >= MAX_NOTICES {
            return false;
        }
        state.notices.push_back(notice);
        let wakers = state.wake();
        drop(state);
        wake(wakers);
        true
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
        let is_quiet = state.incoming.is_empty() && state.notices.is_empty();
        if !is_quiet || state.ended.is_some() {
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
            // What was said of the pipe comes before its end.
            return match state.ended.filter(|_| state.notices.is_empty()) {
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

    /// What was said of the pipe, once all bytes that came are read.
    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        let mut state = self.state.lock();
        match state.incoming.is_empty() {
            true => state.notices.pop_front(),
            false => None,
        }
    }

    /// Says something of the pipe, behind what was sent. Whether it is on its way.
    pub(super) fn notify(&mut self, notice: Notice) -> bool {
        let state = self.state.lock();
        let ends = state.ended.is_some() || state.finished;
        drop(state);
        !ends && self.far.notice(notice)
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

    /// Says that nothing more comes from this end. What is said of the pipe does not matter to it from now on: whoever waits
    /// for the other end to be done is not woken by that.
    pub(super) fn finish(&mut self, clean: bool) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.finished, true) {
            return;
        }
        state.notices = VecDeque::new();
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
pub(super) mod tests;
