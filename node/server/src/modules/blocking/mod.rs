//! Blocking and privacy lists (XEP-0191, XEP-0016): one list, two views.
//!
//! | file | concern |
//! |---|---|
//! | [`rules`] | may these two exchange this stanza; pure |
//! | [`active`] | the active list of each session |
//! | [`lists`] | loads and changes the lists; what contacts see of it |
//! | [`block`] | the blocking command |
//! | [`privacy`], [`privacy_xml`] | privacy lists |
//!
//! Stored: one record an account (`storage::repository::privacy`), changed by compare-and-set.

pub mod active;
pub mod block;
pub mod lists;
pub mod privacy;
pub mod privacy_xml;
pub mod rules;
#[cfg(test)]
mod tests;

use storage::repository::{PrivacyData, Roster};
use xmpp::{BareJid, Jid};

pub use active::ActiveLists;
pub use block::Blocking;
pub use lists::Lists;
pub use privacy::PrivacyLists;
pub use rules::Passing;

/// Whether the owner's lists stop what passes between it and somebody else, no session being meant.
pub fn denies(
    lists: &PrivacyData,
    passing: Passing,
    owner: &BareJid,
    other: &Jid,
    roster: Option<&Roster>,
) -> bool {
    denies_for(lists, None, passing, owner, other, roster)
}

/// The same for a session: the list that is active there counts instead of the default (XEP-0016 §2.2, 1).
pub fn denies_for(
    lists: &PrivacyData,
    active: Option<&str>,
    passing: Passing,
    owner: &BareJid,
    other: &Jid,
    roster: Option<&Roster>,
) -> bool {
    let list = rules::list_for(lists, active);
    if list.is_empty() {
        return false;
    }
    let contact = roster.and_then(|roster| roster.get(&other.to_bare()));
    rules::evaluate(list, passing, owner, other, contact) == rules::Verdict::Deny
}
