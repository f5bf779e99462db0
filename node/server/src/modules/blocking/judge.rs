//! Judge: what an account's lists say of a stanza that comes or goes.
//!
//! Source: XEP-0016 v1.7 §2.2, 1 to 3. Where a session has an active list, that alone counts for it; else the default
//! does. What is addressed to the account is for its sessions, and for itself where it has none.
//! The roster that a rule about groups or subscriptions needs is in memory as long as there are such rules
//! ([`Rosters::pin`]); should it be missing nothing passes, for a rule that cannot be judged may be one that denies.

use cluster::directory::SessionRef;
use storage::repository::PrivacyData;
use xmpp::{BareJid, Jid};

use super::{
    active::ActiveLists,
    rules::{self, Passing, Verdict},
};
use crate::modules::roster::Rosters;

/// Judges for one account.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// Whose lists.
    pub owner: &'a BareJid,
    /// The lists.
    pub lists: &'a PrivacyData,
    /// Which of them are active in sessions.
    pub active: &'a ActiveLists,
    /// Where the owner's roster is.
    pub rosters: &'a Rosters,
}

impl Judge<'_> {
    /// Whether a session's list stops what passes between it and somebody else.
    pub fn denies(&self, session: SessionRef, passing: Passing, other: &Jid) -> bool {
        let active = || self.active.get(session);
        !self.lists.lists.is_empty() && self.stops(active().as_deref(), passing, other)
    }

    /// Whether something addressed to the account is stopped: by the list of each of the sessions it is for, or by the
    /// default list if it is for none.
    pub fn denies_all(
        &self,
        sessions: impl IntoIterator<Item = SessionRef>,
        passing: Passing,
        other: &Jid,
    ) -> bool {
        if self.lists.lists.is_empty() {
            return false;
        }
        let mut sessions = sessions.into_iter().peekable();
        match sessions.peek() {
            None => self.stops(None, passing, other),
            Some(_) => sessions.all(|session| self.denies(session, passing, other)),
        }
    }

    fn stops(&self, active: Option<&str>, passing: Passing, other: &Jid) -> bool {
        let list = rules::list_for(self.lists, active);
        let verdict = |contact| rules::evaluate(list, passing, self.owner, other, contact);
        if !rules::needs_roster(list) {
            return verdict(None) == Verdict::Deny;
        }
        // XEP-0016 §2.1: whatever the rules, one's own resources reach each other.
        match self.rosters.cached(self.owner) {
            _ if other.bare_str() == self.owner.as_str() => false,
            Some(roster) => verdict(roster.get(&other.to_bare())) == Verdict::Deny,
            None => true,
        }
    }
}
