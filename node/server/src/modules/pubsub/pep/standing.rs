//! Standing: what somebody is to an account, by its roster.
//!
//! Source: XEP-0060 §4.5, §9.1.

use storage::repository::{RosterItem, Subscription};
use xmpp::{BareJid, Jid, StanzaError};

use super::Pep;
use crate::modules::{pubsub::rules::Standing, roster::rosters::item};

impl Pep {
    /// What an address is to an account.
    ///
    /// # Errors
    /// The store did not answer.
    pub(super) async fn standing(
        &self,
        account: &BareJid,
        other: &Jid,
    ) -> Result<Standing, StanzaError> {
        if other.bare_str() == account.as_str() {
            return Ok(Standing {
                sees_presence: true,
                ..Standing::default()
            });
        }
        let roster = self.rosters.load(account).await?;
        Ok(item(&roster, other.bare_str()).map_or_else(Standing::default, of))
    }
}

/// What a contact is to the account in whose roster it is.
pub(super) fn of(item: &RosterItem) -> Standing {
    let sees = matches!(item.subscription, Subscription::From | Subscription::Both);
    Standing {
        administers: false,
        sees_presence: sees,
        groups: item.groups.clone(),
    }
}
