//! The decoder: which part of a stream comes next, and what is kept of it while it is cut off.

use bytes::Bytes;

use super::{
    Limits, ParseError, StreamEvent,
    header::{self, Context},
};
use crate::{
    Fragment,
    fragment::{
        chars::skip_space,
        namespaces::Outer,
        parser::{Parser, Progress},
    },
};

/// Where in its stream the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing yet: an XML declaration or the header.
    Start,
    /// Nothing since a restart: as at the start, or the end of the stream before.
    Restarted,
    /// After the XML declaration.
    Declared,
    /// Between first-level elements, or in one that is cut off.
    Open,
    /// After the end tag.
    Closed,
    /// Refused; it stays so until a restart.
    Failed(ParseError),
}

/// What is cut off.
struct Partial {
    buf: Vec<u8>,
    parser: Parser,
}

impl Partial {
    fn empty() -> Box<Self> {
        Box::new(Self {
            buf: Vec::new(),
            parser: Parser::default(),
        })
    }

    /// Takes in what `input` has, up to `limit` bytes in all.
    fn extend(&mut self, input: &[u8], limit: usize) {
        let more = input.len().min(limit.saturating_sub(self.buf.len()));
        if self.buf.capacity() - self.buf.len() < more {
            // An eighth of slack: little memory, and bytes that come one by one are not moved each time.
            self.buf
                .reserve_exact(more.max((self.buf.len() / 8).min(limit - self.buf.len())));
        }
        self.buf.extend_from_slice(&input[..more]);
    }
}

/// The incremental decoder of one direction of a stream. Holds memory only while an element is incomplete.
///
/// ```
/// use xmpp::codec::{Decoder, Limits, StreamEvent};
/// let mut decoder = Decoder::new(Limits::default());
/// let mut input: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'> <a/><b";
/// assert!(matches!(decoder.next(&mut input)?, Some(StreamEvent::Open(header)) if header.content_ns == "jabber:client"));
/// assert!(matches!(decoder.next(&mut input)?, Some(StreamEvent::Element(a)) if a.root().name() == "a"));
/// assert!(decoder.next(&mut input)?.is_none());
/// assert_eq!((input.len(), decoder.buffered()), (0, 2));
/// # Ok::<(), xmpp::codec::ParseError>(())
/// ```
pub struct Decoder {
    limits: Limits,
    state: State,
    partial: Option<Box<Partial>>,
    /// What the header declared and everybody does not.
    context: Option<Box<Context>>,
    default_ns: &'static str,
}

