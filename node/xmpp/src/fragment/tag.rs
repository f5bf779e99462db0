//! Start tags: name, attributes, declarations, and their entries on the tape.
//!
//! Source: XML 1.0 §3.1 (`STag`, `EmptyElemTag`, unique attributes), §2.3 (`AttValue`).

use memchr::{memchr, memchr2};

use super::{
    chars::{self, Name, scan_name, skip_space},
    namespaces::Outer,
    parser::{Open, Parser},
    tape::{AttrEntry, ELEMENT_SLOTS, ElementEntry, NS_DEFAULT},
};
use crate::codec::{Limits, ParseError};

impl Parser {
    pub(super) fn start_tag(
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
