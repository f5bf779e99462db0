//! The PRECIS profiles: UsernameCaseMapped for localparts, OpaqueString for resourceparts and passwords.
//!
//! Source: RFC 8265 §3.3 and §4.2, RFC 7622 §3.3 and §3.4, RFC 8264 §7 (apply until nothing changes).
//! Why a resourcepart is more than OpaqueString: see [`resourcepart`].

use std::borrow::Cow;

use icu_properties::props::{
    BinaryProperty, EnumeratedProperty, ExtendedPictographic, GeneralCategory,
};
use unicode_normalization::UnicodeNormalization;

use super::{context, parse, precis};

/// How often a profile may be applied before its output must be stable (RFC 8264 §7).
const ROUNDS: usize = 4;

/// A localpart: UsernameCaseMapped without `"&'/:<>@` (RFC 7622 §3.3.1).
pub(super) fn localpart(text: &str) -> Option<Cow<'_, str>> {
    let class = parse::common_class(text.as_bytes());
    if class & parse::LOCAL != 0 {
        let normal = class & parse::LOWER != 0;
        return Some(if normal {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.to_ascii_lowercase())
        });
    }
    let normal = stable(text, username_case_mapped)?;
    let excluded = |c| matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@');
    (!normal.contains(excluded)).then_some(Cow::Owned(normal))
}

/// A resourcepart: OpaqueString, after what emoji carry and nobody sees is dropped.
///
/// COMPAT: variation selectors and the joiners between pictographs are DISALLOWED in FreeformClass, yet clients put
/// them in nicknames with each emoji. Resourceprep (RFC 3920 appendix B), which most peers still apply, maps them to
/// nothing; so do we, and what we emit is the same string for those peers and for strict ones.
pub(super) fn resourcepart(text: &str) -> Option<Cow<'_, str>> {
    if parse::common_class(text.as_bytes()) & parse::RESOURCE != 0 {
        return Some(Cow::Borrowed(text));
    }
    let visible = without_emoji_controls(text);
    if visible.is_empty() {
        return Some(Cow::Borrowed(""));
    }
    stable(&visible, opaque).map(Cow::Owned)
}

/// OpaqueString (RFC 8265 §4.2): what passwords are compared by; `None` if it has a code point outside FreeformClass
/// or is empty.
pub(crate) fn opaque_string(text: &str) -> Option<Cow<'_, str>> {
    if text.is_empty() {
        return None;
    }
    if parse::common_class(text.as_bytes()) & parse::RESOURCE != 0 {
        return Some(Cow::Borrowed(text));
    }
    stable(text, opaque).map(Cow::Owned)
}

/// What nicknames are compared by (RFC 8266 §2.4): those that look alike but for spaces around or between words, case or width
/// are the same.
///
/// ```
/// assert_eq!(xmpp::jid::nickname_key(" Ada  Lovelace "), xmpp::jid::nickname_key("ada lovelace"));
/// ```
pub fn nickname_key(nick: &str) -> String {
    let mut key = nickname_once(nick);
    for _ in 1..ROUNDS {
        let next = nickname_once(&key);
        if next == key {
            break;
        }
        key = next;
    }
    key
}

fn nickname_once(nick: &str) -> String {
    let is_space = |c: char| plain_space(c) == ' ';
    let mut words = nick.split(is_space).filter(|word| !word.is_empty());
    let mut key = String::with_capacity(nick.len());
    key.push_str(words.next().unwrap_or_default());
    for word in words {
        key.push(' ');
        key.push_str(word);
    }
    match key.is_ascii() {
        true => key.to_ascii_lowercase(),
        false => key.to_lowercase().nfkc().collect(),
    }
}

/// Applies the rules until the output no longer changes.
fn stable(text: &str, apply: fn(&str) -> Option<String>) -> Option<String> {
    let mut current = apply(text)?;
    for _ in 1..ROUNDS {
        let next = apply(&current)?;
        if next == current {
            return Some(current);
        }
        current = next;
    }
    None
}

/// RFC 8265 §3.3.2: prepare, map case, NFC, then the rules on the whole.
fn username_case_mapped(text: &str) -> Option<String> {
    let mut prepared = String::with_capacity(text.len());
    for c in text.chars() {
        push_narrow(&mut prepared, c);
    }
    if !prepared.chars().all(precis::in_identifier_class) {
        return None;
    }
    let chars: Vec<char> = prepared
        .chars()
        .flat_map(char::to_lowercase)
        .nfc()
        .collect();
    (context::holds(&chars) && context::direction_holds(&chars))
        .then(|| chars.into_iter().collect())
}

/// Width mapping: full-width and half-width code points become what they decompose to (RFC 8264 §5.2.1).
fn push_narrow(out: &mut String, c: char) {
    match c {
        // Those whose full decomposition differs from the single step are outside IdentifierClass either way.
        '\u{3000}' | '\u{FF01}'..='\u{FFEE}' => out.extend(std::iter::once(c).nfkd()),
        _ => out.push(c),
    }
}

/// RFC 8265 §4.2.2: spaces to U+0020, NFC; case, width and direction stay.
fn opaque(text: &str) -> Option<String> {
    if !text.chars().all(precis::in_freeform_class) {
        return None;
    }
    let chars: Vec<char> = text.chars().map(plain_space).nfc().collect();
    context::holds(&chars).then(|| chars.into_iter().collect())
}

fn plain_space(c: char) -> char {
    if !c.is_ascii() && GeneralCategory::for_char(c) == GeneralCategory::SpaceSeparator {
        ' '
    } else {
        c
    }
}

/// Drops variation selectors, and joiners before a pictograph.
fn without_emoji_controls(text: &str) -> Cow<'_, str> {
    if !text.contains(['\u{200D}', '\u{FE0E}', '\u{FE0F}']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text
        .chars()
        .filter(|c| !matches!(c, '\u{FE0E}' | '\u{FE0F}'))
        .peekable();
    while let Some(c) = chars.next() {
        let joins_pictographs = c == '\u{200D}'
            && chars
                .peek()
                .is_some_and(|next| ExtendedPictographic::for_char(*next));
        if !joins_pictographs {
            out.push(c);
        }
    }
    Cow::Owned(out)
}
