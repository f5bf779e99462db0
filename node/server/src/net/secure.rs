//! Secure: one TLS connection that holds no buffer while it is idle.
//!
//! Source: RFC 8446, RFC 5246 as rustls speaks them; its *unbuffered* interface leaves all buffers to us.
//! Why here: rustls' ordinary connection keeps a 4 KiB read buffer for ever; this one keeps an incomplete record, no more.
//! Stored: the keys; ciphertext that is not yet a whole record (at most [`MAX_INCOMPLETE`]); plaintext that came along
//! with the end of the handshake, until the first read.

use std::io;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{CipherSuite, ClientConfig, CommonState, ProtocolVersion, ServerConfig};

use super::binding::Left;
use super::records::{Errand, Next, Out, step};
use super::scratch;
use super::wire::Wire;

/// Ciphertext kept between two reads: an incomplete record, or the records of an incomplete handshake message.
const MAX_INCOMPLETE: usize = 40 * 1024;

/// Connections differ in who speaks first, and in nothing after that.
enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// The TLS state of a connection.
pub(super) struct Secure {
    side: Side,
    /// What rustls could not use yet.
    incomplete: Vec<u8>,
    /// Plaintext that was decrypted while nobody was reading.
    early: Vec<u8>,
    /// What the handshake learned, until authentication has used it.
    pub(super) left: Option<Box<Left>>,
    /// close_notify was received.
    peer_closed: bool,
    /// A record could not be trusted; nothing more is read or sent.
    failed: bool,
}

/// What a read of ciphertext came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// So much ciphertext was taken in.
    Some(usize),
    /// The socket has nothing now.
    WouldBlock,
    /// End of the connection; `clean` if close_notify came before.
    Closed { clean: bool },
}

/// What is known about a TLS connection.
#[derive(Debug)]
pub struct TlsInfo<'a> {
    /// TLS 1.2 or 1.3.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub cipher: CipherSuite,
    /// The protocol chosen by ALPN (RFC 7301), if any.
    pub alpn: Option<&'a [u8]>,
    /// The domain the client asked for (RFC 6066 §3), lower case. `None` also after `take_channel_bindings`.
    pub sni: Option<&'a str>,
    /// The peer's certificates, its own first. Proven to be its own, but *not* judged otherwise.
    pub peer_certificates: &'a [CertificateDer<'static>],
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure")
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}

