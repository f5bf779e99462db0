//! A stream while it is negotiated: a connection, the decoder of what comes in, and what was promised to the peer.
//!
//! Source: RFC 6120 §4. A session keeps only the connection and the decoder of it.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc};

use xmpp::{
    Element, Fragment, StreamError, StreamErrorCondition as Condition,
    codec::{Decoder, Limits, ParseError, StreamEvent, StreamHeader},
    element::escape_into,
    ns,
};

use crate::net::{Acceptor, Notice, Read, Transport};

/// A stream that is not a session yet.
pub struct Stream {
    /// The connection.
    pub transport: Transport,
    /// Our header, until something follows it: both leave in one packet.
    head: Vec<u8>,
    /// Who is at the other end.
    pub peer: SocketAddr,
    decoder: Decoder,
    events: VecDeque<StreamEvent>,
    fault: Option<ParseError>,
    /// Our header is out: errors may follow it.
    opened: bool,
}

/// Why a negotiation ended without a session.
#[derive(Debug)]
pub enum End {
    /// The peer closed the stream or the connection.
    Closed,
    /// The connection broke.
    Io(io::Error),
    /// We end it with this error.
    Error(StreamError),
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        Self::Error(error)
    }
}

impl From<Condition> for End {
    fn from(condition: Condition) -> Self {
        Self::Error(condition.into())
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The stream error for what the decoder refuses (RFC 6120 §4.9.3, §11).
pub fn parse_error(error: ParseError) -> StreamError {
    let condition = match error {
        ParseError::NotWellFormed => Condition::NotWellFormed,
        ParseError::Restricted => Condition::RestrictedXml,
        ParseError::TooBig => Condition::PolicyViolation,
        ParseError::InvalidNamespace => Condition::InvalidNamespace,
        ParseError::BadNamespacePrefix => Condition::BadNamespacePrefix,
        ParseError::UnsupportedEncoding => Condition::UnsupportedEncoding,
        ParseError::BadFormat => Condition::BadFormat,
    };
    StreamError::new(condition, error.to_string())
}

/// What a client is told when the node of its socket is about to close that; `None`: it is not.
pub(super) fn last_words(notice: Notice) -> Option<StreamError> {
    match notice {
        Notice::Close(Some(host)) => Some(StreamError::see_other_host(host)),
        Notice::Close(None) => Some(Condition::SystemShutdown.into()),
        Notice::Hold | Notice::Held | Notice::Elsewhere(_) | Notice::Attached => None,
    }
}

impl Stream {
    /// Over a connection whose peer speaks first.
    pub fn new(transport: Transport, peer: SocketAddr, limits: Limits) -> Self {
        Self {
            transport,
            head: Vec::new(),
            peer,
            decoder: Decoder::new(limits),
            events: VecDeque::new(),
            fault: None,
            opened: false,
        }
    }

    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// The stream is at its end: closed, broken, or malformed (then what was well-formed before comes first).
    pub async fn next(&mut self) -> Result<StreamEvent, End> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if let Some(error) = self.fault {
                return Err(parse_error(error).into());
            }
            self.transport.readable().await?;
            if let Some(notice) = self.transport.take_notice() {
                match last_words(notice) {
                    Some(error) => return Err(error.into()),
                    None => continue,
                }
            }
            let (decoder, events, fault) = (&mut self.decoder, &mut self.events, &mut self.fault);
            let read = self.transport.try_read_with(|mut input| {
                while fault.is_none() {
                    match decoder.next(&mut input) {
                        Ok(Some(event)) => events.push_back(event),
                        Ok(None) => break,
                        Err(error) => *fault = Some(error),
                    }
                }
            })?;
            if matches!(read, Read::Closed { .. }) && self.events.is_empty() && self.fault.is_none()
            {
                return Err(End::Closed);
            }
        }
    }

    /// The next element; a stream header or footer in its place ends the stream, and so does the peer's stream error:
    /// nothing is answered to that (RFC 6120 §4.9.1.1).
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn element(&mut self) -> Result<Fragment, End> {
        match self.next().await? {
            StreamEvent::Element(element) if element.root().is("error", ns::STREAM) => {
                Err(End::Closed)
            }
            StreamEvent::Element(element) => Ok(element),
            StreamEvent::Open(_) => Err(Condition::BadFormat.into()),
            StreamEvent::Close => Err(End::Closed),
        }
    }

    /// Waits for the peer's stream header (the first, or the one after a restart).
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn header(&mut self) -> Result<StreamHeader, End> {
        match self.next().await? {
            StreamEvent::Open(header) => Ok(header),
            StreamEvent::Element(_) => Err(Condition::BadFormat.into()),
            StreamEvent::Close => {
                // It ends the stream before the restart, and so do we.
                self.opened = true;
                Err(End::Closed)
            }
        }
    }

