//! A cluster of processes: the program `starling`, several times over one store, as operators run it.
//!
//! Each process has a directory and ports of its own on loopback; what it is told of the others is the name of the cluster.
//! Clients come through a [`Balancer`], which sends each connection to another node.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use services::{Dynoxide, Memcached, Postgres, Process, Redis, SeaweedFs};
use starling::config::Config;
use starling::status::Facts;
use starling::stores::{self, Opened};
use storage::Stores;
use tempfile::TempDir;

use crate::backend;
use crate::cluster::Balancer;
use crate::faults::node::DOMAIN;
use crate::server::{self, Files};

use lab::Seats;

pub mod lab;
pub mod network;
pub mod schedule;

/// How long nodes may take to agree. It is a bound, not an expectation.
const AGREE: Duration = Duration::from_secs(60);

/// The store that all share.
pub enum Shared {
    /// A database.
    Database(Postgres),
    /// Tables and objects, and a cache in front of them.
    Cloud(Dynoxide, SeaweedFs, Box<Memcached>),
}

impl Shared {
    /// What `STARLING_TEST_SHARED` names, `postgresql` (as without it) or `cloud`.
    ///
    /// # Errors
    /// It does not start, or is another name.
    pub fn chosen() -> Result<Self> {
        match std::env::var("STARLING_TEST_SHARED").as_deref() {
            Err(_) | Ok("postgresql") => Self::database(),
            Ok("cloud") => Self::cloud(),
            Ok(other) => bail!("STARLING_TEST_SHARED={other}: postgresql or cloud"),
        }
    }

    /// A database.
    ///
    /// # Errors
    /// It does not start.
    pub fn database() -> Result<Self> {
        tokio::task::block_in_place(|| Ok(Self::Database(Postgres::start(&[])?)))
    }

    /// DynamoDB, S3 and memcached.
    ///
    /// # Errors
    /// They do not start.
    pub fn cloud() -> Result<Self> {
        tokio::task::block_in_place(|| {
            let (tables, objects) = (Dynoxide::start()?, SeaweedFs::start()?);
            let cache = Box::new(Memcached::start()?);
            Ok(Self::Cloud(tables, objects, cache))
        })
    }

    /// What a node writes under `[storage]`.
    #[must_use]
    pub fn lines(&self) -> String {
        match self {
            Self::Database(server) => {
                format!("backend = \"postgresql\"\nurl = \"{}\"\n", server.url())
            }
            Self::Cloud(tables, objects, cache) => format!(
                r#"backend = "dynamodb"
table_prefix = "nodes-"
region = "eu-west-1"
endpoint = "{}"
credentials = "{}"
bucket = "nodes-of-starling"
bucket_endpoint = "{}"
bucket_credentials = "{}"
path_style = true
memcached.servers = ["{}"]
"#,
                tables.url(),
                tables.credentials().display(),
                objects.url(),
                objects.credentials().display(),
                cache.address(),
            ),
        }
    }
}

/// What nodes write under `[cluster]` to have their directory in this server.
#[must_use]
pub fn over_redis(server: &Redis) -> String {
    let url = server.url();
    format!("directory = \"redis\"\n[cluster.redis]\nurl = \"{url}\"")
}

/// Variables of a process, beside those that it inherits.
type Variables = [(&'static str, &'static str)];

/// What one node is told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Its lines under `[cluster]`; `{number}` in them counts nodes from 1.
    pub cluster: String,
    /// Its variables, beside those that it inherits.
    pub variables: Vec<(String, String)>,
    /// It has no configuration file: the instance that it is on was given all there is.
    pub is_launched: bool,
}

