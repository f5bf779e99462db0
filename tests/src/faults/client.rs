//! A client that says exactly what it is told to, and shows every stanza that it gets as text.
//!
//! Source: RFC 6120. Why beside `load::session`: that one answers by itself what a client must answer; here a test wants to
//! answer late, wrongly, or not at all.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::ServerName;
use tokio::time::timeout;

use super::node::{DOMAIN, PASSWORD};
use crate::load::scanner::{Item, Scanner};
use crate::load::scram::{Exchange, Keys, Mechanism};
use crate::load::wire::Wire;
use crate::load::{stanza, tls};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// `<auth/>` with PLAIN.
#[must_use]
pub fn plain_auth(name: &str, password: &str) -> String {
    let proof = BASE64.encode(format!("\0{name}\0{password}"));
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{proof}</auth>")
}

/// The header of a stream to the domain.
#[must_use]
pub fn header() -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{DOMAIN}' version='1.0'>"
    )
}

/// An attribute of a stanza's first tag.
#[must_use]
pub fn attr<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    stanza::attribute(text.as_bytes(), name).and_then(|value| std::str::from_utf8(value).ok())
}

/// The element's name, with its prefix.
#[must_use]
pub fn name(text: &str) -> &str {
    std::str::from_utf8(stanza::name(text.as_bytes())).unwrap_or_default()
}

/// The number that our archive gave a message (XEP-0359).
#[must_use]
pub fn stanza_id(text: &str) -> Option<u64> {
    let (_, from) = text.split_once("<stanza-id")?;
    attr(&format!("<stanza-id{from}"), "id")?.parse().ok()
}

/// The text of an element that has nothing else.
fn content(text: &str) -> &str {
    let inner = text.split_once('>').map_or("", |(_, rest)| rest);
    inner.rsplit_once("</").map_or("", |(inner, _)| inner)
}

/// Whether a stanza counts (XEP-0198 §4).
#[must_use]
pub fn counts(text: &str) -> bool {
    matches!(name(text), "message" | "presence" | "iq")
}

/// A connection and what came over it.
pub struct Client {
    wire: Wire,
    scanner: Scanner,
    /// Why the server ends the stream, if it said so.
    reason: Option<String>,
    /// The bound address, once there is one.
    pub jid: String,
    /// Stanzas that came since stream management was enabled.
    received: u32,
}

