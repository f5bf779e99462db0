//! What a room tells of itself (XEP-0045 §6.4 to §6.6, §7.12).

use storage::repository::{Affiliation, WhoMay};
use xmpp::{
    Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
    payload::form::{FORM_TYPE, Field, FieldType, Form, FormType},
};

use super::{Room, effects::Step, hats, role::Role};

/// Asks for the own reserved nick (§7.12).
const RESERVED_NICK: &str = "x-roomuser-item";
/// Asks what may be sent (§18.1.2).
const TRAFFIC: &str = "http://jabber.org/protocol/muc#traffic";

/// What every room can do.
pub const FEATURES: [&str; 16] = [
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::MUC,
    ns::MUC_STABLE_ID,
    ns::MUC_SELF_PING,
    ns::MUC_REQUEST,
    ns::REGISTER,
    ns::OCCUPANT_ID,
    ns::SID,
    ns::VCARD,
    ns::PING,
    ns::MODERATE,
    ns::RETRACT,
    ns::RETRACT_TOMBSTONE,
    ns::COMMANDS,
    ns::HATS,
];

impl Room {
    pub(super) fn info(
        &self,
        stanza: &Stanza,
        from: &Jid,
        query: &Element,
    ) -> Result<Step, StanzaError> {
        let answer = match query.attr("node") {
            None | Some("") => self.info_element(),
            Some(RESERVED_NICK) => {
                let known = self.member(&from.to_bare());
                let nick = known.and_then(|member| member.nick.as_deref());
                let identity = nick.map(identity_element);
                Element::new("query", ns::DISCO_INFO)
                    .with_attr("node", RESERVED_NICK)
                    .with_children(identity)
            }
            // Nothing is left out.
            Some(TRAFFIC) => return Err(Condition::ServiceUnavailable.into()),
            Some(node) => {
                let command = self.command_info(from, node);
                command.ok_or(Condition::ItemNotFound)?
            }
        };
        Ok(Step::result(stanza, Some(answer)))
    }

    fn info_element(&self) -> Element {
        let config = &self.record.config;
        let either =
            |holds: bool, yes: &'static str, no: &'static str| if holds { yes } else { no };
        let kinds = [
            either(config.public, "muc_public", "muc_hidden"),
            either(config.members_only, "muc_membersonly", "muc_open"),
            either(config.moderated, "muc_moderated", "muc_unmoderated"),
            either(
                config.non_anonymous,
                "muc_nonanonymous",
                "muc_semianonymous",
            ),
            either(
                config.password.is_some(),
                "muc_passwordprotected",
                "muc_unsecured",
            ),
            either(config.persistent, "muc_persistent", "muc_temporary"),
        ];
        let archive = [ns::MAM, ns::MAM_EXTENDED]
            .into_iter()
            .filter(|_| config.archived);
        let mucsub = config.allow_subscription.then_some(ns::MUCSUB);
        let features = FEATURES.into_iter().chain(kinds).chain(archive);
        let features = features.chain(mucsub);
        let name = match config.name.as_str() {
            "" => self.address.local().unwrap_or_default(),
            name => name,
        };
        let feature =
            |var: &'static str| Element::new("feature", ns::DISCO_INFO).with_attr("var", var);
        Element::new("query", ns::DISCO_INFO)
            .with_child(identity_element(name))
            .with_children(features.map(feature))
            .with_child(self.info_form().to_element())
    }

    fn info_form(&self) -> Form {
        let config = &self.record.config;
        let info = |var: &str| format!("muc#roominfo_{var}");
        let flag = |value: bool| if value { "1" } else { "0" };
        let subject = self.record.subject.as_ref();
        let subject = subject.map_or("", |subject| subject.text.as_str());
        let allow_pm = match config.allow_pm {
            WhoMay::Anyone => "anyone",
            WhoMay::Participants => "participants",
            WhoMay::Moderators => "moderators",
            WhoMay::Nobody => "none",
        };
        let owners = self.with_affiliation(Affiliation::Owner);
        let contacts = Field::new(FieldType::JidMulti, info("contactjid"));
        let contacts = match config.non_anonymous {
            true => contacts.with_values(owners.map(xmpp::BareJid::as_str)),
            false => contacts,
        };
        let mut form = Form::new(FormType::Result)
            .with_field(Field::new(FieldType::Hidden, FORM_TYPE).with_value(ns::MUC_ROOMINFO));
        let occupants = self.occupants.len().to_string();
        let history = config.history.min(self.policy.history as u32).to_string();
        let subject_by_all = flag(config.change_subject);
        let texts = [
            (info("description"), config.description.as_str()),
            (info("lang"), config.lang.as_str()),
            (info("occupants"), occupants.as_str()),
            (info("subject"), subject),
            (info("subjectmod"), subject_by_all),
            ("muc#maxhistoryfetch".to_owned(), history.as_str()),
            ("muc#roomconfig_roomname".to_owned(), config.name.as_str()),
            ("muc#roomconfig_changesubject".to_owned(), subject_by_all),
            (
                "muc#roomconfig_allowinvites".to_owned(),
                flag(config.allow_invites),
            ),
            ("muc#roomconfig_allowpm".to_owned(), allow_pm),
        ];
        for (var, value) in texts {
            form.fields
                .push(Field::new(FieldType::TextSingle, var).with_value(value));
        }
        if let Some(url) = self.published_at.as_ref().filter(|_| self.is_published()) {
            let field = Field::new(FieldType::TextSingle, info("logs"));
            form.fields.push(field.with_value(url.clone()));
        }
        if !contacts.values.is_empty() {
            form.fields.push(contacts);
        }
        if let Some(hash) = hats::hash(&self.record) {
            let field = Field::new(FieldType::TextSingle, "hats#hash");
            form.fields.push(field.with_value(hash));
        }
        if let Some(avatars) = &self.record.avatars {
            let hashes = Field::new(FieldType::TextMulti, info("avatarhash"));
            form.fields
                .push(hashes.with_values(avatars.iter().map(String::as_str)));
        }
        form
    }

    /// §6.5: who is there is told to those who are, and of an open room that is listed to everybody.
    pub(super) fn items(
        &self,
        stanza: &Stanza,
        from: &Jid,
        query: &Element,
    ) -> Result<Step, StanzaError> {
        match query.attr("node").filter(|node| !node.is_empty()) {
            None => {}
            Some(ns::COMMANDS) => {
                return Ok(Step::result(stanza, Some(self.command_items(from))));
            }
            Some(_) => return Err(Condition::ItemNotFound.into()),
        }
        let config = &self.record.config;
        let is_open = config.public && !config.members_only && config.password.is_none();
        let may = self.role(from) != Role::None
            || (is_open && self.affiliation(from) > Affiliation::Outcast);
        let shown = self
            .occupants
            .iter()
            .filter(|it| may && self.is_shown(it.role));
        let items = shown.map(|it| {
            Element::new("item", ns::DISCO_ITEMS)
                .with_attr("jid", it.jid.as_str())
                .with_attr("name", it.nick.as_str())
        });
        let answer = Element::new("query", ns::DISCO_ITEMS).with_children(items);
        Ok(Step::result(stanza, Some(answer)))
    }
}

fn identity_element(name: &str) -> Element {
    Element::new("identity", ns::DISCO_INFO)
        .with_attr("category", "conference")
        .with_attr("type", "text")
        .with_attr("name", name)
}
