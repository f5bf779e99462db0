//! Transport: a connection, plain or TLS, upgraded in place.
//!
//! Source: RFC 6120 §5 (STARTTLS), XEP-0368 v1.1 (direct TLS), RFC 8446.
//! Why here: a session sees this one type. It waits with [`Transport::readable`] and works with calls that never wait, so
//! an idle connection holds no buffer, and nothing is lost when a wait is cancelled.
//! Stored: see `wire` and `secure`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::binding::{ChannelBindings, Witness};
use super::pipe::{Notice, Pipe};
use super::scratch;
use super::secure::{Fill, Secure, TlsInfo};
use super::tls::Acceptor;
use super::wire::Wire;

/// Unsent bytes above which [`Transport::write`] refuses more. A session closes a slow peer long before.
pub const MAX_PENDING: usize = 8 * 1024 * 1024;

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// So many bytes of plaintext.
    Data(usize),
    /// Nothing now: wait for [`Transport::readable`].
    WouldBlock,
    /// The peer will send no more. `clean`: it said so (close_notify; FIN on a plain connection), nothing was cut off.
    Closed {
        /// Whether the end is the peer's own word.
        clean: bool,
    },
}

/// A connection.
#[derive(Debug)]
pub struct Transport {
    wire: Wire,
    tls: Option<Box<Secure>>,
}

impl Transport {
    /// A connection without TLS.
    pub fn plain(stream: TcpStream) -> Self {
        Self {
            wire: Wire::new(stream),
            tls: None,
        }
    }

    /// A connection whose socket another task holds, secured there if it is to be.
    pub fn piped(pipe: Pipe, peer: SocketAddr) -> Self {
        Self {
            wire: Wire::piped(pipe, peer),
            tls: None,
        }
    }

    /// Becomes a TLS server: sends what is pending (`<proceed/>`), then shakes hands.
    ///
    /// `domain` is what the client's stream header was addressed to; its certificate is shown if TLS names none.
    /// `leftover` is what was read beyond `<starttls/>` and has to be empty: it was not protected (RFC 6120 §5.4.3.3).
    /// There is no timer here; the caller bounds the negotiation as a whole.
    ///
    /// # Errors
    /// `InvalidData` for bytes in `leftover` and for every fault of TLS (the source is a [`rustls::Error`], the peer was
    /// told by an alert), `InvalidInput` on a connection that has TLS (XEP-0368 §2), else the socket's error.
    ///
    /// # Cancel safety
    /// Cancelling closes the connection.
    pub async fn accept_tls(
        self,
        acceptor: &Acceptor,
        domain: Option<&str>,
        leftover: &[u8],
    ) -> io::Result<Self> {
        let context = acceptor.current();
        let witness = Arc::new(Witness::server(context.certificates.clone(), domain));
        let secure = Secure::server(context.config_for(&witness)).map_err(io::Error::other)?;
        drop(context);
        self.secure(Box::new(secure), &witness, leftover, Some(acceptor))
            .await
    }

    /// Becomes a TLS client, towards another server. `config` brings its own verifier.
    ///
    /// # Errors
    /// As [`Self::accept_tls`].
    ///
    /// # Cancel safety
    /// Cancelling closes the connection.
    pub async fn connect_tls(
        self,
        config: &ClientConfig,
        name: ServerName<'static>,
        leftover: &[u8],
    ) -> io::Result<Self> {
        let witness = Arc::new(Witness::client());
        let mut config = config.clone();
        config.key_log = witness.clone();
        let secure = Secure::client(Arc::new(config), name).map_err(io::Error::other)?;
        self.secure(Box::new(secure), &witness, leftover, None)
            .await
    }

