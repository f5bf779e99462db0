//! Text to [`Jid`]: one pass for ordinary ASCII, the full way for the rest (RFC 7622 §3).
//!
//! Why two: nearly every address on the wire is ASCII and already normal; it costs one look at each byte and the
//! shared string. Whatever the fast way does not recognise goes the full way, which alone decides what is an error.

use std::{borrow::Cow, sync::Arc};

use super::{Jid, JidError, domain, profile};

/// Most bytes of a part (RFC 7622 §3.1).
pub(super) const MAX_PART: usize = 1023;
/// Most bytes of a part before normalisation, which may shorten it (a full-width letter has three bytes).
const MAX_RAW_PART: usize = 8 * MAX_PART;

/// The byte may stand in a localpart: printable ASCII without `"&'/:<>@` (RFC 7622 §3.3.1).
pub(super) const LOCAL: u8 = 1;
/// The byte may stand in a host name: letter, digit, hyphen, or the dot between labels.
const HOST: u8 = 2;
/// The byte may stand in a resourcepart: printable ASCII and space.
pub(super) const RESOURCE: u8 = 4;
/// The byte is no capital.
pub(super) const LOWER: u8 = 8;

const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        let mut class = 0;
        if !byte.is_ascii_control() {
            class |= RESOURCE;
        }
        if byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@')
        {
            class |= LOCAL;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') {
            class |= HOST;
        }
        if !byte.is_ascii_uppercase() {
            class |= LOWER;
        }
        table[byte as usize] = class;
        byte += 1;
    }
    table
}

/// The classes that all bytes share.
pub(super) fn common_class(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(u8::MAX, |class, byte| class & CLASS[usize::from(*byte)])
}

pub(super) fn jid(text: &str) -> Result<Jid, JidError> {
    match plain(text) {
        Some(jid) => Ok(jid),
        None => full(text),
    }
}

/// An address of ASCII whose parts need at most to be put in lower case; `None` means nothing but "the full way".
pub(super) fn plain(text: &str) -> Option<Jid> {
    let bytes = text.as_bytes();
    let (mut local, mut slash) = (0, bytes.len());
    let mut class = u8::MAX;
    let mut lower = LOWER;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'/' => {
                slash = at;
                break;
            }
            b'@' => {
                // An empty localpart or a second `@` is for the full way to refuse.
                if local > 0 || class & LOCAL == 0 || at == 0 {
                    return None;
                }
                local = at;
                lower &= class;
                class = u8::MAX;
            }
            _ => class &= CLASS[usize::from(*byte)],
        }
    }
    lower &= class;
    let host = &bytes[if local > 0 { local + 1 } else { 0 }..slash];
    let resource = bytes.get(slash + 1..);
    let fits = local <= MAX_PART && host.len() <= MAX_PART;
    if class & HOST == 0 || !fits || !is_host_name(host) {
        return None;
    }
    if let Some(resource) = resource {
        let fits = !resource.is_empty() && resource.len() <= MAX_PART;
        if !fits || common_class(resource) & RESOURCE == 0 {
            return None;
        }
    }
    let mut shared: Arc<str> = Arc::from(text);
    if lower == 0 {
        let head = Arc::get_mut(&mut shared).and_then(|text| text.get_mut(..slash));
        head.expect("the string was made here and a slash is one byte")
            .make_ascii_lowercase();
    }
    let offset = |at: usize| u16::try_from(at).expect("three parts of at most 1,023 bytes");
    Some(Jid {
        text: shared,
        local: offset(local),
        slash: offset(slash),
    })
}

/// Whether bytes of class `HOST` make labels that need no IDNA: 1 to 63 bytes, no hyphen at an end, no A-label.
///
/// Hyphens in third and fourth place are let through in ASCII labels; such hosts exist.
pub(super) fn is_host_name(host: &[u8]) -> bool {
    let mut length = 0;
    let mut previous = b'.';
    for (at, byte) in host.iter().enumerate() {
        if *byte == b'.' {
            if length == 0 || length > 63 || previous == b'-' {
                return false;
            }
            length = 0;
        } else {
            if *byte == b'-'
                && (length == 0 || length == 3 && host[at - 3..at].eq_ignore_ascii_case(b"xn-"))
            {
                return false;
            }
            length += 1;
        }
        previous = *byte;
    }
    (1..=63).contains(&length) && previous != b'-'
}

/// Whether all bytes may stand in a host name.
pub(super) fn is_host_class(bytes: &[u8]) -> bool {
    common_class(bytes) & HOST != 0
}

/// Splits at the first slash, then at the first `@` before it (RFC 7622 §3.1), and normalises each part.
pub(super) fn full(text: &str) -> Result<Jid, JidError> {
    let (bare, resource) = match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    };
    let (local, domain) = match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, bare),
    };
    parts(local, domain, resource)
}

pub(super) fn parts(
    local: Option<&str>,
    domain: &str,
    resource: Option<&str>,
) -> Result<Jid, JidError> {
    let local = local
        .map(|text| part(text, JidError::Local, profile::localpart))
        .transpose()?;
    let domain = part(domain, JidError::Domain, domain::normalise)?;
    let resource = resource
        .map(|text| part(text, JidError::Resource, profile::resourcepart))
        .transpose()?;
    Ok(assemble(local.as_deref(), &domain, resource.as_deref()))
}

pub(super) fn with_resource(bare: &Jid, resource: &str) -> Result<Jid, JidError> {
    let resource = part(resource, JidError::Resource, profile::resourcepart)?;
    Ok(assemble(bare.local(), bare.domain(), Some(&resource)))
}

/// One part: neither empty nor too long, before and after its profile.
fn part<'a>(
    text: &'a str,
    malformed: JidError,
    normalise: fn(&'a str) -> Option<Cow<'a, str>>,
) -> Result<Cow<'a, str>, JidError> {
    if text.len() > MAX_RAW_PART {
        return Err(JidError::TooLong);
    }
    if text.is_empty() {
        return Err(JidError::Empty);
    }
    let normal = normalise(text).ok_or(malformed)?;
    match normal.len() {
        0 => Err(JidError::Empty),
        1..=MAX_PART => Ok(normal),
        _ => Err(JidError::TooLong),
    }
}

/// Joins parts that are already normal.
fn assemble(local: Option<&str>, domain: &str, resource: Option<&str>) -> Jid {
    let mut text = String::with_capacity(
        local.map_or(0, |part| part.len() + 1)
            + domain.len()
            + resource.map_or(0, |part| part.len() + 1),
    );
    if let Some(local) = local {
        text.push_str(local);
        text.push('@');
    }
    text.push_str(domain);
    let slash = text.len();
    if let Some(resource) = resource {
        text.push('/');
        text.push_str(resource);
    }
    let offset = |at: usize| u16::try_from(at).expect("three parts of at most 1,023 bytes");
    Jid {
        local: offset(local.map_or(0, str::len)),
        slash: offset(slash),
        text: Arc::from(text),
    }
}
