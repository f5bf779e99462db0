//! Where state is kept, and for how long.

use super::*;

#[test]
fn stores_are_described_and_used_by_name() {
    let config = good(
        r#"domains = ["a.example", "b.example"]
[storage]
backend = "dynamodb"
bucket = "objects"
region = "eu-west-1"
endpoint = "http://127.0.0.1:8000"
messages = "logs"
[storage.memcached]
servers = ["127.0.0.1:11211", "cache.example:11211"]
lifetime = "30s"
[storage.domains."b.example"]
messages = "main"
rosters = "logs"
[storage.stores.logs]
backend = "postgresql"
url = "postgresql://starling:pencil@db.example/starling"
connections = 4
"#,
    );
    assert!(!format!("{config:?}").contains("pencil"));
    let storage = config.storage;
    let kept = |feature, domain| storage.kept_in(feature, domain);
    assert_eq!(kept(Feature::Messages, "a.example"), Some("logs"));
    assert_eq!(kept(Feature::Messages, "b.example"), Some("main"));
    assert_eq!(kept(Feature::Rosters, "a.example"), None);
    assert_eq!(kept(Feature::Rosters, "b.example"), Some("logs"));
    let Store::DynamoDb(DynamoDbStore {
        tables, objects, ..
    }) = storage.main
    else {
        panic!("{:?}", storage.main);
    };
    assert_eq!(tables.endpoint.as_deref(), Some("http://127.0.0.1:8000"));
    assert_eq!(
        objects.aws,
        Aws {
            endpoint: None,
            ..tables
        }
    );
    assert_eq!(storage.memcached.map(|it| it.servers.len()), Some(2));
    let sql = matches!(
        storage.others["logs"],
        Store::Sql(SqlStore {
            dialect: Dialect::PostgreSql,
            connections: 4,
            ..
        })
    );
    assert!(sql);
}

