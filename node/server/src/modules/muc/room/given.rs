//! Roles that were given by hand (XEP-0045 §8): they last while their occupant is in the room, whichever node serves it.
//!
//! Such a role stands with what is kept of its account, and is read where the occupant is told of again
//! ([`Room::reassert`]). Whoever gives it is answered when it is kept. What follows from something else, somebody leaving
//! above all, is kept behind it: [`Room::unkept`] says what is not yet.

use storage::repository::{
    GivenRole, RoomMember,
    room::{MAX_CHANGED, MAX_MEMBERS},
};
use xmpp::{BareJid, StanzaError};

use super::{
    Room,
    effects::{Change, Step},
    occupants::{Occupant, folded},
    role::Role,
};

/// Somebody's new role, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    /// Whose.
    pub nick: String,
    /// Which; none: it has to go (§8.2).
    pub role: Role,
    /// Why.
    pub reason: Option<String>,
}

impl Room {
    /// Gives occupants other roles: at once if nothing has to be kept for that.
    ///
    /// # Errors
    /// `not-allowed`: the room keeps too much of others.
    pub(super) fn give(&mut self, mut change: Change) -> Result<Step, StanzaError> {
        for gift in &change.gifts {
            let Some(target) = self.occupants.named(&gift.nick) else {
                continue;
            };
            let given = match gift.role {
                Role::None => None,
                role => self.as_given(target, role),
            };
            let known = self.member(&target.account);
            let others = || known.and_then(|it| it.given.as_ref());
            let is_of_other = gift.role == Role::None
                && others().is_some_and(|it| folded(&it.nick) != folded(&target.nick));
            if others() != given.as_ref() && !is_of_other {
                let member = RoomMember {
                    given,
                    ..known.cloned().unwrap_or_default()
                };
                change.members.retain(|(it, _)| *it != target.account);
                change.members.push((target.account.clone(), member));
            }
        }
        if change.members.is_empty() {
            let version = self.version;
            return Ok(Step::Done(self.apply(change, version)));
        }
        self.has_room_for(change.members.len())?;
        Ok(Step::Keep(Box::new(change)))
    }

    /// What is kept of a role; `None`: whoever enters like this has it.
    fn as_given(&self, occupant: &Occupant, role: Role) -> Option<GivenRole> {
        let plain = Role::on_entering(occupant.affiliation, self.record.config.moderated);
        (role != plain).then(|| GivenRole {
            nick: occupant.nick.clone(),
            role: role.as_set(),
        })
    }

    /// The role of who comes from another node, where it was in the room.
    pub(super) fn role_before(&self, account: &BareJid, nick: &str) -> Option<Role> {
        let given = self.member(account)?.given.as_ref()?;
        (folded(&given.nick) == folded(nick)).then(|| Role::from_set(given.role))?
    }

    /// An occupant has another role now than it had, for whatever reason.
    pub(super) fn note_given(&mut self, nick: &str) {
        if let Some(occupant) = self.occupants.named(nick) {
            let given = self.as_given(occupant, occupant.role);
            let account = occupant.account.clone();
            self.set_given(&account, given);
        }
    }

    /// An occupant is gone, or was when somebody enters: nothing is left of what it was given.
    pub(super) fn forget_given(&mut self, account: &BareJid, nick: &str) {
        let given = self.member(account).and_then(|it| it.given.as_ref());
        if given.is_some_and(|given| folded(&given.nick) == folded(nick)) {
            self.set_given(account, None);
        }
    }

    /// Somebody enters: what it was given when it was here before, and of which nobody knew that it left, is no more.
    pub(super) fn forget_former(&mut self, account: &BareJid) {
        let given = self.member(account).and_then(|it| it.given.as_ref());
        if given.is_some_and(|given| self.occupants.named(&given.nick).is_none()) {
            self.set_given(account, None);
        }
    }

    /// An occupant is called otherwise.
    pub(super) fn rename_given(&mut self, account: &BareJid, before: &str, now: &str) {
        let given = self.member(account).and_then(|it| it.given.clone());
        if let Some(given) = given.filter(|it| folded(&it.nick) == folded(before)) {
            let nick = now.to_owned();
            self.set_given(account, Some(GivenRole { nick, ..given }));
        }
    }

    fn set_given(&mut self, account: &BareJid, given: Option<GivenRole>) {
        let known = self.member(account);
        if known.and_then(|it| it.given.as_ref()) == given.as_ref() {
            return;
        }
        if known.is_none() && self.members.len() >= MAX_MEMBERS {
            return;
        }
        let member = self.members.entry(account.clone()).or_default();
        member.given = given;
        if member.is_nothing() {
            self.members.remove(account);
        }
        self.unkept.insert(account.clone());
    }

    /// What is to be kept behind what was done, as much of it as is kept at once.
    pub fn unkept(&self) -> Vec<(BareJid, RoomMember)> {
        let some = self.unkept.iter().take(MAX_CHANGED);
        some.map(|account| {
            let member = self.member(account).cloned();
            (account.clone(), member.unwrap_or_default())
        })
        .collect()
    }

    /// Whether there is any of it.
    pub fn is_kept(&self) -> bool {
        self.unkept.is_empty()
    }

    /// These are kept now.
    pub fn kept(&mut self, members: &[(BareJid, RoomMember)], version: u64) {
        self.version = version;
        for (account, member) in members {
            if self.member(account).cloned().unwrap_or_default() == *member {
                self.unkept.remove(account);
            }
        }
    }
}
