//! Characters of XML: what may stand in a name, in text, in an attribute value, in a reference.
//!
//! Source: XML 1.0 (fifth edition) §2.2 `Char`, §2.3 `Name`, §4.1 references; Namespaces in XML 1.0 §4 `QName`.
//! Plain ASCII, which is nearly everything, is settled by one table or one vectorised pass; the rest goes the long way.

use crate::codec::ParseError;

/// White space (`S`).
const WS: u8 = 1;
/// May begin a name (ASCII, without the colon).
const START: u8 = 2;
/// May stand in a name (ASCII, without the colon).
const NAME: u8 = 4;
/// Needs no closer look in an attribute value: plain ASCII, no quote, no `&`, no `<`.
const PLAIN_VALUE: u8 = 8;
/// Needs no closer look in text: plain ASCII or white space, no `&`, no `<`, no `]`.
const PLAIN_TEXT: u8 = 16;
/// Is written as it is wherever it stands: plain ASCII without the characters that are escaped.
const UNESCAPED: u8 = 32;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' => WS,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => START | NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            _ => 0,
        };
        table[byte] |= match byte as u8 {
            b'\t' | b'\n' | b'\r' => PLAIN_TEXT,
            0..0x20 | b'&' | b'<' => 0,
            b'\'' | b'"' => PLAIN_TEXT,
            b']' => PLAIN_VALUE | UNESCAPED,
            b'>' => PLAIN_VALUE | PLAIN_TEXT,
            _ => PLAIN_VALUE | PLAIN_TEXT | UNESCAPED,
        };
        byte += 1;
    }
    table
};

/// Whether the byte is white space.
pub(crate) fn is_space(byte: u8) -> bool {
    CLASS[byte as usize] & WS != 0
}

/// The first position from `at` on that is no white space; the length of `bytes` if there is none.
pub(crate) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|&byte| is_space(byte)) {
        at += 1;
    }
    at
}

/// The first position from `at` on where an attribute value needs a closer look, its closing quote at the latest.
pub(crate) fn skip_plain_value(bytes: &[u8], at: usize) -> usize {
    skip(bytes, at, PLAIN_VALUE)
}

/// The first position from `at` on where text needs a closer look, its `<` at the latest. Gives up after a short while:
/// long text is passed faster by [`check_text`].
pub(crate) fn skip_plain_text(bytes: &[u8], at: usize) -> usize {
    skip(&bytes[..bytes.len().min(at + 64)], at, PLAIN_TEXT)
}

/// Whether the text can be written without a replacement, wherever it stands.
pub(crate) fn is_unescaped(bytes: &[u8]) -> bool {
    skip(bytes, 0, UNESCAPED) == bytes.len()
}

fn skip(bytes: &[u8], at: usize, class: u8) -> usize {
    let run = bytes[at..]
        .iter()
        .position(|&byte| CLASS[byte as usize] & class == 0);
    run.map_or(bytes.len(), |run| at + run)
}

/// A qualified name: where it ends and how long its prefix is (0: it has none).
#[derive(Clone, Copy)]
pub(crate) struct Name {
    pub(crate) end: usize,
    pub(crate) prefix: usize,
}

/// Reads the `QName` at `start`. `None`: the bytes end before the name does.
pub(crate) fn scan_name(bytes: &[u8], start: usize) -> Result<Option<Name>, ParseError> {
    let mut at = start;
    let mut prefix = 0;
    let mut first = true;
    loop {
        let Some(&byte) = bytes.get(at) else {
            return Ok(None);
        };
        if CLASS[byte as usize] & if first { START } else { NAME } != 0 {
            at += 1;
            first = false;
        } else if byte == b':' && !first && prefix == 0 {
            prefix = at - start;
            at += 1;
            first = true;
        } else if byte >= 0x80 {
            let Some(length) = wide_name_char(&bytes[at..], first)? else {
                return Ok(None);
            };
            at += length;
            first = false;
        } else if first {
            return Err(ParseError::NotWellFormed);
        } else {
            return Ok(Some(Name { end: at, prefix }));
        }
    }
}