impl Secure {
    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        UnbufferedServerConnection::new(config).map(|it| Self::new(Side::Server(it)))
    }

    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        UnbufferedClientConnection::new(config, name).map(|it| Self::new(Side::Client(it)))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            incomplete: Vec::new(),
            early: Vec::new(),
            left: None,
            peer_closed: false,
            failed: false,
        }
    }

    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Server(connection) => connection,
            Side::Client(connection) => connection,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    /// A read would yield something without asking the socket.
    pub(super) fn has_news(&self) -> bool {
        !self.early.is_empty() || self.peer_closed || self.failed
    }

    pub(super) fn info(&self) -> Option<TlsInfo<'_>> {
        let state = self.state();
        Some(TlsInfo {
            version: state.protocol_version()?,
            cipher: state.negotiated_cipher_suite()?.suite(),
            alpn: state.alpn_protocol(),
            sni: self.left.as_ref().and_then(|left| left.sni.as_deref()),
            peer_certificates: state.peer_certificates().unwrap_or_default(),
        })
    }

    /// Starts or continues the handshake: reads once and answers. Plaintext that comes along waits for [`Self::read`].
    pub(super) fn shake_hands(&mut self, wire: &mut Wire) -> io::Result<Fill> {
        let mut early = std::mem::take(&mut self.early);
        let fill = self.fill(wire, &mut |data| early.extend_from_slice(data));
        self.early = early;
        fill
    }

    /// Sends what is due without reading: a client's first message.
    pub(super) fn greet(&mut self, wire: &mut Wire) -> io::Result<()> {
        self.run_errand(wire, &Errand::Nothing)
    }

    /// Reads once from the socket and hands out the plaintext of every complete record.
    pub(super) fn read(
        &mut self,
        wire: &mut Wire,
        data: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Fill> {
        let early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            data(&early);
            return Ok(Fill::Some(early.len()));
        }
        self.fill(wire, data)
    }

    fn fill(&mut self, wire: &mut Wire, data: &mut dyn FnMut(&[u8])) -> io::Result<Fill> {
        if self.failed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.peer_closed {
            return Ok(Fill::Closed { clean: true });
        }
        scratch::with(|buffer| {
            let kept = self.incomplete.len();
            buffer[..kept].copy_from_slice(&self.incomplete);
            let read = match wire.read(&mut buffer[kept..])? {
                Some(0) => return Ok(Fill::Closed { clean: false }),
                Some(read) => read,
                None => return Ok(Fill::WouldBlock),
            };
            let input = &mut buffer[..kept + read];
            let used = self.drive(input, wire, &Errand::Nothing, data)?;
            self.keep(&input[used..])?;
            Ok(Fill::Some(read))
        })
    }

    /// Encrypts and sends: small parts share a record, large ones are split.
    pub(super) fn write(&mut self, wire: &mut Wire, parts: &[&[u8]]) -> io::Result<()> {
        self.run_errand(wire, &Errand::Send(parts))
    }

    pub(super) fn close(&mut self, wire: &mut Wire) -> io::Result<()> {
        self.run_errand(wire, &Errand::CloseNotify)
    }

    fn run_errand(&mut self, wire: &mut Wire, errand: &Errand<'_>) -> io::Result<()> {
        if self.failed {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut early = std::mem::take(&mut self.early);
        let mut input = std::mem::take(&mut self.incomplete);
        let used = self.drive(&mut input, wire, errand, &mut |data| {
            early.extend_from_slice(data)
        });
        self.early = early;
        match used? {
            0 => self.incomplete = input,
            used => self.keep(&input[used..])?,
        }
        Ok(())
    }

    /// Keeps what rustls could not use yet, in a vector of just that size.
    fn keep(&mut self, rest: &[u8]) -> io::Result<()> {
        if rest.len() > MAX_INCOMPLETE {
            self.failed = true;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "TLS handshake message too large",
            ));
        }
        self.incomplete = if self.peer_closed {
            Vec::new()
        } else {
            rest.to_vec()
        };
        Ok(())
    }

    /// Lets rustls work on `input` until it needs more. Returns how much of `input` is used up.
    ///
    /// rustls remembers positions in `input`, so every call has to begin with what the last one did not use.
    fn drive(
        &mut self,
        input: &mut [u8],
        wire: &mut Wire,
        errand: &Errand<'_>,
        data: &mut dyn FnMut(&[u8]),
    ) -> io::Result<usize> {
        scratch::with(|buffer| {
            let mut out = Out::new(buffer, wire);
            let mut at = 0;
            // Until the end is reached in good order: what was half done can be neither repeated nor left out.
            self.failed = true;
            loop {
                let input = &mut input[at..];
                let (discard, next) = match &mut self.side {
                    Side::Server(it) => step(it.process_tls_records(input), errand, &mut out, data),
                    Side::Client(it) => step(it.process_tls_records(input), errand, &mut out, data),
                };
                at += discard;
                match next {
                    Ok(Next::Again) => {}
                    Ok(Next::PeerClosed) => self.peer_closed = true,
                    Ok(Next::Idle | Next::Sent) => break,
                    Err(error) => {
                        self.send_alert(&mut input[discard..], &mut out);
                        return Err(error);
                    }
                }
            }
            out.flush()?;
            self.failed = false;
            Ok(at)
        })
    }

    /// Tells the peer what was wrong, if it can still hear.
    fn send_alert(&mut self, input: &mut [u8], out: &mut Out<'_>) {
        // rustls hands out what it has to send before it looks at input again, which it must not do after a fault.
        while self.state().wants_write() {
            let (_, next) = match &mut self.side {
                Side::Server(it) => step(
                    it.process_tls_records(input),
                    &Errand::Nothing,
                    out,
                    &mut |_| {},
                ),
                Side::Client(it) => step(
                    it.process_tls_records(input),
                    &Errand::Nothing,
                    out,
                    &mut |_| {},
                ),
            };
            if next.is_err() {
                break;
            }
        }
        // The cause of the failure is reported already; that the alert failed too adds nothing.
        let _ = out.flush();
    }
}
