//! Leaving a room, by oneself or because one is gone (XEP-0045 §7.14, §12.1, §18.1.3).

use bytes::Bytes;
use xmpp::{FullJid, Jid, Stanza, StanzaErrorCondition as Condition, payload::error::parse_error};

use super::{
    Effects, Room,
    effects::{Destroy, Step},
    presence::Says,
};

/// Errors that say that whom it was for is not there (§18.1.3).
const GONE: [Condition; 7] = [
    Condition::Gone,
    Condition::ItemNotFound,
    Condition::RecipientUnavailable,
    Condition::Redirect,
    Condition::RemoteServerNotFound,
    Condition::RemoteServerTimeout,
    Condition::ServiceUnavailable,
];

impl Room {
    /// A session leaves, with these last words. Who is not there is ignored (§17.3).
    pub(super) fn leave(&mut self, from: &Jid, says: Bytes) -> Effects {
        self.take_out(from, Some(says), &[])
    }

    /// A session is gone without a word (§12.1).
    pub fn lost(&mut self, real: &FullJid) -> Effects {
        self.take_out(real.as_jid(), Some(Bytes::new()), &[333])
    }

    fn take_out(&mut self, from: &Jid, says: Option<Bytes>, codes: &[u16]) -> Effects {
        let Some((mut occupant, gone)) =
            from.to_full().and_then(|real| self.occupants.remove(&real))
        else {
            return Effects::default();
        };
        let at = occupant
            .sessions
            .iter()
            .position(|it| it.real.as_jid() == from);
        let was_shown = at == Some(0);
        let Some(mut session) = at.map(|at| occupant.sessions.remove(at)) else {
            return Effects::default();
        };
        let own = vec![session.real.clone()];
        if let Some(says) = says {
            session.says = says;
        }
        occupant.sessions = vec![session];
        let says = Says {
            unavailable: true,
            codes,
            ..Says::default()
        };
        let mut effects = self.announce_to_itself(&occupant, &says, own);
        if gone {
            self.forget_given(&occupant.account, &occupant.nick);
            effects.append(self.announce_to_others(&occupant, &says));
        } else if was_shown && let Some(left) = self.occupants.named(&occupant.nick) {
            // The others go on under the nick.
            effects.append(self.announce(left, &Says::default()));
        }
        effects
    }

    /// An error in answer to something of the room's.
    pub(super) fn error_from(&mut self, stanza: &Stanza, from: &Jid, to: &Jid) -> Step {
        let Some(real) = from.to_full() else {
            return Step::nothing();
        };
        let error = stanza.root().children().find_map(parse_error);
        let condition = error.map(|error| error.condition);
        // What became of a private message is for whoever sent it; the one who does not take it may well be there.
        let is_private = to.resource().is_some() && stanza.kind() == xmpp::Kind::Message;
        match condition {
            Some(Condition::ServiceUnavailable) | None if is_private => {
                self.private_error(stanza, from, to)
            }
            Some(condition) if GONE.contains(&condition) => Step::Done(self.lost(&real)),
            _ if is_private => self.private_error(stanza, from, to),
            _ => Step::nothing(),
        }
    }

    /// The room is no more: everybody is told, once (§10.9).
    pub fn destroyed(&mut self, destroy: &Destroy) -> Effects {
        let element = destroy.to_element();
        let mut effects = Effects::default();
        let nicks: Vec<String> = self.occupants.iter().map(|it| it.nick.clone()).collect();
        for nick in nicks {
            let Some(mut occupant) = self.occupants.remove_nick(&nick) else {
                continue;
            };
            occupant.affiliation = storage::repository::Affiliation::None;
            for session in &mut occupant.sessions {
                session.says = Bytes::new();
            }
            let says = Says {
                unavailable: true,
                destroy: Some(&element),
                ..Says::default()
            };
            let to = occupant.reals().cloned().collect();
            effects.append(self.announce_to_itself(&occupant, &says, to));
        }
        if let Some(reply) = &destroy.reply {
            effects.append(Effects::reply(reply.clone()));
        }
        effects
    }

    /// The service stops (§12.2).
    pub fn stopped(&mut self) -> Effects {
        let mut effects = Effects::default();
        let nicks: Vec<String> = self.occupants.iter().map(|it| it.nick.clone()).collect();
        for nick in nicks {
            if let Some(occupant) = self.occupants.remove_nick(&nick) {
                let says = Says {
                    unavailable: true,
                    codes: &[332],
                    ..Says::default()
                };
                let to = occupant.reals().cloned().collect();
                effects.append(self.announce_to_itself(&occupant, &says, to));
            }
        }
        effects
    }
}
