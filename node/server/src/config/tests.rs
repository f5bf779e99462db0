//! The documented example, the defaults, and what each mistake is told.

mod certificates;
mod cluster;
#[cfg(feature = "external")]
mod external;
#[cfg(all(feature = "external", feature = "aws"))]
mod reference;
mod rooms;
mod search;
mod services;
mod stores;

use std::path::Path;

use super::{mistake::Place, *};

fn sources(
    toml: Option<&str>,
    environment: &[(&str, &str)],
) -> (Sources, Option<tempfile::TempDir>) {
    let directory = toml.map(|_| tempfile::tempdir().unwrap());
    let file = directory.as_ref().map(|it| it.path().join("starling.toml"));
    if let (Some(file), Some(toml)) = (&file, toml) {
        std::fs::write(file, toml).unwrap();
    }
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    (
        Sources {
            file,
            environment,
            ..Sources::default()
        },
        directory,
    )
}

fn good(toml: &str) -> Config {
    let (sources, _kept) = sources(Some(toml), &[]);
    load(&sources)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
        .config
}

/// Mistakes with the file's path cut off.
fn mistakes(toml: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let (sources, kept) = sources(Some(toml), environment);
    let kept = kept.expect("there is a file");
    let directory = format!("{}/", kept.path().display());
    let mistakes = load(&sources).expect_err("there is a mistake");
    mistakes
        .to_string()
        .lines()
        .map(|line| line.replace(&directory, ""))
        .collect()
}

const EXAMPLE: &str = include_str!("../../../../docs/starling.example.toml");

#[test]
fn the_example_is_read() {
    let config = good(EXAMPLE);
    assert_eq!(config.domains, ["example.org"]);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners[1].security, Security::Direct);
}

/// Every commented default of the example, uncommented, changes nothing: the example tells the truth.
#[test]
fn the_example_shows_the_defaults() {
    let made_up = [
        "#data",
        "#path",
        "#client_ca",
        "#proxies",
        "#chain",
        "#stored",
        "#key",
        "#[[",
        "#ready_file",
        "#admins",
        "#services",
        "#publish_path",
        "#publish_url",
    ];
    let made_up = |line: &str| {
        made_up.iter().any(|it| line.starts_with(it))
            || line.contains("mailto:")
            || line.contains("xmpp:")
    };
    let mut in_certificates = false;
    let lines: Vec<String> = EXAMPLE
        .lines()
        .map(|line| {
            in_certificates = (in_certificates || line == "#[[certificates]]") && !line.is_empty();
            let is_key = line.starts_with('#')
                && line.chars().nth(1).is_some_and(|c| c.is_ascii_lowercase());
            if is_key && !made_up(line) && !in_certificates {
                line[1..].to_owned()
            } else {
                line.to_owned()
            }
        })
        .collect();
    let uncommented = lines.join("\n");
    assert!(
        uncommented
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains('='))
            .count()
            > 35
    );
    assert_eq!(
        format!("{:?}", good(EXAMPLE)),
        format!("{:?}", good(&uncommented))
    );
    let mut defaults = Config::served("starling-data".into());
    defaults.domains = vec!["example.org".into()];
    assert_eq!(format!("{defaults:?}"), format!("{:?}", good(EXAMPLE)));
}