    async fn secure(
        mut self,
        mut secure: Box<Secure>,
        witness: &Witness,
        leftover: &[u8],
        gate: Option<&Acceptor>,
    ) -> io::Result<Self> {
        if self.tls.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "TLS is already in use",
            ));
        }
        if !leftover.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "unprotected data before the TLS handshake",
            ));
        }
        self.flush().await?;
        secure.greet(&mut self.wire)?;
        while secure.is_handshaking() {
            self.flush().await?;
            self.wire.readable().await?;
            // Asked for at each step and not held while waiting: a slow peer keeps nobody else out.
            let _turn = match gate {
                Some(acceptor) => Some(acceptor.turn().await),
                None => None,
            };
            if let Fill::Closed { .. } = secure.shake_hands(&mut self.wire)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.flush().await?;
        secure.left = Some(Box::new(witness.finish()));
        self.tls = Some(secure);
        Ok(self)
    }

    /// Waits until [`Self::try_read`] may make progress. Counts against the task's budget, so that a peer that never
    /// pauses cannot keep the thread. Only one task at a time may wait, and polls this anew after each `try_read`.
    ///
    /// # Errors
    /// The runtime is shutting down.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn readable(&self) -> io::Result<()> {
        if self.tls.as_ref().is_some_and(|tls| tls.has_news()) {
            tokio::task::consume_budget().await;
            return Ok(());
        }
        self.wire.readable().await
    }

    /// Reads once, at most 64 KiB, and appends the plaintext to `sink`.
    ///
    /// # Errors
    /// As [`Self::try_read_with`].
    pub fn try_read(&mut self, sink: &mut Vec<u8>) -> io::Result<Read> {
        self.try_read_with(|data| sink.extend_from_slice(data))
    }

    /// Reads once, at most 64 KiB, and hands the plaintext to `consume`, piece by piece and never an empty one. The bytes
    /// live in a buffer of the thread: a decoder that keeps only what is incomplete needs no buffer per connection.
    ///
    /// # Errors
    /// `InvalidData` if the peer broke TLS, else the socket's error. Nothing can be read or sent afterwards; what was
    /// handed out before the error is genuine.
    pub fn try_read_with(&mut self, mut consume: impl FnMut(&[u8])) -> io::Result<Read> {
        let Some(tls) = &mut self.tls else {
            return scratch::with(|buffer| {
                Ok(match self.wire.read(buffer)? {
                    Some(0) => Read::Closed { clean: true },
                    Some(n) => {
                        consume(&buffer[..n]);
                        Read::Data(n)
                    }
                    None => Read::WouldBlock,
                })
            });
        };
        let mut n = 0;
        let fill = tls.read(&mut self.wire, &mut |data| {
            n += data.len();
            consume(data);
        })?;
        Ok(match fill {
            Fill::Closed { clean } => Read::Closed { clean },
            // A record that carried no data: a key update, a part of a record.
            Fill::Some(_) | Fill::WouldBlock if n == 0 => Read::WouldBlock,
            Fill::Some(_) | Fill::WouldBlock => Read::Data(n),
        })
    }

    /// Sends: what the socket does not take now is kept, see [`Self::pending_bytes`].
    ///
    /// # Errors
    /// `QuotaExceeded` if more than [`MAX_PENDING`] bytes wait already, `BrokenPipe` after [`Self::start_close`], else the
    /// socket's error.
    pub fn write(&mut self, plaintext: &[u8]) -> io::Result<()> {
        self.write_many(&[plaintext])
    }

    /// Sends several pieces, in one TLS record if they fit (16 KiB), in one system call if possible.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_many(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if self.wire.is_ending() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.wire.pending() > MAX_PENDING {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "the peer does not read",
            ));
        }
        match &mut self.tls {
            Some(tls) => tls.write(&mut self.wire, parts),
            None => self.wire.send_many(parts),
        }
    }

    /// Bytes (of ciphertext, with TLS) the socket has not taken yet.
    pub fn pending_bytes(&self) -> usize {
        self.wire.pending()
    }

    /// Of the pending bytes those that the socket could take: they are not held back.
    pub fn sendable_bytes(&self) -> usize {
        self.wire.sendable()
    }

    /// From now on what is written waits for [`Self::release`]. What waits already goes as before.
    pub fn hold_back(&mut self) {
        self.wire.hold_back();
    }

    /// Whether what is written waits to be released.
    pub fn is_held_back(&self) -> bool {
        self.wire.is_held_back()
    }

    /// So many of the bytes that were held back may go, the oldest; [`Self::try_flush`] sends them.
    pub fn release(&mut self, bytes: usize) {
        self.wire.release(bytes);
    }

    /// Nothing is held back any more.
    pub fn release_all(&mut self) {
        self.wire.release_all();
    }

    /// Whether another task holds the socket.
    pub fn is_piped(&self) -> bool {
        self.wire.is_piped()
    }

    /// What the task that is at the other end says of the pipe between, once all that it sent before is read.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.wire.take_notice()
    }

    /// Says something of the pipe, behind what was sent; what is pending comes after it. False: there is no pipe, or it has ended.
    pub fn notify(&mut self, notice: Notice) -> bool {
        self.wire.notify(notice)
    }

    /// Takes out what a pipe has not taken, for whoever goes on with the connection another way.
    pub fn take_pending(&mut self) -> Vec<u8> {
        debug_assert!(self.is_piped(), "what a socket has not taken is its own");
        self.wire.take_pending()
    }

    /// Waits until the socket may take more. Only one task at a time may wait.
    ///
    /// # Errors
    /// The runtime is shutting down.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn writable(&self) -> io::Result<()> {
        self.wire.writable().await
    }

    /// Sends pending bytes that are not held back. True: none are left, and their memory is freed.
    ///
    /// # Errors
    /// The socket's.
    pub fn try_flush(&mut self) -> io::Result<bool> {
        self.wire.flush_now()
    }

    /// Waits until nothing is pending; nothing is held back any more.
    ///
    /// # Errors
    /// The socket's.
    ///
    /// # Cancel safety
    /// What is not sent stays pending.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.wire.release_all();
        while !self.try_flush()? {
            self.writable().await?;
        }
        Ok(())
    }

    /// Ends our direction: close_notify, then FIN when everything pending is sent (so flush afterwards). The peer's
    /// direction stays readable.
    pub fn start_close(&mut self) {
        if self.wire.is_ending() {
            return;
        }
        if let Some(tls) = &mut self.tls {
            // A connection that can no longer be closed politely gets its FIN all the same.
            let _ = tls.close(&mut self.wire);
        }
        self.wire.end();
    }

    /// The other end of the socket. Behind a proxy, see [`super::Accepted::open`].
    ///
    /// # Errors
    /// The socket is no longer connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.wire.peer_addr()
    }

    /// Our end of the socket.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.wire.local_addr()
    }

    /// What is known about TLS; `None` without it.
    pub fn tls(&self) -> Option<TlsInfo<'_>> {
        self.tls.as_ref()?.info()
    }

    /// The channel bindings. Taken once, by authentication, so that their memory is freed; `None` without TLS and from
    /// the second call on.
    pub fn take_channel_bindings(&mut self) -> Option<ChannelBindings> {
        Some(self.tls.as_mut()?.left.take()?.bindings)
    }
}
