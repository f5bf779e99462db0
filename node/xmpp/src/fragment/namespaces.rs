//! Namespaces while parsing: declarations in scope, prefixes, attributes that two prefixes make the same.
//!
//! Source: Namespaces in XML 1.0 §3 (reserved prefixes), §5 (undeclaring), §6.3 (uniqueness of attributes).
//! Narrower than the specification in two points. A namespace name holds no references and no line ends, so that it can
//! be compared and borrowed as it stands (`restricted-xml`). And it is at most 512 bytes long, with at most as many
//! declarations in scope as an element may have attributes: every element of a tree carries its namespace and every
//! prefix is looked up, so that long or many ones would let small stanzas cost much (`policy-violation`).

use std::borrow::Cow;

use smallvec::SmallVec;

use super::{
    parser::Parser,
    tape::{AttrEntry, NS_DEFAULT, NS_XML},
};
use crate::{
    codec::{Limits, ParseError},
    ns,
};

/// Prefixes that the stream header declares, with their namespaces.
pub(crate) type Outer<'a> = &'a [(Cow<'static, str>, Cow<'static, str>)];

/// The namespace of `xmlns` itself, which nothing may be bound to.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// Bytes of a namespace name.
const LONGEST_NAME: usize = 512;

/// A declaration in scope.
#[derive(Clone, Copy)]
pub(crate) struct Decl {
    prefix: u32,
    /// 0: the default namespace.
    pub(super) prefix_len: u16,
    /// The slot of its attribute.
    pub(super) slot: u32,
}

impl Parser {
    /// Takes in a declaration whose attribute will stand in the next slot.
    pub(super) fn declare(
        &mut self,
        buf: &[u8],
        prefix: &[u8],
        attr: &AttrEntry,
        limits: &Limits,
    ) -> Result<(), ParseError> {
        let name = attr.value_in(buf);
        if name.len() > LONGEST_NAME || self.decls.len() >= limits.attributes {
            return Err(ParseError::TooBig);
        }
        if name.iter().any(|&byte| byte == b'&' || byte < 0x20) {
            return Err(ParseError::Restricted);
        }
        let is_xml = name == ns::XML.as_bytes();
        let allowed = match prefix {
            b"xml" => is_xml,
            b"xmlns" => false,
            b"" => !is_xml && name != XMLNS.as_bytes(),
            _ => !is_xml && name != XMLNS.as_bytes() && !name.is_empty(),
        };
        if !allowed {
            return Err(ParseError::BadNamespacePrefix);
        }
        let start = attr.name + u32::from(attr.name_len) - prefix.len() as u32;
        self.decls.push(Decl {
            prefix: start,
            prefix_len: prefix.len() as u16,
            slot: self.slots.len() as u32,
        });
        Ok(())
    }

    /// The namespace of the prefix that stands at `start`.
    pub(super) fn resolve(
        &mut self,
        buf: &[u8],
        start: usize,
        len: usize,
        outer: Outer<'_>,
    ) -> Result<u32, ParseError> {
        let prefix = &buf[start..start + len];
        let same =
            |decl: &&Decl| &buf[decl.prefix as usize..][..decl.prefix_len as usize] == prefix;
        if let Some(decl) = self.decls.iter().rev().find(same) {
            return Ok(decl.slot);
        }
        if prefix == b"xml" {
            return Ok(NS_XML);
        }
        if !outer.iter().any(|(known, _)| known.as_bytes() == prefix) {
            return Err(ParseError::BadNamespacePrefix);
        }
        // The decoder copies the declaration in and has all parsed again: what is answered now does not count.
        let known = |&(at, known): &(u32, u16)| &buf[at as usize..][..known as usize] == prefix;
        if !self.borrowed.iter().any(known) {
            self.borrowed.push((start as u32, len as u16));
        }
        Ok(NS_DEFAULT)
    }

    /// Checks the prefixed attributes of the tag whose attributes begin at slot `first`.
    pub(super) fn check_prefixed(
        &mut self,
        buf: &[u8],
        first: usize,
        outer: Outer<'_>,
    ) -> Result<(), ParseError> {
        let mut seen: SmallVec<[(u32, u32); 4]> = SmallVec::new();
        for slot in first..self.slots.len() {
            let attr = AttrEntry::read(self.slots[slot]);
            if attr.prefix_len == 0 || attr.declares(buf).is_some() {
                continue;
            }
            let namespace = self.resolve(buf, attr.name as usize, attr.prefix_len.into(), outer)?;
            if namespace == NS_DEFAULT {
                continue;
            }
            let local = |slot: u32| {
                let attr = AttrEntry::read(self.slots[slot as usize]);
                &attr.name_in(buf)[usize::from(attr.prefix_len) + 1..]
            };
            let name = |namespace: u32| match namespace {
                NS_XML => ns::XML.as_bytes(),
                slot => AttrEntry::read(self.slots[slot as usize]).value_in(buf),
            };
            let twice = |&(other, other_ns): &(u32, u32)| {
                local(other) == local(slot as u32) && name(other_ns) == name(namespace)
            };
            if seen.iter().any(twice) {
                return Err(ParseError::NotWellFormed);
            }
            seen.push((slot as u32, namespace));
        }
        Ok(())
    }
}
