//! The stream header: the XML declaration, the root's start tag, and what it declares for all that follows.
//!
//! Source: RFC 6120 §4.7, §4.8, §11.4, §11.5. Nearly every stream declares `stream` and a known default namespace, so
//! nothing is stored for it; only another one has a [`Context`].

use std::borrow::Cow;

use super::{ParseError, StreamHeader};
use crate::{
    Fragment,
    fragment::{
        chars::is_space,
        namespaces::Outer,
        tape::{AttrEntry, ELEMENT_SLOTS, ElementEntry, Slot},
        text::as_str,
    },
    ns,
};

/// The prefixes that a usual header declares.
pub(super) const USUAL: Outer<'static> = &[(Cow::Borrowed("stream"), Cow::Borrowed(ns::STREAM))];

/// Default namespaces that need not be copied into each element, because those who read it know them.
const KNOWN: [&str; 5] = [
    "",
    ns::CLIENT,
    ns::SERVER,
    ns::STREAM,
    "jabber:component:accept",
];

/// What an unusual header declares.
pub(super) struct Context {
    /// The root's name as written.
    pub(super) name: Box<str>,
    pub(super) prefixes: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The default namespace, if it is not a known one.
    pub(super) default_ns: Option<Box<str>>,
}

/// A header that declares what another did.
pub(super) fn rewritten(context: Option<&Context>, default_ns: &str) -> Vec<u8> {
    let (name, prefixes) = match context {
        Some(context) => (&*context.name, &*context.prefixes),
        None => ("stream:stream", USUAL),
    };
    let default_ns = context
        .and_then(|context| context.default_ns.as_deref())
        .unwrap_or(default_ns);
    let mut out = Vec::with_capacity(128);
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    if !default_ns.is_empty() {
        declare(&mut out, "", default_ns);
    }
    for (prefix, namespace) in prefixes {
        declare(&mut out, prefix, namespace);
    }
    out.push(b'>');
    out
}

/// Reads the header from its start tag.
pub(super) fn read(
    tag: &Fragment,
) -> Result<(StreamHeader, &'static str, Option<Box<Context>>), ParseError> {
    let root = tag.root();
    if root.name() != "stream" || tag.raw().ends_with(b"/>") {
        return Err(ParseError::BadFormat);
    }
    if root.ns() != ns::STREAM {
        return Err(ParseError::InvalidNamespace);
    }
    let raw = tag.raw();
    let mut prefixes = Vec::new();
    let mut content_ns = "";
    for attr in root.entries() {
        match attr.declares(raw) {
            Some([]) => content_ns = as_str(attr.value_in(raw)),
            Some(prefix) => prefixes.push((
                as_str(prefix).to_owned().into(),
                as_str(attr.value_in(raw)).to_owned().into(),
            )),
            None => {}
        }
    }
    let attr = |name: &str| root.attr(name).map(Cow::into_owned);
    let header = StreamHeader {
        to: attr("to"),
        from: attr("from"),
        id: attr("id"),
        version: attr("version"),
        lang: attr("xml:lang"),
        content_ns: content_ns.to_owned(),
    };
    let known = KNOWN.iter().find(|known| **known == content_ns).copied();
    let name = as_str(&raw[1..=ElementEntry::read(tag.tape(), 0).qname_len()]);
    let usual = known.is_some() && name == "stream:stream" && prefixes == *USUAL;
    let context = || {
        Box::new(Context {
            name: name.into(),
            prefixes,
            default_ns: known.is_none().then(|| content_ns.into()),
        })
    };
    Ok((header, known.unwrap_or(""), (!usual).then(context)))
}

/// Checks the stream's end tag.
pub(super) fn check_end(tag: &[u8], name: &str) -> Result<(), ParseError> {
    match tag[2..tag.len() - 1].strip_prefix(name.as_bytes()) {
        Some(space) if space.iter().all(|&byte| is_space(byte)) => Ok(()),
        _ => Err(ParseError::NotWellFormed),
    }
}