impl Decoder {
    /// At the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            partial: None,
            context: None,
            default_ns: "",
        }
    }

    /// Changes the limits (after authentication).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Forgets the stream: the peer sends a new header next (after STARTTLS or SASL), or ends the old one. Drops buffered
    /// bytes.
    pub fn restart(&mut self) {
        *self = Self {
            state: State::Restarted,
            context: self.context.take(),
            ..Self::new(self.limits)
        };
    }

    /// Takes bytes off the front of `input` up to the end of the next event. `None`: more is needed, `input` is empty
    /// and what was incomplete is kept. White space between elements is consumed silently.
    ///
    /// # Errors
    /// What ends the stream. Every call after it answers the same, until [`Decoder::restart`].
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<StreamEvent>, ParseError> {
        self.step(input).inspect_err(|&error| {
            self.state = State::Failed(error);
            self.partial = None;
            self.context = None;
        })
    }

    /// Bytes held for an incomplete element.
    pub fn buffered(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.buf.len())
    }

    /// Bytes that bring a new decoder to where this one was before these events, which it gives again: a header that
    /// declares the same, whose own event is to be dropped, the elements, and what is cut off. Without the header if none
    /// has come since the start. `None` behind the end of the stream.
    pub fn replay<'a>(&self, events: impl IntoIterator<Item = &'a StreamEvent>) -> Option<Vec<u8>> {
        self.replay_behind(&[], events)
    }

    /// The same with elements before those, as they came on this stream.
    pub fn replay_behind<'a>(
        &self,
        before: &[u8],
        events: impl IntoIterator<Item = &'a StreamEvent>,
    ) -> Option<Vec<u8>> {
        let mut bytes = match self.state {
            State::Start | State::Restarted => Vec::new(),
            State::Open => header::rewritten(self.context.as_deref(), self.default_ns),
            State::Declared | State::Closed | State::Failed(_) => return None,
        };
        bytes.extend_from_slice(before);
        for event in events {
            match event {
                StreamEvent::Element(element) => bytes.extend_from_slice(element.raw()),
                StreamEvent::Open(_) | StreamEvent::Close => return None,
            }
        }
        if let Some(partial) = &self.partial {
            bytes.extend_from_slice(&partial.buf);
        }
        Some(bytes)
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Option<StreamEvent>, ParseError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        loop {
            if self.partial.is_none() {
                *input = &input[skip_space(input, 0)..];
            }
            let Some(&first) = input.first() else {
                return Ok(None);
            };
            if self.partial.is_none() && first != b'<' {
                return Err(match (self.state, first) {
                    // What UTF-16 and UTF-32 begin with; no UTF-8 does.
                    (State::Start | State::Restarted, 0 | 0xFE | 0xFF) => {
                        ParseError::UnsupportedEncoding
                    }
                    _ => ParseError::BadFormat,
                });
            }
            match self.state {
                State::Start | State::Restarted | State::Declared => match self.header(input)? {
                    Some(event) => return Ok(Some(event)),
                    None if input.is_empty() => return Ok(None),
                    None => {}
                },
                State::Open => return self.element(input),
                State::Closed => return Err(ParseError::BadFormat),
                State::Failed(error) => return Err(error),
            }
        }
    }

    /// The XML declaration or the stream header; `None` after the one, or when it is cut off.
    fn header(&mut self, input: &mut &[u8]) -> Result<Option<StreamEvent>, ParseError> {
        let limit = self.limits.element_bytes();
        let mut partial = self.partial.take().unwrap_or_else(Partial::empty);
        let had = partial.buf.len();
        partial.extend(input, limit);
        let buf = &partial.buf;
        let end = match buf.get(1) {
            Some(b'?') if self.state != State::Declared => {
                memchr::memmem::find(&buf[had.saturating_sub(1).max(2)..], b"?>")
                    .map(|found| had.saturating_sub(1).max(2) + found + 2)
            }
            Some(b'?' | b'!') => return Err(ParseError::Restricted),
            Some(b'/') if self.state == State::Restarted => {
                memchr::memchr(b'>', buf).map(|found| found + 1)
            }
            Some(b'/') => return Err(ParseError::NotWellFormed),
            Some(_) => partial.parser.header(buf, &self.limits)?,
            None => None,
        };
        let Some(end) = end else {
            if buf.len() >= limit {
                return Err(ParseError::TooBig);
            }
            *input = &[];
            self.partial = Some(partial);
            return Ok(None);
        };
        *input = &input[end - had..];
        if buf[1] == b'/' {
            self.close(&buf[..end])?;
            return Ok(Some(StreamEvent::Close));
        }
        if buf[1] == b'?' {
            header::check_declaration(&buf[..end])?;
            self.state = State::Declared;
            return Ok(None);
        }
        let tag = Fragment::assemble(
            Bytes::copy_from_slice(&buf[..end]),
            partial.parser.slots(),
            "",
        );
        let (header, default_ns, context) = header::read(&tag)?;
        (self.default_ns, self.context, self.state) = (default_ns, context, State::Open);
        Ok(Some(StreamEvent::Open(header)))
    }

    /// A first-level element or the stream's end tag.
    fn element(&mut self, input: &mut &[u8]) -> Result<Option<StreamEvent>, ParseError> {
        let limit = self.limits.element_bytes();
        let Some(mut partial) = self.partial.take() else {
            // Nearly always the element is all there: parse it where it lies.
            let window = &input[..input.len().min(limit)];
            let mut parser = Parser::default();
            let progress = parser.advance(window, &self.limits, self.outer())?;
            let Some((end, event)) = self.event(window, progress, &parser)? else {
                if window.len() >= limit {
                    return Err(ParseError::TooBig);
                }
                self.partial = Some(Box::new(Partial {
                    buf: window.to_vec(),
                    parser,
                }));
                *input = &[];
                return Ok(None);
            };
            *input = &input[end..];
            return Ok(Some(event));
        };
        let had = partial.buf.len();
        partial.extend(input, limit);
        let progress = partial
            .parser
            .advance(&partial.buf, &self.limits, self.outer())?;
        let Some((end, event)) = self.event(&partial.buf, progress, &partial.parser)? else {
            if partial.buf.len() >= limit {
                return Err(ParseError::TooBig);
            }
            self.partial = Some(partial);
            *input = &[];
            return Ok(None);
        };
        *input = &input[end - had..];
        Ok(Some(event))
    }

    fn outer(&self) -> Outer<'_> {
        self.context
            .as_ref()
            .map_or(header::USUAL, |context| &context.prefixes)
    }

    /// What the parser's progress means, and where it ends.
    fn event(
        &mut self,
        buf: &[u8],
        progress: Progress,
        parser: &Parser,
    ) -> Result<Option<(usize, StreamEvent)>, ParseError> {
        match progress {
            Progress::Pending => Ok(None),
            Progress::Element(end) => {
                let raw = &buf[..end];
                let borrowed = parser.borrowed(raw);
                let unknown_ns = self
                    .context
                    .as_ref()
                    .and_then(|context| context.default_ns.as_deref());
                let fragment = if borrowed.is_empty() && unknown_ns.is_none() {
                    Fragment::assemble(Bytes::copy_from_slice(raw), parser.slots(), self.default_ns)
                } else {
                    let copied = header::copy_declarations(
                        raw,
                        &borrowed,
                        self.outer(),
                        unknown_ns,
                        parser.slots(),
                    );
                    if copied.len() > self.limits.element_bytes() {
                        return Err(ParseError::TooBig);
                    }
                    Fragment::parse(copied.into(), self.default_ns)?
                };
                Ok(Some((end, StreamEvent::Element(fragment))))
            }
            Progress::Close(end) => {
                self.close(&buf[..end])?;
                Ok(Some((end, StreamEvent::Close)))
            }
        }
    }

    /// The stream's end tag.
    fn close(&mut self, tag: &[u8]) -> Result<(), ParseError> {
        let context = self.context.take();
        let name = context.as_ref().map_or("stream:stream", |it| &it.name);
        header::check_end(tag, name)?;
        self.state = State::Closed;
        Ok(())
    }
}
