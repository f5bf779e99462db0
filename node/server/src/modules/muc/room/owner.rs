//! What owners do: configure, destroy (XEP-0045 §10).

use storage::repository::{Affiliation, RoomMember, RoomRecord, room::MAX_CHANGED};
use xmpp::{
    BareJid, Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{Field, FieldType, Form, FormType},
};

use super::{
    Room,
    effects::{Change, Destroy, Step},
    form,
    policy::Publish,
    standing::is_set,
};

/// Fields of the form that are about people.
const OWNERS: &str = "muc#roomconfig_roomowners";
const ADMINS: &str = "muc#roomconfig_roomadmins";

impl Room {
    /// A request of an owner.
    pub(super) fn ownership(
        &self,
        stanza: &Stanza,
        from: &Jid,
        query: &Element,
    ) -> Result<Step, StanzaError> {
        if self.affiliation(from) < Affiliation::Owner {
            return Err(Condition::Forbidden.into());
        }
        if !is_set(stanza) {
            let shown = Element::new("query", ns::MUC_OWNER).with_child(self.form().to_element());
            return Ok(Step::result(stanza, Some(shown)));
        }
        if let Some(destroy) = query.child("destroy", ns::MUC_OWNER) {
            return Ok(Step::Destroy(Box::new(asked_to_destroy(stanza, destroy)?)));
        }
        let submitted = Form::child_of(query)?.ok_or(Condition::BadRequest)?;
        match submitted.form_type {
            FormType::Cancel if self.record.locked => {
                // §10.1.3: who does not want to configure it does not want it.
                Ok(Step::Destroy(Box::new(Destroy {
                    reply: Some(stanza.result_reply(None)),
                    ..Destroy::default()
                })))
            }
            FormType::Cancel => Ok(Step::result(stanza, None)),
            FormType::Submit => self.configure(stanza, from, &submitted),
            _ => Err(Condition::BadRequest.into()),
        }
    }

    fn form(&self) -> Form {
        let people = |var: &str, label: &str, affiliation| {
            let accounts = self.with_affiliation(affiliation);
            Field::new(FieldType::JidMulti, var)
                .with_label(label)
                .with_values(accounts.map(BareJid::as_str))
        };
        let mut form = form::form(&self.record.config);
        if self.policy.publish == Publish::Never {
            // What nobody may have is not offered.
            let is_it =
                |field: &Field| field.var.as_deref() == Some("muc#roomconfig_enablelogging");
            form.fields.retain(|field| !is_it(field));
        }
        form.with_field(people(ADMINS, "Admins", Affiliation::Admin))
            .with_field(people(OWNERS, "Owners", Affiliation::Owner))
    }

    fn configure(
        &self,
        stanza: &Stanza,
        from: &Jid,
        submitted: &Form,
    ) -> Result<Step, StanzaError> {
        // §10.1.2: an empty form takes what is offered; a form of something else is none.
        let is_other = submitted
            .namespace()
            .is_some_and(|it| it != ns::MUC_ROOMCONFIG);
        if is_other || (submitted.namespace().is_none() && !submitted.fields.is_empty()) {
            return Err(Condition::BadRequest.into());
        }
        let config = form::read(submitted, &self.record.config)?;
        let members = self.people(submitted)?;
        if !members.is_empty() {
            self.check_standings(&members)?;
        }
        let mut record = RoomRecord {
            config,
            locked: false,
            ..self.record.clone()
        };
        record.published |= self.publishes(&record);
        Ok(Step::Keep(Box::new(Change {
            members,
            actor: self.occupants.of(from).map(|it| it.nick.clone()),
            reply: Some(stanza.result_reply(None)),
            ..Change::of(record)
        })))
    }

    /// Whose affiliation a form changes.
    fn people(&self, submitted: &Form) -> Result<Vec<(BareJid, RoomMember)>, StanzaError> {
        let mut members: Vec<(BareJid, RoomMember)> = Vec::new();
        for (var, affiliation) in [(OWNERS, Affiliation::Owner), (ADMINS, Affiliation::Admin)] {
            let Some(field) = submitted.field(var) else {
                continue;
            };
            let named = field.values.iter().filter(|it| !it.is_empty());
            let named = named.map(|it| Jid::parse(it).map(|it| it.to_bare()));
            let named = named.collect::<Result<Vec<_>, _>>();
            let named = named.map_err(|_| Condition::JidMalformed)?;
            if named.iter().any(|account| account.local().is_none()) {
                // All accounts of a domain.
                return Err(Condition::NotAllowed.into());
            }
            let known = |account: &BareJid| self.member(account).cloned().unwrap_or_default();
            let become_it = |account: &BareJid, affiliation| RoomMember {
                affiliation,
                ..known(account)
            };
            let new = named
                .iter()
                .filter(|it| known(it).affiliation != affiliation);
            for account in new {
                if members.iter().all(|(it, _)| it != account) {
                    members.push((account.clone(), become_it(account, affiliation)));
                }
            }
            let old = self
                .with_affiliation(affiliation)
                .filter(|it| !named.contains(it));
            for account in old {
                if members.iter().all(|(it, _)| it != account) {
                    members.push((account.clone(), become_it(account, Affiliation::Member)));
                }
            }
        }
        match members.len() <= MAX_CHANGED {
            true => Ok(members),
            false => Err(StanzaError::new(
                Condition::PolicyViolation,
                "too many at once",
            )),
        }
    }
}

/// §10.9
fn asked_to_destroy(stanza: &Stanza, destroy: &Element) -> Result<Destroy, StanzaError> {
    let text = |name: &str| destroy.child(name, ns::MUC_OWNER).map(Element::text);
    if let Some(venue) = destroy.attr("jid") {
        Jid::parse(venue).map_err(|_| Condition::JidMalformed)?;
    }
    Ok(Destroy {
        venue: destroy.attr("jid").map(str::to_owned),
        password: text("password"),
        reason: text("reason"),
        reply: Some(stanza.result_reply(None)),
    })
}
