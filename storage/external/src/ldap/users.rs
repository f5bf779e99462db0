//! Users: which entry is an account's, and which accounts there are.
//!
//! Cost: one search for one user, and another with `ldap_dn_filter`; of many at once, one search for each fifty.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use storage::Result;
use tokio::sync::Mutex;
use xmpp::BareJid;

use super::{
    address,
    directory::{Directory, Search},
    entry::Entry,
    options::{LdapDnFilter, LdapOptions},
    template::{self, Pattern, Value, Values},
};
use crate::{corrupt, unavailable};

/// Entries that may be found by the name of one user, because a directory compares loosely.
const MAX_ALIKE: usize = 16;
/// Users that are looked for at once.
const AT_ONCE: usize = 50;
/// Users of a directory, for a list of them.
const MAX_LISTED: usize = 200_000;
/// For how long a list of all users is kept: a page after the other asks for it.
const LIST_KEPT: Duration = Duration::from_secs(30);

/// Attributes that say that somebody may not log in, of the directories that have any.
const LOCKS: [&str; 4] = [
    "userAccountControl",
    "accountExpires",
    "nsAccountLock",
    "pwdAccountLockedTime",
];

pub(super) struct Users {
    directory: Arc<Directory>,
    pub(super) domain: String,
    uids: Vec<(String, Pattern)>,
    filter: String,
    dn_filter: Option<LdapDnFilter>,
    listed: Mutex<Option<(Instant, Arc<[String]>)>>,
}

/// A user: the entry that is an account's.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) account: BareJid,
    /// The name by which it was found.
    pub(super) name: String,
    pub(super) entry: Entry,
}

impl Users {
    pub(super) fn new(
        directory: Arc<Directory>,
        options: &LdapOptions,
        domain: &str,
    ) -> Result<Self> {
        let uids = options.uids.iter().map(|(attribute, pattern)| {
            let wrong = || unavailable(format!("ldap_uids: {pattern:?} needs %u, once"));
            let pattern = Pattern::parse(pattern, domain).ok_or_else(wrong)?;
            Ok((attribute.clone(), pattern))
        });
        Ok(Self {
            directory,
            domain: domain.to_owned(),
            uids: uids.collect::<Result<_>>()?,
            filter: options.filter.clone().unwrap_or_default(),
            dn_filter: options.dn_filter.clone(),
            listed: Mutex::new(None),
        })
    }

    /// The filter for a user, or for all.
    pub(super) fn filter(&self, user: Value<'_>) -> String {
        let uids = self.uids.iter();
        let uids: String = uids
            .map(|(name, pattern)| pattern.filter(name, user))
            .collect();
        let values = Values {
            user,
            domain: Value::Text(&self.domain),
            ..Values::default()
        };
        let also = template::filter(&self.filter, &values);
        format!("(&(|{uids}){also})")
    }

    /// The attributes that every search for users needs.
    pub(super) fn attributes(&self, others: &[&str]) -> Vec<String> {
        let mut wanted: Vec<String> = self.uids.iter().map(|(name, _)| name.clone()).collect();
        if let Some(dn_filter) = &self.dn_filter {
            wanted.extend(dn_filter.attributes.iter().cloned());
        }
        wanted.extend(LOCKS.iter().chain(others).map(|it| (*it).to_owned()));
        wanted
    }

    /// The account that an entry is, and the name that makes it one.
    pub(super) fn user_of(&self, entry: Entry) -> Option<User> {
        let found = self.uids.iter().find_map(|(attribute, pattern)| {
            entry.texts(attribute).find_map(|value| {
                let name = pattern.user(value)?;
                Some((address::account(&name, &self.domain)?, name))
            })
        });
        found.map(|(account, name)| User {
            account,
            name,
            entry,
        })
    }

    /// Whether an entry is this account: by any of its names.
    fn is(&self, entry: &Entry, account: &BareJid) -> bool {
        self.uids.iter().any(|(attribute, pattern)| {
            entry.texts(attribute).any(|value| {
                let name = pattern.user(value);
                let of = name.and_then(|name| address::account(&name, &self.domain));
                of.as_ref() == Some(account)
            })
        })
    }

    /// The user of a localpart, as a directory would write it.
    pub(super) fn name_of(account: &BareJid) -> Option<String> {
        account.local().map(address::user)
    }

