//! What user data may be, and what follows from them.

use super::*;
use crate::config::{Config, Mistakes, Overrides, Sources, Store, cluster::Source, load};

fn sources(data: &str, environment: &[(&str, &str)]) -> Sources {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources {
        environment: environment.iter().map(own).collect(),
        launched: Some(Launched {
            data: (!data.is_empty()).then(|| data.into()),
            region: "eu-west-1".to_owned(),
            account: Some("123456789012".to_owned()),
            cluster: Some("chat".to_owned()),
        }),
        ..Sources::default()
    }
}

fn good(data: &str) -> Config {
    let loaded = load(&sources(data, &[]));
    loaded.unwrap_or_else(|it| panic!("{data}: {it}")).config
}

#[test]
fn a_domain_is_a_whole_configuration() {
    let check = |data: &str| {
        let config = good(data);
        assert_eq!(config.domains, ["example.org"], "{data}");
        assert!(!config.development);
        let Store::DynamoDb(store) = &config.storage.main else {
            panic!("{data}: {:?}", config.storage.main);
        };
        assert_eq!(store.tables.region.as_deref(), Some("eu-west-1"));
        assert_eq!(store.objects.name, "starling-123456789012-eu-west-1");
        let cluster = config.cluster.expect("it is one of several");
        let tag = (CLUSTER_TAG.to_owned(), "chat".to_owned());
        assert_eq!(cluster.name, "chat");
        assert_eq!(cluster.sources, [Source::Ec2(vec![tag]), Source::Registry]);
        assert!(cluster.ec2.notices);
        assert_eq!(config.http, Some(HTTP.parse().unwrap()), "{data}");
    };
    check("example.org");
    check("\n  example.org \r\n");
    check("domains = [\"example.org\"]\n");
    check("#cloud-config\nstarling: example.org # ours\npackages: [jq]\n");
    check("\n#cloud-config\nusers: []\nstarling: 'example.org'\n");
    check("#cloud-config\nstarling: |\n  example.org\n");
    check(
        "#cloud-config\nstarling: |\n    domains = [\"example.org\"]\n\n    # more\nruncmd:\n  - ls\n",
    );
}

#[test]
fn what_is_written_counts_more_than_what_the_instance_says() {
    let config = good(
        "domains = [\"example.org\"]\n[storage]\nbackend = \"dynamodb\"\nregion = \"us-east-1\"\nbucket = \"ours-and-only-ours\"\n[cluster]\nname = \"other\"\nregistry = true\n",
    );
    let Store::DynamoDb(store) = &config.storage.main else {
        panic!("{:?}", config.storage.main);
    };
    assert_eq!(store.tables.region.as_deref(), Some("us-east-1"));
    assert_eq!(store.objects.name, "ours-and-only-ours");
    let cluster = config.cluster.expect("it is one of several");
    assert_eq!(
        (&*cluster.name, &*cluster.sources),
        ("other", &[Source::Registry][..])
    );
    let alone = good("domains = [\"example.org\"]\n[storage]\nbackend = \"embedded\"\n");
    assert!(alone.cluster.is_none());
    // Nobody balances a node that is alone: what it tells stays on its machine.
    assert!(alone.http.unwrap().ip().is_loopback());
    let quiet = good("domains = [\"example.org\"]\nhttp = false\n");
    assert_eq!(quiet.http, None);
    let local = good("domains = [\"example.org\"]\nhttp = \"127.0.0.1:5280\"\n");
    assert!(local.http.unwrap().ip().is_loopback());
    let listed = good("domains = [\"example.org\"]\n[cluster]\nec2 = [\"a=b\"]\n");
    let cluster = listed.cluster.expect("it is one of several");
    let tag = ("a".to_owned(), "b".to_owned());
    assert_eq!(cluster.sources, [Source::Ec2(vec![tag])]);
    assert!(cluster.ec2.notices);
}