impl Client {
    /// Connects without TLS.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn connect(to: SocketAddr) -> io::Result<Self> {
        let wire = Wire::connect((Ipv4Addr::LOCALHOST, 0).into(), to).await?;
        Ok(Self::over(wire))
    }

    /// Over a connection that there is.
    #[must_use]
    pub fn over(wire: Wire) -> Self {
        Self {
            wire,
            scanner: Scanner::default(),
            reason: None,
            jid: String::new(),
            received: 0,
        }
    }

    /// Connects with TLS from the first byte (XEP-0368).
    ///
    /// # Errors
    /// The kernel's or TLS's refusal.
    pub async fn connect_tls(to: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect(to).await?;
        let host = ServerName::try_from(DOMAIN).map_err(io::Error::other)?;
        client.wire.secure(tls::client_config(true)?, host).await?;
        Ok(client)
    }

    /// Sends text.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_bytes(text.as_bytes()).await
    }

    /// Sends bytes, whatever they are.
    ///
    /// # Errors
    /// What the kernel says; `TimedOut` if the server takes nothing.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.queue(bytes)?;
        timeout(PATIENCE, self.wire.flush())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The next child of the stream, however long it takes.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream has ended.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn recv(&mut self) -> io::Result<String> {
        loop {
            match self.scanner.next_item() {
                Some(Item::Stanza(range)) => {
                    let text = String::from_utf8_lossy(self.scanner.bytes(&range)).into_owned();
                    match name(&text) {
                        "stream:error" => self.reason = Some(text.clone()),
                        "enabled" => self.received = 0,
                        _ if counts(&text) => self.received = self.received.wrapping_add(1),
                        _ => {}
                    }
                    return Ok(text);
                }
                Some(Item::Close) => return Err(self.ended()),
                Some(Item::Open(_)) => {}
                None => {
                    self.scanner.compact();
                    if let Err(error) = self.wire.receive(self.scanner.input()).await {
                        let ended = error.kind() == io::ErrorKind::UnexpectedEof;
                        return Err(if ended { self.ended() } else { error });
                    }
                }
            }
        }
    }

    fn ended(&self) -> io::Error {
        let reason = self.reason.clone().unwrap_or_default();
        io::Error::new(io::ErrorKind::UnexpectedEof, reason)
    }

    /// The next child of the stream.
    ///
    /// # Errors
    /// As [`Client::recv`]; `TimedOut` when nothing comes.
    pub async fn next(&mut self) -> io::Result<String> {
        timeout(PATIENCE, self.recv())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The next child for which `wanted` is true; the others are passed over.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn until(&mut self, mut wanted: impl FnMut(&str) -> bool) -> io::Result<String> {
        loop {
            let text = self.next().await?;
            if wanted(&text) {
                return Ok(text);
            }
        }
    }

    /// The answer to the request of this id.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn answer(&mut self, id: &str) -> io::Result<String> {
        self.until(|text| name(text) == "iq" && attr(text, "id") == Some(id))
            .await
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn ask(&mut self, iq: &str) -> io::Result<String> {
        let id = attr(iq, "id").unwrap_or_default().to_owned();
        self.send(iq).await?;
        self.answer(&id).await
    }

    /// All that comes until the stream ends, which it must.
    ///
    /// # Errors
    /// `TimedOut` if it does not end.
    pub async fn rest(&mut self) -> io::Result<Vec<String>> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Ok(text) => all.push(text),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(_) => return Ok(all),
            }
        }
    }

    /// All that comes before the answer to a request that the server always answers: what was sent before it has been
    /// dealt with, as far as this session is concerned.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn before_answer(&mut self, id: &str) -> io::Result<Vec<String>> {
        self.send(&format!(
            "<iq type='get' id='{id}'><query xmlns='urn:example:nobody'/></iq>"
        ))
        .await?;
        let mut all = Vec::new();
        loop {
            let text = self.next().await?;
            if name(&text) == "iq" && attr(&text, "id") == Some(id) {
                return Ok(all);
            }
            all.push(text);
        }
    }

    /// What comes next is a new stream (RFC 6120 §4.3.3).
    pub fn restart(&mut self) {
        self.scanner.restart();
    }

    /// Opens a stream; its features.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn open(&mut self) -> io::Result<String> {
        self.send(&header()).await?;
        self.next().await
    }

    /// Connects and authenticates; the stream is open, nothing is bound.
    ///
    /// # Errors
    /// As [`Client::next`]; `PermissionDenied` with what the server said.
    pub async fn authenticated(to: SocketAddr, user: &str) -> io::Result<Self> {
        Self::connect(to).await?.authenticate(user).await
    }

    /// Authenticates.
    ///
    /// # Errors
    /// As [`Client::authenticated`].
    pub async fn authenticate(mut self, user: &str) -> io::Result<Self> {
        self.open().await?;
        self.send(&plain_auth(user, PASSWORD)).await?;
        let answer = self.next().await?;
        self.logged_in(answer).await
    }

    /// Authenticates without telling the password: what the server has to compute for that takes no time.
    ///
    /// # Errors
    /// As [`Client::authenticated`].
    pub async fn authenticate_by(mut self, keys: &Keys, user: &str) -> io::Result<Self> {
        self.open().await?;
        let mechanism = Mechanism::ScramSha256;
        let mut exchange = Exchange::new(keys, mechanism, user, PASSWORD)?;
        let (name_of, initial) = (mechanism.name(), exchange.initial());
        self.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{name_of}'>{initial}</auth>"
        ))
        .await?;
        let challenge = self.next().await?;
        if name(&challenge) != "challenge" {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, challenge));
        }
        let response = exchange.respond(content(&challenge).as_bytes())?;
        self.send(&format!(
            "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{response}</response>"
        ))
        .await?;
        let answer = self.next().await?;
        self.logged_in(answer).await
    }

    async fn logged_in(mut self, answer: String) -> io::Result<Self> {
        if name(&answer) != "success" {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, answer));
        }
        self.scanner.restart();
        self.open().await?;
        Ok(self)
    }

    /// Binds a resource.
    ///
    /// # Errors
    /// As [`Client::authenticated`].
    pub async fn bind(&mut self, resource: &str) -> io::Result<()> {
        let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>";
        let request =
            format!("<iq type='set' id='bind'>{bind}<resource>{resource}</resource></bind></iq>");
        let bound = self.ask(&request).await?;
        let jid = stanza::text(bound.as_bytes(), "<jid>")
            .map(|jid| String::from_utf8_lossy(jid).into_owned());
        self.jid = jid.ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, bound))?;
        Ok(())
    }

    /// A bound session with stream management, not available.
    ///
    /// # Errors
    /// As [`Client::authenticated`].
    pub async fn managed(to: SocketAddr, user: &str, resource: &str) -> io::Result<Self> {
        let mut client = Self::login(to, user, resource).await?;
        client.enable().await?;
        Ok(client)
    }

    /// A bound session, not available.
    ///
    /// # Errors
    /// As [`Client::authenticated`].
    pub async fn login(to: SocketAddr, user: &str, resource: &str) -> io::Result<Self> {
        let mut client = Self::authenticated(to, user).await?;
        client.bind(resource).await?;
        Ok(client)
    }

    /// An available session: its own presence came back.
    ///
    /// # Errors
    /// As [`Client::authenticated`].
    pub async fn online(to: SocketAddr, user: &str, resource: &str) -> io::Result<Self> {
        let mut client = Self::login(to, user, resource).await?;
        client.send("<presence/>").await?;
        let own = client.jid.clone();
        client
            .until(|text| name(text) == "presence" && attr(text, "from") == Some(&own))
            .await?;
        Ok(client)
    }

    /// Turns stream management on with resumption; the id to resume by.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn enable(&mut self) -> io::Result<String> {
        self.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            .await?;
        let enabled = self.until(|text| name(text) == "enabled").await?;
        attr(&enabled, "id")
            .map(str::to_owned)
            .ok_or_else(|| io::Error::other(enabled))
    }

    /// Resumes a session over this authenticated stream: `<resumed/>` or `<failed/>`.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn resume(&mut self, id: &str, h: u32) -> io::Result<String> {
        self.send(&format!(
            "<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='{h}'/>"
        ))
        .await?;
        self.until(|text| matches!(name(text), "resumed" | "failed"))
            .await
    }

    /// How far the server says that it has handled what this client sent; stanzas that come first are appended to `seen`.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn acknowledged(&mut self, seen: &mut Vec<String>) -> io::Result<u32> {
        self.send("<r xmlns='urn:xmpp:sm:3'/>").await?;
        loop {
            let text = self.next().await?;
            if name(&text) == "a" {
                return attr(&text, "h")
                    .and_then(|h| h.parse().ok())
                    .ok_or_else(|| io::Error::other(text));
            }
            if counts(&text) {
                seen.push(text);
            }
        }
    }

    /// Waits until all that this client sent is handled: stored, delivered, answered. Stream management is on.
    ///
    /// # Errors
    /// As [`Client::next`].
    pub async fn handled(&mut self) -> io::Result<u32> {
        self.acknowledged(&mut Vec::new()).await
    }

    /// Acknowledges.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn acknowledge(&mut self, h: u32) -> io::Result<()> {
        self.send(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"))
            .await
    }

    /// Acknowledges all that came, as clients do when they are asked.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn acknowledge_all(&mut self) -> io::Result<()> {
        self.acknowledge(self.received).await
    }

    /// Ends the stream and waits for the server to end its own.
    ///
    /// # Errors
    /// `TimedOut` if it does not.
    pub async fn close(mut self) -> io::Result<()> {
        self.send("</stream:stream>").await?;
        self.rest().await.map(drop)
    }
}

/// A chat message.
#[must_use]
pub fn message(to: &str, id: &str, body: &str) -> String {
    format!("<message to='{to}' type='chat' id='{id}'><body>{body}</body></message>")
}
