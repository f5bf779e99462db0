//! Privacy rules: may these two exchange this stanza, and what is said if not.
//!
//! Source: XEP-0016 v1.7 §2 (lists), XEP-0191 v1.3 §3 and §5 (the block list as a view of the default list).
//! Why one evaluation: both protocols change the same lists (XEP-0191 §5), so there is one answer. A blocked address is
//! the rule "deny everything from and to it" at the head of the default list; other rules are no block.
//! Pure; the caller loads [`PrivacyData`] and, if a list asks for it, the roster item.

use std::collections::BTreeSet;

use storage::repository::{
    privacy::{PrivacyAction, PrivacyData, PrivacyItem, PrivacyMatch, StanzaKinds},
    roster::{RosterItem, Subscription},
};
use xmpp::{BareJid, Element, ErrorType, Jid, StanzaError, StanzaErrorCondition, ns};

/// The name of the default list that blocking makes where there is none.
pub const BLOCK_LIST: &str = "blocked";
/// How many rules a list may have.
pub const MAX_ITEMS: usize = 1_000;

/// Whether a stanza passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It does.
    Allow,
    /// It does not.
    Deny,
}

/// What passes, as privacy rules tell stanzas apart (XEP-0016 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Passing {
    /// A message comes in.
    Message,
    /// An IQ comes in.
    Iq,
    /// Presence without a type or of type `unavailable` comes in.
    PresenceIn,
    /// Presence without a type or of type `unavailable` goes out.
    PresenceOut,
    /// What only a rule about everything stops: subscription stanzas and probes either way, messages and IQs that go
    /// out (§2.13).
    Other,
}

impl Passing {
    fn kinds(self) -> StanzaKinds {
        match self {
            Self::Message => StanzaKinds::MESSAGE,
            Self::Iq => StanzaKinds::IQ,
            Self::PresenceIn => StanzaKinds::PRESENCE_IN,
            Self::PresenceOut => StanzaKinds::PRESENCE_OUT,
            Self::Other => StanzaKinds::ALL,
        }
    }
}

/// The list that holds for a session: its active list, else the default (XEP-0016 §2.2, 1 to 3); empty if there is
/// neither. `active` is `None` also where no session is meant.
pub fn list_for<'a>(data: &'a PrivacyData, active: Option<&str>) -> &'a [PrivacyItem] {
    let find = |name: &str| data.lists.get(name).map(Vec::as_slice);
    let default = || data.default.as_deref().and_then(find);
    active.and_then(find).or_else(default).unwrap_or_default()
}

/// Whether a list asks for the other side's roster item, which need not be loaded else.
pub fn needs_roster(list: &[PrivacyItem]) -> bool {
    list.iter().any(|item| {
        matches!(
            item.matches,
            PrivacyMatch::Group(_) | PrivacyMatch::Subscription(_)
        )
    })
}

/// Whether any list asks for roster items: each may be active in a session.
pub fn need_roster(data: &PrivacyData) -> bool {
    data.lists.values().any(|list| needs_roster(list))
}

/// Whether a stanza of `other` passes to `owner`, or one to `other` out: the first rule that matches decides, and if
/// none does, it passes (XEP-0016 §2.2, 5 to 7). `contact` is the other side's roster item, if it is in the roster.
pub fn evaluate(
    list: &[PrivacyItem],
    passing: Passing,
    owner: &BareJid,
    other: &Jid,
    contact: Option<&RosterItem>,
) -> Verdict {
    // XEP-0016 §2.1, XEP-0191 §5: resources of one account always reach each other.
    if list.is_empty() || other.bare_str() == owner.as_str() {
        return Verdict::Allow;
    }
    let decides = |item: &&PrivacyItem| {
        item.stanzas.contains(passing.kinds()) && matches(&item.matches, other, contact)
    };
    match list.iter().find(decides).map(|item| item.action) {
        Some(PrivacyAction::Deny) => Verdict::Deny,
        Some(PrivacyAction::Allow) | None => Verdict::Allow,
    }
}

