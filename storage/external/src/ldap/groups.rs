//! Shared groups of a directory (what ejabberd's `mod_shared_roster_ldap` reads).
//!
//! Which groups a user sees is the roster filter's word (`ldap_rfilter`; everybody sees all if it has no `%u`); who is in
//! a group and how it is called, the group filter's (`ldap_gfilter`); how people are called, the user filter's.
//! Cost: a search for the groups of an account; a search for a group; for its members one search for each fifty, two with
//! names from elsewhere. All of it is kept for a while (`ldap_*_cache_validity`).

mod options;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use ldap3::ldap_escape;
pub use options::{LdapGroupOptions, LdapMembers};
use storage::{
    Error, ErrorKind, Result,
    repository::{GroupAudience, GroupMember, GroupMembers, SharedGroup, SharedGroupRepository},
};
use xmpp::BareJid;

use super::{
    Ldap, address,
    directory::Search,
    entry::Entry,
    expiring::Expiring,
    template::{self, Pattern, Value, Values},
    users::Users,
};
use crate::{not_allowed, unavailable};

/// Groups of a directory.
const MAX_GROUPS: usize = 10_000;
/// Users whose names are looked for at once.
const AT_ONCE: usize = 50;

/// A group as it was found.
#[derive(Clone)]
struct Found {
    group: SharedGroup,
    members: Arc<[GroupMember]>,
}

/// The shared groups of a directory.
pub struct LdapGroups {
    ldap: Ldap,
    options: LdapGroupOptions,
    /// For members by their names.
    pattern: Option<Pattern>,
    /// By the user; `None` is everybody.
    shown: Expiring<Option<String>, Arc<[String]>>,
    groups: Expiring<String, Option<Found>>,
}

impl LdapGroups {
    /// Of this directory.
    ///
    /// # Errors
    /// `Unavailable`: an option cannot be (see [`LdapGroupOptions::mistakes`]).
    pub fn new(ldap: &Ldap, options: LdapGroupOptions) -> Result<Self> {
        if let Some(mistake) = options.mistakes().first() {
            return Err(unavailable(format!("{}: {}", mistake.option, mistake.what)));
        }
        let pattern = match &options.members {
            LdapMembers::Names(format) => Pattern::parse(format, &ldap.users.domain),
            LdapMembers::Entries(_) => None,
        };
        Ok(Self {
            ldap: ldap.clone(),
            pattern,
            shown: Expiring::new(options.cache),
            groups: Expiring::new(options.cache),
            options,
        })
    }

