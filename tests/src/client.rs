//! A client for tests: a stream whose every step can be taken, left out, or done wrong.
//!
//! Source: RFC 6120 §4-7, XEP-0077. Why our own: stock clients repair and hide what a server does; they are tested in
//! `tests/clients`. Stored: nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::credentials::{self, Hash};
use crate::server::Target;
use crate::xml::{Incoming, STREAM_NS, StreamReader, Tree, escaped};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// A stream to a server.
pub struct Wire {
    socket: Option<Box<dyn Socket>>,
    reader: StreamReader,
    /// What one read may bring; on the heap, so that futures stay small.
    buffer: Vec<u8>,
    domain: String,
    tls: Arc<ClientConfig>,
    /// What went over it, for the report of a failure.
    pub transcript: Vec<String>,
}

impl Wire {
    /// Opens TCP, no more.
    ///
    /// # Errors
    /// If nobody listens, or the authority's certificate cannot be read.
    pub async fn connect(target: &Target) -> Result<Self> {
        Self::dial(target, target.c2s).await
    }

    /// Opens TCP and TLS at once (XEP-0368).
    ///
    /// # Errors
    /// If the server has no such port, nobody listens, or TLS fails.
    pub async fn connect_tls(target: &Target) -> Result<Self> {
        let address = target
            .c2s_tls
            .context("the server has no port for direct TLS")?;
        let mut wire = Self::dial(target, address).await?;
        wire.upgrade(Some(b"xmpp-client")).await?;
        Ok(wire)
    }

