//! The subject of a room (XEP-0045 §7.2.16, §8.1).

use storage::repository::{RoomRecord, RoomSubject};
use xmpp::{Element, Jid, Kind, Stanza, ns, payload::delay};

use super::{Packet, Room, role::Role};

/// Whether a message changes the subject, to what: it has one, and neither body nor thread.
pub(super) fn new_subject(stanza: &Stanza) -> Option<String> {
    let subject = stanza.child("subject", ns::CLIENT)?;
    let says_more = ["body", "thread"]
        .iter()
        .any(|name| stanza.child(name, ns::CLIENT).is_some());
    (!says_more).then(|| subject.text().into_owned())
}

impl Room {
    /// Whether this role may change the subject.
    pub(super) fn may_change_subject(&self, role: Role) -> bool {
        role == Role::Moderator || (self.record.config.change_subject && role == Role::Participant)
    }

    /// The record with a new subject.
    pub fn with_subject(&self, stanza: &Stanza, text: String, now_ms: u64) -> RoomRecord {
        RoomRecord {
            subject: Some(RoomSubject {
                stanza: stanza.raw().to_vec(),
                text,
                time_ms: now_ms,
            }),
            ..self.record.clone()
        }
    }

    /// The subject as who enters gets it: an empty one if there never was one.
    pub(super) fn subject_packet(&self) -> Packet {
        if let Some(subject) = &self.record.subject
            && let Ok(stanza) = Stanza::parse(subject.stanza.clone().into())
        {
            let stamp = i64::try_from(subject.time_ms).unwrap_or(i64::MAX);
            let delay = delay::delay_element(Some(self.address.as_str()), stamp);
            let is_time = |child: xmpp::Node<'_>| child.is("delay", ns::DELAY);
            let from = stanza.from().cloned();
            return Packet {
                from: from.unwrap_or_else(|| self.address.as_jid().clone()),
                kind: Kind::Message,
                bytes: stanza.spliced(is_time, &delay.to_bytes(ns::CLIENT)),
            };
        }
        let from: Jid = self.address.as_jid().clone();
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", from.as_str())
            .with_attr("type", "groupchat")
            .with_child(Element::new("subject", ns::CLIENT));
        self.packet(from, Kind::Message, &message)
    }
}