    fn values<'a>(&'a self, user: Value<'a>, group: Value<'a>) -> Values<'a> {
        Values {
            user,
            group,
            domain: Value::Text(&self.ldap.users.domain),
            ..Values::default()
        }
    }

    fn with_common(&self, filter: String) -> String {
        match &self.options.filter {
            None => filter,
            Some(common) => {
                let common = template::filter(common, &self.values(Value::Any, Value::Any));
                format!("(&{filter}{common})")
            }
        }
    }

    /// Ids of the groups that are shown, to one or to any.
    async fn find_shown(&self, user: Option<&str>) -> Result<Arc<[String]>> {
        let user = user.map_or(Value::Any, Value::Text);
        let values = self.values(user, Value::Any);
        let search = Search {
            entry: None,
            filter: template::filter(&self.options.roster_filter, &values),
            attributes: vec![self.options.group_id.clone()],
            limit: MAX_GROUPS,
        };
        let entries = self.ldap.directory.search(&search).await?;
        let ids = entries
            .iter()
            .filter_map(|it| it.text(&self.options.group_id));
        let mut ids: Vec<_> = ids
            .filter(|id| id.len() <= SharedGroup::MAX_ID)
            .map(str::to_owned)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.into())
    }

    async fn shown(&self, user: Option<String>) -> Result<Arc<[String]>> {
        // Who is not asked about is everybody.
        let user = user.filter(|_| template::has(&self.options.roster_filter, "%u"));
        let find = self.find_shown(user.as_deref());
        self.shown.get(user.clone(), find).await
    }

    async fn group(&self, domain: &str, id: &str) -> Result<Option<Found>> {
        if domain != self.ldap.users.domain || id.is_empty() || id.len() > SharedGroup::MAX_ID {
            return Ok(None);
        }
        self.groups.get(id.to_owned(), self.find_group(id)).await
    }

    async fn find_group(&self, id: &str) -> Result<Option<Found>> {
        let options = &self.options;
        let (is, member) = (&options.group_id, &options.member);
        let values = self.values(Value::Any, Value::Text(id));
        let filter = match &options.group_filter {
            Some(filter) => template::filter(filter, &values),
            None => format!("(&({member}=*)({is}={}))", ldap_escape(id)),
        };
        let mut attributes = vec![is.clone(), member.clone(), "description".into()];
        attributes.extend(options.group_name.clone());
        let search = Search {
            entry: None,
            filter: self.with_common(filter),
            attributes,
            limit: MAX_GROUPS,
        };
        let found = self.ldap.directory.search(&search).await?;
        // A directory compares loosely; an id is one byte by byte.
        let mut found = found
            .into_iter()
            .filter(|entry| entry.texts(is).any(|known| known == id))
            .peekable();
        let Some(first) = found.peek() else {
            return Ok(None);
        };
        let name = options.group_name.as_ref().and_then(|it| first.text(it));
        let group = SharedGroup {
            id: id.to_owned(),
            name: cut(name.unwrap_or(id)),
            description: first.text("description").map(cut),
            members: GroupMembers::Listed,
            audience: match template::has(&options.roster_filter, "%u") {
                true => GroupAudience::Decided,
                false => GroupAudience::Everyone,
            },
            includes: Vec::new(),
            version: 1,
        };
        let mut values = Vec::new();
        for entry in found {
            let entry = self.whole(entry).await?;
            values.extend(entry.texts(member).map(str::to_owned));
            if values.len() > SharedGroup::MAX_MEMBERS {
                let context = format!("the group {id:?} has more members than can be shown");
                return Err(Error::new(ErrorKind::TooLarge, context));
            }
        }
        values.sort_unstable();
        values.dedup();
        let members = self.find_members(&values).await?.into();
        Ok(Some(Found { group, members }))
    }

    /// An entry with all its members: some directories tell only the first ones.
    async fn whole(&self, mut entry: Entry) -> Result<Entry> {
        let member = &self.options.member;
        let mut next = entry.cut_at(member);
        entry = entry.with_part(member);
        while let Some(from) = next {
            let dn = entry.dn.clone();
            let search = Search {
                entry: Some(&dn),
                filter: "(objectClass=*)".into(),
                attributes: vec![format!("{member};range={from}-*")],
                limit: 1,
            };
            let part = self.ldap.directory.search(&search).await?;
            let Some(part) = part.into_iter().next() else {
                return Err(unavailable("a group vanished while it was read"));
            };
            next = part.cut_at(member).filter(|further| *further > from);
            entry.append(part.with_part(member));
        }
        Ok(entry)
    }

    async fn find_members(&self, values: &[String]) -> Result<Vec<GroupMember>> {
        match &self.options.members {
            LdapMembers::Entries(attribute) => {
                let by_entry = |value: &str| format!("({attribute}={})", ldap_escape(value));
                self.accounts_of(values, by_entry).await
            }
            LdapMembers::Names(_) => {
                let pattern = self.pattern.as_ref().expect("members by names have one");
                let names: Vec<_> = values.iter().filter_map(|it| pattern.user(it)).collect();
                self.named(&names).await
            }
        }
    }

    /// Members whose entries are those of accounts.
    async fn accounts_of(
        &self,
        values: &[String],
        filter_of: impl Fn(&str) -> String,
    ) -> Result<Vec<GroupMember>> {
        let name = self.options.user_name.as_str();
        let users = &self.ldap.users;
        let found = users.find_each(values, &[name], filter_of).await?;
        let members = found.into_values().map(|user| GroupMember {
            name: user.entry.text(name).map(cut),
            jid: user.account,
        });
        Ok(members.collect())
    }

    /// Members by the names that stand in a group.
    async fn named(&self, names: &[String]) -> Result<Vec<GroupMember>> {
        let told = self.told_of(names).await?;
        let mut members = BTreeMap::new();
        for name in names {
            let entry = told.get(&name.to_lowercase());
            let address = match &self.options.user_jid {
                Some(attribute) => entry
                    .and_then(|entry| entry.text(attribute))
                    .and_then(|text| BareJid::parse(text).ok()),
                None => address::account(name, &self.ldap.users.domain),
            };
            if let Some(jid) = address {
                let name = entry.and_then(|entry| entry.text(&self.options.user_name));
                let name = name.map(cut);
                members.insert(jid.clone(), GroupMember { jid, name });
            }
        }
        if self.options.auth_check {
            let users = &self.ldap.users;
            let ours = members.keys().filter(|jid| jid.domain() == users.domain);
            let names: Vec<_> = ours.filter_map(Users::name_of).collect();
            let filter_of = |name: &str| users.filter(Value::Text(name));
            let known = users.find_each(&names, &[], filter_of).await?;
            // Who is of another domain is its business.
            members.retain(|jid, _| jid.domain() != users.domain || known.contains_key(jid));
        }
        Ok(members.into_values().collect())
    }

    /// The entries of users by their names, in lowercase: for how they are called.
    async fn told_of(&self, names: &[String]) -> Result<BTreeMap<String, Entry>> {
        let options = &self.options;
        let mut found = BTreeMap::new();
        let by_id = format!("({}=%u)", options.user_id);
        let template = options.user_filter.as_ref().unwrap_or(&by_id);
        let mut attributes = vec![options.user_id.clone(), options.user_name.clone()];
        attributes.extend(options.user_jid.clone());
        for names in names.chunks(AT_ONCE) {
            let filters = names.iter().map(|name| {
                let values = self.values(Value::Text(name), Value::Any);
                template::filter(template, &values)
            });
            let any: String = filters.collect();
            let search = Search {
                entry: None,
                filter: self.with_common(format!("(|{any})")),
                attributes: attributes.clone(),
                limit: MAX_GROUPS,
            };
            for entry in self.ldap.directory.search(&search).await? {
                let ids = entry.texts(&options.user_id).map(str::to_lowercase);
                for id in ids.collect::<Vec<_>>() {
                    found.insert(id, entry.clone());
                }
            }
        }
        Ok(found)
    }
}