/// The element with declarations from the stream header copied into its start tag, so that it is complete in itself.
pub(super) fn copy_declarations(
    raw: &[u8],
    borrowed: &[&str],
    outer: Outer<'_>,
    default_ns: Option<&str>,
    slots: &[Slot],
) -> Vec<u8> {
    let root = ElementEntry::read(slots, 0);
    let after_name = 1 + root.qname_len();
    let mut out = Vec::with_capacity(raw.len() + 128);
    out.extend_from_slice(&raw[..after_name]);
    let attrs = &slots[ELEMENT_SLOTS..ELEMENT_SLOTS + usize::from(root.attrs)];
    let has_default = attrs
        .iter()
        .any(|&slot| AttrEntry::read(slot).declares(raw) == Some(&[]));
    if let Some(default_ns) = default_ns.filter(|_| !has_default) {
        declare(&mut out, "", default_ns);
    }
    for prefix in borrowed {
        if let Some((_, namespace)) = outer.iter().find(|(known, _)| known == prefix) {
            declare(&mut out, prefix, namespace);
        }
    }
    out.extend_from_slice(&raw[after_name..]);
    out
}

fn declare(out: &mut Vec<u8>, prefix: &str, namespace: &str) {
    // A namespace name holds no references, so it cannot have both kinds of quotes.
    let quote = if namespace.contains('\'') {
        b'"'
    } else {
        b'\''
    };
    out.extend_from_slice(if prefix.is_empty() {
        b" xmlns"
    } else {
        b" xmlns:"
    });
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(&[b'=', quote]);
    out.extend_from_slice(namespace.as_bytes());
    out.push(quote);
}

/// Checks `<?xml version='1.0' encoding='UTF-8' standalone='yes'?>`; any other processing instruction is restricted.
pub(super) fn check_declaration(declaration: &[u8]) -> Result<(), ParseError> {
    let inside = &declaration[2..declaration.len() - 2];
    let mut rest = match inside.strip_prefix(b"xml") {
        Some(rest) if rest.first().is_some_and(|&byte| is_space(byte)) => rest,
        Some([]) => return Err(ParseError::NotWellFormed),
        _ => return Err(ParseError::Restricted),
    };
    let version = pseudo_attribute(&mut rest, b"version")?.ok_or(ParseError::NotWellFormed)?;
    if version != b"1.0" {
        return Err(ParseError::NotWellFormed);
    }
    if let Some(encoding) = pseudo_attribute(&mut rest, b"encoding")?
        && !encoding.eq_ignore_ascii_case(b"UTF-8")
    {
        return Err(ParseError::UnsupportedEncoding);
    }
    if let Some(standalone) = pseudo_attribute(&mut rest, b"standalone")?
        && !matches!(standalone, b"yes" | b"no")
    {
        return Err(ParseError::NotWellFormed);
    }
    if rest.trim_ascii().is_empty() {
        Ok(())
    } else {
        Err(ParseError::NotWellFormed)
    }
}

/// Takes ` name='value'` off the front, if it stands there.
fn pseudo_attribute<'a>(rest: &mut &'a [u8], name: &[u8]) -> Result<Option<&'a [u8]>, ParseError> {
    let Some(after) = rest.trim_ascii_start().strip_prefix(name) else {
        return Ok(None);
    };
    if !rest.first().is_some_and(|&byte| is_space(byte)) {
        return Err(ParseError::NotWellFormed);
    }
    let after = after
        .trim_ascii_start()
        .strip_prefix(b"=")
        .ok_or(ParseError::NotWellFormed)?
        .trim_ascii_start();
    let (&quote, after) = after
        .split_first()
        .filter(|(quote, _)| matches!(quote, b'"' | b'\''))
        .ok_or(ParseError::NotWellFormed)?;
    let end = memchr::memchr(quote, after).ok_or(ParseError::NotWellFormed)?;
    *rest = &after[end + 1..];
    Ok(Some(&after[..end]))
}
