//! IQs from one occupant to another, and to oneself (XEP-0045 §17.4, XEP-0410).
//!
//! What is passed on has an id that says whom the answer is for, so that nothing need be remembered: the one that the
//! sender gave it, behind which of its sessions that was.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use xmpp::{Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    Effects, Room,
    effects::{Effect, Step},
    occupants::Occupant,
};

/// Bytes of the hash that tells one session of an occupant from another.
const TAG: usize = 6;

impl Room {
    /// Under the room's secret: who gets it can neither guess whose it is nor know it again in another room.
    fn tag(&self, real: &Jid) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.record.secret);
        let mut signing = hmac::Context::with_key(&key);
        signing.update(b"relay\0");
        signing.update(real.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(&signing.sign().as_ref()[..TAG])
    }

    /// An IQ to an occupant.
    pub(super) fn relay(&mut self, stanza: &Stanza, from: &Jid, nick: &str) -> Step {
        match stanza.type_attr().as_deref() {
            Some("get" | "set") => self
                .relay_request(stanza, from, nick)
                .unwrap_or_else(|error| Step::refuse(stanza, &error)),
            Some("result" | "error") => self.relay_answer(stanza, from, nick),
            _ => Step::refuse(stanza, &Condition::BadRequest.into()),
        }
    }

    fn relay_request(&self, stanza: &Stanza, from: &Jid, nick: &str) -> Result<Step, StanzaError> {
        // XEP-0410 §3.2: who is not there learns just that.
        let sender = self.occupants.of(from).ok_or(Condition::NotAcceptable)?;
        let target = self.occupants.named(nick).ok_or(Condition::ItemNotFound)?;
        let mut children = stanza.root().children();
        let (Some(payload), None, Some(id)) = (children.next(), children.next(), stanza.id())
        else {
            return Err(Condition::BadRequest.into());
        };
        if target.nick == sender.nick && payload.is("ping", ns::PING) {
            return Ok(Step::result(stanza, None));
        }
        // What is an account's is asked of the account.
        let of_account = matches!(payload.ns(), ns::VCARD | ns::PUBSUB);
        let to = match of_account {
            true => target.account.as_jid().clone(),
            false => target.first().real.as_jid().clone(),
        };
        let id = format!("{}.{id}", self.tag(from));
        Ok(self.passed(stanza, sender, &to, &id))
    }

    fn relay_answer(&self, stanza: &Stanza, from: &Jid, nick: &str) -> Step {
        let answering = match from.is_full() {
            true => self.occupants.of(from),
            false => self.occupants.iter().find(|it| it.account.as_jid() == from),
        };
        let (Some(sender), Some(target), Some(id)) =
            (answering, self.occupants.named(nick), stanza.id())
        else {
            return Step::nothing();
        };
        let Some((tagged, id)) = id.split_once('.') else {
            return Step::nothing();
        };
        let to = target
            .reals()
            .find(|real| self.tag(real.as_jid()) == tagged);
        match to.map(|real| real.as_jid()) {
            Some(to) => self.passed(stanza, sender, to, id),
            None => Step::nothing(),
        }
    }

    fn passed(&self, stanza: &Stanza, sender: &Occupant, to: &Jid, id: &str) -> Step {
        let mut iq: Element = stanza.to_element();
        iq.set_attr("id", id);
        let iq = Stanza::from_element(&iq).readdressed(Some(&sender.jid), Some(to));
        Step::Done(Effects(vec![Effect::Reply(iq.to_element())]))
    }
}
