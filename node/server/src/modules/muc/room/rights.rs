//! Who may give whom which role and which affiliation (XEP-0045 §5.1.3, §5.2.2, §8, §9, §10).

use storage::repository::Affiliation;
use xmpp::{StanzaError, StanzaErrorCondition as Condition};

use super::{occupants::Occupant, role::Role};

/// §8.2 to §9.7: who may give whom which role.
pub(super) fn may_change_role(
    own: Affiliation,
    target: &Occupant,
    role: Role,
    is_own: bool,
) -> Result<(), StanzaError> {
    let by_admin = own >= Affiliation::Admin;
    let is_admin = target.affiliation >= Affiliation::Admin;
    let allowed = match role {
        Role::None if is_own => return Err(Condition::Conflict.into()),
        Role::None => target.affiliation <= own && (by_admin || target.role != Role::Moderator),
        Role::Moderator if !by_admin => return Err(Condition::Forbidden.into()),
        Role::Moderator => true,
        _ if target.role == role => true,
        _ if is_admin => false,
        _ if target.role == Role::Moderator => by_admin,
        Role::Participant => true,
        // §8.4: never at or above one's own level.
        Role::Visitor => target.affiliation == Affiliation::None || target.affiliation < own,
    };
    match allowed {
        true => Ok(()),
        false => Err(Condition::NotAllowed.into()),
    }
}

/// §9, §10.3 to §10.8: who may give whom which affiliation.
pub(super) fn may_change_affiliation(
    own: Affiliation,
    was: Affiliation,
    now: Affiliation,
    is_own: bool,
) -> Result<(), StanzaError> {
    let condition =
        if own < Affiliation::Admin || (now >= Affiliation::Admin && own < Affiliation::Owner) {
            Condition::Forbidden
        } else if is_own && now == Affiliation::Outcast {
            Condition::Conflict
        } else if own < Affiliation::Owner && was >= Affiliation::Admin && !(is_own && now < was) {
            // An admin may step down and touch no other.
            Condition::NotAllowed
        } else {
            return Ok(());
        };
    Err(condition.into())
}