#[test]
fn the_load_balancer_asks_where_it_is_told() {
    let locals = include_str!("../../../../../terraform/locals.tf");
    let port = HTTP.rsplit_once(':').unwrap().1;
    let line = locals
        .lines()
        .find(|line| line.trim().starts_with("http_port"));
    assert_eq!(line.unwrap().rsplit_once('=').unwrap().1.trim(), port);
}

#[test]
fn environment_and_flags_count_more_than_user_data() {
    let loaded = load(&sources(
        "example.org",
        &[
            ("STARLING_DOMAINS", "other.example"),
            ("STARLING_CLUSTER__NAME", "mine"),
            ("STARLING_CLUSTER__EC2__REGION", "eu-west-2"),
        ],
    ));
    let config = loaded.unwrap().config;
    assert_eq!(config.domains, ["other.example"]);
    let cluster = config.cluster.unwrap();
    assert_eq!(cluster.name, "mine");
    // What says how EC2 is asked does not say where the others are.
    let tag = (CLUSTER_TAG.to_owned(), "chat".to_owned());
    assert_eq!(cluster.sources, [Source::Ec2(vec![tag]), Source::Registry]);
    assert_eq!(cluster.ec2.access.region.as_deref(), Some("eu-west-2"));
    let mut sources = sources("example.org", &[]);
    sources.overrides = Overrides {
        memory: true,
        ..Overrides::default()
    };
    let config = load(&sources).unwrap().config;
    assert_eq!(config.storage.main, Store::Memory);
    assert!(config.cluster.is_none());
}

#[test]
fn a_file_is_all_there_is() {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), "domains = [\"example.net\"]").unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..sources("example.org", &[])
    };
    let config = load(&sources).unwrap().config;
    assert_eq!(config.domains, ["example.net"]);
    assert!(matches!(config.storage.main, Store::Embedded { .. }));
}

#[test]
fn without_user_data_it_is_a_development_node() {
    let config = load(&sources("", &[])).unwrap().config;
    assert!(config.development && config.cluster.is_none());
}

#[test]
fn what_is_for_others_is_told_unless_a_domain_is_named() {
    for (data, what) in [
        ("#!/bin/sh\nstarling serve\n", "this is a script"),
        ("#cloud-config\npackages: [jq]\n", "without the key"),
        (
            "Content-Type: multipart/mixed; boundary=\"x\"\n",
            "several parts",
        ),
        ("#include\nhttp://example.org/\n", "for cloud-init"),
        ("\u{1f}", "no domain and no configuration"),
    ] {
        let Mistakes(mistakes) = load(&sources(data, &[])).expect_err(data);
        assert!(mistakes[0].to_string().contains(what), "{mistakes:?}");
        let named = load(&sources(data, &[("STARLING_DOMAINS", "example.org")]));
        if data != "\u{1f}" {
            let notes = named.unwrap().notes;
            assert!(notes[0].contains(what), "{notes:?}");
        }
    }
}

#[test]
fn mistakes_name_their_line() {
    let check = |data: &str, expected: &str| {
        let mistakes = load(&sources(data, &[])).expect_err(data).to_string();
        assert!(mistakes.contains(expected), "{data}: {mistakes}");
    };
    check("example,org\nand more", "user-data:1:");
    check("exa mple", "user-data:1:");
    check(
        "domains = [\"a.example\"]\nlistner = 1\n",
        "user-data:2:1: listner",
    );
    check(
        "#cloud-config\nusers: []\nstarling: |\n  domains = [\"a.example\"]\n  listner = 1\n",
        "user-data:5:1: listner",
    );
    check(
        "#cloud-config\nstarling:\n  domains: [a]\n",
        "user-data:2:1: there is no text",
    );
    check("#cloud-config\nstarling: >\n  a\n", "a folded block");
    check(
        "#cloud-config\nstarling: |\n    a = 1\n  b = 2\n",
        "user-data:4:1: this line is indented less",
    );
    check(
        "#cloud-config\nstarling: |\nother: 1\n",
        "the block is empty",
    );
    check("data = \"d\"\n", "no domain is named");
}
