//! Presence rules: who hears what when a resource comes, changes, goes, is asked after.
//!
//! Source: RFC 6121 §4.2 to §4.6.
//! Pure, over the roster and what sessions say of themselves; `pipeline` loads and sends. Privacy rules
//! (`presence-out`) come after, at each recipient named here.

use std::collections::{BTreeMap, BTreeSet};

use storage::repository::roster::{RosterItem, Subscription};
use thin_vec::ThinVec;
use xmpp::{BareJid, Jid};

/// Whether a resource may now have the messages that wait (XEP-0160 §2): its priority is not negative, for the first
/// time.
pub fn may_take_messages(before: Option<i8>, now: i8) -> bool {
    now >= 0 && before.is_none_or(|before| before < 0)
}

/// Who sees the owner: "From" and "Both" (§4.2.2, §4.4.2, §4.5.2).
pub fn subscribers(roster: &[RosterItem]) -> impl Iterator<Item = &BareJid> {
    roster
        .iter()
        .filter(|item| is_subscriber(item))
        .map(|item| &item.jid)
}

/// Whom the owner sees, to be probed at initial presence: "To" and "Both" (§4.3.1).
pub fn subscriptions(roster: &[RosterItem]) -> impl Iterator<Item = &BareJid> {
    roster
        .iter()
        .filter(|item| matches!(item.subscription, Subscription::To | Subscription::Both))
        .map(|item| &item.jid)
}

/// The requests that wait for an answer, as they came, for a resource that comes (§3.1.3).
pub fn requests(roster: &[RosterItem]) -> impl Iterator<Item = &bytes::Bytes> {
    roster.iter().filter_map(|item| item.pending_in.as_ref())
}

fn is_subscriber(item: &RosterItem) -> bool {
    matches!(item.subscription, Subscription::From | Subscription::Both)
}

/// A roster is sorted by address.
fn find<'a>(roster: &'a [RosterItem], bare: &str) -> Option<&'a RosterItem> {
    let place = roster
        .binary_search_by(|item| item.jid.as_str().cmp(bare))
        .ok()?;
    Some(&roster[place])
}

/// Whom a resource sent directed presence in its session, and has to say goodbye to (§4.6.1). Of the rooms among them: the
/// newest message that it was given, by the number of the room's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directed {
    /// Ascending. Thin: most tell nobody.
    told: ThinVec<Jid>,
    /// Most resources are in no room, and have none.
    rooms: Option<Box<InRooms>>,
}

/// Of the rooms among those that were told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct InRooms {
    /// Those that have not said yet that the resource is in them.
    asked: BTreeSet<Jid>,
    /// The newest message that the resource was given of each.
    heard: BTreeMap<Box<str>, u64>,
}

/// The set is at its bound: the presence is refused with `resource-constraint`, for without a note the recipient
/// would see the resource for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many recipients of directed presence")]
pub struct TooMany;

impl FromIterator<Jid> for Directed {
    fn from_iter<T: IntoIterator<Item = Jid>>(jids: T) -> Self {
        let mut told: ThinVec<Jid> = jids.into_iter().take(Self::MAX).collect();
        told.sort_unstable();
        told.dedup();
        Self { told, rooms: None }
    }
}

impl Directed {
    /// Who was told.
    pub fn iter(&self) -> impl Iterator<Item = &Jid> {
        self.told.iter()
    }

    /// Available presence is about to go to an address in a room: unless the resource is there already, it asks to enter.
    pub fn asks_to_enter(&mut self, occupant: &Jid) {
        if self.told.len() < Self::MAX && !self.is_told(occupant) {
            let rooms = self.rooms.get_or_insert_default();
            rooms.asked.insert(occupant.clone());
        }
    }
    /// The room says that the resource is in it.
    pub fn has_entered(&mut self, occupant: &Jid) {
        if let Some(rooms) = &mut self.rooms {
            rooms.asked.remove(occupant);
        }
    }
    /// Whether the resource is in the room, as far as anybody said. What another node told of it counts as said.
    pub fn is_in(&self, occupant: &Jid) -> bool {
        let rooms = self.rooms.as_ref();
        !rooms.is_some_and(|rooms| rooms.asked.contains(occupant))
    }

    /// The message of this number of a room is about to be given to the resource: false if it, or a later one, was before.
    pub fn hears(&mut self, room: &str, number: u64) -> bool {
        let rooms = self.rooms.as_mut();
        match rooms.and_then(|rooms| rooms.heard.get_mut(room)) {
            Some(last) if *last >= number => return false,
            Some(last) => *last = number,
            // What it is not in is not noted.
            None if self.told.iter().any(|jid| jid.bare_str() == room) => {
                let rooms = self.rooms.get_or_insert_default();
                rooms.heard.insert(room.into(), number);
            }
            None => {}
        }
        true
    }

    /// The newest message that was given to the resource of each room from which it was given any.
    pub fn heard(&self) -> impl Iterator<Item = (&str, u64)> {
        let rooms = self.rooms.iter();
        let heard = rooms.flat_map(|rooms| &rooms.heard);
        heard.map(|(room, number)| (&**room, *number))
    }

