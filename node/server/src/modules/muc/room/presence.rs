//! What presence in a room says, and to whom.
//!
//! Source: XEP-0045 §7.1.2 (broadcast), §7.1.3, §7.1.4 (who sees real addresses), §17.3.
//! Who sees real addresses and who does not get different bytes, each serialised once; the occupant itself gets the status
//! codes that are its own.

use bytes::Bytes;
use xmpp::{Element, Jid, Kind, Stanza, element::escape_attr_into, ns};

use super::{
    Effects, Packet, Real, Role, Room, effects::Step, occupants::Occupant, role::affiliation_str,
    status_element,
};

/// Children of a presence that are not passed on: only the room says them (§17.3).
const OWN: [&str; 4] = [ns::MUC, ns::MUC_USER, ns::OCCUPANT_ID, ns::HATS];

/// What a presence of an occupant says beside what it always does.
#[derive(Debug, Clone, Default)]
pub(super) struct Says<'a> {
    /// It is gone.
    pub(super) unavailable: bool,
    /// It is called otherwise from now on (§7.6).
    pub(super) new_nick: Option<&'a str>,
    /// Who did it to it.
    pub(super) actor: Option<&'a str>,
    /// Why.
    pub(super) reason: Option<&'a str>,
    /// For everybody.
    pub(super) codes: &'a [u16],
    /// For itself alone, with 110.
    pub(super) own_codes: &'a [u16],
    /// Of the stanza that it answers, for itself alone.
    pub(super) id: Option<&'a str>,
    /// The room is no more.
    pub(super) destroy: Option<&'a Element>,
}

impl Room {
    /// A presence for the room.
    pub(super) fn presence(&mut self, stanza: &Stanza, from: &Jid, to: &Jid, now_ms: u64) -> Step {
        match stanza.type_attr().as_deref() {
            None => self.available(stanza, from, to, now_ms),
            Some("unavailable") => Step::Done(self.leave(from, said_by(stanza))),
            Some("error") => self.error_from(stanza, from, to),
            // §17.3: nothing else is a request to enter or to leave; subscriptions and probes are not answered.
            Some(_) => Step::nothing(),
        }
    }

    /// Whose presence everybody is shown (§7.1.2, `presencebroadcast`); of a room that is large, its moderators'.
    pub(super) fn is_shown(&self, role: Role) -> bool {
        let limit = self.policy.presence_up_to as usize;
        let is_large = limit > 0 && self.occupants.len() > limit;
        self.record.config.broadcast.contains(role.as_set())
            && (!is_large || role == Role::Moderator)
    }

    /// Tells everybody what an occupant is now, and its own sessions with the codes that are theirs.
    pub(super) fn announce(&self, occupant: &Occupant, says: &Says<'_>) -> Effects {
        let mut effects = self.announce_to_others(occupant, says);
        effects.append(self.announce_to_itself(
            occupant,
            says,
            occupant.reals().cloned().collect(),
        ));
        effects
    }

    /// The same to the others alone.
    pub(super) fn announce_to_others(&self, occupant: &Occupant, says: &Says<'_>) -> Effects {
        let mut effects = Effects::default();
        if !self.is_shown(occupant.role) {
            return effects;
        }
        let says = Says {
            own_codes: &[],
            id: None,
            ..says.clone()
        };
        let (mut seeing, mut blind) = (Vec::new(), Vec::new());
        for other in self.occupants.iter() {
            if other.nick == occupant.nick {
                continue;
            }
            let list = match self.sees_addresses(other.role) {
                true => &mut seeing,
                false => &mut blind,
            };
            list.extend(other.reals().cloned());
        }
        for (list, with_address) in [(blind, false), (seeing, true)] {
            if !list.is_empty() {
                effects.send(self.shown(occupant, &says, with_address), list);
            }
        }
        effects
    }

    /// The same to sessions of its own.
    pub(super) fn announce_to_itself(
        &self,
        occupant: &Occupant,
        says: &Says<'_>,
        to: Vec<Real>,
    ) -> Effects {
        let mut effects = Effects::default();
        let own: Vec<u16> = says.own_codes.iter().copied().chain([110]).collect();
        let says = Says {
            own_codes: &own,
            ..says.clone()
        };
        let packet = self.render(occupant, &says, self.sees_addresses(occupant.role));
        effects.send(packet, to);
        effects
    }