fn cut(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(SharedGroup::MAX_TEXT)];
    text.replace(char::is_control, " ").trim().to_owned()
}

fn read_only() -> Error {
    not_allowed("groups of this domain are kept in a directory")
}

fn page<T: Clone>(all: &[T], from: usize, limit: usize) -> Vec<T> {
    all[from..].iter().take(limit).cloned().collect()
}

#[async_trait]
impl SharedGroupRepository for LdapGroups {
    fn is_writable(&self, _: &str) -> bool {
        false
    }

    async fn list(&self, domain: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        if domain != self.ldap.users.domain {
            return Ok(Vec::new());
        }
        let all = self.shown(None).await?;
        let from = after.map_or(0, |after| all.partition_point(|id| id.as_str() <= after));
        Ok(page(&all, from, limit))
    }

    async fn load(&self, domain: &str, group: &str) -> Result<Option<SharedGroup>> {
        let found = self.group(domain, group).await?;
        Ok(found.map(|found| found.group))
    }

    async fn members(
        &self,
        domain: &str,
        group: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<GroupMember>> {
        let Some(found) = self.group(domain, group).await? else {
            return Ok(Vec::new());
        };
        let all = &found.members;
        let from = after.map_or(0, |after| all.partition_point(|it| it.jid <= *after));
        Ok(page(all, from, limit))
    }

    async fn shown_to(&self, account: &BareJid) -> Result<Vec<String>> {
        let user = Users::name_of(account).filter(|_| account.domain() == self.ldap.users.domain);
        let Some(user) = user else {
            return Ok(Vec::new());
        };
        let shown = self.shown(Some(user)).await?;
        if shown.len() > SharedGroup::MAX_SHOWN {
            let context = format!("{account} would see {} groups", shown.len());
            return Err(Error::new(ErrorKind::TooLarge, context));
        }
        Ok(shown.to_vec())
    }

    async fn put(&self, _: &str, _: &SharedGroup, _: u64) -> Result<u64> {
        Err(read_only())
    }

    async fn remove(&self, _: &str, _: &str) -> Result<()> {
        Err(read_only())
    }

    async fn put_members(&self, _: &str, _: &str, _: &[GroupMember]) -> Result<()> {
        Err(read_only())
    }

    async fn remove_members(&self, _: &str, _: &str, _: &[BareJid]) -> Result<()> {
        Err(read_only())
    }
}
