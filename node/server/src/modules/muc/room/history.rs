//! What was said last, for those who enter (XEP-0045 §7.2.14, §7.2.15).
//!
//! Bounds: as many messages as the service shows at most, and [`MAX_BYTES`].

use std::collections::VecDeque;

use bytes::Bytes;
use xmpp::{BareJid, Jid, Kind, Stanza, ns, payload::delay};

use super::effects::Packet;

/// Bytes of messages that are remembered.
const MAX_BYTES: usize = 256 << 10;

/// A message that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// Its number in the archive; 0: it has none.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who said it, as an occupant.
    pub from: Jid,
    /// As occupants got it, without `to`.
    pub bytes: Bytes,
}

/// The messages, oldest first.
#[derive(Debug, Default)]
pub struct History {
    limit: usize,
    bytes: usize,
    messages: VecDeque<Remembered>,
}

/// How much of it somebody wants (§7.2.15).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// At most so many characters.
    pub max_chars: Option<usize>,
    /// At most so many messages.
    pub max_stanzas: Option<usize>,
    /// Of so many seconds.
    pub seconds: Option<u64>,
    /// Since this moment.
    pub since_ms: Option<u64>,
}

impl Wanted {
    /// Reads `<history/>` of who enters. What is no number is as if it were not there.
    pub fn parse(presence: &Stanza) -> Self {
        let x = presence.child("x", ns::MUC);
        let Some(history) = x.and_then(|x| x.child("history", ns::MUC)) else {
            return Self::default();
        };
        let number = |name| history.attr(name).and_then(|text| text.trim().parse().ok());
        let since = history.attr("since");
        Self {
            max_chars: number("maxchars"),
            max_stanzas: number("maxstanzas"),
            seconds: number("seconds").map(|seconds: usize| seconds as u64),
            since_ms: since
                .and_then(|text| delay::parse_stamp(&text))
                .map(|ms| u64::try_from(ms).unwrap_or(0)),
        }
    }
}

impl History {
    /// An empty one, for so many messages.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// One more.
    pub fn push(&mut self, message: Remembered) {
        self.bytes += message.bytes.len();
        self.messages.push_back(message);
        while self.messages.len() > self.limit || self.bytes > MAX_BYTES {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// The message of this number is no more to be shown; whether it was there.
    pub fn forget(&mut self, number: u64) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.number != number);
        self.bytes = self
            .messages
            .iter()
            .map(|message| message.bytes.len())
            .sum();
        self.messages.len() < before
    }

    /// The message of this number.
    pub fn get(&self, number: u64) -> Option<&Remembered> {
        let mut messages = self.messages.iter();
        messages.find(|message| message.number == number)
    }

    /// What was said behind a number, as it was said.
    pub fn since(&self, number: u64) -> Vec<Packet> {
        let later = self
            .messages
            .iter()
            .filter(|message| message.number > number);
        let packet = |message: &Remembered| Packet {
            from: message.from.clone(),
            kind: Kind::Message,
            bytes: message.bytes.clone(),
        };
        later.map(packet).collect()
    }

    /// The message that an occupant said under this id.
    pub fn said_by(&self, from: &Jid, id: &str) -> Option<&Remembered> {
        let mut own = self
            .messages
            .iter()
            .rev()
            .filter(|message| message.from == *from);
        own.find(|message| {
            let stanza = Stanza::parse(message.bytes.clone());
            stanza.is_ok_and(|stanza| stanza.id().as_deref() == Some(id))
        })
    }