impl Told {
    /// Runs a command of the server as told, where no node runs.
    ///
    /// # Errors
    /// It cannot be run; that it fails is no error.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let room = TempDir::new()?;
        let binary = server::starling_binary()?;
        Ok(self.to(&binary, room.path(), arguments).output()?)
    }

    /// A command of this program with a node's configuration.
    fn to(&self, binary: &Path, room: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        server::without_variables_of_tests(&mut command);
        command
            .args(arguments)
            .envs(self.variables.iter().cloned())
            .env("STARLING_DATA", room.join("data"))
            .current_dir(room);
        if !self.is_launched {
            command.arg("--config").arg(room.join("starling.toml"));
        }
        command
    }
}

/// A node that is to be started.
#[derive(Debug, Clone)]
pub struct Start {
    storage: String,
    told: Told,
    number: usize,
    /// The program.
    pub binary: PathBuf,
    /// Where it is, and in which network namespace; without one, in that of the tests.
    seat: (Ipv4Addr, Option<String>),
}

/// A node.
pub struct Node {
    process: Process,
    /// How many were started before it, and itself.
    pub number: usize,
    binary: PathBuf,
    /// Where clients connect, without TLS.
    pub plain: SocketAddr,
    /// Its pages.
    pub http: SocketAddr,
    /// Its API, if it has one.
    pub api: Option<SocketAddr>,
    /// How long it took from its start to the first client.
    pub took: Duration,
    told: Told,
    room: TempDir,
}

impl Start {
    /// Starts it, and waits until it takes clients.
    ///
    /// # Errors
    /// It does not.
    pub fn run(self) -> Result<Node> {
        let (number, told) = (self.number, self.told);
        let room = TempDir::new()?;
        let at = |name: &str| room.path().join(name);
        server::write_certificate(room.path(), DOMAIN)?;
        let cluster = told.cluster.replace("{number}", &number.to_string());
        // The same in each life of the node, as operators write it.
        let port = services::free_port()?;
        let (host, namespace) = self.seat;
        let text = configuration(&self.storage, &cluster, (host, port).into());
        let configuration = at("starling.toml");
        fs::write(&configuration, text)?;
        let mut command = match namespace {
            None => Command::new(&self.binary),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &name]).arg(&self.binary);
                command
            }
        };
        command
            .envs(told.variables.iter().cloned())
            .current_dir(room.path());
        let files = Files {
            configuration: (!told.is_launched).then_some(&configuration),
            data: &at("data"),
            ready: &at("ready.json"),
            log: room.path(),
        };
        let began = Instant::now();
        // All that it logged: room and log are gone afterwards.
        let log = || fs::read_to_string(at("starling.log")).unwrap_or_default();
        let (process, ports) = server::serve(command, &files).with_context(log)?;
        let took = began.elapsed();
        let local = |port: u16| SocketAddr::from((host, port));
        Ok(Node {
            process,
            number,
            binary: self.binary,
            plain: local(ports.c2s),
            http: local(ports.http.context("it has pages")?),
            api: ports.api.map(local),
            took,
            told,
            room,
        })
    }
}

impl Node {
    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops it as an operator does; how it ended, and what it logged.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<(ExitStatus, String)> {
        let status = self.process.terminate()?;
        Ok((status, self.log()))
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.room.path().join("starling.log")).unwrap_or_default()
    }

    /// One of its pages: status line, header and text.
    ///
    /// # Errors
    /// It does not answer.
    pub fn page(&self, path: &str) -> Result<String> {
        Ok(server::page(self.http, path)?)
    }

    /// What it tells of itself and of its cluster.
    ///
    /// # Errors
    /// It does not answer.
    pub fn facts(&self) -> Result<Facts> {
        let page = self.page("/status.json")?;
        let (_, body) = page.split_once("\r\n\r\n").context("no body")?;
        Ok(serde_json::from_str(body)?)
    }

    /// Runs a command with the configuration of this node.
    ///
    /// # Errors
    /// It cannot be run; that it fails is no error.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.told.to(&self.binary, self.room.path(), arguments);
        Ok(command.output()?)
    }

    /// The value of a metric, as it is written with its labels.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = self.page("/metrics").ok()?;
        let mut lines = page.lines();
        let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found?.trim().parse().ok()
    }
}

