//! Shared groups over a table.
//!
//! A group and its members have one version: whatever changes a member writes the group's record in the same batch, so who
//! reads both and finds the version twice has them of one time.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use xmpp::BareJid;

use super::{
    GroupAudience, GroupMember, GroupMembers, SharedGroup, SharedGroupRepository, too_many,
};
use crate::{
    error::{Error, ErrorKind, Result},
    key,
    repository::{
        paging,
        record::{self, Records, repeat_on_conflict},
    },
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};

/// Members that are written at once.
const AT_ONCE: usize = 90;
/// How often a change begins again when another was faster.
const MAX_ATTEMPTS: usize = 16;

/// The implementation over a table.
pub struct TableSharedGroups {
    records: Records,
}

fn too_large(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::TooLarge, what.into())
}

fn in_domain(domain: &str, sort: Bytes) -> Key {
    Key {
        space: Space::Core,
        partition: key::groups(domain),
        sort,
    }
}

fn beginning_with(domain: &str, prefix: &[u8]) -> Query {
    Query {
        space: Space::Core,
        partition: key::groups(domain),
        from: Some(Bytes::copy_from_slice(prefix)),
        until: key::prefix_end(prefix),
        reverse: false,
        limit: 1,
        consistency: Consistency::Strong,
    }
}

fn check(group: &SharedGroup) -> Result<()> {
    let texts = [Some(&group.name), group.description.as_ref()];
    let audience = match &group.audience {
        GroupAudience::Groups(groups) => groups.as_slice(),
        GroupAudience::Everyone | GroupAudience::Decided => &[],
    };
    let mut ids = std::iter::once(&group.id)
        .chain(audience)
        .chain(&group.includes);
    if ids.any(|id| id.is_empty() || id.len() > SharedGroup::MAX_ID) {
        let most = SharedGroup::MAX_ID;
        return Err(too_large(format!("an id of a group has 1 to {most} bytes")));
    }
    let mut texts = texts.into_iter().flatten();
    if texts.any(|text| text.len() > SharedGroup::MAX_TEXT) {
        let most = SharedGroup::MAX_TEXT;
        let what = format!("a name or description of a group has at most {most} bytes");
        return Err(too_large(what));
    }
    if audience.len() > SharedGroup::MAX_AUDIENCE {
        let most = SharedGroup::MAX_AUDIENCE;
        return Err(too_large(format!(
            "a group is shown to at most {most} others"
        )));
    }
    if group.includes.len() > SharedGroup::MAX_INCLUDED {
        let most = SharedGroup::MAX_INCLUDED;
        return Err(too_large(format!("a group includes at most {most} others")));
    }
    Ok(())
}

impl TableSharedGroups {
    /// Groups in this table.
    pub fn new(table: Arc<dyn Table>) -> Self {
        Self {
            records: Records { table },
        }
    }

    async fn found(&self, domain: &str, id: &str) -> Result<Option<SharedGroup>> {
        let key = in_domain(domain, key::group(id));
        let found = self.records.load::<SharedGroup>(&key).await?;
        Ok(found.map(|(group, version)| SharedGroup { version, ..group }))
    }

    /// Changes members, so many at once; the version goes on with each batch.
    async fn change<T: Sync>(
        &self,
        domain: &str,
        id: &str,
        all: &[T],
        operation: impl Fn(Batch, &[u8], &T) -> Result<Batch> + Sync,
    ) -> Result<()> {
        let prefix = key::group_members(id);
        for some in all.chunks(AT_ONCE) {
            repeat_on_conflict(MAX_ATTEMPTS, || async {
                let Some(group) = self.found(domain, id).await? else {
                    let context = format!("there is no group {id:?}");
                    return Err(Error::new(ErrorKind::Conflict, context));
                };
                let batch = some
                    .iter()
                    .try_fold(Batch::new(), |batch, it| operation(batch, &prefix, it))?;
                let key = in_domain(domain, key::group(id));
                let stored = self.records.store_with(key, &group, group.version, batch);
                stored.await.map(drop)
            })
            .await?;
        }
        Ok(())
    }

    async fn is_member(&self, domain: &str, group: &str, account: &BareJid) -> Result<bool> {
        let sort = key::group_member(&key::group_members(group), account);
        let key = in_domain(domain, sort);
        let found = self.records.table.get(&key, Consistency::Strong).await?;
        Ok(found.is_some())
    }
}

