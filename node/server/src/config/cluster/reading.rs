//! How the section `cluster` is read.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use cluster::link;
use discovery::source::{Host, Query};

use super::{
    super::{
        Config, Dialect, Secret, Store,
        meaning::{address, path},
        raw::Node,
        reader::{Section, Wrong, boolean, choice, duration, number, text},
    },
    Cluster, Directory, Ec2, PORT, Redis, RedisPlace, Source,
    ec2::ec2,
};

/// Where servers for names listen (RFC 1035 §4.2).
const DNS: u16 = 53;
/// How long names may be.
const LONGEST: usize = 64;

fn usual() -> Cluster {
    Cluster {
        name: "starling".to_owned(),
        secrets: Vec::new(),
        secret_file: None,
        listen: SocketAddr::from(([0, 0, 0, 0], PORT)),
        advertise: None,
        client_address: None,
        weight: 1,
        zone: None,
        sources: Vec::new(),
        dns_servers: Vec::new(),
        directory: Directory::Raft,
        hand_over: Duration::from_secs(60),
        ec2: Ec2::default(),
        close_per_second: 100,
    }
}

/// Reads the section, which is there.
pub(in crate::config) fn cluster(mut section: Section<'_>, config: &mut Config) {
    let mut cluster = usual();
    let own = match &config.storage.main {
        Store::Embedded { .. } => Some("the embedded store is in a directory of this machine"),
        Store::Memory => Some("a store in memory is this process's own"),
        Store::Sql(sql) if sql.dialect == Dialect::Sqlite => {
            Some("a database of SQLite is a file of this machine")
        }
        _ => None,
    };
    if let Some(own) = own {
        let wrong = format!("{own}, and the nodes of a cluster share their store");
        let remedy = "choose another storage.backend, or leave this section out";
        section.mistake(None, "", Wrong::new(wrong, remedy));
    }
    section.read("name", &mut cluster.name, name);
    secrets(&mut section, &mut cluster);
    addresses(&mut section, &mut cluster);
    section.read("client_address", &mut cluster.client_address, |node| {
        client_address(node).map(Some)
    });
    section.read("weight", &mut cluster.weight, number(1, 1_000_000));
    section.read("zone", &mut cluster.zone, |node| name(node).map(Some));
    cluster.sources = sources(&mut section, cluster.listen.port(), &mut cluster.ec2);
    let servers = section.list("dns_servers", |node| reachable(node, DNS));
    cluster.dns_servers = servers.unwrap_or_default();
    cluster.directory = directory(&mut section);
    section.read("hand_over", &mut cluster.hand_over, duration("0s", "1h"));
    section.read(
        "close_per_second",
        &mut cluster.close_per_second,
        number(1, 1_000_000),
    );
    section.finish();
    config.cluster = Some(cluster);
}

fn name(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    let is_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if written.is_empty() || written.len() > LONGEST || !written.chars().all(is_one) {
        let wrong = format!("\"{written}\" is no name");
        let remedy = format!("write up to {LONGEST} letters, digits, `.`, `-` and `_`");
        return Err(Wrong::new(wrong, remedy));
    }
    Ok(written)
}

fn secret(node: &Node) -> Result<Secret, Wrong> {
    let written = Secret::new(text(node)?);
    match link::Secret::new(written.expose().as_bytes()) {
        Ok(_) => Ok(written),
        Err(error) => Err(Wrong::new(
            error.to_string(),
            "write what `openssl rand -base64 32` says",
        )),
    }
}

fn secrets(section: &mut Section<'_>, cluster: &mut Cluster) {
    let mut one = None;
    let is_one = section.read("secret", &mut one, |node| secret(node).map(Some));
    let many = section.items("secrets", secret);
    let in_file = section.read("secret_file", &mut cluster.secret_file, |node| {
        path(node).map(Some)
    });
    let ways = [is_one.is_some(), many.is_some(), in_file.is_some()];
    if ways.iter().filter(|it| **it).count() > 1 {
        let wrong = Wrong::new(
            "secrets are named in more than one way",
            "write one of `secret`, `secrets` and `secret_file`",
        );
        section.mistake(is_one.as_ref().or(in_file.as_ref()), "secret", wrong);
    }
    let many = many.unwrap_or_default();
    if let Some(last) = many.get(link::MAX_SECRETS) {
        let wrong = format!("at most {} secrets count at once", link::MAX_SECRETS);
        let wrong = Wrong::new(wrong, "leave the oldest out");
        section.mistake(Some(&last.place), &last.key, wrong);
    }
    let many = many.into_iter().map(|item| item.value);
    cluster.secrets = one.into_iter().chain(many).collect();
}