#[test]
fn every_mistake_is_told_with_its_place_and_remedy() {
    let toml = r#"domains = ["example.org", "no good"]
listner = 1
[storage]
backend = "postgres"
cash = "1MiB"
[[listeners]]
address = "example.org:5222"
[[listeners]]
security = "direct"
starttls_required = true
[auth]
mechanisms = ["SCRAM-SHA256", "HT-SHA-256-NONE", "EXTERNAL"]
scram_iterations = 100
negotiation_timeout = 60
[limits.after_auth]
stanza = "1KiB"
[registration]
enabled = "yes"
[log]
format = "xml"
"#;
    let found = mistakes(
        toml,
        &[
            ("STARLING_OFFLINE__QUOTA", "many"),
            ("STARLING_LIMITS__IDLE_PIN", "1m"),
        ],
    );
    let expected = [
        "starling.toml:1:27: domains[1]: \"no good\" is no domain",
        "starling.toml:2:1: listner: no such key; did you mean `listeners`?",
        "starling.toml:4:11: storage.backend: \"postgres\" is none of the choices; write one of embedded, memory, dynamodb, postgresql, mysql, sqlite",
        "starling.toml:5:1: storage.cash: no such key; did you mean `cache`?",
        "starling.toml:7:11: listeners[0].address: \"example.org:5222\" is no address with a port; write one such as",
        "listeners[1].address: it is missing; write address = \"[::]:5222\"",
        "starling.toml:10:21: listeners[1].starttls_required: a direct listener has no STARTTLS; leave it out",
        "starling.toml:12:15: auth.mechanisms[0]: \"SCRAM-SHA256\" is no mechanism; did you mean SCRAM-SHA-256?",
        "starling.toml:12:31: auth.mechanisms[1]: HT-SHA-256-NONE belongs to FAST",
        "auth.mechanisms: EXTERNAL needs to know whose certificates count; set auth.client_ca",
        "starling.toml:13:20: auth.scram_iterations: 100 is out of range; write a number from 4096 to 10000000",
        "starling.toml:14:23: auth.negotiation_timeout: this is a number; write a time from 1s to 10m",
        "starling.toml:16:10: limits.after_auth.stanza: 1024 bytes are out of range",
        "starling.toml:18:11: registration.enabled: this is text; write true or false",
        "starling.toml:20:10: log.format: \"xml\" is none of the choices; write one of text, json",
        "environment STARLING_LIMITS__IDLE_PIN: limits.idle_pin: no such key; did you mean `idle_ping`?",
        "environment STARLING_OFFLINE__QUOTA: offline.quota: this is text; write a number from 0 to 100000000",
    ];
    for line in expected {
        assert!(
            found.iter().any(|it| it.contains(line)),
            "missing: {line}\nfound:\n{}",
            found.join("\n")
        );
    }
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
}

#[test]
fn what_is_no_toml_is_told_without_what_follows_from_it() {
    let check = |toml: &str, expected: &[&str]| {
        let found = mistakes(toml, &[]);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
            assert!(
                found.ends_with("correct the TOML (https://toml.io)"),
                "{found}"
            );
        }
    };
    check(
        "domains = [\"a.example\"]\n[log\nfilter = \"info\"\n",
        &["starling.toml:2:"],
    );
    check("domains = [\"a.example\"\n[auth", &["starling.toml:2:"]);
    check(
        "domains = [\"a.example\"]\ndomains = [\"b.example\"]\n",
        &["starling.toml:2:1: "],
    );
    check(
        "log = = 1\n[auth]\nattempts = \n",
        &["starling.toml:1:", "starling.toml:3:"],
    );
}

/// Whoever can listen to the network must not read a token.
#[test]
fn the_api_speaks_tls_but_on_loopback_or_where_it_is_told_not_to() {
    let check = |lines: &str, listen: Option<&str>, tls: bool| {
        let config = good(&format!("domains = [\"a.example\"]\n{lines}"));
        let listen = listen.map(|it| it.parse().unwrap());
        assert_eq!(
            (config.api.listen, config.api.tls),
            (listen, tls),
            "{lines}"
        );
    };
    check("", None, true);
    check("[api]\nlisten = false", None, true);
    check(
        "[api]\nlisten = \"127.0.0.1:1\"",
        Some("127.0.0.1:1"),
        false,
    );
    check("[api]\nlisten = \"[::1]:1\"", Some("[::1]:1"), false);
    check("[api]\nlisten = \"10.0.0.1:1\"", Some("10.0.0.1:1"), true);
    check("[api]\nlisten = \":1\"", Some("[::]:1"), true);
    let written = "[api]\nlisten = \"127.0.0.1:1\"\ntls = true";
    check(written, Some("127.0.0.1:1"), true);
    let written = "[api]\nlisten = \"10.0.0.1:1\"\ntls = false";
    check(written, Some("10.0.0.1:1"), false);
}

