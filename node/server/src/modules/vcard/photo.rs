//! Photo: what presence says of the photo in a vCard.
//!
//! Source: XEP-0153 v1.1.1 §4.1 (syntax), XEP-0398 v1.0 §5 (what a server writes for its accounts). Pure; the hash is kept
//! with the home of the account while it is in memory.

use storage::repository::VcardPhoto;
use xmpp::{Element, Stanza, ns};

/// The hash of an image.
pub type Sha1 = [u8; 20];

/// The photo of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Photo {
    /// The version of the vCard that it stands in; 0: there is no vCard.
    pub version: u64,
    /// Its hash, if there is one.
    pub sha1: Option<Sha1>,
}

impl Photo {
    /// The photo in a vCard as it is stored; `None`: there is no vCard.
    pub fn of(stored: Option<&VcardPhoto>) -> Self {
        let Some(stored) = stored else {
            return Self::default();
        };
        Self {
            version: stored.version,
            sha1: stored.sha1.as_deref().and_then(parse_hex),
        }
    }

    /// An available presence with the hash in it; `None`: it stays as it is. A client that says that there is no image
    /// (an empty `<photo/>`) is left alone; whatever else it says is made true.
    pub fn stamp(&self, presence: &Stanza) -> Option<Stanza> {
        let update = presence.child("x", ns::VCARD_UPDATE);
        let told = update.and_then(|it| it.child("photo", ns::VCARD_UPDATE));
        match (told.map(|it| it.text()), self.sha1) {
            (Some(told), _) if told.trim().is_empty() => None,
            (Some(told), Some(sha1)) if told.trim().eq_ignore_ascii_case(&hex(&sha1)) => None,
            // Who has no vCard says nothing of it.
            (None, None) if update.is_none() => None,
            _ => self.rewrite(presence),
        }
    }

    /// The same after the photo changed: what was said before, by whomever, counts no longer.
    pub fn restamp(&self, presence: &Stanza) -> Option<Stanza> {
        self.rewrite(presence)
    }

    fn rewrite(&self, presence: &Stanza) -> Option<Stanza> {
        let photo = Element::new("photo", ns::VCARD_UPDATE)
            .with_text(self.sha1.map(|sha1| hex(&sha1)).unwrap_or_default());
        let update = Element::new("x", ns::VCARD_UPDATE).with_child(photo);
        let raw = presence.spliced(
            |child| child.is("x", ns::VCARD_UPDATE),
            &update.to_bytes(ns::CLIENT),
        );
        Stanza::parse(raw).ok()
    }
}

/// Lowercase, as the network has it (XEP-0153 §3.1).
pub(super) fn hex(sha1: &Sha1) -> String {
    sha1.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_hex(text: &str) -> Option<Sha1> {
    if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut sha1 = Sha1::default();
    for (index, byte) in sha1.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(sha1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "01b87fcd030b72895ff8e88db57ec525450f000d";

    fn photo(hash: &str) -> Photo {
        Photo {
            version: 1,
            sha1: parse_hex(hash),
        }
    }

    fn x(children: &str) -> String {
        format!("<x xmlns='vcard-temp:x:update'>{children}</x>")
    }

    fn presence(children: &str) -> Stanza {
        let text = format!("<presence from='a@b/c'>{children}</presence>");
        Stanza::parse(text.into_bytes().into()).unwrap()
    }

    #[test]
    fn hash_is_written_as_the_account_has_it() {
        let check = |hash: &str, told: &str, expected: Option<String>| {
            let told = format!("{told}<show>away</show>");
            let stamped = photo(hash).stamp(&presence(&told));
            let stamped = stamped.map(|it| String::from_utf8(it.raw().to_vec()).unwrap());
            let expected =
                expected.map(|x| format!("<presence from='a@b/c'><show>away</show>{x}</presence>"));
            assert_eq!(stamped, expected, "{hash} {told}");
        };
        let (ours, none) = (x(&format!("<photo>{HASH}</photo>")), x("<photo/>"));
        let other = x("<photo>0000000000000000000000000000000000000000</photo>");
        check(HASH, "", Some(ours.clone()));
        check(HASH, &x(""), Some(ours.clone()));
        check(HASH, &other, Some(ours.clone()));
        check(HASH, &ours, None);
        check(
            HASH,
            &x(&format!("<photo>\n{}</photo>", HASH.to_uppercase())),
            None,
        );
        check(HASH, &none, None);
        check("", "", None);
        check("", &none, None);
        check("", &x(""), Some(none.clone()));
        check("", &ours, Some(none));
    }

    #[test]
    fn change_overrides_what_was_said() {
        let check = |hash: &str, told: &str, expected: &str| {
            let stamped = photo(hash).restamp(&presence(told)).unwrap();
            let expected = format!("<presence from='a@b/c'>{}</presence>", x(expected));
            assert_eq!(String::from_utf8_lossy(stamped.raw()), expected);
        };
        let ours = format!("<photo>{HASH}</photo>");
        check(HASH, &x("<photo/>"), &ours);
        check(HASH, "", &ours);
        check("", &x(&ours), "<photo/>");
    }

    #[test]
    fn hashes_read_back() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse_hex(text).map(|it| hex(&it)).as_deref(), expected);
        };
        check(HASH, Some(HASH));
        check(&HASH.to_uppercase(), Some(HASH));
        check("", None);
        check(&HASH[1..], None);
        check(&format!("+{}", &HASH[1..]), None);
        check(&"é".repeat(20), None);
    }
}
