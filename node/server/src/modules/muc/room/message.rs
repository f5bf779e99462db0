//! What is said to all (XEP-0045 §7.4), and the other messages that a room itself gets.

use xmpp::{
    Element, Jid, Kind, Node, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::sid,
};

use super::{
    Effects, Packet, Room,
    effects::{Retracts, Saying, Step},
    history::Remembered,
    presence::occupant_id_element,
    role::Role,
    subject::new_subject,
    subscribe::Topic,
};

impl Room {
    /// A message to the room itself.
    pub(super) fn message(&mut self, stanza: &Stanza, from: &Jid, now_ms: u64) -> Step {
        let said = match stanza.type_attr().as_deref() {
            Some("groupchat") => self.groupchat(stanza, from, now_ms),
            _ => match self.mediated(stanza, from, now_ms) {
                Some(step) => return step,
                // §17.2: a service may reject what is not said to all.
                None => Err(Condition::BadRequest.into()),
            },
        };
        match said {
            Ok(saying) => Step::Say(Box::new(saying)),
            Err(error) => Step::refuse(stanza, &error),
        }
    }

    fn groupchat(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        now_ms: u64,
    ) -> Result<Saying, StanzaError> {
        let role = self.may_speak(stanza, from, now_ms)?;
        let subject = new_subject(stanza);
        if subject.is_some() && !self.may_change_subject(role) {
            return Err(Condition::Forbidden.into());
        }
        // §8.1: in a moderated room no visitor is heard; the subject has a rule of its own.
        if subject.is_none() && role < Role::Participant {
            return Err(Condition::Forbidden.into());
        }
        let Some(occupant) = self.occupants.of(from) else {
            return Err(Condition::NotAcceptable.into());
        };
        let message = self.reflected(stanza, &occupant.jid, &occupant.id);
        let message = Stanza::from_element(&message);
        Ok(Saying {
            kept: self.record.config.archived && is_worth_keeping(stanza),
            published: self.is_published(),
            retracts: Retracts::of(&message, &occupant.jid, now_ms),
            stanza: message,
            from: occupant.jid.clone(),
            real: Some(from.clone()),
            subject,
            reply: None,
        })
    }

    /// Whether an occupant may say anything to anybody now; its role.
    pub(super) fn may_speak(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        now_ms: u64,
    ) -> Result<Role, StanzaError> {
        if stanza.raw().len() > self.policy.message_bytes {
            return Err(StanzaError::new(
                Condition::PolicyViolation,
                "the message is too long",
            ));
        }
        let policy = self.policy;
        let locked = self.record.locked;
        let Some(occupant) = self.occupants.of_mut(from) else {
            // §17.2: what is not unlocked yet is not there.
            let absent = if locked {
                Condition::ItemNotFound
            } else {
                Condition::NotAcceptable
            };
            return Err(absent.into());
        };
        let role = occupant.role;
        let mut sessions = occupant.sessions.iter_mut();
        let session = sessions.find(|session| session.real.as_jid() == from);
        if session.is_some_and(|session| !session.pace.take(&policy, now_ms)) {
            let text = "too many messages in too short a time";
            return Err(StanzaError::new(Condition::ResourceConstraint, text));
        }
        Ok(role)
    }

    /// A message as others get it, without `to`: from the occupant, with its id, and nothing that only the room says.
    pub(super) fn reflected(&self, stanza: &Stanza, from: &Jid, id: &str) -> Element {
        let mut message = Element::new("message", ns::CLIENT).with_attr("from", from.as_str());
        for (name, value) in stanza.root().attrs() {
            if !matches!(name, "from" | "to" | "xmlns") {
                message.set_attr(name.to_owned(), value.into_owned());
            }
        }
        let children = stanza.root().children();
        let passed = children.filter(|child| !self.is_own(*child) && !claims_to_moderate(*child));
        message
            .with_children(passed.map(Node::to_element))
            .with_child(occupant_id_element(id))
    }

    /// Whether only the room may say this.
    fn is_own(&self, child: Node<'_>) -> bool {
        let in_its_name = || child.attr("from").as_deref() == Some(self.address.as_str());
        matches!(child.ns(), ns::MUC_USER | ns::OCCUPANT_ID | ns::MODERATE)
            || sid::claims_to_be_by(child, &self.address)
            || (child.is("delay", ns::DELAY) && in_its_name())
    }

    /// What was to be said is kept, under this number if it is of the archive: everybody gets it.
    pub fn said(&mut self, saying: &Saying, number: Option<u64>, now_ms: u64) -> Effects {
        let bytes = match number {
            Some(number) => {
                let id = sid::stanza_id_element(&number.to_string(), &self.address);
                let id = id.to_bytes(ns::CLIENT);
                saying.stanza.spliced(|_| false, &id)
            }
            None => saying.stanza.raw().clone(),
        };
        if let Some(retracts) = &saying.retracts {
            self.history.forget(retracts.number);
        }
        let kept =
            saying.kept || (!self.record.config.archived && is_worth_keeping(&saying.stanza));
        if kept && saying.subject.is_none() {
            self.history.push(Remembered {
                number: number.unwrap_or(0),
                time_ms: now_ms,
                from: saying.from.clone(),
                bytes: bytes.clone(),
            });
        }
        let mut effects = saying.reply.clone().map(Effects::reply).unwrap_or_default();
        let topic = match saying.subject {
            Some(_) => Topic::Subject,
            None => Topic::Messages,
        };
        let to_subscribers = match saying.kept || saying.subject.is_some() {
            true => self.tell_said(topic, number, &bytes),
            false => Effects::default(),
        };
        let packet = Packet {
            from: saying.from.clone(),
            kind: Kind::Message,
            bytes,
        };
        effects.send(packet, self.everybody());
        effects.append(to_subscribers);
        effects
    }
}

/// Whether this says of a retraction that a moderator made it, which the room alone may (XEP-0425 §5), as it was said first or as
/// it is said now.
fn claims_to_moderate(child: Node<'_>) -> bool {
    let moderates = |it: Node<'_>| {
        it.name() == "moderated" && it.ns().starts_with("urn:xmpp:message-moderate:")
    };
    moderates(child)
        || matches!(child.name(), "retract" | "apply-to") && child.children().any(moderates)
}

/// Whether a message to all is worth keeping: what a client that comes later needs to show the same conversation
/// (XEP-0313 §6.1.2).
pub(super) fn is_worth_keeping(stanza: &Stanza) -> bool {
    let mut worth = false;
    for child in stanza.root().children() {
        match (child.ns(), child.name()) {
            (ns::HINTS, "no-store" | "no-permanent-store") => return false,
            (ns::CLIENT, "body" | "subject")
            | (ns::EME, "encryption")
            | (_, "encrypted")
            | (ns::OPENPGP, "openpgp")
            | (ns::HINTS, "store") => worth = true,
            (ns::RETRACT | ns::REACTIONS | ns::MARKERS | ns::RECEIPTS, _) => worth = true,
            _ => {}
        }
    }
    worth
}
