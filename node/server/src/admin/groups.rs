//! Administration of shared groups: made, changed, removed, looked at, wherever they are kept. What another system keeps is
//! looked at only.
//!
//! Who is given other contacts by a change is told before the change is answered, at this node; at the others in their time.

use serde::{Deserialize, Serialize};
use storage::{
    Error, ErrorKind,
    repository::{GroupAudience, GroupMember, GroupMembers, SharedGroup},
};
use xmpp::BareJid;

use super::{Administrator, Response, Why, refused};

/// Attempts of a change against others.
const MAX_ATTEMPTS: usize = 8;

/// What is asked of groups of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupAct {
    /// All of them, without their members.
    List,
    /// One, with its members.
    Show(String),
    /// One is made.
    Create(String, GroupChange),
    /// One becomes another.
    Change(String, GroupChange),
    /// One is removed.
    Remove(String),
    /// Members are added, or called something else: their addresses and names.
    Add(String, Vec<(String, Option<String>)>),
    /// Members are taken out.
    TakeOut(String, Vec<String>),
}

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

impl Administrator {
    /// Does what is asked of groups.
    pub(super) async fn group(&self, domain: &str, act: GroupAct) -> Result<Response, Response> {
        if !self.domains.iter().any(|served| served == domain) {
            let served = self.domains.join(", ");
            let reason = format!("{domain} is not served here; served: {served}");
            return Err(refused(Why::Invalid, reason));
        }
        let groups = &self.accounts.stores.groups;
        let absent = |id: &str| refused(Why::Absent, format!("there is no group \"{id}\""));
        let failed = |error| told(error, domain);
        match act {
            GroupAct::List => {
                let all = groups.all(domain).await.map_err(failed)?;
                let group = |group| Group::of(group, Vec::new());
                return Ok(Response::Groups(all.into_iter().map(group).collect()));
            }
            GroupAct::Show(id) => {
                let found = groups.load(domain, &id).await.map_err(failed)?;
                let found = found.ok_or_else(|| absent(&id))?;
                let most = SharedGroup::MAX_MEMBERS;
                let listed = groups.members(domain, &id, None, most).await;
                let listed = listed.map_err(failed)?;
                return Ok(Response::Groups(vec![Group::of(found, listed)]));
            }
            GroupAct::Create(id, change) => {
                let mut group = SharedGroup::new(id);
                apply(&change, &mut group);
                match groups.put(domain, &group, 0).await {
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        let reason = format!("the group \"{}\" exists already", group.id);
                        return Err(refused(Why::Exists, reason));
                    }
                    put => put.map_err(failed)?,
                };
            }
            GroupAct::Change(id, change) => {
                self.change_group(domain, &id, &change).await?;
            }
            GroupAct::Remove(id) => {
                // Else a name that is wrong would be told as done.
                let found = groups.load(domain, &id).await.map_err(failed)?;
                found.ok_or_else(|| absent(&id))?;
                groups.remove(domain, &id).await.map_err(failed)?;
            }
            GroupAct::Add(id, members) => {
                let mut all = Vec::with_capacity(members.len());
                for (jid, name) in members {
                    let jid = address(&jid)?;
                    all.push(GroupMember { jid, name });
                }
                match groups.put_members(domain, &id, &all).await {
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        let found = groups.load(domain, &id).await.map_err(failed)?;
                        found.ok_or_else(|| absent(&id))?;
                        return Err(failed(error));
                    }
                    put => put.map_err(failed)?,
                }
            }
            GroupAct::TakeOut(id, members) => {
                let members = members.iter().map(|jid| address(jid));
                let members: Vec<_> = members.collect::<Result<_, _>>()?;
                let found = groups.load(domain, &id).await.map_err(failed)?;
                found.ok_or_else(|| absent(&id))?;
                let removed = groups.remove_members(domain, &id, &members).await;
                removed.map_err(failed)?;
            }
        }
        if let Some(live) = &self.live {
            live.context().groups_changed(domain).await;
        }
        Ok(Response::Done)
    }

    async fn change_group(
        &self,
        domain: &str,
        id: &str,
        change: &GroupChange,
    ) -> Result<(), Response> {
        let groups = &self.accounts.stores.groups;
        let failed = |error| told(error, domain);
        for _ in 0..MAX_ATTEMPTS {
            let found = groups.load(domain, id).await.map_err(failed)?;
            let Some(mut group) = found else {
                return Err(refused(Why::Absent, format!("there is no group \"{id}\"")));
            };
            apply(change, &mut group);
            match groups.put(domain, &group, group.version).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                put => return put.map(drop).map_err(failed),
            }
        }
        Err(refused(Why::Busy, "the group is being changed by others"))
    }
}

fn address(text: &str) -> Result<BareJid, Response> {
    let wrong = |error| refused(Why::Invalid, format!("\"{text}\" is no address: {error}"));
    let jid = BareJid::parse(text).map_err(wrong)?;
    match jid.local() {
        Some(_) => Ok(jid),
        None => {
            let reason = format!("\"{text}\" has no name before the @");
            Err(refused(Why::Invalid, reason))
        }
    }
}