/// The cluster.
pub struct Processes {
    /// The store that all share.
    pub shared: Shared,
    /// The nodes that run.
    pub nodes: Vec<Node>,
    /// Where clients connect.
    pub balancer: Balancer,
    cluster: String,
    /// How many were started so far.
    started: usize,
    /// The program that nodes are.
    pub binary: PathBuf,
    seats: Option<Seats>,
}

impl Processes {
    /// So many nodes that start at once. `cluster`: what they write under `[cluster]` beside its name; `{number}` in it counts
    /// them from 1. Without `listen` they listen at any port of 127.0.0.1.
    ///
    /// # Errors
    /// What a start says.
    pub async fn start(nodes: usize, shared: Shared, cluster: &str) -> Result<Self> {
        Self::start_as(nodes, shared, cluster, server::starling_binary()?, None).await
    }

    /// As [`Processes::start`], of this program, and at these places.
    ///
    /// # Errors
    /// As there.
    pub async fn start_as(
        nodes: usize,
        shared: Shared,
        cluster: &str,
        binary: PathBuf,
        seats: Option<Seats>,
    ) -> Result<Self> {
        let all = Self::none(shared, cluster, binary, seats).await?;
        let told = Told {
            cluster: cluster.to_owned(),
            ..Told::default()
        };
        all.start_all(&vec![told; nodes])
    }

    /// Nodes that start at once, each told something of its own.
    ///
    /// # Errors
    /// What a start says.
    pub async fn start_told(shared: Shared, told: &[Told]) -> Result<Self> {
        let all = Self::none(shared, "", server::starling_binary()?, None).await?;
        all.start_all(told)
    }

    /// The store, and no node yet.
    async fn none(
        shared: Shared,
        cluster: &str,
        binary: PathBuf,
        seats: Option<Seats>,
    ) -> Result<Self> {
        let storage = backend::parse(&shared.lines())?;
        Box::pin(stores::init(&storage, &|_| ())).await?;
        let all = Self {
            shared,
            nodes: Vec::new(),
            balancer: Balancer::start().await?,
            cluster: cluster.to_owned(),
            started: 0,
            binary,
            seats,
        };
        Ok(all)
    }

