//! Messages that are taken back: by whoever said them (XEP-0424 §5), or by a moderator (XEP-0425).
//!
//! What is taken back leaves a tombstone in the archive, and is shown to nobody who enters.

use xmpp::{
    Element, Jid, Node, Stanza, StanzaError, StanzaErrorCondition as Condition, ns, payload::delay,
};

use super::{
    Room,
    effects::{Retracts, Saying, Step},
    presence::occupant_id_element,
    role::Role,
};

/// The number that an id of the archive stands for.
fn number(id: &str) -> Option<u64> {
    let canonical = !id.starts_with('0') && id.bytes().all(|byte| byte.is_ascii_digit());
    canonical.then(|| id.parse().ok()).flatten()
}

fn stamp(now_ms: u64) -> String {
    delay::stamp(i64::try_from(now_ms).unwrap_or(i64::MAX))
}

impl Retracts {
    /// What a message takes back that was said by an occupant or by the room at this moment, as occupants get it or as the log
    /// has it. An occupant takes back its own messages alone. `None`: nothing.
    pub fn of(message: &Stanza, from: &Jid, time_ms: u64) -> Option<Self> {
        let retract = message.child("retract", ns::RETRACT)?;
        let number = number(&retract.attr("id")?)?;
        let tombstone = Element::new("retracted", ns::RETRACT).with_attr("stamp", stamp(time_ms));
        if from.resource().is_none() {
            // A moderator's: who it was and why.
            let children = retract.children().map(Node::to_element);
            return Some(Self {
                number,
                only_by: None,
                tombstone: tombstone.with_children(children),
            });
        }
        let id = message.child("occupant-id", ns::OCCUPANT_ID)?;
        Some(Self {
            number,
            only_by: Some(id.attr("id")?.into_owned()),
            tombstone: tombstone.with_attr_opt("id", message.id()),
        })
    }
}

impl Room {
    /// A moderator takes back what somebody said (XEP-0425 §4).
    pub(super) fn moderate(
        &self,
        stanza: &Stanza,
        from: &Jid,
        payload: &Element,
        now_ms: u64,
    ) -> Step {
        match self.moderated(stanza, from, payload, now_ms) {
            Ok(saying) => Step::Say(Box::new(saying)),
            Err(error) => Step::refuse(stanza, &error),
        }
    }

    fn moderated(
        &self,
        stanza: &Stanza,
        from: &Jid,
        payload: &Element,
        now_ms: u64,
    ) -> Result<Saying, StanzaError> {
        let moderator = self.occupants.of(from);
        let moderator = moderator.filter(|it| it.role == Role::Moderator);
        let moderator = moderator.ok_or(Condition::Forbidden)?;
        if payload.child("retract", ns::RETRACT).is_none() {
            return Err(Condition::FeatureNotImplemented.into());
        }
        let id = payload.attr("id").ok_or(Condition::BadRequest)?;
        let number = number(id).ok_or(Condition::ItemNotFound)?;
        let reason = payload.child("reason", ns::MODERATE).map(Element::text);
        let moderated = Element::new("moderated", ns::MODERATE)
            .with_attr("by", moderator.jid.as_str())
            .with_child(occupant_id_element(&moderator.id));
        let reason = reason.map(|text| Element::new("reason", ns::RETRACT).with_text(text));
        let retract = Element::new("retract", ns::RETRACT)
            .with_attr("id", id)
            .with_child(moderated)
            .with_children(reason);
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_attr("type", "groupchat")
            .with_attr("id", format!("moderated-{number}-{now_ms}"))
            .with_child(retract);
        let (stanza_said, by) = (Stanza::from_element(&message), self.address.as_jid());
        Ok(Saying {
            retracts: Retracts::of(&stanza_said, by, now_ms),
            stanza: stanza_said,
            from: by.clone(),
            real: None,
            kept: self.record.config.archived,
            published: self.is_published(),
            subject: None,
            reply: Some(stanza.result_reply(None)),
        })
    }
}
