//! The network: sockets, TLS, and who may connect.
//!
//! Source: RFC 6120 §3, §5; XEP-0368 v1.1 (direct TLS); RFC 5929 and RFC 9266 (channel bindings).
//! Why here: everything above sees a [`Transport`] and knows neither sockets nor TLS. An idle connection holds no buffer.
//! Stored: nothing, but for the certificate of a development node (see [`certificate`]).
//!
//! Map: [`Listener`] takes connections in and says no to too many of them; each becomes a [`Transport`], plain at first,
//! upgraded in place by an [`Acceptor`]. The files below them are `wire` (socket and unsent bytes), `secure` and `records`
//! (TLS without buffers), `held` (certificates that are no files), `pipe` (in a socket's place where that is held elsewhere), `binding` (what the handshake leaves for authentication), `admission` (who may come in) and
//! `proxy_protocol`.

mod admission;
mod binding;
pub mod certificate;
mod error;
mod held;
mod listener;
mod peer_certificate;
mod pipe;
mod proxy_protocol;
mod records;
mod scratch;
mod secure;
mod tls;
mod transport;
mod wire;

pub use admission::{
    AdmissionLimits, Counts, Network, NetworkError, Permit, Refused, RefusedCounts,
};
pub use binding::ChannelBindings;
pub use error::TlsError;
pub use held::Held;
pub use listener::{Accepted, Keepalive, Listener, ListenerSettings};
#[cfg(test)]
pub(crate) use pipe::tests::pair as piped_pair;
pub use pipe::{Far, Notice, Pipe, PipeHandle, WINDOW};
pub use proxy_protocol::{
    Header as ProxyHeader, ParseError as ProxyError, parse as parse_proxy_header,
};
pub use secure::TlsInfo;
pub use tls::{ALPN_CLIENT, ALPN_SERVER, Acceptor, CertificateFiles, Reload, TlsSettings};
pub use transport::{MAX_PENDING, Read, Transport};
