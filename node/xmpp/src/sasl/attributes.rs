//! The attributes of SCRAM messages and the escaping of names in them.
//!
//! Source: RFC 5802 §5.1 and §7 (grammar).

use super::SaslFailure;

/// Most bytes of a SCRAM message; ours and those of all known clients are far below.
const MAX_MESSAGE: usize = 8192;

/// The message as text within its bound.
pub(super) fn text(message: &[u8]) -> Result<&str, SaslFailure> {
    let text = std::str::from_utf8(message).map_err(|_| SaslFailure::MalformedRequest)?;
    if text.len() > MAX_MESSAGE || text.contains('\0') {
        return Err(SaslFailure::MalformedRequest);
    }
    Ok(text)
}

/// Splits `a=value`; the value is not empty.
pub(super) fn attribute(field: &str) -> Option<(char, &str)> {
    let (name, value) = field.split_once('=')?;
    let mut name = name.chars();
    match (name.next(), name.next()) {
        (Some(name), None) if name.is_ascii_alphabetic() && !value.is_empty() => {
            Some((name, value))
        }
        _ => None,
    }
}

/// The value of the attribute with this name.
pub(super) fn value(field: &str, wanted: char) -> Option<&str> {
    attribute(field)
        .filter(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}

/// Whether all of these are well-formed optional extensions. `m` is mandatory to understand, and we know none.
pub(super) fn are_extensions<'a>(mut fields: impl Iterator<Item = &'a str>) -> bool {
    fields.all(|field| attribute(field).is_some_and(|(name, _)| name != 'm'))
}

/// Whether this is a nonce: printable ASCII without comma.
pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// Undoes `=2C` and `=3D`; any other `=` is an error.
pub(super) fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (c, rest) = match part.get(..2)? {
            "2C" => (',', &part[2..]),
            "3D" => ('=', &part[2..]),
            _ => return None,
        };
        out.push(c);
        out.push_str(rest);
    }
    (!out.is_empty()).then_some(out)
}

/// Writes `,` as `=2C` and `=` as `=3D`.
pub(super) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}
