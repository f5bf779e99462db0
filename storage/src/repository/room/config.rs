//! The configuration of a room (XEP-0045 §10.2, the registry in §15.5.3).

use minicbor::{Decode, Encode};

/// A set of roles that occupants may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct RoomRoles(#[n(0)] u8);

impl RoomRoles {
    /// None.
    pub const NONE: Self = Self(0);
    /// Visitors.
    pub const VISITOR: Self = Self(1);
    /// Participants.
    pub const PARTICIPANT: Self = Self(1 << 1);
    /// Moderators.
    pub const MODERATOR: Self = Self(1 << 2);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// From which role on something is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum WhoMay {
    /// Everybody in the room.
    #[n(0)]
    Anyone,
    /// Those with voice.
    #[n(1)]
    Participants,
    /// Moderators.
    #[n(2)]
    Moderators,
    /// Nobody.
    #[n(3)]
    Nobody,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RoomConfig {
    /// `roomname`
    #[n(0)]
    pub name: String,
    /// `roomdesc`
    #[n(1)]
    pub description: String,
    /// `lang`
    #[n(2)]
    pub lang: String,
    /// `persistentroom`: it stays when the last one leaves.
    #[n(3)]
    pub persistent: bool,
    /// `publicroom`: it is listed.
    #[n(4)]
    pub public: bool,
    /// `membersonly`
    #[n(5)]
    pub members_only: bool,
    /// `moderatedroom`
    #[n(6)]
    pub moderated: bool,
    /// `roomsecret`; `None`: none is asked for.
    #[n(7)]
    pub password: Option<String>,
    /// `whois`: everybody sees real addresses, not only moderators.
    #[n(8)]
    pub non_anonymous: bool,
    /// `changesubject`: participants may change the subject.
    #[n(9)]
    pub change_subject: bool,
    /// `allowinvites`: whoever is in a members-only room may bring others.
    #[n(10)]
    pub allow_invites: bool,
    /// `allowpm`
    #[n(11)]
    pub allow_pm: WhoMay,
    /// `maxusers`; 0: as many as the service allows.
    #[n(12)]
    pub max_users: u32,
    /// `presencebroadcast`: whose presence others are shown.
    #[n(13)]
    pub broadcast: RoomRoles,
    /// `getmemberlist`: who may see the lists of those affiliated.
    #[n(14)]
    pub member_list: RoomRoles,
    /// `enablelogging`: what is said is published.
    #[n(15)]
    pub logged: bool,
    /// `enablearchiving`: what is said is kept (XEP-0313).
    #[n(16)]
    pub archived: bool,
    /// `maxhistoryfetch`: messages that who enters is shown.
    #[n(17)]
    pub history: u32,
    /// `allowregister`: whoever likes to may become a member of an open room.
    #[n(18)]
    pub allow_register: bool,
    /// `allowvoicerequests`
    #[n(19)]
    pub allow_voice_requests: bool,
    /// `allow_subscription`: one may get what is said without being in the room (MUC/Sub).
    #[cbor(n(20), default)]
    pub allow_subscription: bool,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            lang: String::new(),
            persistent: false,
            public: true,
            members_only: false,
            moderated: false,
            password: None,
            non_anonymous: false,
            change_subject: false,
            allow_invites: false,
            allow_pm: WhoMay::Anyone,
            max_users: 0,
            broadcast: RoomRoles::ALL,
            member_list: RoomRoles::MODERATOR,
            logged: false,
            archived: true,
            history: 25,
            allow_register: true,
            allow_voice_requests: true,
            allow_subscription: false,
        }
    }
}
