//! Merge: what a roster becomes with the contacts that its owner is given, and what of it changed; pure.
//!
//! What the owner says of a contact counts: its name, and its groups beside those that are given. Subscriptions are what
//! either gives. A contact that is given cannot be asked for, and waits for nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use storage::repository::{Roster, RosterItem, Subscription};

use xmpp::BareJid;

use super::snapshot::{Contact, Part};

fn sees(subscription: Subscription) -> bool {
    matches!(subscription, Subscription::To | Subscription::Both)
}

fn is_told(subscription: Subscription) -> bool {
    matches!(subscription, Subscription::From | Subscription::Both)
}

fn together(one: Subscription, other: Subscription) -> Subscription {
    match (sees(one) || sees(other), is_told(one) || is_told(other)) {
        (true, true) => Subscription::Both,
        (true, false) => Subscription::To,
        (false, true) => Subscription::From,
        (false, false) => Subscription::None,
    }
}

fn with(own: Option<&RosterItem>, contact: &Contact, is_there: bool, removed: u64) -> RosterItem {
    let shown = contact.is_shown() && (!contact.only_online || is_there);
    let mut item = match own {
        Some(own) => own.clone(),
        None => RosterItem {
            in_roster: false,
            revision: removed,
            ..RosterItem::new(contact.jid.clone())
        },
    };
    item.subscription = together(item.subscription, contact.subscription());
    item.ask &= !sees(item.subscription);
    if is_told(item.subscription) {
        item.pending_in = None;
    }
    if shown {
        item.in_roster = true;
        item.name = item.name.or_else(|| contact.name.clone());
        for group in &contact.groups {
            if !item.groups.contains(group) {
                item.groups.push(group.clone());
            }
        }
    }
    item
}

/// A roster with what its owner is given. `there`: the resources that are there, by contact, of those that are shown only
/// while they are.
pub fn merged(
    own: &Arc<Roster>,
    part: &Part,
    there: Option<&BTreeMap<BareJid, BTreeSet<String>>>,
) -> Arc<Roster> {
    if part.contacts.is_empty() {
        return own.clone();
    }
    let is_there = |jid: &BareJid| there.is_some_and(|there| there.contains_key(jid));
    let mut items = Vec::with_capacity(own.items.len() + part.contacts.len());
    let mut theirs = part.contacts.iter().peekable();
    let removed = |contact: &Contact| {
        let mut removed = own.removed.iter();
        let known = removed.find(|(jid, _)| jid == contact.jid.as_str());
        known.map_or(0, |(_, revision)| *revision)
    };
    let given = |own: Option<&RosterItem>, contact: &Contact| {
        with(own, contact, is_there(&contact.jid), removed(contact))
    };
    for item in &own.items {
        while let Some(contact) = theirs.next_if(|contact| contact.jid < item.jid) {
            items.push(given(None, contact));
        }
        match theirs.next_if(|contact| contact.jid == item.jid) {
            Some(contact) => items.push(given(Some(item), contact)),
            None => items.push(item.clone()),
        }
    }
    items.extend(theirs.map(|contact| given(None, contact)));
    let mut roster = Roster {
        version: own.version,
        items,
        removed: own.removed.clone(),
        floor: own.floor,
        given: digest_with(part, there),
    };
    // Who was removed and is given all the same is there.
    let there = |jid: &str| {
        let at = roster
            .items
            .binary_search_by(|item| item.jid.as_str().cmp(jid));
        at.is_ok_and(|at| roster.items[at].in_roster)
    };
    let left = own.removed.iter().filter(|(jid, _)| !there(jid));
    roster.removed = left.cloned().collect();
    Arc::new(roster)
}

/// What is given is another thing with who is there.
fn digest_with(part: &Part, there: Option<&BTreeMap<BareJid, BTreeSet<String>>>) -> u64 {
    let shown = |jid: &&BareJid| part.get(jid).is_some_and(|given| given.only_online);
    let there = there.into_iter().flat_map(BTreeMap::keys).filter(shown);
    let names: Vec<_> = there.map(BareJid::as_str).collect();
    if names.is_empty() {
        return part.digest;
    }
    let text = format!("{:x} {}", part.digest, names.join(" "));
    let digest = digest(&SHA256, text.as_bytes());
    let first = digest.as_ref().first_chunk::<8>();
    u64::from_be_bytes(*first.expect("a digest has 32 bytes")).max(1)
}

/// What became of a contact in a roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub contact: BareJid,
    /// The client is told: it is shown, differs, or is shown no more.
    pub is_pushed: bool,
    /// Whether it saw the owner's presence, and whether it does.
    pub told: (bool, bool),
}

/// What differs between two rosters, by address.
pub fn changes(before: &Roster, after: &Roster) -> Vec<Change> {
    let mut all = Vec::new();
    let (mut old, mut new) = (
        before.items.iter().peekable(),
        after.items.iter().peekable(),
    );
    loop {
        let (one, other) = match (old.peek(), new.peek()) {
            (None, None) => return all,
            (Some(one), Some(other)) if one.jid == other.jid => (old.next(), new.next()),
            (Some(one), Some(other)) if one.jid > other.jid => (None, new.next()),
            (None, Some(_)) => (None, new.next()),
            (Some(_), _) => (old.next(), None),
        };
        let Some(contact) = one.or(other).map(|item| item.jid.clone()) else {
            return all;
        };
        let told = |item: Option<&RosterItem>| item.is_some_and(|it| is_told(it.subscription));
        let change = Change {
            contact,
            is_pushed: shown(one) != shown(other),
            told: (told(one), told(other)),
        };
        if change.is_pushed || change.told.0 != change.told.1 {
            all.push(change);
        }
    }
}

/// What a client sees of a contact.
type Shown<'a> = (Option<&'a str>, &'a [String], Subscription, bool, bool);

fn shown(item: Option<&RosterItem>) -> Option<Shown<'_>> {
    let item = item.filter(|item| item.in_roster)?;
    Some((
        item.name.as_deref(),
        &item.groups,
        item.subscription,
        item.ask,
        item.approved,
    ))
}

#[cfg(test)]
mod tests;