    /// The user who is this account, with these attributes.
    pub(super) async fn find(&self, account: &BareJid, others: &[&str]) -> Result<Option<User>> {
        let Some(name) = Self::name_of(account).filter(|_| account.domain() == self.domain) else {
            return Ok(None);
        };
        let search = Search {
            entry: None,
            filter: self.filter(Value::Text(&name)),
            attributes: self.attributes(others),
            limit: MAX_ALIKE,
        };
        let found = self.directory.search(&search).await?;
        let is_unnamed = |entry: &Entry| {
            let mut uids = self.uids.iter();
            uids.all(|(attribute, _)| entry.values(attribute).next().is_none())
        };
        if found.iter().any(is_unnamed) {
            let context = "the directory does not let us read the attributes of ldap_uids";
            return Err(unavailable(context));
        }
        let mut found = found.into_iter().filter(|entry| self.is(entry, account));
        let (entry, other) = (found.next(), found.next());
        match (entry, other) {
            (None, _) => Ok(None),
            (Some(entry), None) => {
                let user = User {
                    account: account.clone(),
                    name,
                    entry,
                };
                Ok(self.counts(&user).await?.then_some(user))
            }
            (Some(one), Some(other)) => Err(corrupt(format!(
                "two entries are {account}: {:?} and {:?}",
                one.dn, other.dn
            ))),
        }
    }

    /// Whether an entry counts by `ldap_dn_filter`.
    async fn counts(&self, user: &User) -> Result<bool> {
        let Some(dn_filter) = &self.dn_filter else {
            return Ok(true);
        };
        let attributes = dn_filter.attributes.iter();
        let attributes: Vec<_> = attributes
            .map(|name| user.entry.text(name).unwrap_or_default())
            .collect();
        let values = Values {
            user: Value::Text(&user.name),
            domain: Value::Text(&self.domain),
            dn: Value::Text(&user.entry.dn),
            attributes: &attributes,
            ..Values::default()
        };
        let search = Search {
            entry: None,
            filter: template::filter(&dn_filter.filter, &values),
            attributes: vec!["1.1".into()],
            limit: 10_000,
        };
        Ok(!self.directory.search(&search).await?.is_empty())
    }

    /// Those of these users who exist, by what `filter_of` makes of each, with these attributes.
    pub(super) async fn find_each(
        &self,
        wanted: &[String],
        others: &[&str],
        filter_of: impl Fn(&str) -> String,
    ) -> Result<BTreeMap<BareJid, User>> {
        let mut found = BTreeMap::new();
        for wanted in wanted.chunks(AT_ONCE) {
            let any: String = wanted.iter().map(|it| filter_of(it)).collect();
            let search = Search {
                entry: None,
                filter: format!("(&(|{any}){})", self.filter(Value::Any)),
                attributes: self.attributes(others),
                limit: AT_ONCE * MAX_ALIKE,
            };
            let entries = self.directory.search(&search).await?;
            for user in entries.into_iter().filter_map(|entry| self.user_of(entry)) {
                if self.dn_filter.is_none() || self.counts(&user).await? {
                    found.insert(user.account.clone(), user);
                }
            }
        }
        Ok(found)
    }

    /// The localparts of all users, in byte order; what was found half a minute ago may be told again.
    pub(super) async fn all(&self) -> Result<Arc<[String]>> {
        // Held over the search: others who want the list wait for it rather than ask as well.
        let mut listed = self.listed.lock().await;
        if let Some((at, known)) = &*listed
            && at.elapsed() < LIST_KEPT
        {
            return Ok(known.clone());
        }
        let search = Search {
            entry: None,
            filter: self.filter(Value::Any),
            attributes: self.attributes(&[]),
            limit: MAX_LISTED,
        };
        let mut names = Vec::new();
        for entry in self.directory.search(&search).await? {
            let Some(user) = self.user_of(entry) else {
                continue;
            };
            if self.counts(&user).await? {
                names.extend(user.account.local().map(str::to_owned));
            }
        }
        names.sort_unstable();
        names.dedup();
        let names: Arc<[String]> = names.into();
        *listed = Some((Instant::now(), names.clone()));
        Ok(names)
    }
}

/// Between 1601 (what Active Directory counts from) and 1970, in seconds.
const EPOCHS: u64 = 11_644_473_600;

/// Whether somebody may not log in. Active Directory: `userAccountControl` has ACCOUNTDISABLE, or `accountExpires` is
/// over; 389 Directory Server: `nsAccountLock`; OpenLDAP's policies: locked by an administrator.
pub(super) fn is_locked(entry: &Entry, now: Duration) -> bool {
    const ACCOUNT_DISABLE: u64 = 2;
    let number = |name| entry.text(name).and_then(|text| text.parse::<u64>().ok());
    let disabled = number("userAccountControl").is_some_and(|it| it & ACCOUNT_DISABLE != 0);
    // In tenths of a microsecond; 0 and the highest are never.
    let expired = number("accountExpires").is_some_and(|it| {
        let ends = (it / 10_000_000).saturating_sub(EPOCHS);
        it != 0 && it < i64::MAX.unsigned_abs() && ends <= now.as_secs()
    });
    let text = |name, locked: &str| {
        entry
            .text(name)
            .is_some_and(|it| it.eq_ignore_ascii_case(locked))
    };
    disabled
        || expired
        || text("nsAccountLock", "true")
        || text("pwdAccountLockedTime", "000001010000Z")
}