    async fn dial(target: &Target, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            socket: Some(Box::new(stream)),
            reader: StreamReader::default(),
            buffer: vec![0; 8192],
            domain: target.domain.clone(),
            tls: Arc::new(tls_config(target)?),
            transcript: Vec::new(),
        })
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send(&mut self, text: &str) -> Result<()> {
        self.transcript.push(format!("-> {}", shortened(text)));
        let socket = self
            .socket
            .as_mut()
            .context("the connection was closed before")?;
        socket.write_all(text.as_bytes()).await?;
        Ok(socket.flush().await?)
    }

    /// The next thing on the stream; `None` when the connection is at its end.
    ///
    /// # Errors
    /// If what comes is no XML for XMPP, or the connection breaks.
    pub async fn next(&mut self) -> Result<Option<Incoming>> {
        loop {
            if let Some(incoming) = self.reader.next()? {
                self.transcript.push(match &incoming {
                    Incoming::Header(tree) => format!("<- header {}", shortened(&tree.to_string())),
                    Incoming::Element(tree) => format!("<- {}", shortened(&tree.to_string())),
                    Incoming::Footer => "<- </stream:stream>".to_owned(),
                });
                return Ok(Some(incoming));
            }
            let Some(socket) = self.socket.as_mut() else {
                return Ok(None);
            };
            let count = match socket.read(&mut self.buffer).await {
                Ok(count) => count,
                // A server that closes without TLS's close_notify, or with unread bytes of ours, ends here.
                Err(error) if is_end(&error) => 0,
                Err(error) => return Err(error.into()),
            };
            if count == 0 {
                self.transcript.push("<- end".to_owned());
                self.socket = None;
                return Ok(None);
            }
            self.reader.push(&self.buffer[..count]);
        }
    }

    /// The next first-level element.
    ///
    /// # Errors
    /// If anything else comes.
    pub async fn element(&mut self) -> Result<Tree> {
        match self.next().await? {
            Some(Incoming::Element(tree)) => Ok(tree),
            Some(Incoming::Header(_)) => {
                bail!("a stream header came where an element was expected")
            }
            Some(Incoming::Footer) => bail!("the server closed the stream"),
            None => bail!("the server closed the connection"),
        }
    }

    /// Starts reading a new stream on the same connection (RFC 6120 §4.3.3).
    pub fn restart(&mut self) {
        self.reader = StreamReader::default();
    }

    /// The header that opens a stream.
    #[must_use]
    pub fn header(&self) -> String {
        format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAM_NS}' to='{}' version='1.0'>",
            escaped(&self.domain)
        )
    }

    /// Opens a stream and returns the server's features.
    ///
    /// # Errors
    /// If the server does not answer with a header and features.
    pub async fn open(&mut self) -> Result<Tree> {
        self.restart();
        self.send(&self.header()).await?;
        match self.next().await? {
            Some(Incoming::Header(header)) => {
                ensure!(
                    header.is("stream", STREAM_NS),
                    "not a stream header: {header}"
                );
            }
            other => bail!("expected a stream header, got {other:?}"),
        }
        let features = self.element().await?;
        ensure!(
            features.is("features", STREAM_NS),
            "expected features, got {features}"
        );
        Ok(features)
    }

    /// STARTTLS (RFC 6120 §5); the stream is to be opened anew afterwards.
    ///
    /// # Errors
    /// If the server refuses or the handshake fails.
    pub async fn start_tls(&mut self) -> Result<()> {
        self.send(&format!("<starttls xmlns='{TLS}'/>")).await?;
        let answer = self.element().await?;
        ensure!(
            answer.is("proceed", TLS),
            "expected <proceed/>, got {answer}"
        );
        self.upgrade(None).await
    }

    async fn upgrade(&mut self, alpn: Option<&[u8]>) -> Result<()> {
        let mut config = self.tls.as_ref().clone();
        config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
        let name = ServerName::try_from(self.domain.clone())?;
        let socket = self
            .socket
            .take()
            .context("the connection was closed before")?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await
            .context("TLS handshake")?;
        self.socket = Some(Box::new(stream));
        self.restart();
        Ok(())
    }

    /// Header, STARTTLS, header: ready for SASL. Returns the features.
    ///
    /// # Errors
    /// If a step fails.
    pub async fn secure(&mut self) -> Result<Tree> {
        self.open().await?;
        self.start_tls().await?;
        self.open().await
    }

    /// SASL with the best SCRAM offered, then the new stream's header (RFC 6120 §6). Returns the features.
    ///
    /// # Errors
    /// If the server refuses, or does not prove that it knows the password.
    pub async fn authenticate(
        &mut self,
        features: &Tree,
        user: &str,
        password: &str,
    ) -> Result<Tree> {
        let offered = features
            .child("mechanisms", SASL)
            .context("the server offers no SASL mechanisms")?;
        let offered: Vec<String> = offered.elements().map(Tree::text).collect();
        let mechanism = ["SCRAM-SHA-256", "SCRAM-SHA-1"]
            .into_iter()
            .find(|name| offered.iter().any(|text| text == name))
            .with_context(|| format!("no SCRAM among {offered:?}"))?;
        let hash = Hash::of_mechanism(mechanism).context("the mechanism is not SCRAM")?;
        let first = credentials::scram_first(user);
        self.send(&format!(
            "<auth xmlns='{SASL}' mechanism='{mechanism}'>{first}</auth>"
        ))
        .await?;
        let challenge = self.element().await?;
        ensure!(
            challenge.is("challenge", SASL),
            "expected a challenge, got {challenge}"
        );
        let (answer, verifier) = credentials::scram_final(hash, user, password, &challenge.text())?;
        self.send(&format!("<response xmlns='{SASL}'>{answer}</response>"))
            .await?;
        let success = self.element().await?;
        ensure!(
            success.is("success", SASL),
            "expected success, got {success}"
        );
        ensure!(
            credentials::unbase64(&success.text())? == verifier,
            "the server's signature is wrong"
        );
        self.open().await
    }

    /// Resource binding (RFC 6120 §7). Returns the full JID.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn bind(&mut self, resource: &str) -> Result<String> {
        self.send(&format!(
            "<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{}</resource></bind></iq>",
            escaped(resource)
        ))
        .await?;
        let answer = self.element().await?;
        let jid = answer
            .child("bind", BIND)
            .and_then(|bind| bind.named("jid"))
            .map(Tree::text);
        jid.with_context(|| format!("expected a bound JID, got {answer}"))
    }

    /// Registers an account (XEP-0077 §3.1.2) on a secured stream.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn register(&mut self, user: &str, password: &str) -> Result<()> {
        self.send(&format!(
            "<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>{}</username><password>{}</password></query></iq>",
            escaped(user),
            escaped(password)
        ))
        .await?;
        let answer = self.element().await?;
        ensure!(
            answer.attr("type") == Some("result"),
            "registration of {user} failed: {answer}"
        );
        Ok(())
    }

    /// Closes the stream and waits for the server to do the same (RFC 6120 §4.4).
    ///
    /// # Errors
    /// If what the server still sends is not XML.
    pub async fn close(&mut self) -> Result<()> {
        if self.send("</stream:stream>").await.is_ok() {
            while !matches!(self.next().await?, Some(Incoming::Footer) | None) {}
        }
        self.socket = None;
        Ok(())
    }

    /// Lets the connection go without a word.
    pub fn abandon(&mut self) {
        self.socket = None;
    }
}

fn is_end(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 1500;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn tls_config(target: &Target) -> Result<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&target.authority)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
