//! Who is in a room: by nick, and by the sessions that share it.
//!
//! Source: XEP-0045 §7.2.8: sessions of one account may share a nick. Nicks that differ in case, width or spaces only are the
//! same, so that nobody passes for somebody else.
//! Bounds: the room's rules decide who enters; sessions of one nick are at most [`MAX_SESSIONS`].

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap},
};

use bytes::Bytes;
use storage::repository::Affiliation;
use xmpp::{BareJid, FullJid, Jid, jid::nickname_key};

use super::{effects::Real, policy::Pace, role::Role};

/// Sessions that may share a nick.
pub const MAX_SESSIONS: usize = 32;

/// Somebody in the room.
#[derive(Debug, Clone)]
pub struct Occupant {
    /// What it is called.
    pub nick: String,
    /// Its address in the room.
    pub jid: Jid,
    /// Its account.
    pub account: BareJid,
    /// What it may do.
    pub role: Role,
    /// Its lasting standing.
    pub affiliation: Affiliation,
    /// Which tells it from all others, under whatever nick (XEP-0421).
    pub id: String,
    /// Its hats, as its presence says them (XEP-0317); empty: none.
    pub hats: Bytes,
    /// Its sessions, the one whose presence is shown first.
    pub sessions: Vec<Session>,
    /// Its presence as others see it, without and with its real address.
    pub shown: [OnceCell<Bytes>; 2],
}

/// One session of an occupant.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its address.
    pub real: Real,
    /// What its presence says, as serialised children.
    pub says: Bytes,
    /// How fast it speaks.
    pub pace: Pace,
}

impl Occupant {
    /// Its sessions' addresses.
    pub fn reals(&self) -> impl Iterator<Item = &Real> {
        self.sessions.iter().map(|session| &session.real)
    }

    /// The session whose presence is shown.
    pub fn first(&self) -> &Session {
        self.sessions
            .first()
            .expect("an occupant has a session, or is removed")
    }

    /// What others see of it has changed.
    pub fn changed(&mut self) {
        self.shown = Default::default();
    }
}

/// Those in a room.
#[derive(Debug, Default)]
pub struct Occupants {
    by_nick: BTreeMap<String, Occupant>,
    by_real: HashMap<Real, String>,
}

/// What nicks are compared by (RFC 8266 §2.4).
pub fn folded(nick: &str) -> String {
    nickname_key(nick)
}

impl Occupants {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Occupant> {
        self.by_nick.values()
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Occupant> {
        self.by_nick.values_mut()
    }

    /// The one of this session.
    pub fn of(&self, real: &Jid) -> Option<&Occupant> {
        let real = real.to_full()?;
        self.by_nick.get(self.by_real.get(&real)?)
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, real: &Jid) -> Option<&mut Occupant> {
        let real = real.to_full()?;
        self.by_nick.get_mut(self.by_real.get(&real)?)
    }

    /// The one of this nick.
    pub fn named(&self, nick: &str) -> Option<&Occupant> {
        self.by_nick.get(&folded(nick))
    }

    /// The same, to be changed.
    pub fn named_mut(&mut self, nick: &str) -> Option<&mut Occupant> {
        self.by_nick.get_mut(&folded(nick))
    }

    /// How many nicks there are.
    pub fn len(&self) -> usize {
        self.by_nick.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.by_nick.is_empty()
    }

    /// Every session.
    pub fn sessions(&self) -> impl Iterator<Item = &Real> {
        self.by_real.keys()
    }

    /// Adds a session, to the occupant of its nick if there is one.
    pub fn add(&mut self, occupant: Occupant) {
        let key = folded(&occupant.nick);
        for session in &occupant.sessions {
            self.by_real.insert(session.real.clone(), key.clone());
        }
        match self.by_nick.get_mut(&key) {
            Some(known) => {
                // The newest is what is shown.
                known.sessions.splice(..0, occupant.sessions);
                known.changed();
            }
            None => {
                self.by_nick.insert(key, occupant);
            }
        }
    }

    /// Takes a session out: the occupant as it was, and whether the nick is gone with it.
    pub fn remove(&mut self, real: &FullJid) -> Option<(Occupant, bool)> {
        let key = self.by_real.remove(real)?;
        let occupant = self.by_nick.get_mut(&key)?;
        let before = occupant.clone();
        occupant.sessions.retain(|session| *session.real != *real);
        occupant.changed();
        let gone = occupant.sessions.is_empty();
        if gone {
            self.by_nick.remove(&key);
        }
        Some((before, gone))
    }

    /// Takes a nick out with all its sessions.
    pub fn remove_nick(&mut self, nick: &str) -> Option<Occupant> {
        let occupant = self.by_nick.remove(&folded(nick))?;
        for session in &occupant.sessions {
            self.by_real.remove(&session.real);
        }
        Some(occupant)
    }
}
