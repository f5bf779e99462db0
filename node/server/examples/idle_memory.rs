//! How much memory an idle connection costs the server.
//!
//! `cargo run --release --example idle_memory [connections]` opens that many (5000 if not told), plain and then TLS, from
//! a second process that shares no memory with the server. Each exchanges some data, as a login would, and falls silent;
//! what the server's resident memory grew by is divided by their number. The kernel's memory is not part of it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use starling::net::certificate::self_signed;
use starling::net::{
    Accepted, Acceptor, AdmissionLimits, Listener, ListenerSettings, Permit, Read, TlsSettings,
    Transport,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const DOMAIN: &str = "example.org";
const MESSAGE: [u8; 200] = [b'x'; 200];
const ROUNDS: usize = 8;
/// Opened before the first measurement, so that what is needed once is not counted.
const WARM_UP: usize = 200;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match arguments.as_slice() {
        [role, address, n, certificate] if role == "client" => {
            let certificate = (certificate != "-").then_some(certificate.as_str());
            runtime.block_on(client(address.parse()?, n.parse()?, certificate))
        }
        [] => runtime.block_on(server(5000)),
        [n] => runtime.block_on(server(n.parse()?)),
        _ => anyhow::bail!("usage: idle_memory [connections]"),
    }
}

async fn server(n: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = self_signed(directory.path(), &[DOMAIN.into()], SystemTime::now())?;
    let certificate = files
        .chain
        .to_str()
        .context("temporary directory is UTF-8")?
        .to_owned();
    let acceptor = Acceptor::new(TlsSettings {
        certificates: vec![files],
        ..TlsSettings::default()
    })?;
    writeln!(io::stdout(), "Transport: {} bytes", size_of::<Transport>())?;
    for (name, acceptor, certificate) in [
        ("plain", None, "-"),
        ("TLS", Some(Arc::new(acceptor)), certificate.as_str()),
    ] {
        let limits = AdmissionLimits {
            per_address: usize::MAX,
            burst: u32::MAX,
            per_second: 1_000_000,
            ..AdmissionLimits::default()
        };
        let settings = ListenerSettings {
            limits,
            ..ListenerSettings::default()
        };
        let listener = Listener::bind("127.0.0.1:0".parse()?, settings)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, acceptor));
        let mut warm = open(address, WARM_UP, certificate)?;
        let before = resident()?;
        let mut many = open(address, n, certificate)?;
        let grown = resident()?.saturating_sub(before);
        writeln!(
            io::stdout(),
            "{name}: {} bytes of user memory per idle connection ({n} connections)",
            grown / n
        )?;
        for child in [&mut warm, &mut many] {
            drop(child.stdin.take());
            child.wait()?;
        }
        accepting.abort();
    }
    Ok(())
}

/// Starts a client and waits until its connections are idle.
fn open(address: SocketAddr, n: usize, certificate: &str) -> Result<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["client", &address.to_string(), &n.to_string(), certificate])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().context("the output is piped")?;
    tokio::task::block_in_place(|| BufReader::new(output).read_line(&mut line))?;
    ensure!(line == "idle\n", "the client failed");
    Ok(child)
}

/// Resident memory of this process.
fn resident() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("the kernel tells VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}

async fn accept(listener: Listener, acceptor: Option<Arc<Acceptor>>) {
    loop {
        // The handshake in a future of its own, which is gone when the connection is idle.
        let opened = Box::pin(open_one(listener.accept().await, acceptor.clone()));
        let session = session(opened);
        let size = size_of_val(&session);
        let first = SIZE.swap(size, Ordering::Relaxed) == 0;
        if first {
            let _ = writeln!(io::stdout(), "future of a session: {size} bytes");
        }
        tokio::spawn(session);
    }
}

static SIZE: AtomicUsize = AtomicUsize::new(0);

async fn open_one(
    accepted: Accepted,
    acceptor: Option<Arc<Acceptor>>,
) -> io::Result<(Transport, Permit)> {
    let (mut transport, _, permit) = accepted.open().await?;
    if let Some(acceptor) = acceptor {
        transport = transport.accept_tls(&acceptor, None, &[]).await?;
    }
    transport.take_channel_bindings();
    Ok((transport, permit))
}

async fn session(
    opened: Pin<Box<impl Future<Output = io::Result<(Transport, Permit)>>>>,
) -> io::Result<()> {
    let (mut transport, _permit) = opened.await?;
    loop {
        transport.readable().await?;
        let mut n = 0;
        match transport.try_read_with(|data| n += data.len())? {
            Read::Closed { .. } => return Ok(()),
            Read::WouldBlock => {}
            Read::Data(_) => transport.write(&MESSAGE[..n.min(MESSAGE.len())])?,
        }
    }
}

async fn client(address: SocketAddr, n: usize, certificate: Option<&str>) -> Result<()> {
    let tls = certificate.map(connector).transpose()?;
    let mut plain = Vec::new();
    let mut secured = Vec::new();
    for _ in 0..n {
        let mut socket = TcpStream::connect(address).await?;
        match &tls {
            None => {
                talk(&mut socket).await?;
                plain.push(socket);
            }
            Some(tls) => {
                let mut stream = tls.connect(ServerName::try_from(DOMAIN)?, socket).await?;
                talk(&mut stream).await?;
                secured.push(stream);
            }
        }
    }
    writeln!(io::stdout(), "idle")?;
    // Until the server has measured.
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn connector(certificate: &str) -> Result<tokio_rustls::TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config).into())
}

async fn talk(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<()> {
    for _ in 0..ROUNDS {
        stream.write_all(&MESSAGE).await?;
        stream.flush().await?;
        stream.read_exact(&mut [0; MESSAGE.len()]).await?;
    }
    Ok(())
}
