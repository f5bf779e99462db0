//! Archive preferences (XEP-0441): whose messages an account wants archived; pure.

use std::sync::Arc;

use storage::repository::{ArchiveDefault, ArchivePreferences, Roster};
use xmpp::Jid;

/// Whether a message from or to `peer` is archived; everything is, for an account that said nothing. `always` and
/// `never` name bare addresses (which cover all their resources) or full ones; `never` is asked first, so that a
/// mistake keeps less, not more. `roster` is asked only if it matters; unknown, it keeps.
pub fn archives(
    preferences: &Option<Arc<ArchivePreferences>>,
    peer: Option<&Jid>,
    roster: impl FnOnce() -> Option<Arc<Roster>>,
) -> bool {
    let (Some(preferences), Some(peer)) = (preferences, peer) else {
        return true;
    };
    let named = |list: &[String]| {
        list.iter()
            .any(|jid| jid == peer.bare_str() || jid == peer.as_str())
    };
    if named(&preferences.never) {
        return false;
    }
    if named(&preferences.always) {
        return true;
    }
    match preferences.default {
        ArchiveDefault::Always => true,
        ArchiveDefault::Never => false,
        ArchiveDefault::Roster => roster().is_none_or(|roster| {
            roster
                .get(&peer.to_bare())
                .is_some_and(|item| item.in_roster)
        }),
    }
}