    /// The presence of an occupant as others see it, rendered once for all who see the same.
    pub(super) fn shown(&self, occupant: &Occupant, says: &Says<'_>, with_address: bool) -> Packet {
        let is_plain = !says.unavailable && says.actor.is_none() && says.reason.is_none();
        if !is_plain || !says.codes.is_empty() {
            return self.render(occupant, says, with_address);
        }
        let bytes = occupant.shown[usize::from(with_address)]
            .get_or_init(|| self.render(occupant, says, with_address).bytes);
        Packet {
            from: occupant.jid.clone(),
            kind: Kind::Presence,
            bytes: bytes.clone(),
        }
    }

    /// A presence of the room itself, which has its avatar (XEP-0486 §6.2, XEP-0153 §3.1).
    pub(super) fn avatar_packet(&self) -> Packet {
        let hash = self.record.avatars.iter().flatten().next();
        let photo = Element::new("photo", ns::VCARD_UPDATE);
        let photo = photo.with_text(hash.cloned().unwrap_or_default());
        let presence = Element::new("presence", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_child(Element::new("x", ns::VCARD_UPDATE).with_child(photo));
        self.packet(self.address.as_jid().clone(), Kind::Presence, &presence)
    }

    fn render(&self, occupant: &Occupant, says: &Says<'_>, with_address: bool) -> Packet {
        let role = match says.unavailable && says.new_nick.is_none() {
            true => Role::None,
            false => occupant.role,
        };
        let item = item_element(occupant, role, with_address)
            .with_attr_opt("nick", says.new_nick)
            .with_children(actor_element(says.actor))
            .with_children(reason_element(says.reason));
        let codes = says.codes.iter().chain(says.own_codes);
        let x = Element::new("x", ns::MUC_USER)
            .with_child(item)
            .with_children(says.destroy.cloned())
            .with_children(codes.map(|code| status_element(*code)));
        let (first, own): (&[u8], &[u8]) = (&occupant.first().says, b"");
        let said = if says.new_nick.is_some() { own } else { first };
        let mut bytes = Vec::with_capacity(said.len() + 384);
        bytes.extend_from_slice(b"<presence from='");
        escape_attr_into(&mut bytes, occupant.jid.as_str());
        if let Some(id) = says.id {
            bytes.extend_from_slice(b"' id='");
            escape_attr_into(&mut bytes, id);
        }
        if says.unavailable {
            bytes.extend_from_slice(b"' type='unavailable");
        }
        bytes.extend_from_slice(b"'>");
        bytes.extend_from_slice(said);
        x.write_to(&mut bytes, ns::CLIENT);
        occupant_id_element(&occupant.id).write_to(&mut bytes, ns::CLIENT);
        if !says.unavailable {
            bytes.extend_from_slice(&occupant.hats);
        }
        bytes.extend_from_slice(b"</presence>");
        Packet {
            from: occupant.jid.clone(),
            kind: Kind::Presence,
            bytes: bytes.into(),
        }
    }
}

/// What a presence says that others may be told, as serialised children.
pub(super) fn said_by(stanza: &Stanza) -> Bytes {
    let mut said = Vec::new();
    for child in stanza.root().children() {
        if !OWN.contains(&child.ns()) {
            child.to_element().write_to(&mut said, ns::CLIENT);
        }
    }
    said.into()
}

/// `<item/>` of an occupant.
pub(super) fn item_element(occupant: &Occupant, role: Role, with_address: bool) -> Element {
    let address = with_address.then(|| occupant.first().real.as_str());
    Element::new("item", ns::MUC_USER)
        .with_attr("affiliation", affiliation_str(occupant.affiliation))
        .with_attr("role", role.as_str())
        .with_attr_opt("jid", address)
}

/// `<occupant-id/>`
pub(super) fn occupant_id_element(id: &str) -> Element {
    Element::new("occupant-id", ns::OCCUPANT_ID).with_attr("id", id)
}

fn actor_element(nick: Option<&str>) -> Option<Element> {
    Some(Element::new("actor", ns::MUC_USER).with_attr("nick", nick?))
}

pub(super) fn reason_element(reason: Option<&str>) -> Option<Element> {
    Some(Element::new("reason", ns::MUC_USER).with_text(reason?))
}