#[test]
fn every_mistake_about_stores_is_told() {
    let found = mistakes(
        r#"domains = ["a.example"]
[storage]
backend = "dynamodb"
sync = true
messages = "nowhere"
table_prefix = "no good"
[storage.memcached]
servers = ["cache.example"]
[storage.domains."b.example"]
rosters = "logs"
[storage.stores.logs]
backend = "mysql"
url = "postgresql://starling:pencil@db.example/starling"
path = "x"
[storage.stores.main]
backend = "sqlite"
"#,
        &[],
    );
    let expected = [
        "storage.bucket: no bucket is named; write bucket = \"NAME\"",
        "starling.toml:4:8: storage.sync: dynamodb has no such thing; leave it out, or choose backend = \"embedded\"",
        "starling.toml:5:12: storage.messages: there is no store \"nowhere\"; describe it in [storage.stores.nowhere], or name main",
        "starling.toml:6:16: storage.table_prefix: \"no good\" can begin no name of a table",
        "starling.toml:8:12: storage.memcached.servers[0]: \"cache.example\" is no host with a port",
        "storage.domains.b.example: b.example is not served here; name one of `domains`",
        "starling.toml:13:7: storage.stores.logs.url: this is no URL of such a database",
        "starling.toml:14:8: storage.stores.logs.path: mysql has no such thing",
        "storage.stores.main: this is the store of [storage] itself",
        "storage.stores.main.url: no database is named; write url = \"sqlite:",
    ];
    for line in expected {
        let told = found.iter().any(|it| it.contains(line));
        assert!(told, "missing: {line}\nfound:\n{}", found.join("\n"));
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
    assert!(!found.join("\n").contains("pencil"));
}

#[test]
fn where_a_service_of_aws_is_must_make_sense() {
    let check = |line: &str, expected: Option<&str>| {
        let bucket = match line.starts_with("bucket =") {
            true => "",
            false => "bucket = \"objects\"\n",
        };
        let head = "domains = [\"a.example\"]\n[storage]\nbackend = \"dynamodb\"\n";
        let written = format!("{head}{bucket}{line}\n");
        let Some(expected) = expected else {
            good(&written);
            return;
        };
        let found = mistakes(&written, &[]);
        assert!(
            found.iter().any(|it| it.contains(expected)),
            "{line}: {found:?}"
        );
    };
    for key in ["endpoint", "bucket_endpoint"] {
        for url in [
            "http://127.0.0.1:8000",
            "https://s3.example",
            "https://s3.example/path",
            "http://[::1]:9000",
            "http://[::1]",
        ] {
            check(&format!("{key} = \"{url}\""), None);
        }
        for url in [
            "",
            "localhost:8000",
            "ftp://x",
            "http://",
            "http://:80",
            "http://x:port",
            "http://x y",
            "http://x:99999",
        ] {
            let expected = format!("storage.{key}: \"{url}\" is no address of a service");
            check(&format!("{key} = \"{url}\""), Some(&expected));
        }
    }
    check("region = \"eu-west-1\"", None);
    check("region = \"\"", Some("storage.region: it is empty"));
    check("profile = \" \"", Some("storage.profile: it is empty"));
    for name in ["abc", "a.b-c.9", "arn:aws:s3:eu-west-1:1:accesspoint/a"] {
        check(&format!("bucket = \"{name}\""), None);
    }
    for name in ["", "ab", "Upper", "a_b", "-ab", "ab.", "a..b", "10.0.0.1"] {
        let expected = format!("storage.bucket: \"{name}\" can be no bucket of S3");
        check(&format!("bucket = \"{name}\""), Some(&expected));
    }
}

#[test]
fn what_is_kept_and_compacted_is_understood() {
    let check = |lines: &str, domain: &str, compacts: bool, kept: (Option<u64>, Option<u64>)| {
        let head = "domains = [\"a.example\", \"b.example\"]\n";
        let config = good(&format!("{head}{lines}"));
        let options = config.maintained(domain);
        assert_eq!(options.compaction.is_some(), compacts, "{lines}");
        let days = |age: Duration| age.as_secs() / 86_400;
        let retention = options.retention;
        assert_eq!(
            (retention.max_age.map(days), retention.max_entries),
            kept,
            "{lines}"
        );
    };
    let dynamodb = "[storage]\nbackend = \"dynamodb\"\nbucket = \"objects\"\n";
    let apart = "[storage.stores.cloud]\nbackend = \"dynamodb\"\nbucket = \"objects\"\n[storage.domains.\"b.example\"]\nmessages = \"cloud\"\n";
    check("", "a.example", false, (None, None));
    check(
        "[storage]\nbackend = \"sqlite\"\nurl = \"sqlite://x\"\n",
        "a.example",
        false,
        (None, None),
    );
    check(dynamodb, "a.example", true, (None, None));
    check(apart, "a.example", false, (None, None));
    check(apart, "b.example", true, (None, None));
    check(
        &format!("{dynamodb}[maintenance]\ncompact = false\n"),
        "a.example",
        false,
        (None, None),
    );
    check(
        "[maintenance]\ncompact = true\n",
        "a.example",
        true,
        (None, None),
    );
    check(
        "[maintenance]\ncompact = \"auto\"\n",
        "a.example",
        false,
        (None, None),
    );
    check(
        "[archive]\nretention = \"30d\"\nmax_messages = 9\n",
        "a.example",
        false,
        (Some(30), Some(9)),
    );
    check(
        "[archive]\nretention = \"never\"\nmax_messages = 0\n",
        "a.example",
        false,
        (None, None),
    );
}

/// A node trusts what it knows of a log for an hour: what is compacted must be far older.
#[test]
fn nothing_young_is_compacted_or_dropped() {
    let check = |section: &str, key: &str, value: &str, good: bool| {
        let toml = format!("domains = [\"a.example\"]\n[{section}]\n{key} = {value}\n");
        let refused = match good {
            true => load(&sources(Some(&toml), &[]).0).is_err(),
            false => mistakes(&toml, &[])
                .iter()
                .any(|it| it.contains(&format!("{section}.{key}: "))),
        };
        assert_eq!(refused, !good, "{key} = {value}");
    };
    check("maintenance", "compact_after", "\"1d\"", true);
    check("maintenance", "compact_after", "\"23h\"", false);
    check("maintenance", "compact_after", "\"0s\"", false);
    check("maintenance", "compact", "\"yes\"", false);
    check("maintenance", "tail", "0", false);
    check("maintenance", "interval", "\"1m\"", false);
    check("archive", "retention", "\"1h\"", false);
    check("archive", "retention", "\"always\"", false);
    check("archive", "max_messages", "-1", false);
}
