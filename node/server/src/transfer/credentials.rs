//! Credentials in an export: `<scram-credentials/>`, or a password, or what ejabberd calls one.
//!
//! ejabberd 23.01 writes SCRAM keys as `password='scram:StoredKey,ServerKey,Salt,Iterations'` for SHA-1, each but the last
//! in base64; with another hash its name stands between: `scram:sha256,...` is read as well.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use storage::repository::{Credentials, ScramHash, StoredScram};
use xmpp::{Element, ns};

/// `<scram-credentials/>` (XEP-0227 §4.2).
pub(super) fn scram_element(keys: &StoredScram) -> Element {
    let part = |name: &'static str, text: String| Element::new(name, ns::PIE_SCRAM).with_text(text);
    Element::new("scram-credentials", ns::PIE_SCRAM)
        .with_attr("mechanism", format!("SCRAM-{}", keys.hash.name()))
        .with_child(part("iter-count", keys.iterations.to_string()))
        .with_child(part("salt", BASE64.encode(&keys.salt)))
        .with_child(part("server-key", BASE64.encode(&keys.server_key)))
        .with_child(part("stored-key", BASE64.encode(&keys.stored_key)))
}

fn length(hash: ScramHash) -> usize {
    match hash {
        ScramHash::Sha1 => 20,
        ScramHash::Sha256 => 32,
        ScramHash::Sha512 => 64,
    }
}

fn checked(keys: StoredScram) -> Option<StoredScram> {
    let length = length(keys.hash);
    let good = keys.iterations > 0 && !keys.salt.is_empty();
    (good && keys.stored_key.len() == length && keys.server_key.len() == length).then_some(keys)
}

/// Reads `<scram-credentials/>`; `None` if a part is missing or cannot be.
///
/// COMPAT: ejabberd 23.01 writes salt and keys encoded twice.
pub(super) fn parse_scram(element: &Element) -> Option<StoredScram> {
    let bytes = |name: &str| BASE64.decode(element.child_text(name)?.trim()).ok();
    let keys = StoredScram {
        hash: ScramHash::from_name(element.attr("mechanism")?.strip_prefix("SCRAM-")?)?,
        iterations: element.child_text("iter-count")?.trim().parse().ok()?,
        salt: bytes("salt")?,
        server_key: bytes("server-key")?,
        stored_key: bytes("stored-key")?,
    };
    if keys.stored_key.len() == length(keys.hash) {
        return checked(keys);
    }
    checked(StoredScram {
        salt: BASE64.decode(&keys.salt).ok()?,
        server_key: BASE64.decode(&keys.server_key).ok()?,
        stored_key: BASE64.decode(&keys.stored_key).ok()?,
        ..keys
    })
}

/// What a `password` attribute holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Password<'a> {
    /// The password itself.
    Plain(&'a str),
    /// Keys, as ejabberd writes them.
    Keys(StoredScram),
}

pub(super) fn parse_password(text: &str) -> Option<Password<'_>> {
    if text.is_empty() {
        return None;
    }
    Some(parse_ejabberd(text).map_or(Password::Plain(text), Password::Keys))
}

fn parse_ejabberd(text: &str) -> Option<StoredScram> {
    let mut parts: Vec<&str> = text.strip_prefix("scram:")?.split(',').collect();
    let hash = match parts.len() {
        4 => ScramHash::Sha1,
        5 => match parts.remove(0) {
            "sha" | "sha1" => ScramHash::Sha1,
            "sha256" => ScramHash::Sha256,
            "sha512" => ScramHash::Sha512,
            _ => return None,
        },
        _ => return None,
    };
    checked(StoredScram {
        hash,
        stored_key: BASE64.decode(parts[0]).ok()?,
        server_key: BASE64.decode(parts[1]).ok()?,
        salt: BASE64.decode(parts[2]).ok()?,
        iterations: parts[3].parse().ok()?,
    })
}

/// Adds keys unless there are some for their hash.
pub(super) fn add(credentials: &mut Credentials, keys: StoredScram) {
    if credentials.scram(keys.hash).is_none() {
        credentials.scram.push(keys);
        credentials.scram.sort_by_key(|keys| keys.hash);
    }
}