#[async_trait]
impl SharedGroupRepository for TableSharedGroups {
    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let mut query = beginning_with(domain, key::GROUPS);
        if let Some(after) = after {
            query.from = Some(key::successor(&key::group(after)));
        }
        let found = paging::collect(&*self.records.table, query, limit).await?;
        let id = |record| record::decode::<SharedGroup>(record).map(|group| group.id);
        found.iter().map(id).collect()
    }

    async fn all(&self, domain: &str) -> Result<Vec<SharedGroup>> {
        let query = beginning_with(domain, key::GROUPS);
        let most = SharedGroup::MAX_GROUPS + 1;
        let found = paging::collect(&*self.records.table, query, most).await?;
        if found.len() == most {
            return Err(too_many(domain));
        }
        let group = |record: &crate::shape::Record| {
            let group = record::decode::<SharedGroup>(record)?;
            let version = record.version;
            Ok(SharedGroup { version, ..group })
        };
        found.iter().map(group).collect()
    }

    async fn load(&self, domain: &str, group: &str) -> Result<Option<SharedGroup>> {
        self.found(domain, group).await
    }

    async fn members(
        &self,
        domain: &str,
        group: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<GroupMember>> {
        let prefix = key::group_members(group);
        let mut query = beginning_with(domain, &prefix);
        if let Some(after) = after {
            query.from = Some(key::successor(&key::group_member(&prefix, after)));
        }
        let found = paging::collect(&*self.records.table, query, limit).await?;
        found.iter().map(record::decode).collect()
    }

    async fn shown_to(&self, account: &BareJid) -> Result<Vec<String>> {
        let domain = account.domain();
        let groups = self.all(domain).await?;
        // Those that it is in: by itself, or by a group that is included.
        let mut of = BTreeSet::new();
        for group in &groups {
            let whole = group.members != GroupMembers::Listed;
            if whole || self.is_member(domain, &group.id, account).await? {
                of.insert(group.id.as_str());
            }
        }
        loop {
            let known = of.len();
            let includes = |group: &&SharedGroup| {
                let mut included = group.includes.iter();
                included.any(|id| of.contains(id.as_str()))
            };
            let more: Vec<_> = groups.iter().filter(includes).collect();
            of.extend(more.into_iter().map(|group| group.id.as_str()));
            if of.len() == known {
                break;
            }
        }
        let is_shown = |group: &&SharedGroup| match &group.audience {
            GroupAudience::Everyone => true,
            GroupAudience::Groups(ids) => ids.iter().any(|id| of.contains(id.as_str())),
            GroupAudience::Decided => false,
        };
        let shown: Vec<_> = groups.iter().filter(is_shown).collect();
        if shown.len() > SharedGroup::MAX_SHOWN {
            let context = format!("{account} would see {} groups", shown.len());
            return Err(too_large(context));
        }
        Ok(shown.into_iter().map(|group| group.id.clone()).collect())
    }

    async fn put(&self, domain: &str, group: &SharedGroup, seen: u64) -> Result<u64> {
        check(group)?;
        if seen == 0 {
            let most = SharedGroup::MAX_GROUPS;
            if self.list(domain, None, most).await?.len() >= most {
                let context = format!("{domain} has {most} groups already, and may not have more");
                return Err(too_large(context));
            }
        }
        let key = in_domain(domain, key::group(&group.id));
        self.records.store(key, group, seen).await
    }

    async fn remove(&self, domain: &str, group: &str) -> Result<()> {
        repeat_on_conflict(MAX_ATTEMPTS, || async {
            loop {
                let members = self.members(domain, group, None, AT_ONCE).await?;
                let Some(found) = self.found(domain, group).await? else {
                    return Ok(());
                };
                if members.is_empty() {
                    let key = in_domain(domain, key::group(group));
                    let batch = Batch::new().delete(key, Condition::Version(found.version));
                    return self.records.table.write(batch).await;
                }
                let gone: Vec<_> = members.into_iter().map(|member| member.jid).collect();
                self.remove_members(domain, group, &gone).await?;
            }
        })
        .await
    }

    async fn put_members(&self, domain: &str, group: &str, members: &[GroupMember]) -> Result<()> {
        for GroupMember { jid, name } in members {
            let name = name.as_ref().map_or(0, String::len);
            if jid.as_str().len() > SharedGroup::MAX_ADDRESS || name > SharedGroup::MAX_TEXT {
                let context = format!("{jid} or its name is too long for a group");
                return Err(too_large(context));
            }
        }
        let most = SharedGroup::MAX_MEMBERS;
        let known = self.members(domain, group, None, most).await?;
        let mut all: BTreeSet<_> = known.iter().map(|member| &member.jid).collect();
        all.extend(members.iter().map(|member| &member.jid));
        if all.len() > most {
            let context = format!("a group has at most {most} listed members");
            return Err(too_large(context));
        }
        // Once each, or a batch would name a key twice; the last one counts.
        let mut seen = BTreeSet::new();
        let last = members.iter().rev();
        let members: Vec<_> = last.filter(|member| seen.insert(&member.jid)).collect();
        self.change(domain, group, &members, |batch, prefix, member| {
            let key = in_domain(domain, key::group_member(prefix, &member.jid));
            let value = record::seal(&record::to_cbor(*member), record::fresh_id())?;
            Ok(batch.put(key, value, Condition::Any))
        })
        .await
    }

    async fn remove_members(&self, domain: &str, group: &str, members: &[BareJid]) -> Result<()> {
        let members: Vec<_> = members
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let changed = self.change(domain, group, &members, |batch, prefix, member| {
            let key = in_domain(domain, key::group_member(prefix, member));
            Ok(batch.delete(key, Condition::Any))
        });
        match changed.await {
            // There is no such group, so nobody is in it.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                match self.found(domain, group).await? {
                    None => Ok(()),
                    Some(_) => Err(error),
                }
            }
            changed => changed,
        }
    }

    async fn leave(&self, account: &BareJid) -> Result<()> {
        let domain = account.domain();
        for group in self.all(domain).await? {
            if self.is_member(domain, &group.id, account).await? {
                let gone = std::slice::from_ref(account);
                self.remove_members(domain, &group.id, gone).await?;
            }
        }
        Ok(())
    }
}
