//! Directories and services: how they are described, what they may be used for, and what is told of mistakes.

use ::storage::repository::{ScramHash, VcardField};
use storage_external::ldap::{LdapEncrypt, LdapMembers};

use super::*;

fn ldap<'a>(storage: &'a Storage, name: &str) -> &'a LdapStore {
    match &storage.others[name] {
        Store::External(External::Ldap(store)) => store,
        other => panic!("{other:?}"),
    }
}

fn https<'a>(storage: &'a Storage, name: &str) -> &'a HttpsStore {
    match &storage.others[name] {
        Store::External(External::Https(store)) => store,
        other => panic!("{other:?}"),
    }
}

#[test]
fn outside_systems_are_described_and_used_by_name() {
    let config = good(
        r#"domains = ["a.example", "b.example"]
[storage]
accounts = "people"
vcards = "people"
[storage.domains."b.example"]
accounts = "service"
rosters = "service"
messages = "service"
vcards = "main"
[storage.stores.people]
backend = "ldap"
servers = "ldap.example"
port = 1389
encrypt = "starttls"
root_dn = "cn=reader"
password = "pencil"
base = "dc=example"
uids = ["uid", { mail = "%u@mail.example", cn = "%u" }]
filter = "(o=%d)"
dn_filter = { "(&(member=%D)(o=%s))" = "o" }
vcard_map = { FN = [{ "%s %s" = ["givenName", "sn"] }, "%u"], PHOTO = { "" = ["photo"] } }
search_fields = { FN = "displayName" }
[storage.stores.service]
backend = "https"
url = "https://service.example/v1"
token = "eraser"
scram = ["SCRAM-SHA-256"]
rosters_writable = false
max_answer = "1MiB"
"#,
    );
    let printed = format!("{config:?}");
    assert!(!printed.contains("pencil") && !printed.contains("eraser"));
    let storage = config.storage;
    let kept_by = |feature, domain| storage.kept_by(feature, domain).map(|(name, _)| name);
    assert_eq!(kept_by(Feature::Accounts, "a.example"), Some("people"));
    assert_eq!(kept_by(Feature::Rosters, "a.example"), None);
    assert_eq!(kept_by(Feature::Rosters, "b.example"), Some("service"));
    assert_eq!(kept_by(Feature::Vcards, "b.example"), None);

    let people = ldap(&storage, "people");
    let options = people.options();
    assert_eq!(options.servers, ["ldap.example"]);
    assert_eq!(
        (options.port, options.encrypt),
        (Some(1389), LdapEncrypt::StartTls)
    );
    let uids = options.uids.iter();
    let uids: Vec<_> = uids.map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        uids,
        [("uid", "%u"), ("cn", "%u"), ("mail", "%u@mail.example")]
    );
    assert_eq!(options.dn_filter.unwrap().attributes, ["o"]);
    let map = people.vcards.map.iter();
    let map: Vec<_> = map
        .map(|it| (it.field.as_str(), it.attributes.len()))
        .collect();
    assert_eq!(map, [("FN", 2), ("FN", 0), ("PHOTO", 1)]);
    let searched = [(VcardField::FullName, "displayName".to_owned())];
    assert_eq!(people.vcards.search, searched);

    let service = https(&storage, "service");
    assert_eq!(service.options().max_answer, 1 << 20);
    assert!(service.accounts.scram.contains(ScramHash::Sha256));
    assert!(!service.accounts.scram.contains(ScramHash::Sha1));
    assert!(!service.rosters_writable);
}

#[test]
fn the_directory_and_the_service_of_the_example_are_read() {
    let (_, text) = EXAMPLE.split_once("# A directory").unwrap();
    let (text, _) = text.split_once("\n\n").unwrap();
    let lines: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .collect();
    assert!(lines.len() > 30, "{text}");
    let config = good(&format!(
        "domains = [\"example.org\"]\n{}",
        lines.join("\n")
    ));
    let defaults = storage_external::ldap::LdapOptions::default();
    let options = ldap(&config.storage, "people").options();
    assert_eq!(
        (options.timeout, options.connections, options.deref),
        (defaults.timeout, defaults.connections, defaults.deref)
    );
    let defaults = storage_external::http::HttpOptions::default();
    let options = https(&config.storage, "service").options();
    assert_eq!(
        (options.deadline, options.attempts, options.max_answer),
        (defaults.deadline, defaults.attempts, defaults.max_answer)
    );
}

