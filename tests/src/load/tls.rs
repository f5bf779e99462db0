//! TLS without I/O: bytes in, bytes out, for the load program's clients and for the relay.
//!
//! Source: rustls' unbuffered API, RFC 8446.
//! Why here: the buffered API copies every byte twice and keeps buffers per connection; this one decrypts in place, so
//! that the cost of the client engine stays well below that of the server it measures.

mod config;

use std::io;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

pub use config::{client_config, server_config};

/// Room for the header, tag and padding of the records that one call may write besides its payload.
const RECORD_OVERHEAD: usize = 64;
/// The largest payload of one record (RFC 8446 §5.1).
const RECORD_PAYLOAD: usize = 16_384;

/// One TLS connection, either side.
pub struct Tls {
    side: Side,
    established: bool,
    closed: bool,
}

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl Tls {
    /// The client's side; the first handshake message is ready at the next [`Tls::process`].
    ///
    /// # Errors
    /// Says what rustls refused in the configuration or the name.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let connection = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self::new(Side::Client(Box::new(connection))))
    }

    /// The server's side.
    ///
    /// # Errors
    /// Says what rustls refused in the configuration.
    pub fn server(config: Arc<ServerConfig>) -> io::Result<Self> {
        let connection = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self::new(Side::Server(Box::new(connection))))
    }

    fn new(side: Side) -> Self {
        Self {
            side,
            established: false,
            closed: false,
        }
    }

    /// True once payload may be sent.
    #[must_use]
    pub fn established(&self) -> bool {
        self.established
    }

    /// True once the peer said that it sends no more.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Works through `incoming`, appends payload to `clear` and records to send to `out`.
    ///
    /// Returns how many bytes of `incoming` are done with; the rest must stand at the front at the next call.
    ///
    /// # Errors
    /// `InvalidData` when the peer breaks the protocol.
    pub fn process(
        &mut self,
        incoming: &mut [u8],
        clear: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let rest = &mut incoming[used..];
            let (done, step) = match &mut self.side {
                Side::Client(connection) => {
                    advance(connection.process_tls_records(rest), clear, out)?
                }
                Side::Server(connection) => {
                    advance(connection.process_tls_records(rest), clear, out)?
                }
            };
            used += done;
            match step {
                Step::Again => {}
                Step::Blocked => return Ok(used),
                Step::Ready => {
                    self.established = true;
                    return Ok(used);
                }
                Step::Closed => {
                    self.closed = true;
                    return Ok(used);
                }
            }
        }
    }

    /// Appends `payload` to `out` as records.
    ///
    /// # Errors
    /// `NotConnected` before the handshake has ended.
    pub fn encrypt(&mut self, payload: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let records = payload.len() / RECORD_PAYLOAD + 1;
        let room = payload.len() + records * RECORD_OVERHEAD;
        // A pending key update or alert comes out first; then the state is always "may write".
        for _ in 0..8 {
            let mut clear = Vec::new();
            let (_, step) = match &mut self.side {
                Side::Client(connection) => {
                    let status = connection.process_tls_records(&mut []);
                    write_or_advance(status, payload, room, &mut clear, out)?
                }
                Side::Server(connection) => {
                    let status = connection.process_tls_records(&mut []);
                    write_or_advance(status, payload, room, &mut clear, out)?
                }
            };
            debug_assert!(
                clear.is_empty(),
                "process() takes all payload out before it returns"
            );
            match step {
                Step::Ready => return Ok(()),
                Step::Again => {}
                Step::Blocked | Step::Closed => break,
            }
        }
        Err(io::ErrorKind::NotConnected.into())
    }
}

/// What one state of rustls left to do.
enum Step {
    Again,
    Blocked,
    Ready,
    Closed,
}

fn advance<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    clear: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> io::Result<(usize, Step)> {
    let UnbufferedStatus {
        mut discard, state, ..
    } = status;
    let step = match state.map_err(invalid)? {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record.map_err(invalid)?;
                discard += record.discard;
                clear.extend_from_slice(record.payload);
            }
            Step::Again
        }
        ConnectionState::EncodeTlsData(mut data) => {
            if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                fill(out, size.required_size, |room| data.encode(room))?;
            }
            Step::Again
        }
        // What was encoded stands in `out`, which the caller writes in order.
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Step::Again
        }
        ConnectionState::WriteTraffic(_) => Step::Ready,
        ConnectionState::PeerClosed | ConnectionState::Closed => Step::Closed,
        _ => Step::Blocked,
    };
    Ok((discard, step))
}

fn write_or_advance<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    payload: &[u8],
    room: usize,
    clear: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> io::Result<(usize, Step)> {
    match status {
        UnbufferedStatus {
            state: Ok(ConnectionState::WriteTraffic(mut traffic)),
            ..
        } => {
            fill(
                out,
                room,
                |free: &mut [u8]| -> Result<usize, EncryptError> { traffic.encrypt(payload, free) },
            )?;
            Ok((0, Step::Ready))
        }
        other => advance(other, clear, out),
    }
}

/// Lets `write` fill up to `room` bytes behind what `out` holds.
fn fill<E: std::error::Error + Send + Sync + 'static>(
    out: &mut Vec<u8>,
    room: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    let start = out.len();
    out.resize(start + room, 0);
    match write(&mut out[start..]) {
        Ok(written) => {
            out.truncate(start + written);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(io::Error::other(error))
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
