//! Repositories: one contract per feature in the feature's words, written once over the shapes.
//!
//! A record in `core` is a version byte, a codec byte, a write id and CBOR with numeric keys (`record`); what is too
//! large for a record is a blob with a pointer (`value`). A log item has its own compact encoding (`log/codec`).

pub mod account;
pub mod archive_preferences;
pub mod by_domain;
pub mod certificate;
pub mod control;
pub mod log;
pub mod mailbox;
pub(crate) mod object;
pub mod operators;
pub mod pages;
pub(crate) mod paging;
pub mod privacy;
pub mod private_xml;
pub mod pubsub;
pub(crate) mod record;
pub mod room;
pub mod roster;
pub mod shared_groups;
pub(crate) mod value;
pub mod vcard;

pub use account::{
    Account, AccountCapabilities, AccountRepository, AgentTokens, Credentials, FastToken,
    PasswordVerdict, ScramHash, ScramHashes, ShadowedAccounts, StoredScram, TableAccounts,
};
pub use archive_preferences::{
    ArchiveDefault, ArchivePreferences, ArchivePreferencesRepository, TableArchivePreferences,
};
pub use by_domain::ByDomain;
pub use certificate::{
    BlobCertificates, CertificateName, CertificatePem, CertificateRepository, MAX_PEM,
};
pub use control::{ClusterSecret, ClusterSecrets, Control, FounderRow, NodeRow, Rotation};
pub use log::{
    EntryFlags, LogEntry, LogRange, LogRepository, NewEntry, Rewrite, TableLogs, Tip,
    compact::{Compacted, Compaction, Keeping},
    extent::Extent,
    retain::Retention,
};
pub use mailbox::{Mailbox, MailboxRepository, TableMailboxes};
pub use operators::{ApiToken, AuditEntry, AuditOutcome, Operators, TokenHash};
pub use pages::{DayState, MonthState, Pages, PagesState, PartState};
pub use privacy::{
    PrivacyAction, PrivacyData, PrivacyItem, PrivacyMatch, PrivacyRepository, StanzaKinds,
    TablePrivacy,
};
pub use private_xml::{PrivateXml, PrivateXmlLimits, PrivateXmlRepository, TablePrivateXml};
pub use pubsub::{
    PubsubAffiliation, PubsubChange, PubsubField, PubsubHead, PubsubItem, PubsubItemHead,
    PubsubNode, PubsubRepository, PubsubState, PubsubSubscription, TablePubsub,
};
pub use room::{
    Affiliation, GivenRole, ListFrom, ListedRoom, RoomConfig, RoomHat, RoomMember, RoomRecord,
    RoomRepository, RoomRoles, RoomSubject, RoomSubscription, StoredRoom, TableRooms, WhoMay,
};
pub use roster::{Roster, RosterItem, RosterRepository, Subscription, TableRosters};
pub use shared_groups::{
    GroupAudience, GroupMember, GroupMembers, SharedGroup, SharedGroupRepository,
};
pub use vcard::{TableVcards, Vcard, VcardField, VcardPage, VcardPhoto, VcardRepository};

#[cfg(test)]
mod tests;
