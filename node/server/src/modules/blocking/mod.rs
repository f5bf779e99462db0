//! Blocking and privacy lists (XEP-0191, XEP-0016): one list, two views.

pub mod rules;

use storage::repository::{PrivacyData, Roster};
use xmpp::{BareJid, Jid};

pub use rules::Passing;

/// Whether the owner's lists stop what passes between it and somebody else.
pub fn denies(lists: &PrivacyData, passing: Passing, owner: &BareJid, other: &Jid, roster: Option<&Roster>) -> bool {
    let list = rules::list_for(lists, None);
    if list.is_empty() {
        return false;
    }
    let contact = roster.and_then(|roster| roster.get(&other.to_bare()));
    rules::evaluate(list, passing, owner, other, contact) == rules::Verdict::Deny
}
