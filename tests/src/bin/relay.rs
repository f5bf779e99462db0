//! `relay`: the least that a server can do. It pairs TLS connections and forwards what they say, bytes for bytes.
//!
//! Why: its process time per message is what TLS and the kernel cost. What a server spends beyond that is XMPP, and
//! "share of a relay" says how near to this floor it is.
//!
//! A connection says eight hexadecimal digits; the second one that says the same is its peer. Both get `<ok/>`, then
//! each gets what the other sends. All that one read brings leaves in one write.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use clap::Parser;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tests::load::tls::{self, Tls};
use tests::load::wire::Wire;
use tokio::net::{TcpListener, TcpStream};

/// Length of what a connection says first.
const NAME: usize = 8;
/// A connection is not read while its peer has so much to take.
const HELD: usize = 1 << 20;
/// Halves that wait for their peer at most.
const WAITING: usize = 100_000;

#[derive(Parser)]
#[command(about = "Forwards bytes between paired TLS connections")]
struct Arguments {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Certificate in PEM; without one there is no TLS.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// Its key in PEM.
    #[arg(long)]
    key: Option<PathBuf>,
}

type Waiting = Arc<Mutex<HashMap<[u8; NAME], Wire>>>;

fn main() -> ExitCode {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(serve(Arguments::parse()))
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "relay: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    let config = match (arguments.certificate, arguments.key) {
        (Some(certificate), Some(key)) => {
            let certificate =
                CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
            Some(tls::server_config(certificate, key)?)
        }
        _ => None,
    };
    let listener = TcpListener::bind(arguments.listen).await?;
    let waiting = Waiting::default();
    loop {
        let (tcp, _) = listener.accept().await?;
        let (config, waiting) = (config.clone(), waiting.clone());
        // A pair ends when either half does; there is nobody to report it to.
        tokio::spawn(async move { pair(tcp, config, waiting).await.ok() });
    }
}

/// Takes a connection and leaves it in the map, or forwards between it and the one that waited.
async fn pair(
    tcp: TcpStream,
    config: Option<Arc<ServerConfig>>,
    waiting: Waiting,
) -> io::Result<()> {
    let mut wire = Wire::over(tcp)?;
    let mut clear = match config {
        Some(config) => wire.handshake(Tls::server(config)?).await?,
        None => Vec::new(),
    };
    while clear.len() < NAME {
        wire.receive(&mut clear).await?;
    }
    let name: [u8; NAME] = clear[..]
        .try_into()
        .map_err(|_| io::ErrorKind::InvalidData)?;
    let peer = {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.remove(&name) {
            Some(peer) => peer,
            None if waiting.len() >= WAITING => return Err(io::ErrorKind::QuotaExceeded.into()),
            None => {
                waiting.insert(name, wire);
                return Ok(());
            }
        }
    };
    forward(wire, peer).await
}

async fn forward(mut left: Wire, mut right: Wire) -> io::Result<()> {
    left.queue(b"<ok/>")?;
    right.queue(b"<ok/>")?;
    let mut clear = Vec::new();
    poll_fn(|cx| {
        loop {
            let _ = left.poll_flush(cx)?;
            let _ = right.poll_flush(cx)?;
            let moved = carry(cx, &mut left, &mut right, &mut clear)?.is_ready()
                | carry(cx, &mut right, &mut left, &mut clear)?.is_ready();
            if !moved {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn carry(
    cx: &mut Context<'_>,
    from: &mut Wire,
    to: &mut Wire,
    clear: &mut Vec<u8>,
) -> Poll<io::Result<()>> {
    if to.pending() > HELD {
        return Poll::Pending;
    }
    let got = from.poll_receive(cx, clear)?;
    if got.is_ready() {
        to.queue(clear)?;
        clear.clear();
    }
    got.map(|_| Ok(()))
}