/// What the file alone does not show to be wrong.
#[test]
fn what_cannot_be_together_is_told_where_the_second_stands() {
    let check = |toml: &str, expected: &[&str]| {
        let found = mistakes(&format!("domains = [\"a.example\"]\n{toml}"), &[]);
        assert_eq!(found.len(), expected.len(), "{toml}\n{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{toml}\n{found}\n{expected}");
        }
    };
    check(
        "admins = [\"a@foreign.example\", \"a@a.example\", \"A@a.example\"]",
        &[
            "starling.toml:2:11: admins[0]: foreign.example is not served here",
            "starling.toml:2:47: admins[2]: a@a.example is there twice",
        ],
    );
    check(
        "[auth]\nmechanisms = [\"PLAIN\", \"SCRAM-SHA-1\", \"PLAIN\"]",
        &["starling.toml:3:39: auth.mechanisms[2]: PLAIN is there twice"],
    );
    check(
        "[log]\nfilter = \"inf\"",
        &["starling.toml:3:10: log.filter: \"inf\" is no level and no target; did you mean info?"],
    );
    let two = |a: &str, b: &str| {
        format!(
            "[[listeners]]\naddress = \"{a}\"\n[[listeners]]\naddress = \"{b}\"\nsecurity = \"direct\""
        )
    };
    for (a, b) in [
        ("127.0.0.1:7", "127.0.0.1:7"),
        ("127.0.0.1:7", "0.0.0.0:7"),
        ("127.0.0.1:7", "[::]:7"),
        ("[::]:7", "0.0.0.0:7"),
    ] {
        let taken = format!("starling.toml:5:11: listeners[1]: {b} is taken by listeners[0]");
        check(&two(a, b), &[&taken]);
    }
    check(
        "http = \"127.0.0.1:7\"\nlisteners = [\":7\"]",
        &["starling.toml:2:8: http: 127.0.0.1:7 is taken by listeners[0]"],
    );
    check(
        "http = \"127.0.0.1:5222\"",
        &["starling.toml:2:8: http: 127.0.0.1:5222 is taken by the listener on [::]:5222"],
    );
    check(
        "listeners = [\":5222\", \":5280\"]",
        &["starling.toml:2:23: http: 127.0.0.1:5280 is taken by listeners[1]"],
    );
    for (at, other) in [("127.0.0.1:5280", "127.0.0.1:5280"), (":5222", "[::]:5222")] {
        let found = mistakes(
            &format!("domains = [\"a.example\"]\n[api]\nlisten = \"{at}\""),
            &[],
        );
        assert!(
            found[0].starts_with("starling.toml:3:10: api.listen: ")
                && found[0].contains(&format!(" is taken by what listens on {other}; give it")),
            "{found:?}"
        );
    }
    check(
        "[api]\nlisten = true\nproxy = []\nproxies = [\"all\"]\ntls = 1",
        &[
            "starling.toml:3:10: api.listen: ",
            "starling.toml:4:1: api.proxy: no such key; known here are listen, tls, console, proxies",
            "starling.toml:5:12: api.proxies[0]: ",
            "starling.toml:6:7: api.tls: this is a number; write true or false",
        ],
    );
    let found = mistakes(
        "domains = [\"x.example\", \"X.Example\"]\nadmins = [\"a@y.example\"]",
        &[],
    );
    assert!(
        found[0].contains(":1:25: domains[1]: x.example is there twice"),
        "{found:?}"
    );
    assert!(
        found[1].contains(":2:11: admins[0]: y.example is not served here"),
        "{found:?}"
    );
}

#[test]
fn a_variable_that_is_no_key_is_a_mistake_unless_a_host_sets_it() {
    let toml = "domains = [\"a.example\"]";
    let found = mistakes(
        toml,
        &[
            ("STARLING_DOMAIN", "b.example"),
            ("STARLING_FROBNICATE__X", "1"),
        ],
    );
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains(
            "environment STARLING_DOMAIN: domain: no such key; did you mean STARLING_DOMAINS?"
        ),
        "{found:?}"
    );
    assert!(
        found[1].contains("environment STARLING_FROBNICATE__X: frobnicate.x: no such key"),
        "{found:?}"
    );
    let of_host = [
        ("STARLING_SERVICE_HOST", "10.0.0.1"),
        ("STARLING_SERVICE_PORT_C2S", "5222"),
        ("STARLING_PORT", "tcp://10.0.0.1:5222"),
        ("STARLING_PORT_5222_TCP_ADDR", "10.0.0.1"),
        ("STARLING_C2S_PORT_5222_TCP", "tcp://10.0.0.1:5222"),
        ("STARLING_C2S_SERVICE_PORT", "5222"),
        ("STARLING_CONFIG", "elsewhere.toml"),
    ];
    let (sources, _kept) = sources(Some(toml), &of_host);
    let loaded = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.notes.len(), 6, "{:?}", loaded.notes);
}

