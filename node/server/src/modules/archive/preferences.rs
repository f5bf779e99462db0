//! Archive preferences (XEP-0441): whose messages an account wants archived; pure.

use storage::repository::{ArchiveDefault, ArchivePreferences};
use xmpp::Jid;

/// Whether a message from or to `peer` is archived. `always` and `never` name bare addresses (which cover all their
/// resources) or full ones; `never` is asked first, so that a mistake keeps less, not more.
pub fn archives(preferences: &ArchivePreferences, peer: Option<&Jid>) -> bool {
    let Some(peer) = peer else { return true };
    let named = |list: &[String]| list.iter().any(|jid| jid == peer.bare_str() || jid == peer.as_str());
    if preferences.never.is_empty() && preferences.always.is_empty() && preferences.default == ArchiveDefault::Always {
        return true;
    }
    if named(&preferences.never) {
        return false;
    }
    if named(&preferences.always) {
        return true;
    }
    // TODO(#2): `roster` needs the roster; until the home passes it, it keeps more, not less.
    preferences.default != ArchiveDefault::Never
}
