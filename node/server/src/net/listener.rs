//! Listener: takes connections in, as many as there may be.
//!
//! Source: RFC 6120 §3, §13.12; the PROXY protocol.
//! Why here: the one place where sockets are made and set up. It never fails: what goes wrong with one connection ends
//! that one, and what goes wrong with accepting (no descriptors left) is waited out.
//! Stored: nothing but counters.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::Transport;
use super::admission::{Admission, AdmissionLimits, Counts, Network, Permit};
use super::proxy_protocol::{self as proxy, Header};

/// How long to wait when the system is out of descriptors or memory: doubled each time, up to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How a listener behaves.
#[derive(Debug, Clone)]
pub struct ListenerSettings {
    /// How many connections it takes in.
    pub limits: AdmissionLimits,
    /// Connections the kernel holds until we accept them.
    pub backlog: i32,
    /// Keep-alive probes of the kernel; none if `None`.
    pub keepalive: Option<Keepalive>,
    /// Sources that are load balancers: they *must* send a PROXY header, all others must not.
    pub trusted_proxies: Vec<Network>,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            limits: AdmissionLimits::default(),
            backlog: 4096,
            keepalive: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// When the kernel asks whether the peer is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between two probes.
    pub interval: Duration,
    /// Probes without an answer before the connection is given up.
    pub retries: u32,
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    settings: ListenerSettings,
    admission: Arc<Admission>,
}

impl Listener {
    /// Listens on an address.
    ///
    /// # Errors
    /// The address cannot be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: SocketAddr, settings: ListenerSettings) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(settings.backlog)?;
        Self::from_socket(socket.into(), settings)
    }

    /// Listens on a socket that listens already: handed over by a parent, or bound to port 0 by a test.
    ///
    /// # Errors
    /// The socket cannot be registered.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn from_socket(
        socket: std::net::TcpListener,
        settings: ListenerSettings,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: TcpListener::from_std(socket)?,
            admission: Admission::new(settings.limits.clone()),
            settings,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Who came in through it, and who was refused.
    pub fn counts(&self) -> Counts {
        self.admission.counts()
    }

    /// Waits for the next connection that may come in; the others are closed without a word.
    ///
    /// # Cancel safety
    /// No connection is lost.
    pub async fn accept(&self) -> Accepted {
        let mut back_off = BACK_OFF.0;
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    back_off = BACK_OFF.0;
                    match self.take_in(stream, peer) {
                        Ok(accepted) => return accepted,
                        Err(error) => tracing::debug!(%peer, %error, "connection refused"),
                    }
                }
                Err(error) if is_about_one_connection(&error) => {
                    tracing::debug!(%error, "connection lost before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, wait_ms = back_off.as_millis(), "cannot accept connections");
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    fn take_in(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<Accepted> {
        let mut permit = self.admission.enter().map_err(io::Error::other)?;
        let proxied = self
            .settings
            .trusted_proxies
            .iter()
            .any(|network| network.contains(peer.ip()));
        if !proxied {
            permit
                .assign(peer.ip(), Instant::now())
                .map_err(io::Error::other)?;
        }
        stream.set_nodelay(true)?;
        if let Some(Keepalive {
            idle,
            interval,
            retries,
        }) = self.settings.keepalive
        {
            let keepalive = TcpKeepalive::new()
                .with_time(idle)
                .with_interval(interval)
                .with_retries(retries);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        }
        Ok(Accepted {
            stream,
            peer,
            permit,
            proxied,
        })
    }
}

/// Not a reason to wait before the next one.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

/// A connection that was taken in.
#[derive(Debug)]
pub struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    permit: Permit,
    proxied: bool,
}

impl Accepted {
    /// Makes it usable: the connection, the address of the client, and the permit, to be held as long as the connection.
    /// Reads the PROXY header first if one is due, so this belongs into the connection's own task, with a time limit.
    ///
    /// # Errors
    /// The PROXY header is missing or invalid, or the client's address may not have another connection.
    pub async fn open(self) -> io::Result<(Transport, SocketAddr, Permit)> {
        let (stream, peer, permit) = self.socket().await?;
        Ok((Transport::plain(stream), peer, permit))
    }

    /// The same for what is no stream of XMPP: the socket itself.
    ///
    /// # Errors
    /// As [`Accepted::open`].
    pub async fn socket(mut self) -> io::Result<(TcpStream, SocketAddr, Permit)> {
        if self.proxied {
            let header = read_proxy_header(&mut self.stream).await?;
            self.peer = header.source.unwrap_or(self.peer);
            self.permit
                .assign(self.peer.ip(), Instant::now())
                .map_err(io::Error::other)?;
        }
        Ok((self.stream, self.peer, self.permit))
    }
}

/// Reads exactly the header and not one byte of what follows.
async fn read_proxy_header(stream: &mut TcpStream) -> io::Result<Header> {
    let mut bytes = vec![0; proxy::SIGNATURE.len()];
    stream.read_exact(&mut bytes).await?;
    if bytes == proxy::SIGNATURE {
        bytes.resize(proxy::V2_HEAD, 0);
        stream
            .read_exact(&mut bytes[proxy::SIGNATURE.len()..])
            .await?;
        bytes.resize(
            proxy::V2_HEAD + proxy::v2_length(&bytes).map_err(io::Error::other)?,
            0,
        );
        stream.read_exact(&mut bytes[proxy::V2_HEAD..]).await?;
    } else {
        // The end of a line of version 1 is only known when it is there.
        while bytes.starts_with(b"PROXY ")
            && bytes.len() < proxy::V1_MAX
            && !bytes.ends_with(b"\r\n")
        {
            bytes.push(stream.read_u8().await?);
        }
    }
    proxy::parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