#[test]
fn a_file_without_domains_or_a_missing_file_is_a_mistake() {
    assert_eq!(
        mistakes("", &[]),
        ["starling.toml:1:1: domains: no domain is named; write domains = [\"example.org\"]"]
    );
    let missing = Sources {
        file: Some("does/not/exist.toml".into()),
        ..Sources::default()
    };
    let mistakes = load(&missing).expect_err("it does not exist");
    assert_eq!(mistakes.0.len(), 1);
    assert_eq!(mistakes.0[0].place, Place::Flag("--config"));
}

#[test]
fn without_anything_it_is_a_development_node() {
    let (empty, _) = sources(None, &[]);
    let config = load(&empty).unwrap().config;
    assert!(config.development);
    assert_eq!(config.domains, ["localhost"]);
    assert_eq!(config.data, Path::new("starling-data"));
    assert!(
        config
            .listeners
            .iter()
            .all(|it| it.address.ip().is_loopback())
    );
    let (xdg, _) = sources(
        None,
        &[
            ("XDG_DATA_HOME", "/home/alice/.local/share"),
            ("STARLING_SERVICE_HOST", "10.0.0.1"),
        ],
    );
    let loaded = load(&xdg).unwrap();
    assert_eq!(
        loaded.config.data,
        Path::new("/home/alice/.local/share/starling")
    );
    assert_eq!(loaded.notes.len(), 1);
}

#[test]
fn flags_go_before_environment_before_file_before_defaults() {
    let toml = "domains = [\"file.example\"]\ndata = \"there\"\nhttp = \"127.0.0.1:1\"\n[log]\nfilter = \"warn\"\nformat = \"json\"\n[offline]\nquota = 5\n";
    let environment = [
        ("STARLING_LOG__FILTER", "debug"),
        ("STARLING_HTTP", "127.0.0.1:2"),
        ("STARLING_LISTENERS", ":5222,direct:127.0.0.1:5223"),
        ("STARLING_REGISTRATION__ENABLED", "true"),
        ("STARLING_DOMAINS", "a.example, b.example"),
    ];
    let (mut sources, kept) = sources(Some(toml), &environment);
    sources.overrides = Overrides {
        log: Some("error".into()),
        http: Some("off".into()),
        ..Overrides::default()
    };
    let config = load(&sources).unwrap().config;
    assert_eq!(
        config.log,
        Log {
            filter: "error".into(),
            json: true
        }
    );
    assert_eq!(config.http, None);
    assert_eq!(config.domains, ["a.example", "b.example"]);
    assert_eq!(config.offline.quota, 5);
    assert!(config.registration.enabled);
    assert_eq!(config.listeners[1].address.to_string(), "127.0.0.1:5223");
    assert_eq!(config.listeners[1].security, Security::Direct);
    assert_eq!(config.archive.page, 250);
    let directory = kept.unwrap().path().join("there");
    assert_eq!(config.data, directory);
    assert!(
        matches!(config.storage.main, Store::Embedded { path, sync: true, .. } if path == directory)
    );
}

#[test]
fn memory_takes_no_path_and_the_flag_takes_all() {
    let toml = "domains = [\"a.example\"]\n[storage]\nbackend = \"memory\"\npath = \"x\"\n";
    let found = mistakes(toml, &[]);
    assert_eq!(
        found,
        [
            "starling.toml:4:8: storage.path: memory has no such thing; leave it out, or choose backend = \"embedded\""
        ]
    );
    let (mut sources, _kept) = sources(
        Some("domains = [\"a.example\"]\n[storage]\nsync = false\n"),
        &[],
    );
    sources.overrides.memory = true;
    assert_eq!(load(&sources).unwrap().config.storage.main, Store::Memory);
}

#[test]
fn port_zero_may_be_there_twice_and_another_may_not() {
    let config =
        good("domains = [\"a.example\"]\nlisteners = [\"127.0.0.1:0\", \"direct:127.0.0.1:0\"]");
    assert_eq!(config.listeners.len(), 2);
    let found = mistakes(
        "domains = [\"a.example\"]\nlisteners = [\":5222\", \"direct:[::]:5222\"]",
        &[],
    );
    assert_eq!(
        found,
        [
            "starling.toml:2:23: listeners[1]: [::]:5222 is taken by listeners[0]; give each listener its own port"
        ]
    );
}
