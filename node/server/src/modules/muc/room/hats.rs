//! Hats: what occupants are in this room, beside roles and affiliations, as their presence says it.
//!
//! Source: XEP-0317 v0.3.1. The commands that make and give hats are in [`super::commands`].
//! Why numbers: a hat that is destroyed is nobody's, also where so many have it that not all of them can be changed at once;
//! one that is made anew under the same URI is another.
//! Stored: the hats with the room, their numbers with what is kept of each account. Bounds: [`MAX_HATS`], [`MAX_WORN`].

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use storage::repository::{RoomHat, RoomRecord, room::MAX_CHANGED};
use xmpp::{BareJid, Element, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{Room, effects::Change};

/// Hats of a room.
pub(super) const MAX_HATS: usize = 50;
/// Hats of one account.
pub(super) const MAX_WORN: usize = 10;
/// Longest title, in characters.
const MAX_TITLE: usize = 100;
/// Longest URI, in bytes.
const MAX_URI: usize = 1_000;

/// A hat as somebody wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) uri: String,
    pub(super) title: String,
    pub(super) hue: Option<String>,
    pub(super) lang: Option<String>,
}

impl Room {
    /// The hats that an account wears here.
    pub(super) fn hats_of(&self, account: &BareJid) -> impl Iterator<Item = &RoomHat> {
        let worn = self.member(account).map_or(&[][..], |it| &it.hats);
        let hats = self.record.hats.iter();
        hats.filter(move |hat| worn.contains(&hat.number))
    }

    /// The same as its presence says it; empty: none.
    pub(super) fn shown_hats(&self, account: &BareJid) -> Bytes {
        let mut hats = self.hats_of(account).map(hat_element).peekable();
        if hats.peek().is_none() {
            return Bytes::new();
        }
        let element = Element::new("hats", ns::HATS).with_children(hats);
        element.to_bytes(ns::CLIENT).into()
    }

    /// Changes by which the hat is there as it is wanted (§3.2).
    pub(super) fn with_hat(&self, wanted: Wanted) -> Result<Change, StanzaError> {
        let mut record = self.record.clone();
        let count = record.hats.len();
        let known = record.hats.iter_mut().find(|it| it.uri == wanted.uri);
        match known {
            Some(known) => {
                known.title = wanted.title;
                known.hue = wanted.hue;
                known.lang = wanted.lang;
            }
            None if count >= MAX_HATS => {
                let text = "the room has as many hats as it may";
                return Err(StanzaError::new(Condition::ResourceConstraint, text));
            }
            None => {
                record.hats_made = record.hats_made.wrapping_add(1);
                record.hats.push(RoomHat {
                    number: record.hats_made,
                    uri: wanted.uri,
                    title: wanted.title,
                    hue: wanted.hue,
                    lang: wanted.lang,
                });
            }
        }
        Ok(Change::of(record))
    }

    /// Changes by which there is no such hat, and nobody has it (§3.3).
    pub(super) fn without_hat(&self, uri: &str) -> Result<Change, StanzaError> {
        let number = self.hat(uri)?.number;
        let mut record = self.record.clone();
        record.hats.retain(|it| it.number != number);
        let wearing = self.members.iter();
        let wearing = wearing.filter(|(_, member)| member.hats.contains(&number));
        let members = wearing.take(MAX_CHANGED).map(|(account, member)| {
            let mut member = member.clone();
            member.hats.retain(|it| *it != number);
            (account.clone(), member)
        });
        Ok(Change {
            members: members.collect(),
            ..Change::of(record)
        })
    }

    /// Changes by which an account wears a hat, or does not any more (§3.5, §3.6).
    pub(super) fn with_worn(
        &self,
        account: &BareJid,
        uri: &str,
        worn: bool,
    ) -> Result<Change, StanzaError> {
        let number = self.hat(uri)?.number;
        let mut member = self.member(account).cloned().unwrap_or_default();
        let had = member.hats.contains(&number);
        if !worn && !had {
            let text = "this address does not have that hat";
            return Err(StanzaError::new(Condition::ItemNotFound, text));
        }
        member.hats = self.hats_of(account).map(|it| it.number).collect();
        member.hats.retain(|it| *it != number);
        if worn {
            member.hats.push(number);
        }
        if member.hats.len() > MAX_WORN {
            let text = "this address has as many hats as it may";
            return Err(StanzaError::new(Condition::ResourceConstraint, text));
        }
        self.has_room_for(usize::from(self.member(account).is_none()))?;
        Ok(Change {
            members: vec![(account.clone(), member)],
            ..Change::of(self.record.clone())
        })
    }

