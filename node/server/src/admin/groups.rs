//! Administration of shared groups: made, changed, removed, looked at, wherever they are kept. What another system keeps is
//! looked at only.
//!
//! Who is given other contacts by a change is told before the change is answered, at this node; at the others in their time.

use serde::{Deserialize, Serialize};
use storage::{
    Error, ErrorKind,
    repository::{GroupAudience, GroupMember, GroupMembers, SharedGroup, SharedGroupRepository},
};

use xmpp::BareJid;

use super::{Administrator, Response, Why, address, invalid, refused};

/// Attempts of a change against others.
const MAX_ATTEMPTS: usize = 8;

/// What becomes of a group; `None`: that stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupChange {
    /// Under what its members are shown.
    pub name: Option<String>,
    /// For administrators; empty: none.
    pub description: Option<String>,
    /// Who belongs to it besides those that are listed.
    pub members: Option<Members>,
    /// Groups whose members belong to it.
    pub includes: Option<Vec<String>>,
    /// Groups that see it; `everyone`: all do.
    pub shown_to: Option<ShownTo>,
}

/// Who belongs to a group besides those that are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// Nobody.
    Listed,
    /// Every account of the domain.
    Everyone,
    /// Every account while it is there.
    Online,
}

/// Who sees a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownTo {
    /// Every account of the domain.
    Everyone,
    /// Members of these groups.
    Groups(Vec<String>),
    /// Whom a directory shows it.
    Decided,
}

/// A group as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Under what its members are shown.
    pub name: String,
    /// For administrators.
    pub description: Option<String>,
    /// Who belongs to it besides those that are listed.
    pub members: Members,
    /// Groups whose members belong to it.
    pub includes: Vec<String>,
    /// Who sees it.
    pub shown_to: ShownTo,
    /// Who is listed, with names; empty in a list of groups.
    pub listed: Vec<(String, Option<String>)>,
}

impl Group {
    fn of(group: SharedGroup, listed: Vec<GroupMember>) -> Self {
        let member = |it: GroupMember| (it.jid.as_str().to_owned(), it.name);
        Self {
            id: group.id,
            name: group.name,
            description: group.description,
            members: match group.members {
                GroupMembers::Listed => Members::Listed,
                GroupMembers::Everyone => Members::Everyone,
                GroupMembers::Online => Members::Online,
            },
            includes: group.includes,
            shown_to: match group.audience {
                GroupAudience::Everyone => ShownTo::Everyone,
                GroupAudience::Groups(ids) => ShownTo::Groups(ids),
                GroupAudience::Decided => ShownTo::Decided,
            },
            listed: listed.into_iter().map(member).collect(),
        }
    }
}

fn apply(change: &GroupChange, group: &mut SharedGroup) {
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    if let Some(name) = &change.name {
        group.name.clone_from(name);
    }
    if let Some(description) = &change.description {
        group.description = Some(description.clone()).filter(|it| !it.is_empty());
    }
    if let Some(members) = change.members {
        group.members = match members {
            Members::Listed => GroupMembers::Listed,
            Members::Everyone => GroupMembers::Everyone,
            Members::Online => GroupMembers::Online,
        };
    }
    if let Some(includes) = &change.includes {
        group.includes = sorted(includes);
    }
    match &change.shown_to {
        Some(ShownTo::Everyone) => group.audience = GroupAudience::Everyone,
        Some(ShownTo::Groups(ids)) => group.audience = GroupAudience::Groups(sorted(ids)),
        Some(ShownTo::Decided) | None => {}
    }
}

/// What clients show in one line.
///
/// # Errors
/// `Invalid`: it has control characters (RFC 6121 §2.1.2.2: a group is a name), or is nothing.
fn check_line(field: &str, text: &str) -> Result<(), Response> {
    if text.chars().any(char::is_control) || text.trim().is_empty() {
        let reason = "it is a line of text, without control characters";
        return Err(invalid(field, reason));
    }
    Ok(())
}

fn told(error: Error, domain: &str) -> Response {
    match error.kind() {
        ErrorKind::TooLarge => refused(Why::Invalid, error.to_string()),
        ErrorKind::NotAllowed => refused(
            Why::Elsewhere,
            format!(
                "another system has the groups of {domain}: make, change and remove them there"
            ),
        ),
        ErrorKind::Conflict => refused(Why::Busy, "the group is being changed by others"),
        _ => error.into(),
    }
}

fn check(change: &GroupChange) -> Result<(), Response> {
    match &change.name {
        Some(name) => check_line("name", name),
        None => Ok(()),
    }
}

fn absent(id: &str) -> Response {
    refused(Why::Absent, format!("there is no group \"{id}\""))
}

