//! Requests for voice, and for membership, and what moderators and admins say to them (XEP-0045 §7.13, §8.6, §9.9).

use storage::repository::{Affiliation, RoomMember};
use xmpp::{
    BareJid, Element, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::{
    Room,
    effects::{Change, Effects, Packet, Real, Step},
    given::Gift,
    occupants::Occupant,
    role::Role,
};

impl Room {
    /// A form in a message to the room.
    pub(super) fn form_message(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
    ) -> Result<Step, StanzaError> {
        let form = Form::child_of(&stanza.to_element())?.ok_or(Condition::BadRequest)?;
        match (form.form_type, form.namespace()) {
            (FormType::Submit, Some(ns::MUC_REQUEST)) => match form.field("muc#request_allow") {
                None => self.request_voice(&form, from),
                Some(allow) => self.answer_voice(&form, from, allow.bool() == Some(true)),
            },
            (FormType::Submit, Some(ns::MUC_REGISTER)) => self.answer_registration(&form, from),
            (FormType::Cancel, _) => Ok(Step::nothing()),
            _ => Err(Condition::BadRequest.into()),
        }
    }

    /// §7.13: moderators are asked.
    fn request_voice(&self, form: &Form, from: &Jid) -> Result<Step, StanzaError> {
        let occupant = self.occupants.of(from).ok_or(Condition::NotAcceptable)?;
        let wants = form.value("muc#role");
        if occupant.role != Role::Visitor || wants != Some("participant") {
            return Err(Condition::BadRequest.into());
        }
        if !self.record.config.allow_voice_requests {
            return Err(Condition::Forbidden.into());
        }
        let asked = Form::of(FormType::Form, ns::MUC_REQUEST)
            .with_title("Request for voice")
            .with_instructions("Shall this occupant be allowed to speak?")
            .with_field(
                Field::new(FieldType::ListSingle, "muc#role")
                    .with_label("Requested role")
                    .with_value("participant")
                    .with_option("Participant", "participant"),
            )
            .with_field(
                Field::new(FieldType::JidSingle, "muc#jid")
                    .with_label("Address")
                    .with_value(occupant.first().real.as_str()),
            )
            .with_field(
                Field::new(FieldType::TextSingle, "muc#roomnick")
                    .with_label("Nick")
                    .with_value(occupant.nick.clone()),
            )
            .with_field(
                Field::new(FieldType::Boolean, "muc#request_allow")
                    .with_label("Grant voice")
                    .with_bool(false),
            );
        let is_asked = |it: &Occupant| it.role == Role::Moderator;
        Ok(Step::Done(self.ask(&asked, is_asked)))
    }

    /// §8.6: a moderator answers.
    fn answer_voice(&mut self, form: &Form, from: &Jid, allows: bool) -> Result<Step, StanzaError> {
        if self.role(from) != Role::Moderator {
            return Err(Condition::Forbidden.into());
        }
        let nick = form.value("muc#roomnick").ok_or(Condition::BadRequest)?;
        let target = self.occupants.named(nick).ok_or(Condition::ItemNotFound)?;
        if !allows || target.role != Role::Visitor {
            return Ok(Step::nothing());
        }
        let gift = Gift {
            nick: target.nick.clone(),
            role: Role::Participant,
            reason: None,
        };
        self.give(Change {
            gifts: vec![gift],
            ..Change::of(self.record.clone())
        })
    }

    /// Asks those in the room who decide; nobody is asked if none of them is there.
    pub(super) fn ask(&self, form: &Form, decides: impl Fn(&Occupant) -> bool) -> Effects {
        let who = self.occupants.iter().filter(|it| decides(it));
        let to: Vec<Real> = who.flat_map(Occupant::reals).cloned().collect();
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_child(form.to_element());
        let mut effects = Effects::default();
        let packet = Packet {
            from: self.address.as_jid().clone(),
            kind: Kind::Message,
            bytes: message.to_bytes(ns::CLIENT).into(),
        };
        effects.send(packet, to);
        effects
    }

    /// §9.9: an admin answers a request to become a member.
    fn answer_registration(&self, form: &Form, from: &Jid) -> Result<Step, StanzaError> {
        if self.affiliation(from) < Affiliation::Admin {
            return Err(Condition::Forbidden.into());
        }
        let allows = form.field("muc#register_allow").and_then(Field::bool);
        if allows != Some(true) {
            return Ok(Step::nothing());
        }
        let account = form.value("muc#jid").ok_or(Condition::BadRequest)?;
        let account = BareJid::parse(account).map_err(|_| Condition::JidMalformed)?;
        if self.affiliation(account.as_jid()) != Affiliation::None {
            return Ok(Step::nothing());
        }
        let nick = form.value("muc#register_roomnick").map(str::to_owned);
        let nick = nick.filter(|nick| !nick.is_empty());
        if let Some(nick) = &nick
            && !self.is_free(nick, &account)
        {
            return Err(Condition::Conflict.into());
        }
        let member = RoomMember {
            affiliation: Affiliation::Member,
            nick,
            reason: None,
            ..self.member(&account).cloned().unwrap_or_default()
        };
        Ok(Step::Keep(Box::new(Change {
            members: vec![(account, member)],
            actor: self.occupants.of(from).map(|it| it.nick.clone()),
            ..Change::of(self.record.clone())
        })))
    }
}
