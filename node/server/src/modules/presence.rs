//! Presence: who sees whom (RFC 6121 §4).

use std::sync::Arc;

use xmpp::{BareJid, Jid, StanzaError};

use super::roster::{rosters::item, subscription::Standing};
use crate::routing::Router;

/// Whether `other` sees the presence of the account's resource: by a subscription, by
/// directed presence, or because it is the same account.
///
/// # Errors
/// The store did not answer.
pub async fn sees_presence(
    router: &Arc<Router>,
    account: &BareJid,
    resource: &Jid,
    other: &Jid,
) -> Result<bool, StanzaError> {
    if other.bare_str() == account.as_str() {
        return Ok(true);
    }
    // The server itself asks: a ping.
    if other.local().is_none() && router.serves(other.domain()) {
        return Ok(true);
    }
    let entries = router.entries(account.as_str());
    let entry = entries
        .iter()
        .find(|entry| Some(&*entry.resource) == resource.resource());
    let directed = entry
        .and_then(|entry| router.sessions.get(entry.session.number))
        .is_some_and(|handle| handle.directed.lock().reaches(other));
    if directed {
        return Ok(true);
    }
    let roster = router.rosters.load(account).await?;
    Ok(item(&roster, other.bare_str()).is_some_and(|item| Standing::from(item).state.is_seen()))
}