#[test]
fn every_mistake_about_outside_systems_is_told() {
    let found = mistakes(
        r#"domains = ["a.example"]
[auth]
mechanisms = ["SCRAM-SHA-256", "SCRAM-SHA-1"]
[storage]
backend = "ldap"
base = "dc=example"
accounts = "people"
rosters = "people"
vcards = "service"
messages = "service"
[storage.stores.people]
backend = "ldap"
servers = []
ca_file = "ca.pem"
root_dn = "cn=reader"
uids = ["uid", { mail = "all" }]
filter = "(a=b"
dn_filter = {}
key = "key.pem"
url = "https://people.example"
vcard_map = { FULL = "%u" }
search_fields = { FULL = "cn" }
timeout = "1h"
[storage.stores.service]
backend = "https"
url = "http://service.example"
token = "two pencils"
scram = ["PLAIN"]
base = "dc=example"
attempts = 0
[storage.stores.plain]
backend = "sqlite"
url = "sqlite://x"
root_dn = "cn=reader"
"#,
        &[],
    );
    let expected = [
        "starling.toml:3:15: auth.mechanisms: nobody of a.example could log in: its accounts have no keys for these; name PLAIN as well",
        "starling.toml:5:11: storage.backend: it keeps accounts, vcards, groups only, and the main store everything else; describe it in [storage.stores.NAME]",
        "starling.toml:8:11: storage.rosters: \"people\" keeps accounts, vcards, groups only; name another store, or main",
        "starling.toml:9:10: storage.vcards: \"service\" keeps accounts, rosters, messages only",
        "storage.stores.people.servers: there is none; write servers = [\"ldap.example.org\"]",
        "starling.toml:14:11: storage.stores.people.ca_file: the connection is not encrypted; write encrypt = \"starttls\"",
        "storage.stores.people.base: must be set; write base = \"dc=example,dc=org\"",
        "storage.stores.people.password: a name without a password is nobody (RFC 4513 §5.1.2): set both or none; write root_dn and password",
        "starling.toml:16:8: storage.stores.people.uids: \"all\" needs %u, once; write uids = [\"uid\"]",
        "starling.toml:17:10: storage.stores.people.filter: \"(a=b\" is no filter (RFC 4515); write one such as",
        "starling.toml:18:13: storage.stores.people.dn_filter: this is not one filter; write one such as",
        "starling.toml:19:7: storage.stores.people.key: this is the key of no certificate",
        "starling.toml:19:7: storage.stores.people.key: the connection is not encrypted",
        "starling.toml:20:7: storage.stores.people.url: ldap has no such thing; leave it out, or choose backend = \"postgresql\"",
        "starling.toml:21:13: storage.stores.people.vcard_map: \"FULL\" is no field of a vCard; write fields",
        "starling.toml:22:17: storage.stores.people.search_fields: nobody searches for \"FULL\"; known are FN, GIVEN",
        "starling.toml:23:11: storage.stores.people.timeout: 1h is out of range; write a time from 100ms to 1m",
        "starling.toml:26:7: storage.stores.service.url: must begin with https://; write one such as \"https://",
        "starling.toml:27:9: storage.stores.service.token: is no token (RFC 6750); write what the service knows us by",
        "starling.toml:28:10: storage.stores.service.scram[0]: \"PLAIN\" is none of the choices; write one of SCRAM-SHA-1",
        "starling.toml:29:8: storage.stores.service.base: https has no such thing; leave it out, or choose backend = \"ldap\"",
        "starling.toml:30:12: storage.stores.service.attempts: 0 is out of range",
        "starling.toml:34:11: storage.stores.plain.root_dn: sqlite has no such thing; leave it out, or choose backend = \"ldap\"",
    ];
    for line in expected {
        let told = found.iter().any(|it| it.contains(line));
        assert!(told, "missing: {line}\nfound:\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
    assert!(!found.join("\n").contains("pencils"));
}

#[test]
fn who_has_no_keys_needs_plain() {
    let check = |mechanisms: &str, system: &str, good: bool| {
        let toml = format!(
            "domains = [\"a.example\", \"b.example\"]\n[auth]\nmechanisms = {mechanisms}\nclient_ca = \"ca.pem\"\n\
             [storage.domains.\"b.example\"]\naccounts = \"theirs\"\n[storage.stores.theirs]\n{system}\n"
        );
        let (sources, _kept) = sources(Some(&toml), &[]);
        let loaded = load(&sources);
        assert_eq!(loaded.is_ok(), good, "{toml}\n{:?}", loaded.err());
        if let Err(mistakes) = loaded {
            assert!(
                mistakes.to_string().contains("nobody of b.example"),
                "{mistakes}"
            );
        }
    };
    let ldap = "backend = \"ldap\"\nbase = \"dc=a\"";
    let https = "backend = \"https\"\nurl = \"https://a.example\"";
    let keys = &format!("{https}\nscram = [\"SCRAM-SHA-256\"]");
    for system in [ldap, https] {
        check("[\"SCRAM-SHA-256\"]", system, false);
        check("[\"SCRAM-SHA-256\", \"PLAIN\"]", system, true);
        // By certificates, and no password at all.
        check("[\"EXTERNAL\"]", system, true);
    }
    check("[\"SCRAM-SHA-256\"]", keys, true);
}

#[test]
fn groups_of_a_directory_are_described() {
    let toml = |keys: &str| {
        format!(
            "domains = [\"a.example\"]\n[storage]\ngroups = \"people\"\n[storage.stores.people]\n\
             backend = \"ldap\"\nservers = \"ldap.example\"\nbase = \"dc=example\"\n{keys}\n"
        )
    };
    let config = good(&toml(
        "rfilter = \"(memberUid=%u)\"\nmemberattr_dn = \"entryDN\"\ngroupdesc = \"description\"\n\
         auth_check = false\ngroup_cache_validity = \"10s\"",
    ));
    let storage = config.storage;
    let kept = storage.kept_by(Feature::Groups, "a.example");
    assert_eq!(kept.map(|(name, _)| name), Some("people"));
    let groups = &ldap(&storage, "people").groups;
    assert_eq!(groups.roster_filter, "(memberUid=%u)");
    assert_eq!(groups.members, LdapMembers::Entries("entryDN".into()));
    assert_eq!((groups.auth_check, groups.cache.as_secs()), (false, 10));
    let check = |keys: &str, expected: &str| {
        let found = mistakes(&toml(keys), &[]);
        assert!(found.iter().any(|it| it.contains(expected)), "{found:?}");
    };
    check(
        "rfilter = \"(memberUid=%u\"",
        "storage.stores.people.rfilter",
    );
    let format = "rfilter = \"(a=b)\"\nmemberattr_format = \"uid\"";
    check(format, "storage.stores.people.memberattr_format");
    check("", "storage.stores.people.rfilter");
}
