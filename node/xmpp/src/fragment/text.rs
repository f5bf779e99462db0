//! Character data and attribute values as the application sees them: references resolved, line ends normalised.
//!
//! Source: XML 1.0 §2.11 (line ends), §3.3.3 (attribute values), §4.6 (predefined entities). The input has been checked
//! by [`super::chars`], so nothing here can fail.

use std::borrow::Cow;

use super::chars::reference;

/// The opening of a CDATA section.
pub(crate) const CDATA: &[u8] = b"<![CDATA[";

/// Checked bytes as text.
pub(crate) fn as_str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("spans of the tape are checked UTF-8")
}

/// The value of an attribute: white space becomes spaces, references what they stand for.
pub(crate) fn value(raw: &[u8]) -> Cow<'_, str> {
    if raw.iter().any(|&byte| byte == b'&' || byte < 0x20) {
        let mut out = String::with_capacity(raw.len());
        append(raw, true, &mut out);
        Cow::Owned(out)
    } else {
        Cow::Borrowed(as_str(raw))
    }
}

/// The text of what stands between two child elements: character data and CDATA sections.
pub(crate) fn content(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr3(b'&', b'\r', b'<', raw).is_none() {
        return Cow::Borrowed(as_str(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'<', rest) {
        append(&rest[..at], false, &mut out);
        let inside = &rest[at + CDATA.len()..];
        let end = memchr::memmem::find(inside, b"]]>").unwrap_or(inside.len());
        append_lines(&inside[..end], &mut out);
        rest = inside.get(end + 3..).unwrap_or_default();
    }
    append(rest, false, &mut out);
    Cow::Owned(out)
}

fn append(mut raw: &[u8], attribute: bool, out: &mut String) {
    let plain = |raw: &[u8], out: &mut String| {
        if attribute {
            append_spaces(raw, out);
        } else {
            append_lines(raw, out);
        }
    };
    while let Some(at) = memchr::memchr(b'&', raw) {
        plain(&raw[..at], out);
        let (c, length) = reference(&raw[at + 1..]).expect("references are checked by the parser");
        out.push(c);
        raw = &raw[at + 1 + length..];
    }
    plain(raw, out);
}

/// `\r\n` and `\r` become `\n`.
fn append_lines(mut raw: &[u8], out: &mut String) {
    while let Some(at) = memchr::memchr(b'\r', raw) {
        out.push_str(as_str(&raw[..at]));
        out.push('\n');
        raw = &raw[at + 1..];
        raw = raw.strip_prefix(b"\n").unwrap_or(raw);
    }
    out.push_str(as_str(raw));
}

/// Line ends, which count as one each, and tabs become spaces.
fn append_spaces(mut raw: &[u8], out: &mut String) {
    while let Some(at) = raw.iter().position(|&byte| byte < 0x20) {
        out.push_str(as_str(&raw[..at]));
        out.push(' ');
        raw = if raw[at..].starts_with(b"\r\n") {
            &raw[at + 2..]
        } else {
            &raw[at + 1..]
        };
    }
    out.push_str(as_str(raw));
}
