//! Roles and affiliations: their words, their order, which role follows from which affiliation.
//!
//! Source: XEP-0045 §5.

use storage::repository::{Affiliation, RoomRoles};

/// What an occupant may do while present (§5.1). In order of what that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Not in the room.
    None,
    /// In a moderated room: without voice.
    Visitor,
    /// With voice.
    Participant,
    /// Manages others.
    Moderator,
}

impl Role {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Visitor => "visitor",
            Self::Participant => "participant",
            Self::Moderator => "moderator",
        }
    }

    /// From an attribute.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::None,
            Self::Visitor,
            Self::Participant,
            Self::Moderator,
        ]
        .into_iter()
        .find(|role| role.as_str() == text)
    }

    /// As a member of a set.
    pub fn as_set(self) -> RoomRoles {
        match self {
            Self::None => RoomRoles::NONE,
            Self::Visitor => RoomRoles::VISITOR,
            Self::Participant => RoomRoles::PARTICIPANT,
            Self::Moderator => RoomRoles::MODERATOR,
        }
    }

    /// From a set that it is alone in.
    pub fn from_set(set: RoomRoles) -> Option<Self> {
        [Self::Visitor, Self::Participant, Self::Moderator]
            .into_iter()
            .find(|role| role.as_set() == set)
    }

    /// The role of who enters (§5.1.2).
    pub fn on_entering(affiliation: Affiliation, moderated: bool) -> Self {
        match affiliation {
            Affiliation::Outcast => Self::None,
            Affiliation::None if moderated => Self::Visitor,
            Affiliation::None | Affiliation::Member => Self::Participant,
            Affiliation::Admin | Affiliation::Owner => Self::Moderator,
        }
    }

    /// The role of an occupant whose affiliation changes (§5.1.3): what is gained is fixed; who loses an affiliation that
    /// made it a moderator is as if it had just entered.
    #[must_use]
    pub fn after(self, before: Affiliation, now: Affiliation, moderated: bool) -> Self {
        let entering = Self::on_entering(now, moderated);
        match now {
            _ if now > before => self.max(entering),
            _ if before >= Affiliation::Admin => entering,
            // Voice that came with being a member goes with it.
            Affiliation::None if moderated && self == Self::Participant => entering,
            _ => self,
        }
    }
}

/// An affiliation as it is written.
pub fn affiliation_str(affiliation: Affiliation) -> &'static str {
    match affiliation {
        Affiliation::Outcast => "outcast",
        Affiliation::None => "none",
        Affiliation::Member => "member",
        Affiliation::Admin => "admin",
        Affiliation::Owner => "owner",
    }
}

/// An affiliation from an attribute.
pub fn parse_affiliation(text: &str) -> Option<Affiliation> {
    use Affiliation::{Admin, Member, None, Outcast, Owner};
    [Outcast, None, Member, Admin, Owner]
        .into_iter()
        .find(|affiliation| affiliation_str(*affiliation) == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Affiliation::{Admin, Member, None as Nothing, Outcast, Owner};
    use Role::{Moderator, None as Absent, Participant, Visitor};

    #[test]
    fn roles_of_who_enters() {
        // §5.1.2, the table.
        for (affiliation, moderated, open) in [
            (Outcast, Absent, Absent),
            (Nothing, Visitor, Participant),
            (Member, Participant, Participant),
            (Admin, Moderator, Moderator),
            (Owner, Moderator, Moderator),
        ] {
            assert_eq!(Role::on_entering(affiliation, true), moderated);
            assert_eq!(Role::on_entering(affiliation, false), open);
        }
    }

    #[test]
    fn roles_follow_affiliations() {
        let check = |role: Role, before, now, moderated, expected| {
            assert_eq!(
                role.after(before, now, moderated),
                expected,
                "{role:?} {before:?} {now:?}"
            );
        };
        check(Visitor, Nothing, Member, true, Participant);
        check(Participant, Nothing, Admin, false, Moderator);
        check(Moderator, Nothing, Member, false, Moderator);
        check(Moderator, Owner, Admin, false, Moderator);
        check(Moderator, Admin, Member, false, Participant);
        check(Moderator, Admin, Nothing, true, Visitor);
        check(Participant, Member, Nothing, true, Visitor);
        check(Participant, Member, Nothing, false, Participant);
        check(Moderator, Member, Nothing, true, Moderator);
        check(Visitor, Member, Nothing, false, Visitor);
        check(Participant, Member, Outcast, false, Participant);
    }

    #[test]
    fn words_read_back() {
        for role in [Absent, Visitor, Participant, Moderator] {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            let of_set = Some(role).filter(|it| *it != Absent);
            assert_eq!(Role::from_set(role.as_set()), of_set);
        }
        for affiliation in [Outcast, Nothing, Member, Admin, Owner] {
            assert_eq!(
                parse_affiliation(affiliation_str(affiliation)),
                Some(affiliation)
            );
        }
        assert_eq!((Role::parse(""), parse_affiliation("Owner")), (None, None));
    }
}
