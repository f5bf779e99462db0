//! Messages that are taken back: by whoever said them (XEP-0424 §5), or by a moderator (XEP-0425).
//!
//! What is taken back leaves a tombstone in the archive, and is shown to nobody who enters.

use xmpp::{
    Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns, payload::delay,
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

impl Room {
    /// What a message to all takes back: the own one that it names by the room's id for it.
    pub(super) fn retraction(&self, stanza: &Stanza, id: &str, now_ms: u64) -> Option<Retracts> {
        let retract = stanza.child("retract", ns::RETRACT)?;
        let number = number(&retract.attr("id")?)?;
        let tombstone = Element::new("retracted", ns::RETRACT)
            .with_attr_opt("id", stanza.id())
            .with_attr("stamp", stamp(now_ms));
        Some(Retracts {
            number,
            only_by: Some(id.to_owned()),
            tombstone,
        })
    }

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
        let with_reason = |element: Element| {
            let reason = reason.clone();
            let reason = reason.map(|text| Element::new("reason", ns::RETRACT).with_text(text));
            element.with_child(moderated.clone()).with_children(reason)
        };
        let retract = with_reason(Element::new("retract", ns::RETRACT).with_attr("id", id));
        let tombstone =
            with_reason(Element::new("retracted", ns::RETRACT).with_attr("stamp", stamp(now_ms)));
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_attr("type", "groupchat")
            .with_attr("id", format!("moderated-{number}-{now_ms}"))
            .with_child(retract);
        Ok(Saying {
            stanza: Stanza::from_element(&message),
            from: self.address.as_jid().clone(),
            real: None,
            kept: self.record.config.archived,
            published: self.is_published(),
            subject: None,
            retracts: Some(Retracts {
                number,
                only_by: None,
                tombstone,
            }),
            reply: Some(stanza.result_reply(None)),
        })
    }
}
