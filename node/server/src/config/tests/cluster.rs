//! The section `cluster`.

use super::{good, mistakes};
use crate::config::cluster::{Cluster, Directory, RedisPlace, Source};

const SHARED: &str = "domains = [\"example.org\"]\n[storage]\nbackend = \"postgresql\"\nurl = \"postgresql://s@db.example.org/s\"\n";

fn read(lines: &str) -> Cluster {
    let config = good(&format!("{SHARED}[cluster]\n{lines}"));
    config.cluster.expect("the section is there")
}

#[track_caller]
fn check(lines: &str, expected: &str) {
    let found = mistakes(&format!("{SHARED}[cluster]\n{lines}"), &[]);
    assert!(
        found.len() == 1 && found[0].contains(expected),
        "{lines}: {found:#?}"
    );
}

#[test]
fn without_the_section_a_node_is_alone() {
    assert_eq!(good(SHARED).cluster, None);
}

#[test]
fn an_empty_section_is_enough() {
    let cluster = read("");
    assert_eq!(cluster.name, "starling");
    assert_eq!(cluster.listen.to_string(), "0.0.0.0:7269");
    assert_eq!(cluster.sources, [Source::Registry]);
    assert_eq!(cluster.directory, Directory::Raft);
    assert!(cluster.secrets.is_empty() && cluster.advertise.is_none());
}

#[test]
fn addresses_take_the_port_where_the_node_listens() {
    let cluster = read(
        "listen = \":7000\"\nadvertise = \"10.0.0.1\"\nnodes = [\"10.0.0.2\", \"a.example.org\", \"b:1\"]",
    );
    assert_eq!(cluster.advertise, Some("10.0.0.1:7000".parse().unwrap()));
    let hosts = ["10.0.0.2:7000", "a.example.org:7000", "b:1"];
    let hosts = hosts.map(|host| host.parse().unwrap()).to_vec();
    assert_eq!(cluster.sources, [Source::Nodes(hosts)]);
}

#[test]
fn sources_are_those_that_are_named() {
    let names = |lines: &str| -> Vec<&str> {
        let name = |source: &Source| match source {
            Source::Nodes(_) => "nodes",
            Source::Dns(_) => "dns",
            Source::Registry => "registry",
            Source::Ec2(_) => "ec2",
        };
        read(lines).sources.iter().map(name).collect()
    };
    assert_eq!(names("dns = \"_starling._tcp.example.org\""), ["dns"]);
    assert_eq!(
        names("dns = \"nodes.example.org\"\nregistry = true"),
        ["dns", "registry"]
    );
    assert_eq!(names("ec2 = \"cluster=one\"\nnodes = []"), ["nodes", "ec2"]);
}

#[test]
fn ec2_is_a_list_of_tags_or_a_section() {
    let tags = || vec![("cluster".to_owned(), "one".to_owned())];
    let check = |lines: &str, sources: &[Source], notices: bool| {
        let cluster = read(lines);
        assert_eq!(cluster.sources, sources, "{lines}");
        assert_eq!(cluster.ec2.notices, notices, "{lines}");
    };
    check("", &[Source::Registry], false);
    check("ec2 = [\"cluster=one\"]", &[Source::Ec2(tags())], true);
    check(
        "[cluster.ec2]\ntags = [\"cluster=one\"]",
        &[Source::Ec2(tags())],
        true,
    );
    check(
        "[cluster.ec2]\ntags = \"cluster=one\"\nnotices = false",
        &[Source::Ec2(tags())],
        false,
    );
    check("[cluster.ec2]\nnotices = true", &[Source::Registry], true);
    let cluster = read(
        "[cluster.ec2]\nnotices = true\nregion = \"eu-west-1\"\nendpoint = \"http://a:1\"\nautoscaling_endpoint = \"http://b:1\"",
    );
    assert_eq!(cluster.ec2.access.region.as_deref(), Some("eu-west-1"));
    assert_eq!(cluster.ec2.access.endpoint.as_deref(), Some("http://a:1"));
    assert_eq!(cluster.ec2.autoscaling.as_deref(), Some("http://b:1"));
}

