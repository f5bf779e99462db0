//! The bytes of one connection: plain TCP or TLS over it, polled, with one scratch buffer per thread.
//!
//! Why here: both the client engine and the relay read a burst in one call, work on all of it, and write the answer in
//! one call. That is what makes a measurement of the server and not of the client.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

use super::tls::Tls;

/// How much one read takes from the kernel.
const SCRATCH: usize = 64 * 1024;
/// How much of one partial record may lie before what a read brings.
const PARTIAL: usize = 20 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; PARTIAL + SCRATCH]);
}

/// What bytes go through that is no socket.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

enum Line {
    Tcp(TcpStream),
    Other(Box<dyn Stream>),
}

impl Line {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Other(other) => Pin::new(other).poll_write(cx, bytes),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, read),
            Self::Other(other) => Pin::new(other).poll_read(cx, read),
        }
    }
}

/// One connection.
pub struct Wire {
    line: Line,
    tls: Option<Tls>,
    /// Bytes of a TLS record whose end has not arrived.
    partial: Vec<u8>,
    /// Bytes that the kernel has not yet taken.
    out: Vec<u8>,
    out_at: usize,
}

impl Wire {
    /// Connects from the given source address (port 0) to `to`.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn connect(source: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        if to.ip().is_loopback() && to.is_ipv4() {
            socket.bind(source)?;
        }
        let tcp = socket.connect(to).await?;
        Self::over(tcp)
    }

    /// Takes an accepted connection.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn over(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Self::through(Line::Tcp(tcp)))
    }

    /// Takes a connection that is no socket.
    #[must_use]
    pub fn over_stream(stream: impl Stream + 'static) -> Self {
        Self::through(Line::Other(Box::new(stream)))
    }

    fn through(line: Line) -> Self {
        Self {
            line,
            tls: None,
            partial: Vec::new(),
            out: Vec::new(),
            out_at: 0,
        }
    }

    /// Runs the TLS handshake as client.
    ///
    /// # Errors
    /// The peer's or the kernel's refusal.
    pub async fn secure(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        // An XMPP server says nothing before the client has opened a stream.
        let early = self.handshake(Tls::client(config, name)?).await?;
        if early.is_empty() {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Runs the handshake of `tls`, either side; returns the payload that came along with its end.
    ///
    /// # Errors
    /// The peer's or the kernel's refusal.
    pub async fn handshake(&mut self, mut tls: Tls) -> io::Result<Vec<u8>> {
        let mut clear = Vec::new();
        tls.process(&mut [], &mut clear, &mut self.out)?;
        self.tls = Some(tls);
        while !self.tls.as_ref().is_some_and(Tls::established) {
            self.receive(&mut clear).await?;
        }
        // The server's part may end with bytes to send; the client's Finished too.
        poll_fn(|cx| self.poll_flush(cx)).await?;
        Ok(clear)
    }

    /// Queues `payload`, as one TLS write where TLS is on.
    ///
    /// # Errors
    /// `NotConnected` if TLS is gone.
    pub fn queue(&mut self, payload: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.encrypt(payload, &mut self.out),
            None => {
                self.out.extend_from_slice(payload);
                Ok(())
            }
        }
    }

    /// How many bytes wait for the kernel.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.len() - self.out_at
    }

    /// Writes what is queued; ready when all is with the kernel.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out_at < self.out.len() {
            let written = ready!(self.line.poll_write(cx, &self.out[self.out_at..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out_at += written;
        }
        self.out.clear();
        self.out_at = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads once, appends the payload to `clear`, and pushes what is queued. Returns the number of payload bytes; 0 is
    /// possible when only TLS bookkeeping arrived.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer has closed.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        clear: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        if self.pending() > 0
            && let Poll::Ready(Err(error)) = self.poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        BUFFER.with_borrow_mut(|scratch| {
            let held = self.partial.len();
            if scratch.len() < held + SCRATCH {
                scratch.resize(held + SCRATCH, 0);
            }
            scratch[..held].copy_from_slice(&self.partial);
            let mut read = ReadBuf::new(&mut scratch[held..held + SCRATCH]);
            ready!(self.line.poll_read(cx, &mut read))?;
            let got = read.filled().len();
            if got == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let before = clear.len();
            let all = &mut scratch[..held + got];
            match &mut self.tls {
                None => clear.extend_from_slice(all),
                Some(tls) => {
                    let used = tls.process(all, clear, &mut self.out)?;
                    self.partial.clear();
                    self.partial.extend_from_slice(&all[used..]);
                    if tls.closed() && clear.len() == before {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    if self.pending() > 0
                        && let Poll::Ready(Err(error)) = self.poll_flush(cx)
                    {
                        return Poll::Ready(Err(error));
                    }
                }
            }
            Poll::Ready(Ok(clear.len() - before))
        })
    }

    /// [`Wire::poll_receive`] to wait for.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is lost: what was read is in `clear`.
    pub async fn receive(&mut self, clear: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| self.poll_receive(cx, clear)).await
    }

    /// Sends all that is queued.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Gives back the buffers of a connection that will be quiet.
    pub fn shrink(&mut self) {
        self.partial.shrink_to_fit();
        if self.pending() == 0 {
            self.out = Vec::new();
            self.out_at = 0;
        }
    }
}
