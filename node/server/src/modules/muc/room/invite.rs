//! Invitations that the room passes on, and their answers (XEP-0045 §7.8.2).

use storage::repository::{Affiliation, RoomMember};
use xmpp::{
    BareJid, Element, Jid, Node, Stanza, StanzaError, StanzaErrorCondition as Condition, ns,
};

use super::{
    Room,
    effects::{Change, Effect, Effects, Step},
    presence::reason_element,
    role::Role,
};

/// Whom one message may invite.
const MAX_INVITED: usize = 50;

impl Room {
    /// A message to the room that is said to nobody in it: an invitation, its refusal, a request for voice. `None`: none of
    /// them.
    pub(super) fn mediated(&mut self, stanza: &Stanza, from: &Jid, now_ms: u64) -> Option<Step> {
        if let Some(x) = stanza.child("x", ns::MUC_USER) {
            let is_invite = x.child("invite", ns::MUC_USER).is_some();
            let decline = x.child("decline", ns::MUC_USER);
            let step = match (is_invite, decline) {
                (true, _) => self.invite(stanza, x, from, now_ms),
                (false, Some(decline)) => self.decline(stanza, decline, from),
                (false, None) => return None,
            };
            return Some(step.unwrap_or_else(|error| Step::refuse(stanza, &error)));
        }
        stanza.child("x", ns::DATA_FORMS)?;
        let step = self.form_message(stanza, from);
        Some(step.unwrap_or_else(|error| Step::refuse(stanza, &error)))
    }

    fn invite(
        &mut self,
        stanza: &Stanza,
        x: Node<'_>,
        from: &Jid,
        now_ms: u64,
    ) -> Result<Step, StanzaError> {
        let role = self.may_speak(stanza, from, now_ms)?;
        let affiliation = self.affiliation(from);
        let config = &self.record.config;
        // §9.5: in a members-only room whoever is invited becomes a member.
        let may = affiliation >= Affiliation::Admin
            || (config.allow_invites && role >= Role::Participant)
            || !config.members_only;
        if !may {
            return Err(Condition::Forbidden.into());
        }
        let inviter = self.occupants.of(from).ok_or(Condition::NotAcceptable)?;
        let mut effects = Vec::new();
        let mut members = Vec::new();
        let mut invited = Vec::new();
        let invites = x.children().filter(|it| it.is("invite", ns::MUC_USER));
        for invite in invites.take(MAX_INVITED) {
            let to = invite.attr("to").ok_or(Condition::BadRequest)?;
            let to = Jid::parse(&to).map_err(|_| Condition::JidMalformed)?;
            if invited.contains(&to) {
                continue;
            }
            invited.push(to.clone());
            let reason = invite.child("reason", ns::MUC_USER);
            let reason = reason.map(|reason| reason.text().into_owned());
            let kept = invite.child("continue", ns::MUC_USER).map(Node::to_element);
            // §7.8.2 names the occupant where its real address is not for everybody.
            let by = match config.non_anonymous {
                true => from.as_str(),
                false => inviter.jid.as_str(),
            };
            effects.push(Effect::Route(self.invitation(
                &to,
                Some(by),
                reason.as_deref(),
                kept,
            )));
            let account = to.to_bare();
            if config.members_only && self.affiliation(&to) == Affiliation::None {
                if account.local().is_none() {
                    // All accounts of a domain.
                    return Err(Condition::NotAllowed.into());
                }
                let known = self.member(&account).cloned().unwrap_or_default();
                let member = RoomMember {
                    affiliation: Affiliation::Member,
                    reason,
                    ..known
                };
                members.push((account, member));
            }
        }
        if members.is_empty() {
            return Ok(Step::Done(Effects(effects)));
        }
        Ok(Step::Keep(Box::new(Change {
            members,
            actor: Some(inviter.nick.clone()),
            behind: Effects(effects),
            ..Change::of(self.record.clone())
        })))
    }

    /// An invitation into this room.
    pub(super) fn invitation(
        &self,
        to: &Jid,
        by: Option<&str>,
        reason: Option<&str>,
        kept: Option<Element>,
    ) -> Stanza {
        let password = self.record.config.password.as_ref();
        let invite = Element::new("invite", ns::MUC_USER)
            .with_attr("from", by.unwrap_or(self.address.as_str()))
            .with_children(reason_element(reason))
            .with_children(kept);
        let x = Element::new("x", ns::MUC_USER)
            .with_child(invite)
            .with_children(
                password.map(|it| Element::new("password", ns::MUC_USER).with_text(it.clone())),
            );
        // Not as a direct invitation as well (XEP-0249): who understands both would be invited twice.
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_attr("to", to.as_str())
            .with_child(x);
        Stanza::from_element(&message)
    }

    /// Somebody does not want to come. Only who is in the room is told: others it cannot have been invited by. Who declines does
    /// not learn who is.
    fn decline(&self, stanza: &Stanza, decline: Node<'_>, from: &Jid) -> Result<Step, StanzaError> {
        let to = decline.attr("to").ok_or(Condition::BadRequest)?;
        let to = Jid::parse(&to).map_err(|_| Condition::JidMalformed)?;
        if stanza.raw().len() > self.policy.message_bytes {
            return Err(Condition::PolicyViolation.into());
        }
        let of_room = to.bare_str() == self.address.as_str();
        let inviter = match to.resource().filter(|_| of_room) {
            Some(nick) => self.occupants.named(nick),
            None => {
                let account: BareJid = to.to_bare();
                self.occupants.iter().find(|it| it.account == account)
            }
        };
        let Some(inviter) = inviter.filter(|_| self.affiliation(from) > Affiliation::Outcast)
        else {
            return Ok(Step::nothing());
        };
        let reason = decline.child("reason", ns::MUC_USER);
        let reason = reason.map(|reason| reason.text().into_owned());
        let declined = Element::new("decline", ns::MUC_USER)
            .with_attr("from", from.bare_str())
            .with_children(reason_element(reason.as_deref()));
        let message = Element::new("message", ns::CLIENT)
            .with_attr("from", self.address.as_str())
            .with_child(Element::new("x", ns::MUC_USER).with_child(declined));
        let message = Stanza::from_element(&message);
        let each = inviter
            .reals()
            .map(|real| Effect::Route(message.readdressed(None, Some(real.as_jid()))));
        Ok(Step::Done(Effects(each.collect())))
    }
}
