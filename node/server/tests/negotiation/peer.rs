//! The other end of a connection: a client that speaks XML by hand.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use xmpp::{
    Element,
    codec::{Decoder, Limits, StreamEvent, StreamHeader},
};

/// How long a test waits for what must come: only a failing one waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A client.
pub(crate) struct Peer {
    connection: Box<dyn Connection>,
    decoder: Decoder,
    input: Vec<u8>,
    /// The channel binding `tls-exporter`.
    pub(crate) exporter: Vec<u8>,
    /// The certificate that the server showed, DER; empty without TLS.
    pub(crate) certificate: Vec<u8>,
}

/// The certificate that a client shows, with its key.
pub(crate) type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Peer {
    fn over(connection: impl Connection + 'static, exporter: Vec<u8>) -> Self {
        Self {
            connection: Box::new(connection),
            decoder: Decoder::new(Limits::default()),
            input: Vec::new(),
            exporter,
            certificate: Vec::new(),
        }
    }

    /// Without TLS.
    pub(crate) async fn plain(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), Vec::new())
    }

    /// With TLS from the first byte.
    pub(crate) async fn direct(address: SocketAddr) -> Self {
        Self::encrypted(TcpStream::connect(address).await.unwrap(), None).await
    }

    /// By STARTTLS, as far as the TLS handshake.
    pub(crate) async fn starttls(address: SocketAddr, shown: Option<Shown>) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(
                format!(
                    "{}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                    header("")
                )
                .as_bytes(),
            )
            .await
            .unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") {
            assert_ne!(
                stream.read_buf(&mut seen).await.unwrap(),
                0,
                "{}",
                String::from_utf8_lossy(&seen)
            );
        }
        Self::encrypted(stream, shown).await
    }

    async fn encrypted(stream: TcpStream, shown: Option<Shown>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let config = match shown {
            Some((certificate, key)) => builder
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("example.org").unwrap();
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        let exporter = tls
            .get_ref()
            .1
            .export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b""))
            .unwrap();
        let shown = tls.get_ref().1.peer_certificates();
        let certificate = shown.map_or_else(Vec::new, |chain| chain[0].to_vec());
        Self {
            certificate,
            ..Self::over(tls, exporter)
        }
    }

    /// Sends text.
    pub(crate) async fn send(&mut self, text: &str) {
        self.connection.write_all(text.as_bytes()).await.unwrap();
        self.connection.flush().await.unwrap();
    }

    /// The next event; `None`: the connection ended.
    pub(crate) async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            let mut rest = &self.input[..];
            let event = self.decoder.next(&mut rest).expect("the server writes XML");
            let used = self.input.len() - rest.len();
            self.input.drain(..used);
            if event.is_some() {
                return event;
            }
            let read =
                tokio::time::timeout(PATIENCE, self.connection.read_buf(&mut self.input)).await;
            if !matches!(read.expect("the server says something"), Ok(1..)) {
                return None;
            }
        }
    }

    /// The next element.
    pub(crate) async fn element(&mut self) -> Element {
        match self.next().await {
            Some(StreamEvent::Element(element)) => element.to_element(),
            other => panic!("no element: {other:?}"),
        }
    }

    /// Sends text and reads the next element.
    pub(crate) async fn ask(&mut self, text: &str) -> Element {
        self.send(text).await;
        self.element().await
    }

    /// Opens a stream (again); the server's header.
    pub(crate) async fn header(&mut self, header: &str) -> StreamHeader {
        self.decoder.restart();
        self.send(header).await;
        match self.next().await {
            Some(StreamEvent::Open(header)) => header,
            other => panic!("no header: {other:?}"),
        }
    }

    /// Opens a stream (again); the features.
    pub(crate) async fn open(&mut self) -> Element {
        self.header(&header("")).await;
        self.element().await
    }

    /// The stream error that is next; after it the stream and the connection end.
    pub(crate) async fn error(&mut self) -> String {
        let error = self.element().await;
        assert!(error.is("error", xmpp::ns::STREAM), "{error:?}");
        let condition = error.children().next().unwrap().name().to_owned();
        assert!(
            matches!(self.next().await, Some(StreamEvent::Close)),
            "the stream ends"
        );
        assert!(self.next().await.is_none(), "the connection ends");
        condition
    }
}

/// A client's stream header with more attributes.
pub(crate) fn header(more: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         to='example.org' version='1.0' {more}>"
    )
}

/// Trusts anybody: channel bindings tell who is there.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