fn addresses(section: &mut Section<'_>, cluster: &mut Cluster) {
    let listen = section.read("listen", &mut cluster.listen, address);
    let port = cluster.listen.port();
    section.read("advertise", &mut cluster.advertise, |node| {
        reachable(node, port).map(Some)
    });
    if port == 0 && (cluster.listen.ip().is_unspecified() || cluster.advertise.is_some()) {
        let wrong = Wrong::new(
            "port 0 is any free port, which nobody could be told",
            "write a port, or one address to listen at and no `advertise`",
        );
        section.mistake(listen.as_ref(), "listen", wrong);
    }
}

/// An address to send to, with this port unless it says another.
fn reachable(node: &Node, port: u16) -> Result<SocketAddr, Wrong> {
    let written = text(node)?;
    let with_port = written.parse().ok();
    let alone = || Some(SocketAddr::new(written.parse::<IpAddr>().ok()?, port));
    let found = with_port.or_else(alone);
    found.filter(|it| !it.ip().is_unspecified()).ok_or_else(|| {
        let wrong = format!("\"{written}\" is no address that others could dial");
        let remedy = format!("write one such as \"10.0.0.1\" or \"10.0.0.1:{PORT}\"");
        Wrong::new(wrong, remedy)
    })
}

/// Where clients are sent: a host, with a port unless it is the usual one (RFC 6120 §4.9.3.19).
fn client_address(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    let is_host = |host: &str| match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            let is_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
            !host.is_empty() && host.chars().all(is_one)
        }
    };
    let has_port = written.ends_with(']') || !written.contains(':');
    let (host, port) = match written.rsplit_once(':').filter(|_| !has_port) {
        Some((host, port)) => (host, port.parse::<u16>().is_ok_and(|port| port > 0)),
        None => (written.as_str(), true),
    };
    if port && is_host(host) {
        return Ok(written);
    }
    Err(Wrong::new(
        format!("\"{written}\" is no address that clients could be sent to"),
        "write one such as \"node1.example.org\", \"node1.example.org:5222\" or \"[2001:db8::1]:5222\"",
    ))
}

/// The sources that are named; the registry, if none is.
fn sources(section: &mut Section<'_>, port: u16, about: &mut Ec2) -> Vec<Source> {
    let mut sources = Vec::new();
    let host = |node: &Node| {
        let written = text(node)?;
        let parse = |text: &str| text.parse::<Host>();
        let found = parse(&written).or_else(|error| match written.parse::<IpAddr>() {
            Ok(ip) => Ok(Host::Address(SocketAddr::new(ip, port))),
            Err(_) => parse(&format!("{written}:{port}")).map_err(|_| error),
        });
        found.map_err(|error| {
            let remedy = format!("write one such as \"10.0.0.1:{PORT}\"");
            Wrong::new(error.to_string(), remedy)
        })
    };
    if let Some(nodes) = section.items("nodes", host) {
        section.once(&nodes, Host::to_string);
        sources.push(Source::Nodes(
            nodes.into_iter().map(|item| item.value).collect(),
        ));
    }
    let mut query = None;
    section.read("dns", &mut query, |node| dns(node, port).map(Some));
    sources.extend(query.map(Source::Dns));
    let (tags, found) = ec2(section);
    *about = found;
    sources.extend(tags.map(Source::Ec2));
    // Without another source it is the way to find the others.
    let mut registry = sources.is_empty();
    section.read("registry", &mut registry, boolean);
    if registry {
        sources.push(Source::Registry);
    }
    if sources.is_empty() {
        let wrong = Wrong::new(
            "nothing says where other nodes are",
            "write `registry = true`, or name `nodes`, `dns` or `ec2`",
        );
        section.mistake(None, "registry", wrong);
    }
    sources
}

