//! Registration with a room: membership with a reserved nick (XEP-0045 §7.10, XEP-0077).
//!
//! Open rooms take whoever registers. In one that is members-only, moderated, or behind a password that was not given, an admin
//! who is there is asked.

use storage::repository::{Affiliation, RoomMember};
use xmpp::{
    Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::{
    Role, Room,
    effects::{Change, Step},
    occupants::Occupant,
};

impl Room {
    /// A request about registration.
    pub(super) fn registration(
        &self,
        stanza: &Stanza,
        from: &Jid,
        query: &Element,
    ) -> Result<Step, StanzaError> {
        let affiliation = self.affiliation(from);
        if affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden.into());
        }
        let is_set = stanza.type_attr().as_deref() == Some("set");
        let known = self.registered(from);
        if is_set && query.child("remove", ns::REGISTER).is_some() {
            return self.unregister(stanza, from);
        }
        if let (false, Some(known)) = (is_set, known) {
            let nick = known.nick.clone().unwrap_or_default();
            let answer = Element::new("query", ns::REGISTER)
                .with_child(Element::new("registered", ns::REGISTER))
                .with_child(Element::new("username", ns::REGISTER).with_text(nick));
            return Ok(Step::result(stanza, Some(answer)));
        }
        if affiliation < Affiliation::Member && !self.record.config.allow_register {
            return Err(Condition::NotAllowed.into());
        }
        if !is_set {
            return Ok(Step::result(stanza, Some(form_element())));
        }
        self.register(stanza, from, query)
    }

    /// Whether somebody becomes a member only if a moderator says so: a member may enter, speak and read, which this room keeps from
    /// others, and from who does not know its password.
    fn asks_for_members(&self, from: &Jid) -> bool {
        let config = &self.record.config;
        let knows_password = config.password.is_none() || self.role(from) != Role::None;
        config.members_only || config.moderated || !knows_password
    }

    /// What is kept of somebody who has an affiliation or a nick.
    fn registered(&self, from: &Jid) -> Option<&RoomMember> {
        let known = self.member(&from.to_bare());
        known.filter(|it| it.affiliation != Affiliation::None || it.nick.is_some())
    }

    fn register(&self, stanza: &Stanza, from: &Jid, query: &Element) -> Result<Step, StanzaError> {
        let form = Form::child_of(query)?.ok_or(Condition::BadRequest)?;
        if form.form_type != FormType::Submit || form.namespace() != Some(ns::MUC_REGISTER) {
            return Err(Condition::BadRequest.into());
        }
        let account = from.to_bare();
        let nick = form.value("muc#register_roomnick").unwrap_or_default();
        let jid = Jid::from_parts(self.address.local(), self.address.domain(), Some(nick));
        let jid = jid.map_err(|_| Condition::NotAcceptable)?;
        let nick = jid.resource().unwrap_or_default().to_owned();
        self.check_nick(&nick)?;
        if !self.is_free(&nick, &account) {
            return Err(Condition::Conflict.into());
        }
        let affiliation = self.affiliation(from);
        if affiliation < Affiliation::Member && self.asks_for_members(from) {
            return self.request_membership(stanza, from, &nick);
        }
        let known = self.member(&account).cloned().unwrap_or_default();
        let member = RoomMember {
            affiliation: affiliation.max(Affiliation::Member),
            nick: Some(nick),
            ..known
        };
        Ok(Step::Keep(Box::new(Change {
            members: vec![(account, member)],
            reply: Some(stanza.result_reply(None)),
            ..Change::of(self.record.clone())
        })))
    }

    fn unregister(&self, stanza: &Stanza, from: &Jid) -> Result<Step, StanzaError> {
        let account = from.to_bare();
        let Some(known) = self.registered(from) else {
            return Err(Condition::RegistrationRequired.into());
        };
        let member = RoomMember {
            affiliation: match known.affiliation {
                Affiliation::Member => Affiliation::None,
                other => other,
            },
            nick: None,
            reason: None,
            ..known.clone()
        };
        Ok(Step::Keep(Box::new(Change {
            members: vec![(account, member)],
            reply: Some(stanza.result_reply(None)),
            ..Change::of(self.record.clone())
        })))
    }

    /// §9.9
    fn request_membership(
        &self,
        stanza: &Stanza,
        from: &Jid,
        nick: &str,
    ) -> Result<Step, StanzaError> {
        let form = Form::of(FormType::Form, ns::MUC_REGISTER)
            .with_title("Request for membership")
            .with_instructions("Shall this person become a member of the room?")
            .with_field(
                Field::new(FieldType::JidSingle, "muc#jid")
                    .with_label("Address")
                    .with_value(from.bare_str()),
            )
            .with_field(
                Field::new(FieldType::TextSingle, "muc#register_roomnick")
                    .with_label("Nick")
                    .with_value(nick),
            )
            .with_field(
                Field::new(FieldType::Boolean, "muc#register_allow")
                    .with_label("Make a member")
                    .with_bool(false),
            );
        let decides = |it: &Occupant| it.affiliation >= Affiliation::Admin;
        let mut effects = self.ask(&form, decides);
        if effects.0.is_empty() {
            // Nobody who could answer is there.
            return Err(Condition::NotAllowed.into());
        }
        effects.append(super::Effects::reply(stanza.result_reply(None)));
        Ok(Step::Done(effects))
    }
}

fn form_element() -> Element {
    let form = Form::of(FormType::Form, ns::MUC_REGISTER)
        .with_title("Registration with the room")
        .with_instructions("The nick is reserved for you.")
        .with_field(
            Field::new(FieldType::TextSingle, "muc#register_roomnick")
                .with_label("Nick")
                .required(),
        );
    Element::new("query", ns::REGISTER)
        .with_child(Element::new("instructions", ns::REGISTER).with_text("Fill in the form."))
        .with_child(form.to_element())
}
