//! Entering a room, and saying again what one is (XEP-0045 §7.1, §7.7).

use std::sync::Arc;

use storage::repository::Affiliation;
use xmpp::{Element, FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition, ns};

use super::{
    Effects, Room,
    effects::Step,
    history::Wanted,
    occupants::{MAX_SESSIONS, Occupant, Session},
    policy::Pace,
    presence::{Says, said_by},
    role::Role,
    status_element,
};

/// Admins and owners who may enter a room that is full (§7.1.9).
const MORE_FOR_ADMINS: usize = 10;
/// The room changed the nick that was asked for (§7.2.2, §7.6).
pub(super) const MODIFIED: u16 = 210;

/// Since when a session that was in the room has heard nothing, by numbers of the room's log.
#[derive(Debug, Clone, Copy)]
pub struct Since {
    /// The newest message that it was given, if that is known.
    pub heard: Option<u64>,
    /// The newest message when the room was loaded.
    pub loaded: u64,
    /// It was told that it is in the room. The password is not asked of it again, whatever it is now (XEP-0045 §10.2: who is in
    /// the room stays when it changes). Of who only asked to enter nobody knows whether it knew it.
    pub entered: bool,
}

impl Room {
    /// An available presence: to enter, to be shown everything again, to take another nick, or to say something else.
    pub(super) fn available(&mut self, stanza: &Stanza, from: &Jid, to: &Jid, now_ms: u64) -> Step {
        let Some(nick) = to.resource() else {
            // §7.1.1
            return Step::refuse(stanza, &Condition::JidMalformed.into());
        };
        let joins = stanza.child("x", ns::MUC);
        let step = match (
            self.occupants.of(from).map(|known| known.nick == nick),
            joins,
        ) {
            (Some(true), None) => Ok(self.says_again(stanza, from, &[])),
            (Some(true), Some(_)) => Ok(self.synchronise(stanza, from, now_ms)),
            (Some(false), _) => self.change_nick(stanza, from, nick),
            (None, None) => Ok(kicked_out(from, to)),
            (None, Some(_)) => self.enter(stanza, from, nick, &[], now_ms),
        };
        match step {
            Ok(effects) => Step::Done(effects),
            Err(error) => Step::refuse(stanza, &error),
        }
    }

    /// Somebody enters; `codes` are for itself, such as that the room was made for it (201).
    ///
    /// # Errors
    /// The conditions of §7.1.15.
    pub fn enter(
        &mut self,
        stanza: &Stanza,
        from: &Jid,
        nick: &str,
        codes: &[u16],
        now_ms: u64,
    ) -> Result<Effects, StanzaError> {
        let real = from.to_full().ok_or(Condition::JidMalformed)?;
        let account = from.to_bare();
        let password = stanza
            .child("x", ns::MUC)
            .and_then(|x| x.child("password", ns::MUC))
            .map(|password| password.text().into_owned());
        let affiliation = self.affiliation(from);
        self.may_enter(from, nick, affiliation, password.as_deref())?;
        let jid = Jid::from_parts(self.address.local(), self.address.domain(), Some(nick))
            .map_err(|_| Condition::JidMalformed)?;
        self.forget_former(&account);
        let known = self.occupants.named(nick);
        if known.is_some_and(|known| known.sessions.len() >= MAX_SESSIONS) {
            return Err(StanzaError::new(
                Condition::ResourceConstraint,
                "too many sessions",
            ));
        }
        let role = known.map_or_else(
            || Role::on_entering(affiliation, self.record.config.moderated),
            |known| known.role,
        );
        let session = Session {
            real: Arc::new(real),
            says: said_by(stanza),
            pace: Pace::default(),
        };
        self.occupants.add(Occupant {
            nick: jid.resource().unwrap_or(nick).to_owned(),
            id: self.occupant_id(&account),
            hats: self.shown_hats(&account),
            jid,
            account,
            role,
            affiliation,
            sessions: vec![session],
            shown: Default::default(),
        });
        let mut codes = codes.to_vec();
        // §7.2.2: it is called as its other sessions are, whatever it wrote.
        let called = self.occupants.of(from).map(|it| it.nick.as_str());
        codes.extend((called != Some(nick)).then_some(MODIFIED));
        Ok(self.welcome(stanza, from, &codes, true, now_ms))
    }

