//! The parser: bytes of one element to its tape, in one pass, resumable where the bytes end.
//!
//! Source: XML 1.0 §3.1, Namespaces in XML 1.0; RFC 6120 §11.1 (what streams may not use).
//! It goes from token to token. A token that is cut off is looked at again when more has come, but the search for its
//! end goes on where it stopped, so bytes that arrive one by one cost no more than all at once. What it answers depends
//! on the bytes alone, not on how they were cut: a tag is judged when its `>` is there, text when the next `<` is.

use memchr::{memchr, memmem};
use smallvec::SmallVec;

use super::{
    chars,
    namespaces::{Decl, Outer},
    tape::{ElementEntry, Slot},
    text::{CDATA, as_str},
};
use crate::codec::{Limits, ParseError};

/// How far the parser came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The bytes end too early.
    Pending,
    /// The element ends here.
    Element(usize),
    /// At depth 0: an end tag, which ends here; its name is not checked.
    Close(usize),
}

/// An element whose end tag has not come.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) slot: u32,
    /// Declarations in scope before its own.
    pub(super) decls: u32,
    /// The default namespace inside.
    pub(super) default_ns: u32,
}

/// The state between two calls; positions count from the element's `<`.
#[derive(Default)]
pub(crate) struct Parser {
    pub(super) slots: SmallVec<[Slot; 48]>,
    pub(super) open: SmallVec<[Open; 8]>,
    pub(super) decls: SmallVec<[Decl; 4]>,
    /// Prefixes used that only the stream header declares.
    pub(super) borrowed: Vec<(u32, u16)>,
    /// Where the current token begins.
    pub(super) pos: usize,
    /// Up to where the end of the token was searched; equal to `pos` before the first try.
    pub(super) scan: usize,
    /// The quote that is open at `scan`, or 0.
    pub(super) quote: u8,
    /// Whether the current token is text.
    in_text: bool,
}

impl Parser {
    /// Goes on with `buf`, which begins with the element's `<` and has only grown since the last call.
    pub(crate) fn advance(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        outer: Outer<'_>,
    ) -> Result<Progress, ParseError> {
        loop {
            if self.in_text && !self.text(buf)? {
                return Ok(Progress::Pending);
            }
            let Some(&second) = buf.get(self.pos + 1) else {
                return Ok(Progress::Pending);
            };
            let end = match second {
                b'/' if self.open.is_empty() => {
                    return Ok(self
                        .find_byte(buf, b'>')
                        .map_or(Progress::Pending, Progress::Close));
                }
                b'/' => self.end_tag(buf)?,
                b'!' if self.open.is_empty() => return Err(ParseError::Restricted),
                b'!' => self.cdata(buf)?,
                b'?' => return Err(ParseError::Restricted),
                _ => self.start_tag(buf, limits, outer)?,
            };
            let Some(end) = end else {
                return Ok(Progress::Pending);
            };
            if self.open.is_empty() {
                return Ok(Progress::Element(end));
            }
            self.begin(end, true);
        }
    }

    /// Reads a start tag alone: that of a stream. `None`: it is cut off.
    pub(crate) fn header(
        &mut self,
        buf: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ParseError> {
        self.start_tag(buf, limits, &[])
    }

    /// The tape, complete.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The prefixes used that only the stream header declares.
    pub(crate) fn borrowed<'a>(&self, raw: &'a [u8]) -> SmallVec<[&'a str; 2]> {
        self.borrowed
            .iter()
            .map(|&(at, length)| as_str(&raw[at as usize..][..length as usize]))
            .collect()
    }

    fn begin(&mut self, pos: usize, in_text: bool) {
        self.pos = pos;
        self.scan = pos;
        self.in_text = in_text;
    }

    /// Passes text; answers whether the next `<` was reached.
    fn text(&mut self, buf: &[u8]) -> Result<bool, ParseError> {
        let first_try = self.scan == self.pos;
        let mut end = if first_try {
            chars::skip_plain_text(buf, self.pos)
        } else {
            self.scan
        };
        // Short plain text, the usual case, is checked when its end is found.
        if !first_try || buf.get(end) != Some(&b'<') {
            let Some(found) = memchr(b'<', &buf[end..]) else {
                self.scan = buf.len();
                return Ok(false);
            };
            end += found;
            chars::check_text(&buf[self.pos..end])?;
        }
        self.begin(end, false);
        Ok(true)
    }

    /// The offset after the next `byte`.
    fn find_byte(&mut self, buf: &[u8], byte: u8) -> Option<usize> {
        match memchr(byte, &buf[self.scan..]) {
            Some(found) => Some(self.scan + found + 1),
            None => {
                self.scan = buf.len();
                None
            }
        }
    }

    fn cdata(&mut self, buf: &[u8]) -> Result<Option<usize>, ParseError> {
        let seen = &buf[self.pos..];
        if !seen.starts_with(CDATA) {
            // RFC 6120 §11.1: comments and declarations are restricted.
            return if CDATA.starts_with(seen) {
                Ok(None)
            } else {
                Err(ParseError::Restricted)
            };
        }
        let inside = self.pos + CDATA.len();
        let from = self.scan.max(inside);
        match memmem::find(&buf[from..], b"]]>") {
            Some(found) => {
                chars::check_cdata(&buf[inside..from + found])?;
                Ok(Some(from + found + 3))
            }
            None => {
                self.scan = buf.len().saturating_sub(2).max(inside);
                Ok(None)
            }
        }
    }

    fn end_tag(&mut self, buf: &[u8]) -> Result<Option<usize>, ParseError> {
        let Some(&Open { slot, decls, .. }) = self.open.last() else {
            return Err(ParseError::NotWellFormed);
        };
        let mut entry = ElementEntry::read(&self.slots, slot);
        let qname = &buf[entry.start as usize + 1..][..entry.qname_len()];
        let written = &buf[self.pos + 2..];
        let end = if written.starts_with(qname) && written.get(qname.len()) == Some(&b'>') {
            self.pos + 2 + qname.len() + 1
        } else {
            let Some(end) = self.find_byte(buf, b'>') else {
                return Ok(None);
            };
            match buf[self.pos + 2..end - 1].strip_prefix(qname) {
                Some(space) if space.iter().all(|&byte| chars::is_space(byte)) => end,
                _ => return Err(ParseError::NotWellFormed),
            }
        };
        entry.next = self.slots.len() as u32;
        entry.inner_end = self.pos as u32;
        entry.end = end as u32;
        self.slots[slot as usize + 1] = entry.slots()[1];
        self.decls.truncate(decls as usize);
        self.open.pop();
        Ok(Some(end))
    }
}
