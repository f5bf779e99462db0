//! The network layer against real sockets on the loopback, with rustls' own client at the other end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod certificates;
mod closing;
mod handshake;
mod listener;
mod stream;

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use starling::net::certificate::self_signed;
use starling::net::{Acceptor, CertificateFiles, Read, TlsSettings, Transport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DOMAIN: &str = "example.org";
const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A server identity in files of its own.
struct World {
    directory: TempDir,
    files: CertificateFiles,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = self_signed(directory.path(), &[DOMAIN.into()], SystemTime::now()).unwrap();
        Self { directory, files }
    }

    fn settings(&self) -> TlsSettings {
        TlsSettings {
            certificates: vec![self.files.clone()],
            ..TlsSettings::default()
        }
    }

    fn acceptor(&self) -> Acceptor {
        Acceptor::new(self.settings()).unwrap()
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.files.chain).unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        roots
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }
}

/// Both ends of a loopback connection.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// A TLS client that lets the test see and hold every byte.
struct Client {
    tls: ClientConnection,
    socket: TcpStream,
    /// What was received and not asked for yet.
    plaintext: Vec<u8>,
}

impl Client {
    fn new(config: ClientConfig, server: &str, socket: TcpStream) -> Self {
        let name = ServerName::try_from(server.to_owned()).unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Self {
            tls,
            socket,
            plaintext: Vec::new(),
        }
    }

    /// Takes what rustls wants to send.
    fn ciphertext(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Encrypts without sending.
    fn encrypt(&mut self, plaintext: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(plaintext).unwrap();
        self.ciphertext()
    }

    async fn send(&mut self, plaintext: &[u8]) {
        let bytes = self.encrypt(plaintext);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Reads once from the socket. Zero at its end.
    async fn receive(&mut self) -> io::Result<usize> {
        let mut bytes = vec![0; 16 * 1024];
        let n = self.socket.read(&mut bytes).await?;
        self.decrypt(&bytes[..n])?;
        Ok(n)
    }

    fn decrypt(&mut self, mut ciphertext: &[u8]) -> io::Result<()> {
        loop {
            // Nothing to read is how rustls learns of the end.
            self.tls.read_tls(&mut ciphertext)?;
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let n = state.plaintext_bytes_to_read() as u64;
            self.tls.reader().take(n).read_to_end(&mut self.plaintext)?;
            if ciphertext.is_empty() {
                return Ok(());
            }
        }
    }

    /// Whether the server said that it is done.
    fn saw_close_notify(&mut self) -> bool {
        // Else it is `WouldBlock`, or `UnexpectedEof` after the end of the socket.
        matches!(self.tls.reader().read(&mut [0; 1]), Ok(0))
    }

    async fn shake_hands(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() {
            let bytes = self.ciphertext();
            self.socket.write_all(&bytes).await?;
            if self.tls.is_handshaking() && self.receive().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let bytes = self.ciphertext();
        self.socket.write_all(&bytes).await
    }

    /// Reads exactly so much plaintext.
    async fn read(&mut self, n: usize) -> Vec<u8> {
        while self.plaintext.len() < n {
            let got = self.plaintext.len();
            assert_ne!(
                self.receive().await.unwrap(),
                0,
                "closed after {got} of {n} bytes"
            );
        }
        let rest = self.plaintext.split_off(n);
        std::mem::replace(&mut self.plaintext, rest)
    }
}

/// A connection with TLS on both ends.
async fn secured(acceptor: &Acceptor, config: ClientConfig) -> (Client, Transport) {
    let (client, server) = sockets().await;
    let mut client = Client::new(config, DOMAIN, client);
    let transport = Transport::plain(server);
    let (shaken, accepted) = tokio::join!(
        client.shake_hands(),
        transport.accept_tls(acceptor, None, &[])
    );
    shaken.unwrap();
    (client, accepted.unwrap())
}

/// Reads until so much plaintext is there.
async fn read_exactly(transport: &mut Transport, n: usize) -> Vec<u8> {
    let mut plaintext = Vec::new();
    while plaintext.len() < n {
        transport.readable().await.unwrap();
        let before = plaintext.len();
        match transport.try_read(&mut plaintext).unwrap() {
            Read::Data(n) => assert_eq!(plaintext.len(), before + n),
            Read::WouldBlock => assert_eq!(plaintext.len(), before),
            Read::Closed { clean } => {
                panic!("closed (clean: {clean}) after {} bytes", plaintext.len())
            }
        }
    }
    assert_eq!(plaintext.len(), n);
    plaintext
}

/// Reads until the end, which is returned.
async fn read_to_end(transport: &mut Transport, plaintext: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        transport.readable().await?;
        if let Read::Closed { clean } = transport.try_read(plaintext)? {
            return Ok(clean);
        }
    }
}

/// Bytes that differ from their neighbours.
fn pattern(n: usize) -> Vec<u8> {
    (0..n)
        .map(|i| (i * 31 + i / 253).to_le_bytes()[0])
        .collect()
}

/// How many TLS records there are in some ciphertext, which has to end with the end of one.
fn records(mut ciphertext: &[u8]) -> usize {
    let mut n = 0;
    while let [_, _, _, high, low, rest @ ..] = ciphertext {
        ciphertext = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
        n += 1;
    }
    assert!(ciphertext.is_empty());
    n
}