    fn may_enter(
        &self,
        from: &Jid,
        nick: &str,
        affiliation: Affiliation,
        password: Option<&str>,
    ) -> Result<(), StanzaError> {
        let config = &self.record.config;
        if affiliation == Affiliation::Outcast {
            return Err(Condition::Forbidden.into());
        }
        if self.record.locked && affiliation < Affiliation::Owner {
            return Err(Condition::ItemNotFound.into());
        }
        if config.members_only && affiliation < Affiliation::Member {
            return Err(Condition::RegistrationRequired.into());
        }
        if config.password.is_some() && config.password.as_deref() != password {
            return Err(Condition::NotAuthorized.into());
        }
        self.check_nick(nick)?;
        if !self.is_free(nick, &from.to_bare()) {
            return Err(Condition::Conflict.into());
        }
        let limit = match config.max_users {
            0 => self.policy.occupants,
            wanted => wanted.min(self.policy.occupants),
        } as usize;
        let more = match affiliation {
            Affiliation::Admin | Affiliation::Owner => MORE_FOR_ADMINS,
            _ => 0,
        };
        if self.occupants.len() >= limit + more && self.occupants.named(nick).is_none() {
            return Err(Condition::ServiceUnavailable.into());
        }
        Ok(())
    }

    /// What one is shown who enters or has lost track: who is there, itself, what was said, the subject (§7.1.2).
    fn welcome(
        &self,
        stanza: &Stanza,
        from: &Jid,
        codes: &[u16],
        tells_others: bool,
        now_ms: u64,
    ) -> Effects {
        let mut effects = Effects::default();
        let Some(own) = self.occupants.of(from) else {
            return effects;
        };
        let Some(real) = own.reals().find(|real| real.as_jid() == from).cloned() else {
            return effects;
        };
        if self.policy.avatar_presence && self.record.avatars.is_some() {
            effects.send(self.avatar_packet(), vec![real.clone()]);
        }
        let with_address = self.sees_addresses(own.role);
        let plain = Says::default();
        for other in self.occupants.iter() {
            if other.nick != own.nick && self.is_shown(other.role) {
                let packet = self.shown(other, &plain, with_address);
                effects.send(packet, vec![real.clone()]);
            }
        }
        if tells_others {
            effects.append(self.announce_to_others(own, &plain));
            let others = own.reals().filter(|other| **other != real).cloned();
            effects.append(self.announce_to_itself(own, &plain, others.collect()));
        }
        let config = &self.record.config;
        let warnings = [(config.non_anonymous, 100), (self.is_published(), 170)];
        let warnings = warnings.iter().filter(|(holds, _)| *holds);
        let own_codes: Vec<u16> = warnings
            .map(|(_, code)| *code)
            .chain(codes.iter().copied())
            .collect();
        let id = stanza.id();
        let says = Says {
            own_codes: &own_codes,
            id: id.as_deref(),
            ..Says::default()
        };
        effects.append(self.announce_to_itself(own, &says, vec![real.clone()]));
        let wanted = Wanted::parse(stanza);
        let limit = (config.history as usize).min(self.policy.history);
        for packet in self.history.shown(&wanted, limit, &self.address, now_ms) {
            effects.send(packet, vec![real.clone()]);
        }
        effects.send(self.subject_packet(), vec![real]);
        effects
    }

    /// §7.1.1, §17.3: who is there already and enters again has lost track.
    fn synchronise(&mut self, stanza: &Stanza, from: &Jid, now_ms: u64) -> Effects {
        let changed = self.note_said(stanza, from);
        self.welcome(stanza, from, &[], changed, now_ms)
    }