    /// Begins our stream (RFC 6120 §4.7). The header leaves with what is sent next, or with [`Self::flush`].
    pub fn open(&mut self, id: &str, from: &str, to: Option<&str>, lang: &str) {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
              version='1.0'",
        );
        let mut attr = |name: &str, value: &str| {
            out.extend_from_slice(b" ");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_into(&mut out, value);
            out.push(b'\'');
        };
        attr("id", id);
        attr("from", from);
        attr("xml:lang", lang);
        if let Some(to) = to {
            attr("to", to);
        }
        out.push(b'>');
        self.opened = true;
        self.head = out;
    }

    /// Sends an element.
    ///
    /// # Errors
    /// The connection broke.
    pub fn send(&mut self, element: &Element) -> io::Result<()> {
        self.write(&element.to_bytes(ns::CLIENT))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let head = std::mem::take(&mut self.head);
        self.transport.write_many(&[&head, bytes])
    }

    /// Waits until the peer has taken all there is.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn flush(&mut self) -> io::Result<()> {
        if !self.head.is_empty() {
            self.write(&[])?;
        }
        self.transport.flush().await
    }

    /// The peer sends a new header next. Whatever it sent ahead is dropped (RFC 6120 §5.4.3.3, §6.4.6).
    pub fn restart(&mut self) {
        self.decoder.restart();
        self.events.clear();
        self.opened = false;
    }

    /// Upgrades to TLS; the stream restarts.
    ///
    /// # Errors
    /// Bytes were sent ahead unprotected, or the handshake failed.
    pub async fn secure(mut self, acceptor: &Acceptor, domain: Option<&str>) -> io::Result<Self> {
        let ahead = self.decoder.buffered() > 0 || !self.events.is_empty() || self.fault.is_some();
        self.restart();
        let leftover: &[u8] = if ahead { b"x" } else { b"" };
        self.transport = self
            .transport
            .accept_tls(acceptor, domain, leftover)
            .await?;
        Ok(self)
    }

    /// Other limits from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.decoder.set_limits(limits);
    }

    /// The parts that a session keeps, with what came in already.
    pub fn into_parts(
        self,
    ) -> (
        Transport,
        Decoder,
        VecDeque<StreamEvent>,
        Option<ParseError>,
    ) {
        (self.transport, self.decoder, self.events, self.fault)
    }

    /// A stream that began elsewhere: with what came in there, and whether its header is out.
    pub fn replayed(
        transport: Transport,
        peer: SocketAddr,
        limits: Limits,
        mut replay: &[u8],
        opened: bool,
    ) -> Self {
        let mut stream = Self::new(transport, peer, limits);
        stream.opened = opened;
        while stream.fault.is_none() {
            match stream.decoder.next(&mut replay) {
                // Answered there.
                Ok(Some(StreamEvent::Open(_))) => {}
                Ok(Some(event)) => stream.events.push_back(event),
                Ok(None) => break,
                Err(error) => stream.fault = Some(error),
            }
        }
        stream
    }

    /// What came in already, for a stream that goes on elsewhere; `None`: it ends the stream.
    pub fn replay(&self) -> Option<Vec<u8>> {
        match self.fault {
            None => self.decoder.replay(&self.events),
            Some(_) => None,
        }
    }

    /// Why the stream ends, once nothing more of it can be read.
    pub fn fault(&self) -> Option<StreamError> {
        self.fault.map(parse_error)
    }

    /// Ends the stream, with an error if there is one: header first if it is not out yet (RFC 6120 §4.9.1.2).
    pub async fn close(mut self, error: Option<&StreamError>, from: &str) {
        if !self.opened && error.is_some() {
            self.open(&crate::random::token(), from, None, "en");
        }
        let mut out = self.head;
        if let Some(error) = error {
            out.extend_from_slice(&error.to_bytes());
        }
        if self.opened {
            out.extend_from_slice(b"</stream:stream>");
        }
        finish(self.transport, out).await;
    }
}

/// Sends the last bytes and closes, without waiting long for a peer that does not read.
pub async fn finish(mut transport: Transport, last: Vec<u8>) {
    let ending = async {
        if !last.is_empty() && transport.write(&last).is_err() {
            return;
        }
        transport.start_close();
        if transport.flush().await.is_err() {
            return;
        }
        // The peer gets to read the error before a reset could overtake it.
        loop {
            if transport.readable().await.is_err() {
                return;
            }
            match transport.try_read_with(|_| {}) {
                Ok(Read::Closed { .. }) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(3), Box::pin(ending)).await;
}

/// Certificates and TLS settings shared by listeners of one kind.
pub type SharedAcceptor = Arc<Acceptor>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::piped_pair;

    #[tokio::test]
    async fn who_is_about_to_log_in_over_a_pipe_is_told_that_it_ends() {
        let [mut front, transport] = piped_pair();
        let peer = "192.0.2.1:1".parse().unwrap();
        let mut stream = Stream::new(transport, peer, Limits::default());
        assert!(front.notify(Notice::Held));
        assert!(front.notify(Notice::Close(Some("b.example.org".to_owned()))));
        let End::Error(error) = stream.next().await.unwrap_err() else {
            panic!("it has not ended with an error");
        };
        assert_eq!(error.condition, Condition::SeeOtherHost);
    }
}
