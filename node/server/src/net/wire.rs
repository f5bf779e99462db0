//! Wire: a socket, or a pipe in its place, and the bytes it has not taken yet.
//!
//! Source: RFC 6120 §3; the readiness interface of tokio.
//! Why here: plain and encrypted transports send in the same way: straight to the socket, keeping only what it refuses.
//! Stored: the unsent rest, freed as soon as it is sent.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::pipe::{Notice, Pipe};

/// What the bytes go through.
#[derive(Debug)]
enum Line {
    Socket(TcpStream),
    /// To a client whose socket another task holds, and where that client is. Boxed: most lines are sockets.
    Pipe(Box<(Pipe, SocketAddr)>),
}

/// A line and its unsent bytes.
#[derive(Debug)]
pub(super) struct Wire {
    line: Line,
    pending: VecDeque<u8>,
    /// How many of the pending bytes may go; [`ALL`]: nothing is held back.
    open: u32,
    end: End,
}

/// Every byte may go, those that come included.
const ALL: u32 = u32::MAX;

/// So many bytes: more than [`super::transport::MAX_PENDING`], and less than four billion, never wait.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(ALL - 1)
}

/// How far our direction is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// FIN follows the last pending byte.
    Wanted,
    Sent,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self::over(Line::Socket(stream))
    }

    pub(super) fn piped(pipe: Pipe, peer: SocketAddr) -> Self {
        Self::over(Line::Pipe(Box::new((pipe, peer))))
    }

    fn over(line: Line) -> Self {
        Self {
            line,
            pending: VecDeque::new(),
            open: ALL,
            end: End::Open,
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.line {
            Line::Socket(stream) => stream.peer_addr(),
            Line::Pipe(pipe) => Ok(pipe.1),
        }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.line {
            Line::Socket(stream) => stream.local_addr(),
            Line::Pipe(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Pending bytes that may go.
    pub(super) fn sendable(&self) -> usize {
        self.pending.len().min(self.open as usize)
    }

    /// From now on bytes are kept until they are released.
    pub(super) fn hold_back(&mut self) {
        if self.open == ALL {
            self.open = count(self.pending.len());
        }
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.open != ALL
    }

    /// So many more bytes may go.
    pub(super) fn release(&mut self, bytes: usize) {
        if self.open != ALL {
            self.open = self.open.saturating_add(count(bytes)).min(ALL - 1);
        }
    }

    /// Everything may go.
    pub(super) fn release_all(&mut self) {
        self.open = ALL;
    }

    pub(super) fn is_ending(&self) -> bool {
        self.end != End::Open
    }

    pub(super) fn is_piped(&self) -> bool {
        matches!(self.line, Line::Pipe(_))
    }

    /// What was said of the pipe, once all that came over it is read.
    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        match &mut self.line {
            Line::Socket(_) => None,
            Line::Pipe(pipe) => pipe.0.take_notice(),
        }
    }

    /// Says something of the pipe. False: there is none, or it has ended.
    pub(super) fn notify(&mut self, notice: Notice) -> bool {
        match &mut self.line {
            Line::Socket(_) => false,
            Line::Pipe(pipe) => pipe.0.notify(notice),
        }
    }

    /// Takes out what was not sent.
    pub(super) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending).into()
    }

    /// Waits until the socket may have something for us. For one task at a time.
    pub(super) async fn readable(&self) -> io::Result<()> {
        // Not `TcpStream::readable`, whose future has 152 bytes (it serves any number of tasks) and does not count against
        // the task's budget.
        std::future::poll_fn(|cx| match &self.line {
            Line::Socket(stream) => stream.poll_read_ready(cx),
            Line::Pipe(pipe) => pipe.0.poll_readable(cx),
        })
        .await
    }

    /// Waits until the socket may take something. For one task at a time.
    pub(super) async fn writable(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| match &self.line {
            Line::Socket(stream) => stream.poll_write_ready(cx),
            Line::Pipe(pipe) => pipe.0.poll_writable(cx),
        })
        .await
    }

    /// Reads once. `None`: nothing there now. `Some(0)`: the peer is done.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let stream = match &mut self.line {
            Line::Socket(stream) => stream,
            Line::Pipe(pipe) => return pipe.0.read(buffer),
        };
        // `poll_read`, other than `try_read`, clears readiness after a short read, which saves the second system call that
        // would only say "would block". It needs no waker: who waits, waits in `readable`, which sets its own.
        // `unconstrained`, since a `Pending` that means "your budget is spent" would look like "nothing there".
        let mut buffer = ReadBuf::new(buffer);
        let read = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer));
        let read = pin!(tokio::task::unconstrained(read));
        match read.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(Some(buffer.filled().len())),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(None),
        }
    }

    /// Sends now what the socket takes, keeps the rest.
    pub(super) fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.open == ALL && self.pending.is_empty() && !bytes.is_empty() {
            match self.line.write(&[IoSlice::new(bytes)])? {
                Some(n) => bytes = &bytes[n..],
                None => break,
            }
        }
        self.pending.extend(bytes);
        Ok(())
    }

    /// As [`Self::send`], for several pieces in one system call.
    pub(super) fn send_many(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        const AT_ONCE: usize = 32;
        for parts in parts.chunks(AT_ONCE) {
            let mut slices = [IoSlice::new(&[]); AT_ONCE];
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
            }
            let mut done = 0;
            let straight = self.open == ALL && self.pending.is_empty();
            if straight && parts.iter().any(|part| !part.is_empty()) {
                done = self.line.write(&slices[..parts.len()])?.unwrap_or(0);
            }
            for part in parts {
                let skip = done.min(part.len());
                done -= skip;
                self.pending.extend(&part[skip..]);
            }
        }
        Ok(())
    }

    /// Sends pending bytes that may go. True: none at all are left.
    pub(super) fn flush_now(&mut self) -> io::Result<bool> {
        while self.sendable() > 0 {
            let (head, tail) = self.pending.as_slices();
            let head = &head[..head.len().min(self.sendable())];
            let tail = &tail[..tail.len().min(self.sendable() - head.len())];
            let slices = [IoSlice::new(head), IoSlice::new(tail)];
            match self.line.write(&slices)? {
                Some(n) => {
                    self.pending.drain(..n);
                    if self.open != ALL {
                        self.open -= count(n);
                    }
                }
                None => return Ok(false),
            }
        }
        if !self.pending.is_empty() {
            return Ok(false);
        }
        self.pending = VecDeque::new();
        if self.end == End::Wanted {
            self.end = End::Sent;
            self.line.shutdown()?;
        }
        Ok(true)
    }

    /// Sends FIN once nothing is pending.
    pub(super) fn end(&mut self) {
        if self.end == End::Open {
            self.end = End::Wanted;
        }
    }
}

impl Line {
    /// Sends what goes now; `None`: nothing does.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        match self {
            Self::Socket(stream) => match slices {
                [slice] => taken(stream.try_write(slice)),
                slices => taken(stream.try_write_vectored(slices)),
            },
            Self::Pipe(pipe) => pipe.0.write(slices),
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(stream) => match SockRef::from(&*stream).shutdown(Shutdown::Write) {
                // The peer was faster with its reset: closed is closed.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                other => other,
            },
            Self::Pipe(pipe) => {
                pipe.0.finish(true);
                Ok(())
            }
        }
    }
}

/// `None`: the socket is full.
fn taken(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(n) => Ok(Some(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}