    /// §7.7; `codes` are for itself.
    pub(super) fn says_again(&mut self, stanza: &Stanza, from: &Jid, codes: &[u16]) -> Effects {
        self.note_said(stanza, from);
        let id = stanza.id();
        let says = Says {
            id: id.as_deref(),
            own_codes: codes,
            ..Says::default()
        };
        let occupant = self.occupants.of(from);
        occupant
            .map(|occupant| self.announce(occupant, &says))
            .unwrap_or_default()
    }

    /// Notes what a session says; it is what is shown of its occupant from now on. Whether it is something else.
    fn note_said(&mut self, stanza: &Stanza, from: &Jid) -> bool {
        let Some(occupant) = self.occupants.of_mut(from) else {
            return false;
        };
        let is_it = |session: &Session| session.real.as_jid() == from;
        let Some(at) = occupant.sessions.iter().position(is_it) else {
            return false;
        };
        let says = said_by(stanza);
        let changed = at != 0 || occupant.first().says != says;
        occupant.sessions[..=at].rotate_right(1);
        occupant.sessions[0].says = says;
        occupant.changed();
        changed
    }

    /// A session was in the room while another node served it, or has come to another node itself: it is in it again, with the
    /// role that it had, and nobody is told anything. It gets what was said since. Who may not be in the room any more is told
    /// that.
    pub fn reassert(
        &mut self,
        real: FullJid,
        nick: &str,
        presence: Option<&Stanza>,
        since: Since,
    ) -> Effects {
        let from = real.as_jid().clone();
        if self.occupants.of(&from).is_some() {
            let heard = since.heard;
            return heard.map_or_else(Effects::default, |heard| self.say_since(heard, real));
        }
        let affiliation = self.affiliation(&from);
        let account = from.to_bare();
        let room = self.address.as_jid();
        let Ok(jid) = Jid::from_parts(room.local(), room.domain(), Some(nick)) else {
            return Effects::default();
        };
        let is_stranger = self.record.config.members_only && affiliation < Affiliation::Member;
        let is_known = since.entered || affiliation >= Affiliation::Member;
        let may = affiliation > Affiliation::Outcast
            && !is_stranger
            && (is_known || self.record.config.password.is_none());
        let taken = self.occupants.named(nick);
        if !may || taken.is_some_and(|known| known.account != account) {
            return kicked_out(&from, &jid);
        }
        let entering = || Role::on_entering(affiliation, self.record.config.moderated);
        let role = match taken {
            Some(known) => known.role,
            None => self.role_before(&account, nick).unwrap_or_else(entering),
        };
        let session = Session {
            real: Arc::new(real.clone()),
            says: presence.map(said_by).unwrap_or_default(),
            pace: Pace::default(),
        };
        self.occupants.add(Occupant {
            nick: nick.to_owned(),
            id: self.occupant_id(&account),
            hats: self.shown_hats(&account),
            jid,
            account,
            role,
            affiliation,
            sessions: vec![session],
            shown: Default::default(),
        });
        self.say_since(since.heard.unwrap_or(since.loaded), real)
    }

    fn say_since(&self, number: u64, real: FullJid) -> Effects {
        let (mut effects, real) = (Effects::default(), Arc::new(real));
        for packet in self.history.since(number) {
            effects.send(packet, vec![real.clone()]);
        }
        effects
    }
}

/// §7.1.16: a presence of one who is not there is no way in; it is told so.
fn kicked_out(from: &Jid, to: &Jid) -> Effects {
    let item = Element::new("item", ns::MUC_USER)
        .with_attr("affiliation", "none")
        .with_attr("role", "none");
    let x = Element::new("x", ns::MUC_USER)
        .with_child(item)
        .with_children([110, 307, 333].map(status_element));
    let presence = Element::new("presence", ns::CLIENT)
        .with_attr("from", to.as_str())
        .with_attr("to", from.as_str())
        .with_attr("type", "unavailable")
        .with_child(x);
    Effects::reply(presence)
}
