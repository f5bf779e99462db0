//! How the section `storage` is read: which keys each backend has, and what their values may be.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, time::Duration};

use super::{
    super::{
        Config, Secret,
        meaning::path,
        raw::Node,
        reader::{Section, Wrong, boolean, choice, duration, number, size, text},
    },
    Aws, Bucket, Dialect, DynamoDbStore, Feature, Memcached, SqlStore, Storage, Store, Uses,
    external,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backend {
    Memory,
    Embedded,
    DynamoDb,
    Sql(Dialect),
    External(external::Kind),
}

const BACKENDS: &[(&str, Backend)] = &[
    ("embedded", Backend::Embedded),
    ("memory", Backend::Memory),
    ("dynamodb", Backend::DynamoDb),
    ("postgresql", Backend::Sql(Dialect::PostgreSql)),
    ("mysql", Backend::Sql(Dialect::MySql)),
    ("sqlite", Backend::Sql(Dialect::Sqlite)),
    ("ldap", Backend::External(external::Kind::Ldap)),
    ("https", Backend::External(external::Kind::Https)),
];

/// Keys that only some backends have, with one that has it.
const KEYS: [(&str, &str); 15] = [
    ("path", "embedded"),
    ("sync", "embedded"),
    ("cache", "embedded"),
    ("region", "dynamodb"),
    ("profile", "dynamodb"),
    ("credentials", "dynamodb"),
    ("endpoint", "dynamodb"),
    ("bucket", "dynamodb"),
    ("bucket_endpoint", "dynamodb"),
    ("bucket_credentials", "dynamodb"),
    ("path_style", "dynamodb"),
    ("url", "postgresql"),
    ("replica", "postgresql"),
    ("connections", "postgresql"),
    ("table_prefix", "dynamodb"),
];

/// The same of systems that are no main store.
const EXTERNAL_KEYS: [(&str, &str); 39] = [
    ("servers", "ldap"),
    ("backups", "ldap"),
    ("port", "ldap"),
    ("encrypt", "ldap"),
    ("ca_file", "ldap"),
    ("verify", "ldap"),
    ("certificate", "ldap"),
    ("key", "ldap"),
    ("root_dn", "ldap"),
    ("password", "ldap"),
    ("base", "ldap"),
    ("uids", "ldap"),
    ("filter", "ldap"),
    ("dn_filter", "ldap"),
    ("deref", "ldap"),
    ("connect_timeout", "ldap"),
    ("vcard_map", "ldap"),
    ("search_fields", "ldap"),
    ("rfilter", "ldap"),
    ("gfilter", "ldap"),
    ("ufilter", "ldap"),
    ("group_filter", "ldap"),
    ("groupattr", "ldap"),
    ("groupdesc", "ldap"),
    ("memberattr", "ldap"),
    ("memberattr_format", "ldap"),
    ("memberattr_dn", "ldap"),
    ("userdesc", "ldap"),
    ("useruid", "ldap"),
    ("userjidattr", "ldap"),
    ("auth_check", "ldap"),
    ("group_cache_validity", "ldap"),
    ("timeout", "ldap"),
    ("token", "https"),
    ("deadline", "https"),
    ("attempts", "https"),
    ("max_answer", "https"),
    ("scram", "https"),
    ("rosters_writable", "https"),
];

/// Reads the section.
pub(in crate::config) fn storage(mut section: Section<'_>, config: &mut Config) {
    let mut others = BTreeMap::new();
    for (name, mut named) in section.named("stores") {
        if name == "main" {
            let wrong = Wrong::new(
                "this is the store of [storage] itself",
                "choose another name",
            );
            named.mistake(None, "", wrong);
        }
        let store = store(&mut named, config.data.join(&name), false);
        named.finish();
        others.insert(name, store);
    }
    let general = uses(&mut section, &others);
    let mut domains = BTreeMap::new();
    for (domain, mut named) in section.named("domains") {
        if !config.domains.contains(&domain) {
            let wrong = format!("{domain} is not served here");
            named.mistake(None, "", Wrong::new(wrong, "name one of `domains`"));
        }
        domains.insert(domain, uses(&mut named, &others));
        named.finish();
    }
    for (name, store) in &others {
        let names = |uses: &Uses| uses.get(&Feature::Groups) == Some(name);
        let is_used = names(&general) || domains.values().any(names);
        if is_used
            && let Store::External(system) = store
            && !system.has_groups()
        {
            let remedy = "write which entries are groups, such as \"(objectClass=posixGroup)\"";
            let wrong = Wrong::new("without it there are no groups to keep", remedy);
            section.mistake(None, &format!("stores.{name}.rfilter"), wrong);
        }
    }
    let memcached = memcached(section.section("memcached"));
    config.storage = Storage {
        main: store(&mut section, config.data.clone(), true),
        others,
        uses: general,
        domains,
        memcached,
    };
    section.finish();
}

fn uses(section: &mut Section<'_>, others: &BTreeMap<String, Store>) -> Uses {
    let mut uses = Uses::new();
    for feature in Feature::ALL {
        let mut name = String::new();
        let known = |node: &Node| {
            let name = text(node)?;
            let features = others.get(&name).map(Store::features);
            match features {
                Some(features) if !features.contains(&feature) => {
                    let wrong = format!("\"{name}\" keeps {} only", names(features));
                    Err(Wrong::new(wrong, "name another store, or main"))
                }
                None if name != "main" => {
                    let remedy = format!("describe it in [storage.stores.{name}], or name main");
                    Err(Wrong::new(format!("there is no store \"{name}\""), remedy))
                }
                _ => Ok(name),
            }
        };
        section.read(feature.name(), &mut name, known);
        if !name.is_empty() {
            uses.insert(feature, name);
        }
    }
    uses
}

/// Features as a sentence names them.
fn names(features: &[Feature]) -> String {
    let names: Vec<_> = features.iter().map(|feature| feature.name()).collect();
    names.join(", ")
}

/// One store; an embedded one is in `data` unless it says where. The main one keeps all that no other is named for.
fn store(section: &mut Section<'_>, data: PathBuf, is_main: bool) -> Store {
    let mut backend = Backend::Embedded;
    let place = section.read("backend", &mut backend, choice(BACKENDS));
    if let Backend::External(kind) = backend
        && is_main
        && !kind.features().is_empty()
    {
        let features = names(kind.features());
        let wrong = format!("it keeps {features} only, and the main store everything else");
        let remedy = "describe it in [storage.stores.NAME], and write NAME for what it keeps";
        section.mistake(place.as_ref(), "backend", Wrong::new(wrong, remedy));
    }
    let store = match backend {
        Backend::Memory => Store::Memory,
        Backend::Embedded => embedded(section, data),
        Backend::DynamoDb => dynamodb(section),
        Backend::Sql(dialect) => sql(section, dialect),
        // Without it nothing is opened: the mistake is told.
        Backend::External(kind) => kind.read(section).map_or(Store::Memory, Store::External),
    };
    let (name, _) = BACKENDS
        .iter()
        .find(|(_, it)| *it == backend)
        .expect("every backend has a name");
    let external = EXTERNAL_KEYS.into_iter().filter(|_| !is_main);
    for (key, of) in KEYS.into_iter().chain(external) {
        // What the backend has is taken already.
        if let Some(node) = section.stray(key) {
            let remedy = format!("leave it out, or choose backend = \"{of}\"");
            let wrong = Wrong::new(format!("{name} has no such thing"), remedy);
            section.mistake(Some(&node.place), key, wrong);
        }
    }
    store
}

fn embedded(section: &mut Section<'_>, mut at: PathBuf) -> Store {
    let (mut sync, mut cache_bytes) = (true, 32 << 20);
    section.read("path", &mut at, path);
    section.read("sync", &mut sync, boolean);
    section.read("cache", &mut cache_bytes, size("1MiB", "1024GiB"));
    Store::Embedded {
        path: at,
        sync,
        cache_bytes,
    }
}

fn dynamodb(section: &mut Section<'_>) -> Store {
    let mut table_prefix = "starling-".to_owned();
    let (mut tables, mut objects) = (Aws::default(), Bucket::default());
    section.read("table_prefix", &mut table_prefix, table_name);
    section.read("region", &mut tables.region, filled);
    section.read("profile", &mut tables.profile, filled);
    section.read("credentials", &mut tables.credentials, |node| {
        path(node).map(Some)
    });
    section.read("endpoint", &mut tables.endpoint, endpoint);
    objects.aws = Aws {
        endpoint: None,
        ..tables.clone()
    };
    let named = section.read("bucket", &mut objects.name, bucket_name);
    section.read("bucket_endpoint", &mut objects.aws.endpoint, endpoint);
    section.read("bucket_credentials", &mut objects.aws.credentials, |node| {
        path(node).map(Some)
    });
    section.read("path_style", &mut objects.path_style, boolean);
    if named.is_none() {
        let remedy = "write bucket = \"NAME\": values too large for DynamoDB are kept there";
        section.mistake(None, "bucket", Wrong::new("no bucket is named", remedy));
    }
    Store::DynamoDb(DynamoDbStore {
        table_prefix,
        tables,
        objects,
    })
}

fn sql(section: &mut Section<'_>, dialect: Dialect) -> Store {
    let mut table_prefix = "starling_".to_owned();
    let (mut url, mut replica, mut connections) = (Secret::default(), None, 16);
    let named = section.read("url", &mut url, |node| url_of(node, dialect));
    section.read("replica", &mut replica, |node| {
        url_of(node, dialect).map(Some)
    });
    section.read("connections", &mut connections, number(2, 10_000));
    section.read("table_prefix", &mut table_prefix, sql_name);
    if named.is_none() {
        let remedy = format!("write url = \"{}\"", example(dialect));
        section.mistake(None, "url", Wrong::new("no database is named", remedy));
    }
    Store::Sql(SqlStore {
        dialect,
        url,
        replica,
        connections,
        table_prefix,
    })
}

fn example(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::PostgreSql => "postgresql://starling@db.example.org/starling",
        Dialect::MySql => "mysql://starling@db.example.org/starling",
        Dialect::Sqlite => "sqlite:///var/lib/starling/starling.db",
    }
}

