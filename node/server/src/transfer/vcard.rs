//! What the vCard repository wants to know of a vCard: the words it is found by, and the hash of its photo.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use storage::repository::{Vcard, VcardField};
use xmpp::{Element, ns};

const FIELDS: [(VcardField, &[&str]); 11] = [
    (VcardField::FullName, &["FN"]),
    (VcardField::Given, &["N", "GIVEN"]),
    (VcardField::Middle, &["N", "MIDDLE"]),
    (VcardField::Family, &["N", "FAMILY"]),
    (VcardField::Nickname, &["NICKNAME"]),
    (VcardField::Email, &["EMAIL", "USERID"]),
    (VcardField::Locality, &["ADR", "LOCALITY"]),
    (VcardField::Country, &["ADR", "CTRY"]),
    (VcardField::Organisation, &["ORG", "ORGNAME"]),
    (VcardField::Unit, &["ORG", "ORGUNIT"]),
    (VcardField::Birthday, &["BDAY"]),
];

fn texts(element: &Element, path: &[&str], found: &mut Vec<String>) {
    match path.split_first() {
        None => found.push(element.text()),
        Some((first, rest)) => {
            element
                .children()
                .filter(|it| it.is(first, ns::VCARD))
                .for_each(|it| texts(it, rest, found));
        }
    }
}

/// A vCard as it is stored.
pub(super) fn vcard(element: &Element) -> Vcard {
    let mut searchable = Vec::new();
    for (field, path) in FIELDS {
        let mut found = Vec::new();
        texts(element, path, &mut found);
        searchable.extend(
            found
                .into_iter()
                .filter(|text| !text.trim().is_empty())
                .map(|text| (field, text)),
        );
    }
    let mut photos = Vec::new();
    texts(element, &["PHOTO", "BINVAL"], &mut photos);
    let photo = photos.first().and_then(|text| {
        let packed: String = text.split_ascii_whitespace().collect();
        BASE64.decode(packed).ok().filter(|bytes| !bytes.is_empty())
    });
    let sha1 = |bytes: Vec<u8>| {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
        hash.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    Vcard {
        xml: element.to_bytes(ns::CLIENT).into(),
        photo_sha1: photo.map(sha1),
        searchable,
        version: 0,
    }
}
