//! Shared groups: contacts that an organisation gives to its people, which they did not ask for and cannot remove.
//!
//! | file | what |
//! |---|---|
//! | here | the contract |
//! | `table` | the implementation over a table |
//!
//! Source: no XEP; XEP-0144 and XEP-0321 ask clients instead. What others call a shared roster group.
//! A group has an id, a name under which contacts are shown, members, groups whose members are its own as well, and an
//! audience: the groups whose members see it.
//! What an account sees is `shown_to`; what it shows is `members` of each. Nothing of it is stored in anybody's roster:
//! who is asked for a roster merges both.
//! Stored (by an implementation over a table): `core` `G#domain` / group, one record a group; its members beside it, one
//! row each. A directory keeps them as it likes.
//! Bounds: pages by their `limit`; ids and names below. What passes a bound is `TooLarge` when it is written, and an error
//! rather than a part when it is read: half a group would be taken for the whole.

mod table;

use async_trait::async_trait;
use minicbor::{Decode, Encode};
use xmpp::BareJid;

pub use table::TableSharedGroups;

use crate::error::Result;

/// Who belongs to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum GroupMembers {
    /// Those that [`SharedGroupRepository::members`] lists.
    #[default]
    #[n(0)]
    Listed,
    /// Every account of the domain, and those that are listed.
    #[n(1)]
    Everyone,
    /// The same; of every account only who is there is shown.
    #[n(2)]
    Online,
}

/// Who sees a group's members.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum GroupAudience {
    /// Every account of the domain.
    #[n(0)]
    Everyone,
    /// The members of these groups of the domain, by their ids, sorted; its own id among them if they see one another.
    /// At most [`SharedGroup::MAX_AUDIENCE`].
    #[n(1)]
    Groups(#[n(0)] Vec<String>),
    /// Those whom [`SharedGroupRepository::shown_to`] shows it: decided there for each account, and not known the other way.
    #[n(2)]
    Decided,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct SharedGroup {
    /// Names it within its domain; never changes. At most [`SharedGroup::MAX_ID`] bytes, compared byte by byte.
    #[n(0)]
    pub id: String,
    /// The roster group under which its members are shown; two groups may share one.
    #[n(1)]
    pub name: String,
    /// For administrators.
    #[n(2)]
    pub description: Option<String>,
    /// Who belongs to it.
    #[n(3)]
    pub members: GroupMembers,
    /// Who sees them.
    #[n(4)]
    pub audience: GroupAudience,
    /// Groups of the domain whose members belong to it as well, sorted; at most [`SharedGroup::MAX_INCLUDED`]. One that is
    /// not there has no members.
    #[n(5)]
    pub includes: Vec<String>,
    /// The version that changes must name, of it and of its members; 0: nothing stored yet.
    #[cbor(skip)]
    pub version: u64,
}

impl SharedGroup {
    /// Longest id in bytes.
    pub const MAX_ID: usize = 256;
    /// Longest name or description in bytes.
    pub const MAX_TEXT: usize = 1024;
    /// Groups that one may include.
    pub const MAX_INCLUDED: usize = 256;
    /// Groups of a domain.
    pub const MAX_GROUPS: usize = 1_000;
    /// Longest address of a listed member, in bytes.
    pub const MAX_ADDRESS: usize = 512;
    /// Groups that one may be shown to.
    pub const MAX_AUDIENCE: usize = 256;
    /// Groups that one account may be shown.
    pub const MAX_SHOWN: usize = 256;
    /// Listed members of one group.
    pub const MAX_MEMBERS: usize = 20_000;

    /// Of nobody, for nobody but its members.
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            name: id.clone(),
            audience: GroupAudience::Groups(vec![id.clone()]),
            id,
            description: None,
            members: GroupMembers::Listed,
            includes: Vec::new(),
            version: 0,
        }
    }
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct GroupMember {
    /// The member; of any domain.
    #[cbor(n(0), with = "crate::repository::record::jid")]
    pub jid: BareJid,
    /// How it is shown, if the group says so; else by its address.
    #[n(1)]
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
    /// All of them, in that order. One query.
    ///
    /// # Errors
    /// `TooLarge`: more than [`SharedGroup::MAX_GROUPS`].
    async fn all(&self, domain: &str) -> Result<Vec<SharedGroup>> {
        let ids = self.list(domain, None, SharedGroup::MAX_GROUPS + 1).await?;
        if ids.len() > SharedGroup::MAX_GROUPS {
            return Err(too_many(domain));
        }
        let mut groups = Vec::with_capacity(ids.len());
        for id in ids {
            groups.extend(self.load(domain, &id).await?);
        }
        Ok(groups)
    }
    /// A group. One get.
    async fn load(&self, domain: &str, group: &str) -> Result<Option<SharedGroup>>;
    /// Listed members of a group in the order of their addresses, beyond `after`; fewer than `limit` only at the end. None
    /// of a group that does not exist. One query a page.
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
    /// An account is gone: it is listed in no group of its domain any more, so that who gets its name inherits nothing. Where
    /// groups cannot be changed nothing happens. One query, a get for each group.
    async fn leave(&self, _account: &BareJid) -> Result<()> {
        Ok(())
    }
}

fn too_many(domain: &str) -> crate::error::Error {
    let most = SharedGroup::MAX_GROUPS;
    let context = format!("{domain} has more than {most} shared groups");
    crate::error::Error::new(crate::error::ErrorKind::TooLarge, context)
}