    /// The same of one room; 0: none.
    pub fn last_heard(&self, room: &str) -> u64 {
        let heard = self.rooms.as_ref().and_then(|rooms| rooms.heard.get(room));
        heard.copied().unwrap_or(0)
    }

    /// How many it holds: each is a joined room or an acquaintance.
    pub const MAX: usize = 1_000;

    /// Available presence goes to `to`. A subscriber of an available resource is told by broadcast, and not noted
    /// (§4.6.3, 1); else it is (2 and 3).
    ///
    /// # Errors
    /// [`TooMany`]
    pub fn sent_available(
        &mut self,
        to: &Jid,
        is_available: bool,
        roster: &[RosterItem],
    ) -> Result<(), TooMany> {
        if is_available && find(roster, to.bare_str()).is_some_and(is_subscriber) {
            return Ok(());
        }
        if let Err(place) = self.told.binary_search(to) {
            if self.told.len() >= Self::MAX {
                return Err(TooMany);
            }
            self.told.insert(place, to.clone());
        }
        Ok(())
    }
    /// Unavailable presence goes to `to`: it knows (§4.6.1, MUST).
    pub fn sent_unavailable(&mut self, to: &Jid) {
        self.forget(to);
    }
    /// `from` has become unavailable itself (§4.6.1, SHOULD).
    pub fn heard_unavailable(&mut self, from: &Jid) {
        self.forget(from);
    }
    fn forget(&mut self, jid: &Jid) {
        let told = self.told.binary_search(jid);
        let was_told = told.map(|place| self.told.remove(place)).is_ok();
        if let Some(rooms) = &mut self.rooms {
            rooms.asked.remove(jid);
            if was_told {
                rooms.heard.remove(jid.bare_str());
            }
        }
    }
    /// Whether this address may know that the resource is there: it, or its bare address, was sent presence.
    pub fn reaches(&self, other: &Jid) -> bool {
        self.is_told(other) || (other.is_full() && self.is_told(other.to_bare().as_jid()))
    }
    fn is_told(&self, jid: &Jid) -> bool {
        self.told.binary_search(jid).is_ok()
    }
    /// Whether nobody was.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
    /// The resource becomes unavailable: whom to tell besides the subscribers, who are told if it was available. The
    /// set is empty afterwards.
    pub fn take_all(&mut self, was_available: bool, roster: &[RosterItem]) -> Vec<Jid> {
        let told =
            |jid: &Jid| was_available && find(roster, jid.bare_str()).is_some_and(is_subscriber);
        let all = std::mem::take(self).told;
        all.into_iter().filter(|jid| !told(jid)).collect()
    }
}

/// A session of the account that is asked after.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// Its resource.
    pub resource: &'a str,
    /// Whether it is available.
    pub available: bool,
    /// Whether it sent directed presence to the one who asks.
    pub told_directly: bool,
}

/// What a probe is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeAnswer<'a> {
    /// `unsubscribed` from the bare address, with the probe's id. Our own state, an approval in advance above all, is
    /// left as it is (§4.3.2, 1).
    Unsubscribed,
    /// `unavailable` from the address that was probed, with the probe's id (§4.3.2, 3).
    Unavailable,
    /// The last presence without `to` of each of these resources, in full and with its own id (§4.3.2, 4).
    Presence(Vec<&'a str>),
    /// Available presence without children from each of these resources (§4.3.2 on full addresses, §4.6.6).
    Bare(Vec<&'a str>),
}

/// Answers a probe of `prober` for `owner` or, with `resource`, for one of its full addresses. `sessions` is `None`
/// if there is no such account.
pub fn answer_probe<'a>(
    owner: &BareJid,
    resource: Option<&str>,
    prober: &Jid,
    roster: &[RosterItem],
    sessions: Option<&[Session<'a>]>,
) -> ProbeAnswer<'a> {
    let Some(sessions) = sessions else {
        return ProbeAnswer::Unsubscribed;
    };
    let asked = sessions
        .iter()
        .filter(|s| resource.is_none_or(|name| s.resource == name));
    // One's own presence one may always see (§4.2.2).
    let may_see = prober.bare_str() == owner.as_str()
        || find(roster, prober.bare_str()).is_some_and(is_subscriber);
    if !may_see {
        let known = asked.filter(|s| s.told_directly).map(|s| s.resource);
        let known: Vec<_> = known.collect();
        return match known.is_empty() {
            true => ProbeAnswer::Unsubscribed,
            false => ProbeAnswer::Bare(known),
        };
    }
    let there: Vec<_> = asked.filter(|s| s.available).map(|s| s.resource).collect();
    match (there.is_empty(), resource) {
        (true, _) => ProbeAnswer::Unavailable,
        (false, None) => ProbeAnswer::Presence(there),
        (false, Some(_)) => ProbeAnswer::Bare(there),
    }
}

#[cfg(test)]
mod tests;
