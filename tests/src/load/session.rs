//! One client session, from the first connection to an available resource.
//!
//! Source: RFC 6120 §4-7, RFC 6121 §2-4, XEP-0198 v1.6 (acknowledgements; no resumption).
//! Why here: the classic profile, step by step, as clients of any age do it. After it the session is polled: stanzas
//! go to a closure as bytes, and what a client must answer (pushes, pings, `<r/>`) is answered here.

mod negotiate;

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::timeout;

use super::options::Security;
use super::scanner::{Item, Scanner};
use super::stanza::{attribute, contains, name};
use super::wire::Wire;

pub use negotiate::{INTEREST, Profile, World};

/// A stream and what a client keeps for it.
pub struct Session {
    wire: Wire,
    scanner: Scanner,
    /// Stanzas received since `<enabled/>`, if stream management is on.
    handled: Option<u32>,
    replies: Vec<u8>,
    /// The bound address.
    pub jid: String,
    /// Contacts with a subscription both ways, at login.
    pub mutual: usize,
}

impl Session {
    fn raw(wire: Wire) -> Self {
        let scanner = Scanner::default();
        Self {
            wire,
            scanner,
            handled: None,
            replies: Vec::new(),
            jid: String::new(),
            mutual: 0,
        }
    }

    /// Connects to the relay instead of a server, as one half of pair `pair`; waits for the other half.
    ///
    /// # Errors
    /// The kernel's or TLS's refusal.
    pub async fn relayed(world: &World, index: u32, pair: u32) -> io::Result<Self> {
        let target = &world.target;
        let mut session =
            Self::raw(Wire::connect(target.source(index), target.address(index)).await?);
        if target.tls != Security::None {
            let host = ServerName::try_from(target.domain.clone()).map_err(io::Error::other)?;
            session.wire.secure(world.tls.clone(), host).await?;
        }
        session.send(format!("{pair:08x}").as_bytes()).await?;
        session.scanner.input().extend_from_slice(b"<s>");
        session.scanner.next_item();
        session.expect("ok").await?;
        Ok(session)
    }

    /// Queues and sends.
    ///
    /// # Errors
    /// What the kernel or TLS says.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.queue(bytes)?;
        self.wire.flush().await
    }

    /// Queues, to go out at the next poll or [`Session::poll_flush`].
    ///
    /// # Errors
    /// What TLS says.
    pub fn queue(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.queue(bytes)
    }

    /// Pushes what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(cx)
    }

    /// Waits for the next stanza; answers what a client must answer.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream has ended.
    pub async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.scanner.next_item() {
                Some(Item::Stanza(range)) => {
                    let stanza = self.scanner.bytes(&range).to_vec();
                    answer(&stanza, &mut self.handled, &mut self.replies);
                    self.push_replies()?;
                    return Ok(stanza);
                }
                Some(Item::Close) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Item::Open(_)) => {}
                None => {
                    self.scanner.compact();
                    self.wire.receive(self.scanner.input()).await?;
                }
            }
        }
    }

    /// Waits for the next stanza, which must have this name.
    ///
    /// # Errors
    /// `PermissionDenied` with the stanza's beginning if it has another.
    pub async fn expect(&mut self, wanted: &str) -> io::Result<Vec<u8>> {
        let stanza = self.next().await?;
        if name(&stanza) == wanted.as_bytes() {
            Ok(stanza)
        } else {
            Err(refused(wanted, &stanza))
        }
    }

    /// Sends a request and waits for its result, passing over all else.
    ///
    /// # Errors
    /// `PermissionDenied` with the error's beginning if it is refused.
    pub async fn request(&mut self, iq: &str, id: &str) -> io::Result<Vec<u8>> {
        self.send(iq.as_bytes()).await?;
        loop {
            let stanza = self.next().await?;
            if name(&stanza) == b"iq" && attribute(&stanza, "id") == Some(id.as_bytes()) {
                match attribute(&stanza, "type") {
                    Some(b"result") => return Ok(stanza),
                    Some(b"error") => return Err(refused(id, &stanza)),
                    _ => {}
                }
            }
        }
    }

    /// Reads what has come and hands each stanza to `each`. Pending until at least one stanza has.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream has ended.
    pub fn poll_stanzas(
        &mut self,
        cx: &mut Context<'_>,
        mut each: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        loop {
            let mut any = false;
            while let Some(item) = self.scanner.next_item() {
                match item {
                    Item::Stanza(range) => {
                        let stanza = self.scanner.bytes(&range);
                        answer(stanza, &mut self.handled, &mut self.replies);
                        each(stanza);
                        any = true;
                    }
                    Item::Close => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                    Item::Open(_) => {}
                }
            }
            self.scanner.compact();
            self.push_replies()?;
            if any {
                return Poll::Ready(Ok(()));
            }
            ready!(self.wire.poll_receive(cx, self.scanner.input()))?;
        }
    }

    /// [`Session::poll_stanzas`] to wait for.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn stanzas(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        poll_fn(|cx| {
            let _ = self.poll_flush(cx)?;
            self.poll_stanzas(cx, &mut each)
        })
        .await
    }

    fn push_replies(&mut self) -> io::Result<()> {
        if !self.replies.is_empty() {
            self.wire.queue(&self.replies)?;
            self.replies.clear();
        }
        Ok(())
    }

    /// Gives back buffers before a quiet time.
    pub fn shrink(&mut self) {
        self.wire.shrink();
        self.scanner.shrink();
        self.replies.shrink_to_fit();
    }

    /// Ends the stream and waits a moment for the server to end its own (RFC 6120 §4.4).
    pub async fn close(mut self) {
        if self.send(b"</stream:stream>").await.is_ok() {
            let end = async { while self.next().await.is_ok() {} };
            // Who does not answer is closed all the same.
            let _ = timeout(Duration::from_secs(5), end).await;
        }
    }
}

/// Counts a stanza and writes the answer it demands, if any.
fn answer(stanza: &[u8], handled: &mut Option<u32>, replies: &mut Vec<u8>) {
    let kind = name(stanza);
    match kind {
        b"r" => {
            if let Some(count) = handled {
                replies.extend_from_slice(
                    format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>").as_bytes(),
                );
            }
            return;
        }
        b"iq" if matches!(attribute(stanza, "type"), Some(b"get" | b"set")) => {
            let id = String::from_utf8_lossy(attribute(stanza, "id").unwrap_or_default());
            let to = attribute(stanza, "from").map(String::from_utf8_lossy);
            let to = to.map(|to| format!(" to='{to}'")).unwrap_or_default();
            let payload = match contains(stanza, "http://jabber.org/protocol/disco#info") {
                true => negotiate::info(stanza),
                false => String::new(),
            };
            let answer = format!("<iq type='result' id='{id}'{to}>{payload}</iq>");
            replies.extend_from_slice(answer.as_bytes());
        }
        b"message" | b"presence" | b"iq" => {}
        _ => return,
    }
    if let Some(count) = handled {
        *count = count.wrapping_add(1);
    }
}

fn refused(what: &str, stanza: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&stanza[..stanza.len().min(300)]);
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{what}: got {shown}"),
    )
}
