//! Changing one's nick (XEP-0045 §7.6).

use xmpp::{Jid, Stanza, StanzaError, StanzaErrorCondition as Condition};

use super::{
    Effects, Room,
    enter::MODIFIED,
    occupants::Occupant,
    presence::{Says, said_by},
};

impl Room {
    /// # Errors
    /// `conflict`: somebody else has it or has reserved it. `not-acceptable`: nobody may have it.
    pub(super) fn change_nick(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        nick: &str,
    ) -> Result<Effects, StanzaError> {
        let real = from.to_full().ok_or(Condition::JidMalformed)?;
        let jid = Jid::from_parts(self.address.local(), self.address.domain(), Some(nick))
            .map_err(|_| Condition::JidMalformed)?;
        self.check_nick(nick)?;
        if !self.is_free(nick, &from.to_bare()) {
            return Err(Condition::Conflict.into());
        }
        // The nick of other sessions of the account stays as it is written.
        let known = self.occupants.named(nick);
        let is_own = |it: &Occupant| it.reals().any(|it| **it == real);
        let (jid, called) = match known.map(|it| (is_own(it), it)) {
            Some((true, it)) if it.sessions.len() > 1 => {
                return Ok(self.says_again(stanza, from, &[MODIFIED]));
            }
            Some((false, it)) => (it.jid.clone(), it.nick.clone()),
            _ => (jid, nick.to_owned()),
        };
        let codes: &[u16] = if called == nick { &[] } else { &[MODIFIED] };
        let nick = called.as_str();
        let Some((mut before, gone)) = self.occupants.remove(&real) else {
            return Ok(Effects::default());
        };
        before.sessions.retain(|session| *session.real == real);
        let mut session = before.first().clone();
        session.says = said_by(stanza);
        let own = vec![session.real.clone()];
        let says = Says {
            unavailable: true,
            new_nick: Some(nick),
            codes: &[303],
            ..Says::default()
        };
        let mut effects = self.announce_to_itself(&before, &says, own.clone());
        match self.occupants.named(&before.nick) {
            // Other sessions go on under the old nick: nobody is told that it is gone.
            Some(left) if !gone => effects.append(self.announce(left, &Says::default())),
            _ => effects.append(self.announce_to_others(&before, &says)),
        }
        if gone {
            self.rename_given(&before.account, &before.nick, nick);
        }
        self.occupants.add(Occupant {
            nick: nick.to_owned(),
            jid,
            sessions: vec![session],
            shown: Default::default(),
            ..before
        });
        let id = stanza.id();
        let says = Says {
            id: id.as_deref(),
            own_codes: codes,
            ..Says::default()
        };
        if let Some(now) = self.occupants.of(from) {
            effects.append(self.announce_to_others(now, &Says::default()));
            let own_reals = now.reals().cloned().collect();
            effects.append(self.announce_to_itself(now, &says, own_reals));
        }
        Ok(effects)
    }
}
