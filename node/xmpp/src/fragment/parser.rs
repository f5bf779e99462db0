//! The parser: bytes of one element to its tape, in one pass, resumable where the bytes end.
//!
//! Source: XML 1.0 §3.1, Namespaces in XML 1.0; RFC 6120 §11.1 (what streams may not use).
//! It goes from token to token. A token that is cut off is looked at again when more has come, but the search for its
//! end goes on where it stopped, so bytes that arrive one by one cost no more than all at once. What it answers depends
//! on the bytes alone, not on how they were cut: a tag is judged when its `>` is there, text when the next `<` is.

use memchr::{memchr, memchr2, memmem};
use smallvec::SmallVec;

use super::{
    chars::{self, Name, scan_name, skip_space},
    namespaces::{Decl, Outer},
    tape::{AttrEntry, ELEMENT_SLOTS, ElementEntry, NS_DEFAULT, Slot},
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
struct Open {
    slot: u32,
    /// Declarations in scope before its own.
    decls: u32,
    /// The default namespace inside.
    default_ns: u32,
}

/// The state between two calls; positions count from the element's `<`.
#[derive(Default)]
pub(crate) struct Parser {
    pub(super) slots: SmallVec<[Slot; 48]>,
    open: SmallVec<[Open; 8]>,
    pub(super) decls: SmallVec<[Decl; 4]>,
    /// Prefixes used that only the stream header declares.
    pub(super) borrowed: Vec<(u32, u16)>,
    /// Where the current token begins.
    pos: usize,
    /// Up to where the end of the token was searched; equal to `pos` before the first try.
    scan: usize,
    /// The quote that is open at `scan`, or 0.
    quote: u8,
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

    fn start_tag(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        outer: Outer<'_>,
    ) -> Result<Option<usize>, ParseError> {
        let (slots, decls) = (self.slots.len(), self.decls.len());
        let first_try = self.scan == self.pos;
        let mut error = ParseError::NotWellFormed;
        if first_try {
            // Nearly always the tag is all there: read it at once.
            match self.read_start_tag(buf, limits, outer) {
                Ok(Some(end)) => return Ok(Some(end)),
                Ok(None) => {}
                Err(found) => error = found,
            }
            self.slots.truncate(slots);
            self.decls.truncate(decls);
        }
        if !self.find_tag_end(buf)? {
            return Ok(None);
        }
        if first_try {
            return Err(error);
        }
        self.read_start_tag(buf, limits, outer)?
            .ok_or(ParseError::NotWellFormed)
            .map(Some)
    }

    /// Searches the `>` of a start tag. A `<` inside is an error wherever it stands, so an open quote cannot swallow
    /// what follows.
    fn find_tag_end(&mut self, buf: &[u8]) -> Result<bool, ParseError> {
        let mut at = self.scan.max(self.pos + 1);
        while let Some(&byte) = buf.get(at) {
            if self.quote != 0 {
                match memchr2(self.quote, b'<', &buf[at..]) {
                    Some(found) if buf[at + found] == b'<' => {
                        return Err(ParseError::NotWellFormed);
                    }
                    Some(found) => {
                        at += found + 1;
                        self.quote = 0;
                    }
                    None => at = buf.len(),
                }
                continue;
            }
            match byte {
                b'>' => return Ok(true),
                b'<' => return Err(ParseError::NotWellFormed),
                b'"' | b'\'' => self.quote = byte,
                _ => {}
            }
            at += 1;
        }
        self.scan = at;
        Ok(false)
    }

    fn read_start_tag(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        outer: Outer<'_>,
    ) -> Result<Option<usize>, ParseError> {
        let start = self.pos;
        let Some(Name {
            end: mut at,
            prefix,
        }) = scan_name(buf, start + 1)?
        else {
            return Ok(None);
        };
        if self.open.len() >= limits.depth {
            return Err(ParseError::TooBig);
        }
        let slot = self.slots.len();
        let decls = self.decls.len();
        let local = if prefix == 0 {
            start + 1
        } else {
            start + prefix + 2
        };
        let mut entry = ElementEntry {
            start: start as u32,
            name: local as u32,
            name_len: length(at - local)?,
            ..Default::default()
        };
        self.slots.extend(entry.slots());
        let mut prefixed = prefix != 0;
        let empty = loop {
            let space = at;
            at = skip_space(buf, at);
            match buf.get(at) {
                None => return Ok(None),
                Some(b'>') => break false,
                Some(b'/') => match buf.get(at + 1) {
                    None => return Ok(None),
                    Some(b'>') => break true,
                    Some(_) => return Err(ParseError::NotWellFormed),
                },
                Some(_) if at == space => return Err(ParseError::NotWellFormed),
                Some(_) => {}
            }
            let Some((attr, end)) = read_attribute(buf, at)? else {
                return Ok(None);
            };
            if usize::from(entry.attrs) >= limits.attributes.min(usize::from(u16::MAX)) {
                return Err(ParseError::TooBig);
            }
            let same = |other: AttrEntry| {
                other.name_len == attr.name_len && other.name_in(buf) == attr.name_in(buf)
            };
            if self.slots[slot + ELEMENT_SLOTS..]
                .iter()
                .any(|&other| same(AttrEntry::read(other)))
            {
                return Err(ParseError::NotWellFormed);
            }
            if let Some(declared) = attr.declares(buf) {
                self.declare(buf, declared, &attr, limits)?;
            } else {
                prefixed |= attr.prefix_len != 0;
            }
            self.slots.push(attr.slot());
            entry.attrs += 1;
            at = end;
        };
        let default_ns = self.default_ns(decls);
        entry.ns = default_ns;
        if prefixed {
            if prefix != 0 {
                entry.ns = self.resolve(buf, start + 1, prefix, outer)?;
            }
            self.check_prefixed(buf, slot + ELEMENT_SLOTS, outer)?;
        }
        let end = at + 1 + usize::from(empty);
        entry.inner = end as u32;
        if empty {
            entry.next = self.slots.len() as u32;
            entry.inner_end = end as u32;
            entry.end = end as u32;
            self.decls.truncate(decls);
        } else {
            self.open.push(Open {
                slot: slot as u32,
                decls: decls as u32,
                default_ns,
            });
        }
        self.slots[slot..slot + ELEMENT_SLOTS].copy_from_slice(&entry.slots());
        Ok(Some(end))
    }

    /// The default namespace of the tag being read, whose declarations begin at `decls`.
    fn default_ns(&self, decls: usize) -> u32 {
        match self.decls[decls..].iter().find(|decl| decl.prefix_len == 0) {
            Some(decl) => decl.slot,
            None => self.open.last().map_or(NS_DEFAULT, |open| open.default_ns),
        }
    }
}

/// Reads `name='value'`. `None`: it is cut off.
fn read_attribute(buf: &[u8], start: usize) -> Result<Option<(AttrEntry, usize)>, ParseError> {
    let Some(name) = scan_name(buf, start)? else {
        return Ok(None);
    };
    let mut at = skip_space(buf, name.end);
    match buf.get(at) {
        None => return Ok(None),
        Some(b'=') => at = skip_space(buf, at + 1),
        Some(_) => return Err(ParseError::NotWellFormed),
    }
    let quote = match buf.get(at) {
        None => return Ok(None),
        Some(&quote @ (b'"' | b'\'')) => quote,
        Some(_) => return Err(ParseError::NotWellFormed),
    };
    let value = at + 1;
    let plain = chars::skip_plain_value(buf, value);
    let end = if buf.get(plain) == Some(&quote) {
        plain
    } else {
        let Some(more) = memchr(quote, &buf[plain..]) else {
            return Ok(None);
        };
        chars::check_value(&buf[value..plain + more])?;
        plain + more
    };
    let attr = AttrEntry {
        name: start as u32,
        name_len: length(name.end - start)?,
        prefix_len: length(name.prefix)?,
        value: value as u32,
        value_len: (end - value) as u32,
    };
    Ok(Some((attr, end + 1)))
}

/// A name's length, which the tape keeps in 16 bits.
fn length(bytes: usize) -> Result<u16, ParseError> {
    u16::try_from(bytes).map_err(|_| ParseError::TooBig)
}