    fn hat(&self, uri: &str) -> Result<&RoomHat, StanzaError> {
        let mut hats = self.record.hats.iter();
        let found = hats.find(|it| it.uri == uri);
        found.ok_or_else(|| StanzaError::new(Condition::ItemNotFound, "there is no such hat"))
    }

    /// Occupants whose hats are others than their presence says; it says so from now on.
    pub(super) fn refresh_hats(&mut self) -> Vec<String> {
        let all = self.occupants.iter();
        let shown = all.map(|it| (it.nick.clone(), self.shown_hats(&it.account)));
        let shown: Vec<(String, Bytes)> = shown.collect();
        let mut changed = Vec::new();
        for (nick, hats) in shown {
            if let Some(occupant) = self.occupants.named_mut(&nick)
                && occupant.hats != hats
            {
                occupant.hats = hats;
                occupant.changed();
                changed.push(nick);
            }
        }
        changed
    }
}

impl Wanted {
    /// Reads what was filled in.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(super) fn parse(
        uri: Option<&str>,
        title: Option<&str>,
        hue: Option<&str>,
        lang: Option<String>,
    ) -> Result<Self, &'static str> {
        let uri = uri.map(str::trim).unwrap_or_default();
        let title = title.map(str::trim).unwrap_or_default();
        let hue = hue.map(str::trim).filter(|it| !it.is_empty());
        if !is_uri(uri) {
            return Err("hats#uri is a URI");
        }
        if title.is_empty() || title.chars().count() > MAX_TITLE {
            return Err("hats#title is a short text");
        }
        // XEP-0392 §3: an angle.
        let is_angle = |text: &str| {
            let plain = text.bytes().all(|it| it.is_ascii_digit() || it == b'.');
            let angle: Option<f64> = text.parse().ok();
            plain && text.len() <= 20 && angle.is_some_and(|it| (0.0..=360.0).contains(&it))
        };
        if hue.is_some_and(|hue| !is_angle(hue)) {
            return Err("hats#hue is an angle from 0 to 360");
        }
        Ok(Self {
            uri: uri.to_owned(),
            title: title.to_owned(),
            hue: hue.map(str::to_owned),
            lang,
        })
    }
}

/// RFC 3986 §3: a scheme and something behind it, without what no URI has.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(in_scheme)
        && !rest.is_empty()
        && text.len() <= MAX_URI
        && !text.chars().any(|it| it.is_whitespace() || it.is_control())
}

fn hat_element(hat: &RoomHat) -> Element {
    Element::new("hat", ns::HATS)
        .with_attr("title", hat.title.as_str())
        .with_attr("uri", hat.uri.as_str())
        .with_attr_opt("hue", hat.hue.as_deref())
        .with_attr_opt("xml:lang", hat.lang.as_deref())
}

/// What tells one list of hats from another (§2); `None`: there are none.
pub(super) fn hash(record: &RoomRecord) -> Option<String> {
    let mut written = Vec::new();
    for hat in &record.hats {
        for part in [Some(&hat.uri), Some(&hat.title), hat.hue.as_ref()] {
            written.extend_from_slice(part.map_or(b"", |it| it.as_bytes()));
            written.push(0);
        }
    }
    let hash = digest(&SHA256, &written);
    let hexadecimal = hash.as_ref()[..20].iter().map(|it| format!("{it:02x}"));
    (!written.is_empty()).then(|| hexadecimal.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hat_may_be() {
        let check = |uri: &str, title: &str, hue: &str, expected: bool| {
            let read = Wanted::parse(Some(uri), Some(title), Some(hue), None);
            assert_eq!(read.is_ok(), expected, "{uri} {title} {hue}");
        };
        let uri = "http://tech.example.edu/hats#Teacher";
        check(uri, "Teacher", "", true);
        check(uri, "Teacher", "327.255249", true);
        check("urn:x:hat", "Lehrer ü", "0", true);
        check(uri, "Teacher", "360.1", false);
        check(uri, "Teacher", "-1", false);
        check(uri, "Teacher", "nan", false);
        check(uri, "Teacher", "1e2", false);
        check(uri, "", "1", false);
        check(uri, &"x".repeat(101), "1", false);
        for wrong in ["", "teacher", ":x", "http:", "a b:c", "u:a b", "1u:c"] {
            check(wrong, "Teacher", "", false);
        }
        check(&format!("u:{}", "x".repeat(999)), "Teacher", "", false);
    }
}