/// The URL of a database. What is wrong with it is told without it, because it may hold a password.
fn url_of(node: &Node, dialect: Dialect) -> Result<Secret, Wrong> {
    let schemes: &[&str] = match dialect {
        Dialect::PostgreSql => &["postgresql:", "postgres:"],
        Dialect::MySql => &["mysql:", "mariadb:"],
        Dialect::Sqlite => &["sqlite:"],
    };
    let url = text(node)?;
    if schemes.iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(Secret::new(url));
    }
    let remedy = format!("write one such as \"{}\"", example(dialect));
    Err(Wrong::new("this is no URL of such a database", remedy))
}

/// Something, if the key is there at all.
pub(in crate::config) fn filled(node: &Node) -> Result<Option<String>, Wrong> {
    let text = text(node)?;
    if text.trim().is_empty() {
        let remedy = "write it, or leave the key out: then it is found as the SDK of AWS finds it";
        return Err(Wrong::new("it is empty", remedy));
    }
    Ok(Some(text))
}

/// The address of a service.
pub(in crate::config) fn endpoint(node: &Node) -> Result<Option<String>, Wrong> {
    let url = text(node)?;
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let authority = rest.and_then(|rest| rest.split('/').next());
    let good = authority.is_some_and(|authority| {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, port),
            _ => (authority, "0"),
        };
        !host.is_empty() && port.parse::<u16>().is_ok()
    });
    if good && !url.contains(|c: char| c.is_whitespace() || matches!(c, '@' | '?' | '#')) {
        return Ok(Some(url));
    }
    Err(Wrong::new(
        format!("\"{url}\" is no address of a service"),
        "write one such as \"https://host:port\", or leave the key out for the service of AWS",
    ))
}

