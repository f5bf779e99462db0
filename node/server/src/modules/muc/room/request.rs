//! IQs to a room itself (XEP-0045 §17.4).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use storage::repository::{Affiliation, RoomRecord, room::MAX_VCARD};
use xmpp::{Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    Room,
    effects::{Change, Step},
    standing::is_set,
};

impl Room {
    /// A request of a room.
    pub(super) fn request(&mut self, stanza: &Stanza, from: &Jid, now_ms: u64) -> Step {
        if !matches!(stanza.type_attr().as_deref(), Some("get" | "set")) {
            return Step::nothing();
        }
        let mut children = stanza.root().children();
        let (Some(payload), None) = (children.next(), children.next()) else {
            return Step::refuse(stanza, &Condition::BadRequest.into());
        };
        if self.record.locked && self.affiliation(from) < Affiliation::Owner {
            return Step::refuse(stanza, &Condition::ItemNotFound.into());
        }
        let payload = payload.to_element();
        let step = match (payload.ns(), payload.name()) {
            (ns::MUC_ADMIN, "query") => self.administration(stanza, from, &payload),
            (ns::MUC_OWNER, "query") => self.ownership(stanza, from, &payload),
            (ns::REGISTER, "query") => self.registration(stanza, from, &payload),
            (ns::DISCO_INFO, "query") if !is_set(stanza) => self.info(stanza, from, &payload),
            (ns::DISCO_ITEMS, "query") if !is_set(stanza) => self.items(stanza, from, &payload),
            (ns::MAM, _) => self.archive(stanza, from, &payload),
            (ns::VCARD, "vCard") => self.vcard(stanza, from, payload),
            (ns::MODERATE, "moderate") if is_set(stanza) => {
                return self.moderate(stanza, from, &payload, now_ms);
            }
            (ns::MUCSUB, _) => self.subscribing(stanza, from, &payload),
            (ns::COMMANDS, "command") => self.run_command(stanza, from, &payload, now_ms),
            (ns::PING, "ping") => Ok(Step::result(stanza, None)),
            _ => Err(Condition::ServiceUnavailable.into()),
        };
        step.unwrap_or_else(|error| Step::refuse(stanza, &error))
    }

    /// XEP-0313 §7: the archive is for those who may enter.
    fn archive(&self, stanza: &Stanza, from: &Jid, payload: &Element) -> Result<Step, StanzaError> {
        if !self.may_read(from) {
            return Err(Condition::Forbidden.into());
        }
        match (payload.name(), is_set(stanza)) {
            ("query", _) | ("metadata", false) => Ok(Step::Archive),
            _ => Err(Condition::FeatureNotImplemented.into()),
        }
    }

    /// XEP-0486: whoever may see the room sees its avatar; its owners set it.
    fn vcard(&self, stanza: &Stanza, from: &Jid, payload: Element) -> Result<Step, StanzaError> {
        if !is_set(stanza) {
            return Ok(Step::Vcard);
        }
        if self.affiliation(from) < Affiliation::Owner {
            return Err(Condition::Forbidden.into());
        }
        let bytes = payload.to_bytes(ns::CLIENT);
        if bytes.len() > MAX_VCARD {
            return Err(StanzaError::new(
                Condition::NotAcceptable,
                "the vCard is too long",
            ));
        }
        let is_empty = payload.children().next().is_none();
        let record = RoomRecord {
            avatars: Some(avatars(&payload)).filter(|it| !it.is_empty()),
            ..self.record.clone()
        };
        Ok(Step::Keep(Box::new(Change {
            vcard: Some((!is_empty).then(|| bytes.into())),
            reply: Some(stanza.result_reply(None)),
            ..Change::of(record)
        })))
    }
}

/// The SHA-1 of each photo, in hexadecimal.
fn avatars(vcard: &Element) -> Vec<String> {
    let photos = vcard.children().filter(|it| it.is("PHOTO", ns::VCARD));
    let binary = photos.filter_map(|photo| {
        let text: String = photo.child("BINVAL", ns::VCARD)?.text();
        let text: String = text.split_whitespace().collect();
        STANDARD.decode(text).ok()
    });
    binary
        .map(|bytes| {
            let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes);
            hash.as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
        .collect()
}
