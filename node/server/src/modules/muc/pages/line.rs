//! Lines: what of a room's log is published, and how it is said in JSON.
//!
//! Of whom a message is, its nick alone is told. What was taken back is no line (XEP-0424, XEP-0425), what was corrected is one
//! with its last text (XEP-0308); what only clients understand is left out.

use std::collections::HashMap;

use serde::Serialize;
use storage::repository::{EntryFlags, LogEntry};
use xmpp::{Stanza, ns, payload::delay};

/// Longest text of a line, in bytes; what is longer is cut.
const MAX_TEXT: usize = 20_000;
const CORRECTION: &str = "urn:xmpp:message-correct:0";
const FASTENING: &str = "urn:xmpp:fasten:0";

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", content = "text", rename_all = "lowercase")]
pub(super) enum Says {
    /// Something.
    Message(String),
    /// What one does (`/me`).
    Action(String),
    /// What the room is about.
    Subject(String),
    /// Something that the server cannot read.
    Encrypted,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// The number of its message in the log, which is its id in the archive.
    pub(super) number: u64,
    #[serde(skip)]
    pub(super) time_ms: u64,
    pub(super) time: String,
    pub(super) nick: String,
    #[serde(flatten)]
    pub(super) says: Says,
    /// As its sender called it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    /// It stands for the one that its sender called so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
    /// Whose it is, under whatever nick.
    #[serde(skip)]
    occupant: Option<String>,
    /// It was corrected.
    #[serde(skip)]
    pub(super) edited: bool,
}

/// A message that may have been corrected.
pub(super) struct Corrected {
    id: String,
    occupant: String,
}

impl Corrected {
    /// By an entry, or the tombstone in its place; `None`: nothing can name it.
    pub(super) fn of(entry: &LogEntry) -> Option<Self> {
        let stanza = Stanza::parse(entry.stanza.clone()).ok()?;
        Some(Self {
            id: stanza.id()?.into(),
            occupant: occupant(&stanza)?,
        })
    }

    /// Whether an entry corrects it (XEP-0308).
    pub(super) fn is_by(&self, entry: &LogEntry) -> bool {
        Line::of(entry).is_some_and(|line| {
            line.replaces.as_ref() == Some(&self.id)
                && line.occupant.as_ref() == Some(&self.occupant)
        })
    }
}

/// A message that takes back another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Retraction {
    /// The number of the other.
    pub(super) number: u64,
    /// Only if it is by this occupant; `None`: a moderator takes it back.
    pub(super) only_by: Option<String>,
}

impl Line {
    /// The line of an entry; `None`: it is none.
    pub(super) fn of(entry: &LogEntry) -> Option<Self> {
        let is_there = entry
            .flags
            .contains(EntryFlags::PUBLIC | EntryFlags::ARCHIVED)
            && !entry.flags.contains(EntryFlags::TOMBSTONE);
        let nick = entry.peer.resource().filter(|_| is_there)?;
        let stanza = Stanza::parse(entry.stanza.clone()).ok()?;
        if stanza.child("retract", ns::RETRACT).is_some()
            || stanza.child("apply-to", FASTENING).is_some()
        {
            return None;
        }
        let text = |name| {
            let child = stanza.child(name, ns::CLIENT)?;
            Some(cut(&child.text()))
        };
        let is_encrypted = stanza.root().children().any(|child| {
            child.ns() == ns::EME || child.name() == "encrypted" || child.ns() == ns::OPENPGP
        });
        let says = match (text("body"), text("subject")) {
            _ if is_encrypted => Says::Encrypted,
            (Some(body), _) => match body.strip_prefix("/me ") {
                Some(action) => Says::Action(action.to_owned()),
                None => Says::Message(body),
            },
            (None, Some(subject)) => Says::Subject(subject),
            (None, None) => return None,
        };
        let replaces = stanza.child("replace", CORRECTION);
        Some(Self {
            number: entry.number,
            time_ms: entry.time_ms,
            time: delay::stamp(i64::try_from(entry.time_ms).unwrap_or(i64::MAX)),
            nick: nick.to_owned(),
            says,
            id: stanza.id().map(Into::into),
            replaces: replaces.and_then(|it| it.attr("id").map(Into::into)),
            occupant: occupant(&stanza),
            edited: false,
        })
    }

    /// The line as JSON, with its end.
    pub(super) fn to_json(&self) -> String {
        let json = serde_json::to_string(self).expect("a line is plain values");
        format!("{json}\n")
    }
}

impl Retraction {
    /// What an entry takes back; `None`: nothing.
    pub(super) fn of(entry: &LogEntry) -> Option<Self> {
        let stanza = Stanza::parse(entry.stanza.clone()).ok()?;
        let number = stanza.child("retract", ns::RETRACT)?.attr("id")?;
        let by_room = entry.peer.resource().is_none();
        let only_by = occupant(&stanza);
        (by_room || only_by.is_some()).then_some(Self {
            number: number.parse().ok()?,
            only_by: only_by.filter(|_| !by_room),
        })
    }

    /// Whether it takes back this.
    pub(super) fn is_about(&self, entry: &LogEntry) -> bool {
        let stanza = Stanza::parse(entry.stanza.clone()).ok();
        let by = stanza.and_then(|it| occupant(&it));
        entry.number == self.number && (self.only_by.is_none() || self.only_by == by)
    }
}