/// What S3 takes as the name of a bucket ("Bucket naming rules" of its user guide), or the ARN of an access point.
fn bucket_name(node: &Node) -> Result<String, Wrong> {
    let name = text(node)?;
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = |c: char| is_end(c) || matches!(c, '.' | '-');
    let good = (3..=63).contains(&name.len())
        && name.chars().all(fits)
        && name.starts_with(is_end)
        && name.ends_with(is_end)
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err();
    if good || name.starts_with("arn:") {
        return Ok(name);
    }
    Err(Wrong::new(
        format!("\"{name}\" can be no bucket of S3"),
        "write 3 to 63 lower-case letters, digits, `-` and `.`, with a letter or a digit at either end",
    ))
}

/// What may begin the name of a table of SQL: three databases spell it alike.
fn sql_name(node: &Node) -> Result<String, Wrong> {
    let name = text(node)?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() <= 32 && name.chars().all(fits) {
        return Ok(name);
    }
    let remedy = "at most 32 lower-case letters, digits and `_`";
    Err(Wrong::new(
        format!("\"{name}\" can begin no name of a table"),
        remedy,
    ))
}

/// What may stand in the name of a table everywhere.
fn table_name(node: &Node) -> Result<String, Wrong> {
    let name = text(node)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() <= 48 && name.chars().all(fits) {
        return Ok(name);
    }
    let remedy = "at most 48 letters, digits, `_`, `-` and `.`";
    Err(Wrong::new(
        format!("\"{name}\" can begin no name of a table"),
        remedy,
    ))
}

fn memcached(mut section: Section<'_>) -> Option<Memcached> {
    let mut cache = Memcached {
        servers: Vec::new(),
        configuration: None,
        namespace: "starling".to_owned(),
        lifetime: Duration::from_secs(60),
        timeout: Duration::from_millis(250),
    };
    let servers = section.list("servers", server);
    section.read("configuration", &mut cache.configuration, |node| {
        server(node).map(Some)
    });
    section.read("namespace", &mut cache.namespace, table_name);
    section.read("lifetime", &mut cache.lifetime, duration("1s", "1d"));
    section.read("timeout", &mut cache.timeout, duration("1ms", "10s"));
    let both = servers.is_some() && cache.configuration.is_some();
    if servers.as_ref().is_some_and(Vec::is_empty) && section.is_good("servers") {
        let remedy = "name one, or leave the key out";
        section.mistake(None, "servers", Wrong::new("there is none", remedy));
    }
    cache.servers = servers.unwrap_or_default();
    if both {
        let remedy = "name the servers, or who knows them";
        section.mistake(
            None,
            "servers",
            Wrong::new("configuration tells them", remedy),
        );
    }
    section.finish();
    (!cache.servers.is_empty() || cache.configuration.is_some()).then_some(cache)
}

fn server(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    let good = written
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if good {
        return Ok(written);
    }
    let wrong = format!("\"{written}\" is no host with a port");
    Err(Wrong::new(
        wrong,
        "write one such as \"cache.example.org:11211\"",
    ))
}
