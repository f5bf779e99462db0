//! Presence: who sees whom (RFC 6121 §4).

use std::sync::Arc;

use xmpp::{BareJid, Jid, StanzaError};

use super::roster::{rosters::item, subscription::Standing};
use crate::routing::Router;

/// Whether `other` sees the presence of the account's resource: by a subscription, or because it is the same account.
/// TODO(#2): directed presence is known to the session only.
///
/// # Errors
/// The store did not answer.
pub async fn sees_presence(
    router: &Arc<Router>, account: &BareJid, _resource: &Jid, other: &Jid,
) -> Result<bool, StanzaError> {
    if other.bare_str() == account.as_str() {
        return Ok(true);
    }
    // The server itself asks: a ping.
    if other.local().is_none() && router.serves(other.domain()) {
        return Ok(true);
    }
    let roster = router.rosters.load(account).await?;
    Ok(item(&roster, other.bare_str()).is_some_and(|item| Standing::from(item).state.is_seen()))
}
