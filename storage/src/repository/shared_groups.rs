//! Shared groups: contacts that an organisation gives to its people, which they did not ask for and cannot remove.
//!
//! Source: no XEP; XEP-0144 and XEP-0321 ask clients instead. What others call a shared roster group.
//! A group has an id, a name under which contacts are shown, members, and an audience: the groups whose members see it.
//! What an account sees is `shown_to`; what it shows is `members` of each. Nothing of it is stored in anybody's roster:
//! who is asked for a roster merges both.
//! Stored (by an implementation over a table): `core` `G#domain` / group, one record a group; its members beside it, one
//! row each. A directory keeps them as it likes.
//! Bounds: pages by their `limit`; ids and names below. What passes a bound is `TooLarge` when it is written, and an error
//! rather than a part when it is read: half a group would be taken for the whole.

use async_trait::async_trait;
use xmpp::BareJid;

use crate::error::Result;

/// Who belongs to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GroupMembers {
    /// Those that [`SharedGroupRepository::members`] lists.
    #[default]
    Listed,
    /// Every account of the domain; none is listed.
    Everyone,
}

/// Who sees a group's members.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupAudience {
    /// Every account of the domain.
    Everyone,
    /// The members of these groups of the domain, by their ids, sorted; its own id among them if they see one another.
    /// At most [`SharedGroup::MAX_AUDIENCE`].
    Groups(Vec<String>),
    /// Those whom [`SharedGroupRepository::shown_to`] shows it: decided there for each account, and not known the other way.
    Decided,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SharedGroup {
    /// Names it within its domain; never changes. At most [`SharedGroup::MAX_ID`] bytes, compared byte by byte.
    pub id: String,
    /// The roster group under which its members are shown; two groups may share one.
    pub name: String,
    /// For administrators.
    pub description: Option<String>,
    /// Who belongs to it.
    pub members: GroupMembers,
    /// Who sees them.
    pub audience: GroupAudience,
    /// The version that changes must name; 0: nothing stored yet.
    pub version: u64,
}

impl SharedGroup {
    /// Longest id in bytes.
    pub const MAX_ID: usize = 256;
    /// Longest name or description in bytes.
    pub const MAX_TEXT: usize = 1024;
    /// Groups that one may be shown to.
    pub const MAX_AUDIENCE: usize = 256;
    /// Groups that one account may be shown.
    pub const MAX_SHOWN: usize = 256;
    /// Listed members of one group.
    pub const MAX_MEMBERS: usize = 20_000;
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupMember {
    /// The member; of any domain.
    pub jid: BareJid,
    /// How it is shown, if the group says so; else by its address.
    pub name: Option<String>,
}

/// The contract. Domain first, then the group. Reads may be as old as the implementation says, and never mix the group
/// of one time with another's: what a failing system cannot tell is an error, not an empty group, or contacts would
/// vanish from rosters while it is down.
#[async_trait]
pub trait SharedGroupRepository: Send + Sync + 'static {
    /// Whether groups of a domain can be changed; else every change answers `NotAllowed`. Costs nothing.
    fn is_writable(&self, _domain: &str) -> bool {
        true
    }
    /// Ids of a domain's groups in byte order, beyond `after`; fewer than `limit` only at the end. One query a page.
    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>>;
    /// A group. One get.
    async fn load(&self, domain: &str, group: &str) -> Result<Option<SharedGroup>>;
    /// Listed members of a group in the order of their addresses, beyond `after`; fewer than `limit` only at the end. None
    /// of a group that does not exist, and none of one that has `Everyone`. One query a page.
    ///
    /// # Errors
    /// `TooLarge`: it has more than [`SharedGroup::MAX_MEMBERS`].
    async fn members(
        &self,
        domain: &str,
        group: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<GroupMember>>;
    /// Ids of the groups of its domain whose members an account sees, in byte order. One query.
    ///
    /// # Errors
    /// `TooLarge`: more than [`SharedGroup::MAX_SHOWN`].
    async fn shown_to(&self, account: &BareJid) -> Result<Vec<String>>;
    /// Stores a group, without its members (`group.version` is ignored); returns the new version. One conditional write.
    ///
    /// # Errors
    /// `Conflict` if the version is not `seen` (0: there was none). `TooLarge` beyond a bound. `NotAllowed`: cannot be
    /// changed here.
    async fn put(&self, domain: &str, group: &SharedGroup, seen: u64) -> Result<u64>;
    /// Removes a group with its members; absent is fine.
    ///
    /// # Errors
    /// `NotAllowed`: cannot be changed here.
    async fn remove(&self, domain: &str, group: &str) -> Result<()>;
    /// Adds members or gives them other names. One conditional write for each hundred.
    ///
    /// # Errors
    /// `Conflict` if there is no such group. `TooLarge` beyond [`SharedGroup::MAX_MEMBERS`]. `NotAllowed`: cannot be changed
    /// here.
    async fn put_members(&self, domain: &str, group: &str, members: &[GroupMember]) -> Result<()>;
    /// Removes members; absent is fine.
    ///
    /// # Errors
    /// `NotAllowed`: cannot be changed here.
    async fn remove_members(&self, domain: &str, group: &str, members: &[BareJid]) -> Result<()>;
}