    /// What somebody who wants so much is shown, oldest first, each with the time when it was said.
    pub fn shown(&self, wanted: &Wanted, limit: usize, room: &BareJid, now_ms: u64) -> Vec<Packet> {
        let limit = wanted.max_stanzas.map_or(limit, |max| max.min(limit));
        let since = wanted
            .seconds
            .map(|seconds| now_ms.saturating_sub(seconds.saturating_mul(1_000)))
            .max(wanted.since_ms)
            .unwrap_or(0);
        let mut chars = wanted.max_chars.unwrap_or(usize::MAX);
        let mut shown = Vec::new();
        let recent = self.messages.iter().rev();
        for message in recent
            .take_while(|message| message.time_ms >= since)
            .take(limit)
        {
            let packet = message.delayed(room);
            // §7.2.15: characters of complete stanzas.
            let Some(left) = chars.checked_sub(packet.bytes.len()) else {
                break;
            };
            chars = left;
            shown.push(packet);
        }
        shown.reverse();
        shown
    }
}

impl Remembered {
    fn delayed(&self, room: &BareJid) -> Packet {
        let stamp = i64::try_from(self.time_ms).unwrap_or(i64::MAX);
        let delay = delay::delay_element(Some(room.as_str()), stamp).to_bytes(ns::CLIENT);
        let bytes = match Stanza::parse(self.bytes.clone()) {
            // §7.9: what is prior history already keeps its own times.
            Ok(stanza) if stanza.child("delay", ns::DELAY).is_none() => {
                stanza.spliced(|_| false, &delay)
            }
            _ => self.bytes.clone(),
        };
        Packet {
            from: self.from.clone(),
            kind: Kind::Message,
            bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> BareJid {
        BareJid::parse("coven@chat.example").unwrap()
    }

    fn history(limit: usize) -> History {
        let mut history = History::new(limit);
        for number in 1..=5_u64 {
            let from = Jid::parse("coven@chat.example/a").unwrap();
            let bytes = format!("<message from='{from}'><body>{number}</body></message>");
            history.push(Remembered {
                number,
                time_ms: number * 10_000,
                from,
                bytes: bytes.into(),
            });
        }
        history
    }

    #[test]
    fn as_much_is_shown_as_is_wanted_and_allowed() {
        let check = |attributes: &str, limit, expected: &[u64]| {
            let presence = format!(
                "<presence to='coven@chat.example/b'><x xmlns='{}'>{attributes}</x></presence>",
                ns::MUC
            );
            let wanted = Wanted::parse(&Stanza::parse(presence.into()).unwrap());
            let shown = history(9).shown(&wanted, limit, &room(), 60_000);
            let bodies: Vec<u64> = shown
                .iter()
                .map(|packet| {
                    let stanza = Stanza::parse(packet.bytes.clone()).unwrap();
                    assert!(stanza.child("delay", ns::DELAY).is_some());
                    stanza
                        .child("body", ns::CLIENT)
                        .unwrap()
                        .text()
                        .parse()
                        .unwrap()
                })
                .collect();
            assert_eq!(bodies, expected, "{attributes}");
        };
        check("", 9, &[1, 2, 3, 4, 5]);
        check("", 2, &[4, 5]);
        check("<history maxstanzas='3'/>", 9, &[3, 4, 5]);
        check("<history maxstanzas='3'/>", 1, &[5]);
        check("<history maxstanzas='0'/>", 9, &[]);
        check("<history maxchars='0'/>", 9, &[]);
        check("<history maxchars='400'/>", 9, &[4, 5]);
        check("<history seconds='20'/>", 9, &[4, 5]);
        check("<history since='1970-01-01T00:00:30Z'/>", 9, &[3, 4, 5]);
        check(
            "<history since='1970-01-01T00:00:30Z' seconds='15'/>",
            9,
            &[5],
        );
        check(
            "<history since='1970-01-01T00:00:00Z'/>",
            9,
            &[1, 2, 3, 4, 5],
        );
        check("<history maxstanzas='many'/>", 9, &[1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_old_or_taken_back_is_forgotten() {
        let mut history = history(3);
        assert!(history.get(2).is_none());
        assert!(history.get(4).is_some());
        assert!(history.forget(4));
        assert!(!history.forget(4));
        let shown = history.shown(&Wanted::default(), 9, &room(), 0);
        assert_eq!(shown.len(), 2);
    }
}