    fn start_all(mut self, told: &[Told]) -> Result<Self> {
        let starts: Vec<Start> = told
            .iter()
            .map(|told| self.start_of(told.clone()))
            .collect();
        let started: Vec<Result<Node>> = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let start = |start: Start| scope.spawn(move || start.run());
                let starting: Vec<_> = starts.into_iter().map(start).collect();
                let join = |node: std::thread::ScopedJoinHandle<'_, _>| {
                    node.join().expect("a start does not panic")
                };
                starting.into_iter().map(join).collect()
            })
        });
        for node in started {
            self.nodes.push(node?);
        }
        self.agree(told.len())?;
        Ok(self)
    }

    /// What is stored.
    ///
    /// # Errors
    /// What the store says.
    pub async fn stores(&self) -> Result<Stores> {
        let mut config = Config::development("nowhere".into());
        config.storage = backend::parse(&self.shared.lines())?;
        let Opened { stores, .. } = Box::pin(stores::open(&config, None)).await?;
        Ok(stores)
    }

    /// One more node; how long it took from its start to the first client.
    ///
    /// # Errors
    /// What its start says.
    pub fn launch(&mut self) -> Result<Duration> {
        self.launch_with(&[])
    }

    /// As [`Processes::launch`], with these variables.
    ///
    /// # Errors
    /// As there.
    pub fn launch_with(&mut self, variables: &Variables) -> Result<Duration> {
        let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.launch_told(&Told {
            variables: variables.iter().map(variable).collect(),
            cluster: self.cluster.clone(),
            is_launched: false,
        })
    }

    /// As [`Processes::launch`], told something of its own.
    ///
    /// # Errors
    /// As there.
    pub fn launch_told(&mut self, told: &Told) -> Result<Duration> {
        let start = self.start_of(told.clone());
        let node = tokio::task::block_in_place(|| start.run())?;
        let took = node.took;
        self.add(node);
        Ok(took)
    }

    /// One more node, for who starts it and adds it himself: starting it takes a while.
    pub fn another(&mut self) -> Start {
        let cluster = self.cluster.clone();
        self.start_of(Told {
            cluster,
            ..Told::default()
        })
    }

    fn start_of(&mut self, told: Told) -> Start {
        self.started += 1;
        let lines = self.shared.lines();
        let (storage, seat) = match &self.seats {
            None => (lines, (Ipv4Addr::LOCALHOST, None)),
            Some(seats) => seats.of(self.started, &lines),
        };
        Start {
            storage,
            seat,
            told,
            number: self.started,
            binary: self.binary.clone(),
        }
    }

    /// Has clients sent to a node that was started.
    pub fn add(&mut self, node: Node) {
        self.nodes.push(node);
        self.balance();
    }

    /// Has no more clients sent to a node that still runs.
    pub fn remove(&mut self, at: usize) -> Node {
        let node = self.nodes.remove(at);
        self.balance();
        node
    }

    /// `kill -9` of a node: the others find out by themselves.
    pub fn kill(&mut self, at: usize) -> Node {
        let mut node = self.nodes.remove(at);
        tokio::task::block_in_place(|| node.process.kill());
        self.balance();
        node
    }

    /// Waits until a node that was told to has ended; how, and what it logged.
    ///
    /// # Errors
    /// It does not end.
    pub fn ended(&mut self, at: usize) -> Result<(ExitStatus, String)> {
        let mut node = self.nodes.remove(at);
        self.balance();
        let status = tokio::task::block_in_place(|| node.process.wait())?;
        Ok((status, node.log()))
    }

    /// Stops a node as an operator does; how it ended, and what it logged.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self, at: usize) -> Result<(ExitStatus, String)> {
        // A balancer sees that `/ready` is red, and sends it nobody any more.
        let node = self.remove(at);
        tokio::task::block_in_place(|| node.stop())
    }

    /// Waits until every node has so many members in its view that serve.
    ///
    /// # Errors
    /// They do not agree; what each logged.
    pub fn agree(&self, members: usize) -> Result<()> {
        self.balance();
        let until = Instant::now() + AGREE;
        let all = |node: &Node| server::knows_all(node.http, members);
        tokio::task::block_in_place(|| {
            while !self.nodes.iter().all(all) {
                if Instant::now() > until {
                    let logs: Vec<_> = self.nodes.iter().map(Node::log).collect();
                    bail!("the nodes do not agree\n{}", logs.join("\n---\n"));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })
    }

    fn balance(&self) {
        let addresses = self.nodes.iter().map(|node| node.plain);
        self.balancer.set(addresses.collect());
    }
}

fn configuration(storage: &str, cluster: &str, address: SocketAddr) -> String {
    format!(
        r#"domains = ["{DOMAIN}"]
http = "{host}:0"
shutdown_grace = "5s"

[storage]
{storage}

[[listeners]]
address = "{address}"
starttls_required = false

[[certificates]]
chain = "chain.pem"
key = "key.pem"

[auth]
plain_without_tls = true
attempts = 1000000

[limits.connections]
per_address = 100000
per_second = 1000000
burst = 1000000

[log]
filter = "info"

[cluster]
name = "tests"
{listen}
{cluster}
"#,
        host = address.ip(),
        listen = match cluster.contains("listen =") {
            true => String::new(),
            false => format!("listen = \"{}:0\"", address.ip()),
        },
    )
}

/// Where a server's files are, for who wants to look at them.
impl AsRef<Path> for Node {
    fn as_ref(&self) -> &Path {
        self.room.path()
    }
}
