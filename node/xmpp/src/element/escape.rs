//! Escaping: any string to character data or an attribute value that reads back as the same string.
//!
//! Source: XML 1.0 §2.4, §2.11 (a bare `\r` would read back as `\n`), §3.3.3 (line ends and tabs in attributes would
//! read back as spaces). What XML cannot carry at all becomes U+FFFD: it would end the stream of whoever is sent it.

use crate::fragment::chars::{is_unescaped, is_xml_char};

/// Appends `text` with `& < > " '` and `\r` escaped. For character data, and for attribute values that hold no line
/// ends or tabs (addresses, ids).
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    escape(out, text, false);
}

/// Appends `text` as an attribute value: as [`escape_into`], and `\n` and `\t` as references.
pub fn escape_attr_into(out: &mut Vec<u8>, text: &str) {
    escape(out, text, true);
}

fn escape(out: &mut Vec<u8>, text: &str, attribute: bool) {
    if is_unescaped(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.reserve(text.len());
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let replacement: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'"' => b"&quot;",
            b'\'' => b"&apos;",
            b'\r' => b"&#13;",
            b'\n' if attribute => b"&#10;",
            b'\t' if attribute => b"&#9;",
            b'\n' | b'\t' => continue,
            0..0x20 => "\u{FFFD}".as_bytes(),
            0xEF if text[at..].starts_with(|c| !is_xml_char(c)) => "\u{FFFD}".as_bytes(),
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(replacement);
        // U+FFFE and U+FFFF are three bytes long; all else that is replaced is one.
        from = at + if byte == 0xEF { 3 } else { 1 };
    }
    out.extend_from_slice(&bytes[from..]);
}