fn dns(node: &Node, port: u16) -> Result<Query, Wrong> {
    let written = text(node)?;
    if written.starts_with('_') && !written.contains(':') {
        return Ok(Query::Service(written.into()));
    }
    let with_port = match written.contains(':') {
        true => written.clone(),
        false => format!("{written}:{port}"),
    };
    match with_port.parse() {
        Ok(Host::Name(name, port)) => Ok(Query::Name(name, port)),
        _ => Err(Wrong::new(
            format!("\"{written}\" is no name to look up"),
            "write one such as \"nodes.example.org\" or \"_starling._tcp.example.org\"",
        )),
    }
}

fn directory(section: &mut Section<'_>) -> Directory {
    let mut is_redis = false;
    section.read(
        "directory",
        &mut is_redis,
        choice(&[("raft", false), ("redis", true)]),
    );
    let is_described = section.has("redis");
    let mut described = section.section("redis");
    if !is_redis {
        if is_described {
            let wrong = Wrong::new(
                "the directory is raft",
                "write `directory = \"redis\"`, or leave this out",
            );
            described.mistake(None, "", wrong);
        }
        return Directory::Raft;
    }
    let redis = redis(&mut described);
    described.finish();
    redis.map_or(Directory::Raft, Directory::Redis)
}

fn redis(section: &mut Section<'_>) -> Option<Redis> {
    let (mut url, mut master) = (None, None);
    section.read("url", &mut url, |node| server(node).map(Some));
    let sentinels = section.list("sentinels", server);
    let at = section.read("master", &mut master, |node| name(node).map(Some));
    let servers = section.list("servers", server);
    if master.is_some() && sentinels.is_none() {
        let wrong = Wrong::new("only Sentinels know it", "name them in `sentinels`");
        section.mistake(at.as_ref(), "master", wrong);
    }
    let mut places = Vec::new();
    places.extend(url.map(RedisPlace::Server));
    places.extend(sentinels.map(|sentinels| RedisPlace::Sentinel {
        sentinels,
        master: master.unwrap_or_else(|| "starling".to_owned()),
    }));
    places.extend(servers.map(RedisPlace::Cluster));
    let mut found = Redis {
        place: RedisPlace::Cluster(Vec::new()),
        user: None,
        password: None,
        password_file: None,
        ca_file: None,
    };
    section.read("user", &mut found.user, |node| text(node).map(Some));
    section.read("password", &mut found.password, |node| {
        text(node).map(|text| Some(Secret::new(text)))
    });
    let in_file = section.read("password_file", &mut found.password_file, |node| {
        path(node).map(Some)
    });
    if found.password.is_some() && in_file.is_some() {
        let wrong = Wrong::new("the password is there twice", "leave one of them out");
        section.mistake(in_file.as_ref(), "password_file", wrong);
    }
    section.read("ca_file", &mut found.ca_file, |node| path(node).map(Some));
    let good = ["url", "sentinels", "servers"];
    if places.len() != 1 && good.iter().all(|key| section.is_good(key)) {
        let wrong = Wrong::new(
            "it is not said where Redis is, or in more than one way",
            "write one of `url`, `sentinels` with `master`, and `servers` (of a cluster)",
        );
        section.mistake(None, "url", wrong);
    }
    found.place = places.into_iter().next()?;
    Some(found)
}

/// The address of a Redis. What it holds is printed, so it has no password.
fn server(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    let rest = ["redis://", "rediss://"]
        .iter()
        .find_map(|scheme| written.strip_prefix(scheme));
    match rest {
        Some(rest) if rest.contains('@') => Err(Wrong::new(
            "an address has no user and no password",
            "write them as `user` and `password` or `password_file`",
        )),
        Some(rest) if !rest.is_empty() => Ok(written),
        _ => Err(Wrong::new(
            format!("\"{written}\" is no address of Redis"),
            "write one such as \"redis://cache.example.org:6379\", or rediss:// for TLS",
        )),
    }
}