fn occupant(stanza: &Stanza) -> Option<String> {
    let id = stanza.child("occupant-id", ns::OCCUPANT_ID)?;
    id.attr("id").map(Into::into)
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", &text[..end.unwrap_or(0)])
}

/// The same lines with corrections where what they correct was.
pub(super) fn corrected(lines: Vec<Line>) -> Vec<Line> {
    let mut shown: Vec<Line> = Vec::with_capacity(lines.len());
    let mut by_id: HashMap<(String, String), usize> = HashMap::new();
    for line in lines {
        let key = |id: &Option<String>| Some((line.occupant.clone()?, id.clone()?));
        let replaced = key(&line.replaces).and_then(|it| by_id.get(&it).copied());
        if let Some(at) = replaced {
            shown[at].says = line.says;
            shown[at].edited = true;
            continue;
        }
        if let Some(key) = key(&line.id) {
            by_id.insert(key, shown.len());
        }
        shown.push(line);
    }
    shown
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry of a log; `inner` are the children of its message.
    pub(crate) fn entry(number: u64, nick: &str, inner: &str) -> LogEntry {
        let id: String = nick.chars().filter(char::is_ascii_alphanumeric).collect();
        let xml = format!(
            "<message type='groupchat' id='i{number}'>{inner}\
             <occupant-id xmlns='urn:xmpp:occupant-id:0' id='of-{id}'/></message>"
        );
        LogEntry {
            number,
            time_ms: 1_795_392_000_000 + number * 60_000,
            flags: EntryFlags::PUBLIC | EntryFlags::ARCHIVED | EntryFlags::GROUPCHAT,
            peer: format!("cave@rooms.example/{nick}").parse().unwrap(),
            stanza: xml.into(),
        }
    }

    #[test]
    fn what_is_a_line() {
        let check = |inner: &str, expected: Option<Says>| {
            let line = Line::of(&entry(1, "ada", inner));
            assert_eq!(line.map(|it| it.says), expected, "{inner}");
        };
        check("<body>hi</body>", Some(Says::Message("hi".into())));
        check("<body>/me waves</body>", Some(Says::Action("waves".into())));
        check(
            "<subject>Cats</subject>",
            Some(Says::Subject("Cats".into())),
        );
        check(
            "<encrypted xmlns='eu.siacs.conversations.axolotl'/><body>I sent you</body>",
            Some(Says::Encrypted),
        );
        check("<reactions xmlns='urn:xmpp:reactions:0' id='1'/>", None);
        check(
            "<retract xmlns='urn:xmpp:message-retract:1' id='1'/><body>I retracted</body>",
            None,
        );
        let mut hidden = entry(1, "ada", "<body>hi</body>");
        hidden.flags = EntryFlags::ARCHIVED | EntryFlags::GROUPCHAT;
        assert_eq!(Line::of(&hidden), None);
        let mut gone = entry(1, "ada", "<body>hi</body>");
        gone.flags |= EntryFlags::TOMBSTONE;
        assert_eq!(Line::of(&gone), None);
        let long = format!("<body>{}</body>", "ü".repeat(MAX_TEXT));
        let Some(Says::Message(text)) = Line::of(&entry(1, "ada", &long)).map(|it| it.says) else {
            panic!("it is a message")
        };
        assert!(text.len() <= MAX_TEXT + 3 && text.ends_with('…'));
    }

    #[test]
    fn lines_are_json() {
        let line = Line::of(&entry(7, "ada", "<body>\"a\"\n&lt;b&gt;</body>")).unwrap();
        assert_eq!(
            line.to_json(),
            "{\"number\":7,\"time\":\"2026-11-23T00:07:00.000Z\",\"nick\":\"ada\",\
             \"type\":\"message\",\"text\":\"\\\"a\\\"\\n<b>\",\"id\":\"i7\"}\n"
        );
    }

    #[test]
    fn corrections_are_of_their_own_authors() {
        let fix = "<body>fixed</body><replace xmlns='urn:xmpp:message-correct:0' id='i1'/>";
        let lines = [
            entry(1, "ada", "<body>fxied</body>"),
            entry(2, "eve", fix),
            entry(3, "ada", fix),
        ];
        let lines = corrected(lines.iter().filter_map(Line::of).collect());
        let text: Vec<_> = lines
            .iter()
            .map(|it| (it.number, &it.says, it.edited))
            .collect();
        let fixed = Says::Message("fixed".into());
        assert_eq!(text, [(1, &fixed, true), (2, &fixed, false)]);
    }

    #[test]
    fn who_takes_back_what() {
        let retract = "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>";
        let (of_ada, of_eve) = (entry(1, "ada", "<body>a</body>"), entry(2, "eve", retract));
        let by_eve = Retraction::of(&of_eve).unwrap();
        assert!(!by_eve.is_about(&of_ada));
        assert!(
            Retraction::of(&entry(3, "ada", retract))
                .unwrap()
                .is_about(&of_ada)
        );
        let mut moderated = entry(4, "eve", retract);
        moderated.peer = "cave@rooms.example".parse().unwrap();
        assert!(Retraction::of(&moderated).unwrap().is_about(&of_ada));
        assert_eq!(Retraction::of(&of_ada), None);
    }
}