/// The length of the name character beyond ASCII that `bytes` begin with. `None`: it is cut off.
#[cold]
fn wide_name_char(bytes: &[u8], first: bool) -> Result<Option<usize>, ParseError> {
    let head = &bytes[..bytes.len().min(4)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) if error.error_len().is_none() => return Ok(None),
        Err(_) => return Err(ParseError::NotWellFormed),
    };
    match text.chars().next() {
        Some(c) if is_name_start(c) || !first && is_name_char(c) => Ok(Some(c.len_utf8())),
        _ => Err(ParseError::NotWellFormed),
    }
}

/// `NameStartChar` beyond ASCII.
fn is_name_start(c: char) -> bool {
    matches!(c, '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
        | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` beyond ASCII, without those that may also begin a name.
fn is_name_char(c: char) -> bool {
    matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// `Char`: what may stand in a document at all.
pub(crate) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

const CONTROL: u8 = 1;
const HIGH: u8 = 2;
const REFERENCE: u8 = 4;
const OPEN: u8 = 8;
const BRACKET: u8 = 16;

/// Which kinds of bytes occur that need a closer look. Branch-free, so that the compiler vectorises it.
fn survey(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |seen, &byte| {
        seen | u8::from(byte < 0x20)
            | (u8::from(byte >= 0x80) << 1)
            | (u8::from(byte == b'&') << 2)
            | (u8::from(byte == b'<') << 3)
            | (u8::from(byte == b']') << 4)
    })
}

/// Checks character data between two tags (it holds no `<`).
pub(crate) fn check_text(bytes: &[u8]) -> Result<(), ParseError> {
    let seen = survey(bytes);
    if seen & BRACKET != 0 && bytes.windows(3).any(|window| window == b"]]>") {
        return Err(ParseError::NotWellFormed);
    }
    check(bytes, seen)
}

/// Checks an attribute value between its quotes.
pub(crate) fn check_value(bytes: &[u8]) -> Result<(), ParseError> {
    let seen = survey(bytes);
    if seen & OPEN != 0 {
        return Err(ParseError::NotWellFormed);
    }
    check(bytes, seen)
}

/// Checks the inside of a CDATA section: any characters, no references.
pub(crate) fn check_cdata(bytes: &[u8]) -> Result<(), ParseError> {
    check(bytes, survey(bytes) & !REFERENCE)
}

fn check(bytes: &[u8], seen: u8) -> Result<(), ParseError> {
    if seen & (CONTROL | HIGH | REFERENCE) == 0 {
        return Ok(());
    }
    if seen & CONTROL != 0 && bytes.iter().any(|&byte| byte < 0x20 && !is_space(byte)) {
        return Err(ParseError::NotWellFormed);
    }
    if seen & HIGH != 0 {
        let text = std::str::from_utf8(bytes).map_err(|_| ParseError::NotWellFormed)?;
        // UTF-8 excludes the surrogates by itself; of the rest only U+FFFE and U+FFFF are no `Char`.
        if memchr::memchr_iter(0xEF, text.as_bytes())
            .any(|at| matches!(bytes.get(at..at + 3), Some([_, 0xBF, 0xBE | 0xBF])))
        {
            return Err(ParseError::NotWellFormed);
        }
    }
    if seen & REFERENCE != 0 {
        for at in memchr::memchr_iter(b'&', bytes) {
            reference(&bytes[at + 1..])?;
        }
    }
    Ok(())
}

/// What the reference stands for that `bytes` begin with (after its `&`), and its length with the `;`.
pub(crate) fn reference(bytes: &[u8]) -> Result<(char, usize), ParseError> {
    let end = memchr::memchr(b';', bytes).ok_or(ParseError::NotWellFormed)?;
    let c = match &bytes[..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"apos" => '\'',
        b"quot" => '"',
        [b'#', b'x', digits @ ..] => numeric(digits, 16)?,
        [b'#', digits @ ..] => numeric(digits, 10)?,
        name => {
            return Err(match scan_name(&bytes[..=end], 0)? {
                Some(found) if found.end == name.len() => ParseError::Restricted,
                _ => ParseError::NotWellFormed,
            });
        }
    };
    Ok((c, end + 1))
}

fn numeric(digits: &[u8], radix: u32) -> Result<char, ParseError> {
    let mut value = 0u32;
    for &digit in digits {
        let digit = char::from(digit)
            .to_digit(radix)
            .ok_or(ParseError::NotWellFormed)?;
        value = value.saturating_mul(radix).saturating_add(digit);
    }
    char::from_u32(value)
        .filter(|&c| is_xml_char(c))
        .ok_or(ParseError::NotWellFormed)
}