#[test]
fn clients_are_sent_to_hosts() {
    let good = [
        "node1.example.org",
        "node1:5222",
        "10.0.0.1:443",
        "[2001:db8::1]",
        "[::1]:5222",
    ];
    for address in good {
        let cluster = read(&format!("client_address = \"{address}\""));
        assert_eq!(cluster.client_address.as_deref(), Some(address));
    }
    let bad = [
        "",
        "node1:0",
        "node1:",
        "2001:db8::1",
        "[node1]:1",
        "a b",
        "xmpp://node1",
    ];
    for address in bad {
        check(
            &format!("client_address = \"{address}\""),
            "no address that clients could be sent to",
        );
    }
}

#[test]
fn servers_for_names_have_a_port() {
    let cluster =
        read("dns = \"nodes.example.org\"\ndns_servers = [\"10.0.0.2\", \"127.0.0.1:8600\"]");
    let servers = ["10.0.0.2:53", "127.0.0.1:8600"].map(|it| it.parse().unwrap());
    assert_eq!(cluster.dns_servers, servers);
}

#[test]
fn redis_is_one_of_three() {
    let place =
        |lines: &str| match read(&format!("directory = \"redis\"\n[cluster.redis]\n{lines}"))
            .directory
        {
            Directory::Redis(redis) => redis.place,
            Directory::Raft => panic!("{lines}"),
        };
    let url = "redis://a:1".to_owned();
    assert_eq!(
        place("url = \"redis://a:1\""),
        RedisPlace::Server(url.clone())
    );
    assert_eq!(
        place("servers = [\"redis://a:1\"]"),
        RedisPlace::Cluster(vec![url.clone()])
    );
    let master = "m".to_owned();
    let sentinels = vec![url];
    assert_eq!(
        place("sentinels = [\"redis://a:1\"]\nmaster = \"m\""),
        RedisPlace::Sentinel { sentinels, master }
    );
}

#[test]
fn what_cannot_be_is_said() {
    check("name = \"two words\"", "\"two words\" is no name");
    check("secret = \"short\"", "at least 16 bytes");
    check(
        "secret = \"0123456789abcdef\"\nsecret_file = \"s\"",
        "more than one way",
    );
    check(
        "secrets = [\"0123456789abcdef0\", \"0123456789abcdef1\", \"0123456789abcdef2\", \"0123456789abcdef3\", \"0123456789abcdef4\"]",
        "at most 4 secrets",
    );
    check("listen = \"0.0.0.0:0\"", "port 0");
    check(
        "advertise = \"0.0.0.0\"",
        "no address that others could dial",
    );
    check("weight = 0", "out of range");
    check("registry = false", "nothing says where other nodes are");
    check("ec2 = [\"tag\"]", "no tag with a value");
    check("[cluster.ec2]\ntags = [\"tag\"]", "no tag with a value");
    check("[cluster.ec2]\nnotice = true", "did you mean `notices`?");
    check("dns = \"10.0.0.1\"", "no name to look up");
    check("dns_servers = [\"ns.example.org\"]", "no address");
    check("directory = \"redis\"", "where Redis is");
    check(
        "[cluster.redis]\nurl = \"redis://a:1\"",
        "the directory is raft",
    );
    check(
        "directory = \"redis\"\n[cluster.redis]\nurl = \"redis://me:secret@a:1\"",
        "no user and no password",
    );
    check(
        "directory = \"redis\"\n[cluster.redis]\nurl = \"redis://a:1\"\nservers = [\"redis://a:1\"]",
        "more than one way",
    );
    check("nane = \"a\"", "did you mean `name`?");
}

#[test]
fn a_store_of_one_machine_is_no_store_of_a_cluster() {
    let of_one = [
        "",
        "[storage]\nbackend = \"memory\"\n",
        "[storage]\nbackend = \"sqlite\"\nurl = \"sqlite:///x.db\"\n",
    ];
    for storage in of_one {
        let toml = format!("domains = [\"example.org\"]\n{storage}[cluster]\n");
        let found = mistakes(&toml, &[]);
        assert!(
            found.len() == 1 && found[0].contains("share their store"),
            "{found:#?}"
        );
        let line = format!("starling.toml:{}:", toml.lines().count());
        assert!(found[0].starts_with(&line), "{found:#?}");
    }
}

#[test]
fn the_environment_makes_a_cluster() {
    let (sources, _kept) = super::sources(Some(SHARED), &[("STARLING_CLUSTER__NAME", "one")]);
    let config = crate::config::load(&sources).unwrap().config;
    assert_eq!(config.cluster.unwrap().name, "one");
}
