//! Meaning: every key of the configuration, from what was written to [`Config`].
//!
//! One function a section, in the order of `docs/starling.example.toml`. Each reads all of its keys and notes what is
//! wrong; nothing here stops at a mistake.

use std::{
    cell::RefCell,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use cluster::directory::Conflict;
use xmpp::{BareJid, codec::Limits, sasl::Mechanism};

use super::{
    Auth, ClientLimits, Config,
    api::api,
    certificates::{Written, certificates},
    cluster::cluster,
    filter::filter,
    listeners::{http, listeners},
    maintenance::{maintenance, retention},
    mistake::{Mistake, Place},
    pubsub::pubsub,
    raw::{Node, Table, Value},
    reader::{Item, Section, Wrong, boolean, choice, duration, number, size, text},
    rooms::rooms,
    search::search,
    services::domain,
    shared_groups::shared_groups,
    storage::{Feature, storage},
    values::{nearest, parse_address},
};

/// What XEP-0157 knows of people.
const CONTACTS: [&str; 7] = [
    "abuse", "admin", "feedback", "sales", "security", "status", "support",
];

/// Reads all of it over the defaults; where domains and certificates stand. What is missing is missing at `place`.
pub(super) fn config(
    table: Table,
    place: Place,
    mut config: Config,
    mistakes: &RefCell<Vec<Mistake>>,
) -> (Config, Written) {
    let mut root = Section::root(table, place, mistakes);
    let mut written = Written::default();
    let mut all_good = root.is_good("domains");
    if let Some(domains) = root.items("domains", |node| domain(node, "example.org")) {
        all_good = root.is_good("domains");
        root.once(&domains, String::clone);
        written.domains = domains
            .iter()
            .map(|item| (item.key.clone(), item.place.clone()))
            .collect();
        let domains: Vec<String> = domains.into_iter().map(|item| item.value).collect();
        if domains.is_empty() && all_good {
            root.mistake(
                None,
                "domains",
                Wrong::new("there is none", "name the domains to serve"),
            );
        }
        config.domains = domains;
    }
    root.read("data", &mut config.data, path);
    storage(root.section("storage"), &mut config);
    if root.has("cluster") {
        cluster(root.section("cluster"), &mut config);
    }
    let taken = listeners(&mut root, &mut config);
    let place = root.read("http", &mut config.http, |node| match node.value {
        Value::Boolean(false) => Ok(None),
        _ => address(node).map(Some),
    });
    http(&root, &config, place, &taken);
    api(root.section("api"), &mut config);
    written.certificates = certificates(
        &mut root,
        &mut config.certificates,
        &mut config.stored_certificates,
    );
    auth(root.section("auth"), &mut config);
    let mut registration = root.section("registration");
    registration.read("enabled", &mut config.registration.enabled, boolean);
    registration.read(
        "per_hour",
        &mut config.registration.per_hour,
        number(1, 1_000_000),
    );
    registration.finish();
    limits(root.section("limits"), &mut config.limits);
    let mut stream_management = root.section("stream_management");
    stream_management.read(
        "resume",
        &mut config.stream_management.resume,
        duration("0s", "7d"),
    );
    stream_management.read(
        "queue",
        &mut config.stream_management.queue,
        number(16, 1_000_000),
    );
    stream_management.read("replicas", &mut config.stream_management.replicas, boolean);
    stream_management.finish();
    let mut archive = root.section("archive");
    archive.read("enabled", &mut config.archive.enabled, boolean);
    archive.read("page", &mut config.archive.page, number(1, 10_000));
    retention(&mut archive, &mut config.archive);
    archive.finish();
    maintenance(root.section("maintenance"), &mut config.maintenance);
    let mut offline = root.section("offline");
    offline.read("quota", &mut config.offline.quota, number(0, 100_000_000));
    offline.read(
        "quota_bytes",
        &mut config.offline.quota_bytes,
        size("0", "1024GiB"),
    );
    offline.finish();
    rooms(root.section("rooms"), &config.domains, &mut config.rooms);
    pubsub(root.section("pubsub"), &config.domains, &mut config.pubsub);
    shared_groups(root.section("shared_groups"), &mut config.shared_groups);
    search(root.section("search"), &config.domains, &mut config.search);
    contacts(root.section("contacts"), &mut config.contacts);
    if let Some(admins) = root.items("admins", account) {
        root.once(&admins, BareJid::to_string);
        for admin in &admins {
            let served = |domain: &String| domain == admin.value.domain();
            if !config.domains.iter().any(served) && all_good {
                let wrong = format!("{} is not served here", admin.value.domain());
                let remedy = "name an account of one of the domains";
                root.mistake(Some(&admin.place), &admin.key, Wrong::new(wrong, remedy));
            }
        }
        config.admins = admins.into_iter().map(|item| item.value).collect();
    }
    let mut log = root.section("log");
    log.read("filter", &mut config.log.filter, filter);
    log.read(
        "format",
        &mut config.log.json,
        choice(&[("text", false), ("json", true)]),
    );
    log.finish();
    root.read(
        "shutdown_grace",
        &mut config.shutdown_grace,
        duration("0s", "1h"),
    );
    root.read("ready_file", &mut config.ready_file, |node| {
        path(node).map(Some)
    });
    root.finish();
    (config, written)
}

pub(super) fn path(node: &Node) -> Result<PathBuf, Wrong> {
    let written = text(node)?;
    if written.is_empty() {
        return Err(Wrong::new("the path is empty", "name a file or directory"));
    }
    // A file may be moved with what it names: its paths start where it stands.
    Ok(match &node.place {
        Place::File { path, .. } => path.parent().unwrap_or(Path::new("")).join(written),
        _ => written.into(),
    })
}

fn account(node: &Node) -> Result<BareJid, Wrong> {
    let written = text(node)?;
    let remedy = "write an address such as alice@example.org";
    let jid = BareJid::parse(&written)
        .map_err(|error| Wrong::new(format!("\"{written}\" is no address ({error})"), remedy))?;
    if jid.local().is_none() {
        return Err(Wrong::new(format!("\"{written}\" is no account"), remedy));
    }
    Ok(jid)
}

pub(super) fn address(node: &Node) -> Result<SocketAddr, Wrong> {
    let written = text(node)?;
    parse_address(&written).ok_or_else(|| {
        let remedy = "write one such as \"127.0.0.1:5222\", \"[::]:5222\" or \":5222\"";
        Wrong::new(format!("\"{written}\" is no address with a port"), remedy)
    })
}

fn mechanism(node: &Node) -> Result<Mechanism, Wrong> {
    let written = text(node)?;
    let offered = || {
        Mechanism::ALL
            .into_iter()
            .filter(|it| !matches!(it, Mechanism::Ht { .. }))
    };
    match Mechanism::parse(&written) {
        Some(Mechanism::Ht { .. }) => Err(Wrong::new(
            format!("{written} belongs to FAST (XEP-0484)"),
            "leave it out: FAST offers it by itself",
        )),
        Some(mechanism) => Ok(mechanism),
        None => {
            let remedy = match nearest(&written, offered().map(Mechanism::as_str)) {
                Some(name) => format!("did you mean {name}?"),
                None => format!(
                    "known are {}",
                    offered()
                        .map(Mechanism::as_str)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            };
            Err(Wrong::new(format!("\"{written}\" is no mechanism"), remedy))
        }
    }
}

/// A domain whose accounts have no keys: who logs in must show the password.
fn without_keys(config: &Config) -> Option<&String> {
    let accounts = |domain: &&String| config.storage.kept_by(Feature::Accounts, domain);
    let mut domains = config.domains.iter();
    domains.find(|domain| accounts(domain).is_some_and(|(_, system)| system.verifies_passwords()))
}

fn auth(mut section: Section<'_>, config: &mut Config) {
    let without_keys = without_keys(config).cloned();
    let auth: &mut Auth = &mut config.auth;
    let (mut external, mut first) = (None, None);
    if let Some(mechanisms) = section.items("mechanisms", mechanism) {
        section.once(&mechanisms, |it| it.as_str().to_owned());
        let found = |it: &&Item<Mechanism>| it.value == Mechanism::External;
        external = mechanisms.iter().find(found).map(|it| it.place.clone());
        first = mechanisms.first().map(|it| it.place.clone());
        let mechanisms: Vec<Mechanism> = mechanisms.into_iter().map(|item| item.value).collect();
        if mechanisms.is_empty() && section.is_good("mechanisms") {
            section.mistake(
                None,
                "mechanisms",
                Wrong::new("nobody could log in", "name one, or leave the key out"),
            );
        }
        auth.mechanisms = mechanisms;
    }
    section.read("plain_without_tls", &mut auth.plain_without_tls, boolean);
    // RFC 7677 §4: fewer iterations are not worth storing.
    section.read(
        "scram_iterations",
        &mut auth.scram_iterations,
        number(4_096, 10_000_000),
    );
    section.read("client_ca", &mut auth.client_ca, |node| {
        path(node).map(Some)
    });
    section.read(
        "fast_lifetime",
        &mut auth.fast_lifetime,
        duration("1m", "52w"),
    );
    section.read("attempts", &mut auth.attempts, number(1, 1_000_000));
    section.read(
        "negotiation_timeout",
        &mut auth.negotiation_timeout,
        duration("1s", "10m"),
    );
    if auth.client_ca.is_none() && auth.mechanisms.contains(&Mechanism::External) {
        let wrong = Wrong::new(
            "EXTERNAL needs to know whose certificates count",
            "set auth.client_ca, or leave EXTERNAL out",
        );
        section.mistake(external.as_ref(), "mechanisms", wrong);
    }
    let ways = [Mechanism::Plain, Mechanism::External];
    let is_good = section.is_good("mechanisms");
    if let Some(domain) = without_keys.filter(|_| is_good)
        && !ways.iter().any(|way| auth.mechanisms.contains(way))
    {
        let wrong = format!("nobody of {domain} could log in: its accounts have no keys for these");
        let wrong = Wrong::new(wrong, "name PLAIN as well, or leave the key out");
        section.mistake(first.as_ref(), "mechanisms", wrong);
    }
    section.finish();
}

fn stream_limits(mut section: Section<'_>, limits: &mut Limits) {
    let mut bytes = limits.stanza_bytes as u64;
    // RFC 6120 §13.12: no limit may be below 10000 bytes.
    section.read("stanza", &mut bytes, size("10000", "64MiB"));
    limits.stanza_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    section.read("depth", &mut limits.depth, number(8, 1_000));
    section.read("attributes", &mut limits.attributes, number(8, 10_000));
    section.finish();
}

fn limits(mut section: Section<'_>, limits: &mut ClientLimits) {
    stream_limits(section.section("before_auth"), &mut limits.before_auth);
    stream_limits(section.section("after_auth"), &mut limits.after_auth);
    let mut connections = section.section("connections");
    connections.read(
        "total",
        &mut limits.admission.connections,
        number(1, 100_000_000),
    );
    connections.read(
        "per_address",
        &mut limits.admission.per_address,
        number(1, 100_000_000),
    );
    connections.read(
        "per_second",
        &mut limits.admission.per_second,
        number(1, 1_000_000),
    );
    connections.read("burst", &mut limits.admission.burst, number(1, 1_000_000));
    connections.read(
        "remembered",
        &mut limits.admission.remembered,
        number(1, 100_000_000),
    );
    connections.finish();
    let mut logins = section.section("logins");
    logins.read(
        "per_second",
        &mut limits.logins.per_second,
        number(0, 1_000_000),
    );
    logins.read("wait", &mut limits.logins.wait, duration("0s", "30s"));
    logins.finish();
    section.read(
        "sessions_per_account",
        &mut limits.sessions_per_account,
        number(1, 10_000),
    );
    section.read(
        "roster_items",
        &mut limits.roster_items,
        number(1, 1_000_000),
    );
    let conflicts = &[
        ("replace", Conflict::Replace),
        ("refuse", Conflict::Refuse),
        ("rename", Conflict::Rename),
    ];
    section.read(
        "resource_conflict",
        &mut limits.resource_conflict,
        choice(conflicts),
    );
    section.read("idle_ping", &mut limits.idle_ping, duration("10s", "1d"));
    section.read(
        "ping_timeout",
        &mut limits.ping_timeout,
        duration("1s", "1h"),
    );
    section.read(
        "session_bytes_per_second",
        &mut limits.session_bytes_per_second,
        size("0", "1024GiB"),
    );
    section.finish();
}

fn contacts(mut section: Section<'_>, contacts: &mut Vec<(String, Vec<String>)>) {
    let uri = |node: &Node| {
        let written = text(node)?;
        if written
            .split_once(':')
            .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        {
            return Ok(written);
        }
        Err(Wrong::new(
            format!("\"{written}\" is no URI"),
            "write one such as mailto:abuse@example.org",
        ))
    };
    for kind in CONTACTS {
        if let Some(uris) = section.list(kind, uri) {
            contacts.push((kind.to_owned(), uris));
        }
    }
    section.finish();
}
