//! Messages from one occupant to another (XEP-0045 §7.5).

use storage::repository::WhoMay;
use xmpp::{Element, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    Room,
    effects::{Effect, Effects, Step},
    role::Role,
};

impl Room {
    /// A message to an occupant: to each session of it, from the sender's nick.
    pub(super) fn private_message(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        nick: &str,
        now_ms: u64,
    ) -> Step {
        match self.privately(stanza, from, nick, now_ms) {
            Ok(effects) => Step::Done(effects),
            Err(error) => Step::refuse(stanza, &error),
        }
    }

    fn privately(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        nick: &str,
        now_ms: u64,
    ) -> Result<Effects, StanzaError> {
        if stanza.type_attr().as_deref() == Some("groupchat") {
            return Err(Condition::BadRequest.into());
        }
        let role = self.may_speak(stanza, from, now_ms)?;
        let target = self.occupants.named(nick).ok_or(Condition::ItemNotFound)?;
        let allowed = match self.record.config.allow_pm {
            WhoMay::Anyone => true,
            WhoMay::Participants => role >= Role::Participant,
            WhoMay::Moderators => role == Role::Moderator,
            WhoMay::Nobody => false,
        };
        if !allowed {
            return Err(Condition::Forbidden.into());
        }
        let sender = self.occupants.of(from).ok_or(Condition::NotAcceptable)?;
        let message = self
            .reflected(stanza, &sender.jid, &sender.id)
            .with_child(Element::new("x", ns::MUC_USER));
        let message = Stanza::from_element(&message);
        let each = target.reals().map(|real| {
            let to = real.as_jid();
            Effect::Route(message.readdressed(None, Some(to)))
        });
        Ok(Effects(each.collect()))
    }

    /// What became of a message to an occupant, for the sessions of whoever sent it.
    pub(super) fn private_error(&mut self, stanza: &Stanza, from: &Jid, to: &Jid) -> Step {
        let nick = to.resource().unwrap_or_default();
        let (Some(teller), Some(sender)) = (self.occupants.of(from), self.occupants.named(nick))
        else {
            return Step::nothing();
        };
        let message = self.reflected(stanza, &teller.jid, &teller.id);
        let message = Stanza::from_element(&message);
        let each = sender
            .reals()
            .map(|real| Effect::Route(message.readdressed(None, Some(real.as_jid()))));
        Step::Done(Effects(each.collect()))
    }
}