impl Administrator {
    /// All of a domain, without their members.
    pub(super) async fn groups(&self, domain: &str) -> Result<Response, Response> {
        let groups = self.groups_of(domain)?;
        let all = groups.all(domain).await;
        let all = all.map_err(|error| told(error, domain))?;
        let group = |group| Group::of(group, Vec::new());
        Ok(Response::Groups(all.into_iter().map(group).collect()))
    }

    /// One, with its members.
    pub(super) async fn show_group(&self, domain: &str, id: &str) -> Result<Response, Response> {
        let groups = self.groups_of(domain)?;
        let found = self.found(domain, id).await?;
        let most = SharedGroup::MAX_MEMBERS;
        let listed = groups.members(domain, id, None, most).await;
        let listed = listed.map_err(|error| told(error, domain))?;
        Ok(Response::Groups(vec![Group::of(found, listed)]))
    }

    pub(super) async fn create_group(
        &self,
        domain: &str,
        id: String,
        change: &GroupChange,
    ) -> Result<Response, Response> {
        let groups = self.groups_of(domain)?;
        check_line("group", &id)?;
        check(change)?;
        let mut group = SharedGroup::new(id);
        apply(change, &mut group);
        match groups.put(domain, &group, 0).await {
            Ok(_) => Ok(self.changed(domain).await),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                let reason = format!("the group \"{}\" exists already", group.id);
                Err(refused(Why::Exists, reason))
            }
            Err(error) => Err(told(error, domain)),
        }
    }

    pub(super) async fn change_group(
        &self,
        domain: &str,
        id: &str,
        change: &GroupChange,
    ) -> Result<Response, Response> {
        let groups = self.groups_of(domain)?;
        check(change)?;
        for _ in 0..MAX_ATTEMPTS {
            let mut group = self.found(domain, id).await?;
            apply(change, &mut group);
            match groups.put(domain, &group, group.version).await {
                Ok(_) => return Ok(self.changed(domain).await),
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(told(error, domain)),
            }
        }
        Err(refused(Why::Busy, "the group is being changed by others"))
    }

    pub(super) async fn remove_group(&self, domain: &str, id: &str) -> Result<Response, Response> {
        let groups = self.groups_of(domain)?;
        // Else a name that is wrong would be told as done.
        self.found(domain, id).await?;
        let removed = groups.remove(domain, id).await;
        removed.map_err(|error| told(error, domain))?;
        Ok(self.changed(domain).await)
    }

    pub(super) async fn add_members(
        &self,
        domain: &str,
        id: &str,
        members: Vec<(String, Option<String>)>,
    ) -> Result<Response, Response> {
        let groups = self.groups_of(domain)?;
        let mut all = Vec::with_capacity(members.len());
        for (jid, name) in members {
            let jid = address("members", &jid)?;
            if let Some(name) = &name {
                check_line("name", name)?;
            }
            self.is_known(&jid).await?;
            all.push(GroupMember { jid, name });
        }
        if let Err(error) = groups.put_members(domain, id, &all).await {
            if error.kind() == ErrorKind::Conflict {
                // There is none, or others change it.
                self.found(domain, id).await?;
            }
            return Err(told(error, domain));
        }
        Ok(self.changed(domain).await)
    }

    pub(super) async fn take_out(
        &self,
        domain: &str,
        id: &str,
        members: &[String],
    ) -> Result<Response, Response> {
        let groups = self.groups_of(domain)?;
        let members = members.iter().map(|jid| address("members", jid));
        let members: Vec<_> = members.collect::<Result<_, _>>()?;
        self.found(domain, id).await?;
        let removed = groups.remove_members(domain, id, &members).await;
        removed.map_err(|error| told(error, domain))?;
        Ok(self.changed(domain).await)
    }

    /// An account of a domain that is served here is there; of others nobody knows.
    async fn is_known(&self, account: &BareJid) -> Result<(), Response> {
        let is_ours = self.domains.iter().any(|it| it == account.domain());
        match !is_ours || self.accounts.stores.accounts.load(account).await?.is_some() {
            true => Ok(()),
            false => Err(super::absent(account)),
        }
    }

    /// Where groups are kept, if the domain is served here.
    fn groups_of(&self, domain: &str) -> Result<&dyn SharedGroupRepository, Response> {
        self.served("domain", domain)?;
        Ok(&*self.accounts.stores.groups)
    }

    async fn found(&self, domain: &str, id: &str) -> Result<SharedGroup, Response> {
        let found = self.accounts.stores.groups.load(domain, id).await;
        let found = found.map_err(|error| told(error, domain))?;
        found.ok_or_else(|| absent(id))
    }

    /// Tells who is given other contacts now.
    async fn changed(&self, domain: &str) -> Response {
        if let Some(live) = &self.live {
            live.context().groups_changed(domain).await;
        }
        Response::Done
    }
}