fn matches(rule: &PrivacyMatch, other: &Jid, contact: Option<&RosterItem>) -> bool {
    match rule {
        PrivacyMatch::All => true,
        PrivacyMatch::Jid(jid) => matches_jid(jid, other),
        PrivacyMatch::Group(group) => contact.is_some_and(|item| item.groups.contains(group)),
        // XEP-0016 §2.1: somebody unknown counts as `none`.
        PrivacyMatch::Subscription(subscription) => {
            contact.map_or(Subscription::None, |item| item.subscription) == *subscription
        }
    }
}

/// `user@domain/resource` and `domain/resource` match themselves, `user@domain` each of its resources, `domain` all
/// that is there (XEP-0191 §6). The rule holds a normalised address.
pub fn matches_jid(rule: &str, other: &Jid) -> bool {
    rule == other.as_str() || rule == other.bare_str() || rule == other.domain()
}

/// The error for the owner's own stanza to somebody blocked (XEP-0191 §3.3).
pub fn outgoing_error() -> StanzaError {
    StanzaError::from(StanzaErrorCondition::NotAcceptable)
        .with_type(ErrorType::Cancel)
        .with_application(Element::new("blocked", ns::BLOCKING_ERRORS))
}

/// The addresses that are blocked (XEP-0191 §3.2), in the order of the default list.
pub fn blocked(data: &PrivacyData) -> impl Iterator<Item = &str> {
    list_for(data, None).iter().filter_map(as_block)
}

fn as_block(item: &PrivacyItem) -> Option<&str> {
    match &item.matches {
        PrivacyMatch::Jid(jid)
            if item.action == PrivacyAction::Deny && item.stanzas == StanzaKinds::ALL =>
        {
            Some(jid)
        }
        _ => None,
    }
}

/// The list would have more than [`MAX_ITEMS`] rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many privacy rules")]
pub struct TooMany;

/// Blocks addresses: puts them at the head of the default list, which is made if there is none (XEP-0191 §5). Returns
/// those that were not blocked before: they are sent `unavailable`.
///
/// # Errors
/// [`TooMany`]: nothing was changed.
pub fn block(data: &mut PrivacyData, jids: &[Jid]) -> Result<Vec<Jid>, TooMany> {
    let before: BTreeSet<&str> = blocked(data).collect();
    let mut seen = BTreeSet::new();
    let new: Vec<Jid> = jids
        .iter()
        .filter(|jid| !before.contains(jid.as_str()) && seen.insert(jid.as_str()))
        .cloned()
        .collect();
    if new.is_empty() {
        return Ok(new);
    }
    if list_for(data, None).len() + new.len() > MAX_ITEMS {
        return Err(TooMany);
    }
    let list = default_list(data);
    let rules = new.iter().map(|jid| PrivacyItem {
        order: 0,
        action: PrivacyAction::Deny,
        matches: PrivacyMatch::Jid(jid.as_str().into()),
        stanzas: StanzaKinds::ALL,
    });
    list.splice(..0, rules);
    for (order, item) in (1..).zip(list) {
        item.order = order;
    }
    Ok(new)
}

/// Blocks no longer: these addresses, or all if there are none (XEP-0191 §3.4, §3.5). Returns those that were blocked
/// before: they are sent the current presence, as far as they may see it.
pub fn unblock(data: &mut PrivacyData, jids: &[Jid]) -> Vec<String> {
    let mut gone = Vec::new();
    let Some(name) = data.default.clone() else {
        return gone;
    };
    let Some(list) = data.lists.get_mut(&name) else {
        return gone;
    };
    list.retain(|item| {
        let block = as_block(item);
        let hit =
            block.filter(|block| jids.is_empty() || jids.iter().any(|j| j.as_str() == *block));
        gone.extend(hit.map(String::from));
        hit.is_none()
    });
    // XEP-0016 §2.1: a list has at least one rule.
    if list.is_empty() {
        data.lists.remove(&name);
        data.default = None;
    }
    gone
}

fn default_list(data: &mut PrivacyData) -> &mut Vec<PrivacyItem> {
    let name = match &data.default {
        Some(name) => name.clone(),
        None => {
            // The user may have a list of that name that is not the default.
            let mut name = BLOCK_LIST.to_string();
            while data.lists.contains_key(&name) {
                name.push('+');
            }
            data.default = Some(name.clone());
            name
        }
    };
    data.lists.entry(name).or_default()
}

#[cfg(test)]
mod tests;
