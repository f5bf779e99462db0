//! The section `storage`: which stores there are, and which of them keeps what.
//!
//! The section itself describes the main store; `[storage.stores.NAME]` describes others, which keep the features that
//! `[storage]` or, for one domain, `[storage.domains."DOMAIN"]` gives them. A key of another backend than the one that
//! was chosen is a mistake.

#[cfg_attr(not(feature = "external"), path = "storage/no_external.rs")]
mod external;
mod reading;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::Secret;

pub use external::External;
#[cfg(feature = "external")]
pub use external::{HttpsStore, LdapStore};
pub(super) use reading::{endpoint, filled, storage};

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The store of everything that no other is named for, and of the node itself.
    pub main: Store,
    /// Other stores, by name.
    pub others: BTreeMap<String, Store>,
    /// Features that others of them keep, for every domain.
    pub uses: Uses,
    /// The same for single domains, by domain.
    pub domains: BTreeMap<String, Uses>,
    /// The cache in front of the main store.
    pub memcached: Option<Memcached>,
}

/// Which store keeps a feature, by the store's name.
pub type Uses = BTreeMap<Feature, String>;

/// What may be kept apart from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Who there is, and how they prove it.
    Accounts,
    /// Contacts.
    Rosters,
    /// The log of each account: archive and offline messages, how far they were delivered, archive preferences.
    Messages,
    /// Privacy and block lists.
    Privacy,
    /// Private XML.
    PrivateXml,
    /// vCards.
    Vcards,
    /// Shared groups.
    Groups,
}

impl Feature {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Accounts,
        Self::Rosters,
        Self::Messages,
        Self::Privacy,
        Self::PrivateXml,
        Self::Vcards,
        Self::Groups,
    ];
    /// Its key in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Rosters => "rosters",
            Self::Messages => "messages",
            Self::Privacy => "privacy",
            Self::PrivateXml => "private_xml",
            Self::Vcards => "vcards",
            Self::Groups => "groups",
        }
    }
}

/// A store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// In memory: gone at the stop.
    Memory,
    /// In a directory of this machine.
    Embedded {
        /// Which.
        path: PathBuf,
        /// Whether every commit waits for the disk.
        sync: bool,
        /// Memory for what was read, in bytes.
        cache_bytes: u64,
    },
    /// In DynamoDB, large values in S3.
    DynamoDb(DynamoDbStore),
    /// In a database that speaks SQL.
    Sql(SqlStore),
    /// With another system, which keeps some features and no others.
    External(External),
}

impl Store {
    /// What it can keep.
    pub fn features(&self) -> &'static [Feature] {
        match self {
            Self::External(system) => system.features(),
            _ => &Feature::ALL,
        }
    }
}

/// A store in DynamoDB and S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamoDbStore {
    /// What the names of the tables begin with.
    pub table_prefix: String,
    /// Where and as whom.
    pub tables: Aws,
    /// The bucket of large values.
    pub objects: Bucket,
}

/// A store in a database that speaks SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlStore {
    /// Which.
    pub dialect: Dialect,
    /// Where and as whom. It may hold a password.
    pub url: Secret,
    /// Where reads go that may be a little behind.
    pub replica: Option<Secret>,
    /// Connections at most.
    pub connections: usize,
    /// What the names of the tables begin with.
    pub table_prefix: String,
}

/// A database that speaks SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    PostgreSql,
    /// MySQL and MariaDB.
    MySql,
    /// SQLite.
    Sqlite,
}

/// How a service of AWS is reached. What is not said is found as the SDK finds it: environment, profile, instance role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aws {
    /// The region.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
    /// A file of credentials, in the form of `~/.aws/credentials`.
    pub credentials: Option<PathBuf>,
    /// Another address than the service's.
    pub endpoint: Option<String>,
}

/// A bucket of S3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub aws: Aws,
    /// Whether its name stands in the path and not in the host.
    pub path_style: bool,
}

/// The servers of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memcached {
    /// `host:port` of each.
    pub servers: Vec<String>,
    /// `host:port` where ElastiCache tells which servers there are.
    pub configuration: Option<String>,
    /// What its keys begin with: clusters that share servers need different ones.
    pub namespace: String,
    /// How long a value may be read from it.
    pub lifetime: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl Storage {
    /// Everything in one store, without a cache.
    pub fn only(main: Store) -> Self {
        Self {
            main,
            others: BTreeMap::new(),
            uses: Uses::new(),
            domains: BTreeMap::new(),
            memcached: None,
        }
    }

    /// The name of the store that keeps a feature of a domain; `None`: the main store.
    pub fn kept_in(&self, feature: Feature, domain: &str) -> Option<&str> {
        let of_domain = self.domains.get(domain);
        let found = of_domain.and_then(|uses| uses.get(&feature));
        found
            .or_else(|| self.uses.get(&feature))
            .map(String::as_str)
    }

    /// The outside system that keeps a feature of a domain, with its name; `None`: a store does.
    pub fn kept_by(&self, feature: Feature, domain: &str) -> Option<(&str, &External)> {
        let name = self.kept_in(feature, domain)?;
        match self.others.get_key_value(name)? {
            (name, Store::External(system)) => Some((name, system)),
            _ => None,
        }
    }
}
