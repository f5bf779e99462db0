//! A cluster of processes: the program `starling`, several times over one store, as operators run it.
//!
//! Each process has a directory and ports of its own on loopback; what it is told of the others is the name of the cluster.
//! Clients come through a [`Balancer`], which sends each connection to another node.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use services::{Dynoxide, Postgres, Process, Redis, SeaweedFs};
use starling::config::Config;
use starling::status::Facts;
use starling::stores::{self, Opened};
use storage::Stores;
use tempfile::TempDir;

use crate::backend;
use crate::cluster::Balancer;
use crate::faults::node::DOMAIN;
use crate::server::{self, Files};

pub mod network;

/// How long nodes may take to agree. It is a bound, not an expectation.
const AGREE: Duration = Duration::from_secs(60);

/// The store that all share.
pub enum Shared {
    /// A database.
    Database(Postgres),
    /// Tables and objects.
    Cloud(Dynoxide, SeaweedFs),
}

impl Shared {
    /// A database.
    ///
    /// # Errors
    /// It does not start.
    pub fn database() -> Result<Self> {
        tokio::task::block_in_place(|| Ok(Self::Database(Postgres::start(&[])?)))
    }

    /// DynamoDB and S3.
    ///
    /// # Errors
    /// They do not start.
    pub fn cloud() -> Result<Self> {
        tokio::task::block_in_place(|| Ok(Self::Cloud(Dynoxide::start()?, SeaweedFs::start()?)))
    }

    /// What a node writes under `[storage]`.
    #[must_use]
    pub fn lines(&self) -> String {
        match self {
            Self::Database(server) => {
                format!("backend = \"postgresql\"\nurl = \"{}\"\n", server.url())
            }
            Self::Cloud(tables, objects) => format!(
                r#"backend = "dynamodb"
table_prefix = "nodes-"
region = "eu-west-1"
endpoint = "{}"
credentials = "{}"
bucket = "nodes-of-starling"
bucket_endpoint = "{}"
bucket_credentials = "{}"
path_style = true
"#,
                tables.url(),
                tables.credentials().display(),
                objects.url(),
                objects.credentials().display(),
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

/// A node.
pub struct Node {
    process: Process,
    /// Where clients connect, without TLS.
    pub plain: SocketAddr,
    /// Its pages.
    pub http: SocketAddr,
    /// How long it took from its start to the first client.
    pub took: Duration,
    room: TempDir,
}

impl Node {
    fn start(shared: &Shared, cluster: &str, number: usize, variables: &Variables) -> Result<Self> {
        let room = TempDir::new()?;
        let at = |name: &str| room.path().join(name);
        server::write_certificate(room.path(), DOMAIN)?;
        let cluster = cluster.replace("{number}", &number.to_string());
        // The same in each life of the node, as operators write it.
        let port = services::free_port()?;
        std::fs::write(at("starling.toml"), configuration(shared, &cluster, port))?;
        let mut command = Command::new(server::starling_binary()?);
        command
            .envs(variables.iter().copied())
            .current_dir(room.path());
        let files = Files {
            configuration: &at("starling.toml"),
            data: &at("data"),
            ready: &at("ready.json"),
            log: room.path(),
        };
        let began = Instant::now();
        let (process, ports) = server::serve(command, &files)?;
        let took = began.elapsed();
        let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self {
            process,
            plain: local(ports.c2s),
            http: local(ports.http.context("it has pages")?),
            took,
            room,
        })
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.room.path().join("starling.log")).unwrap_or_default()
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
        let mut command = Command::new(server::starling_binary()?);
        server::without_variables_of_tests(&mut command);
        let at = |name: &str| self.room.path().join(name);
        command
            .args(arguments)
            .arg("--config")
            .arg(at("starling.toml"));
        Ok(command.env("STARLING_DATA", at("data")).output()?)
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
}

impl Processes {
    /// So many nodes that start at once. `cluster`: what they write under `[cluster]` beside its name; `{number}` in it counts
    /// them from 1. Without `listen` they listen at any port of 127.0.0.1.
    ///
    /// # Errors
    /// What a start says.
    pub async fn start(nodes: usize, shared: Shared, cluster: &str) -> Result<Self> {
        let storage = backend::parse(&shared.lines())?;
        stores::init(&storage, &|_| ()).await?;
        let mut all = Self {
            shared,
            nodes: Vec::new(),
            balancer: Balancer::start().await?,
            cluster: cluster.to_owned(),
            started: nodes,
        };
        let (shared, cluster) = (&all.shared, &all.cluster);
        let started: Vec<Result<Node>> = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let start = |number| scope.spawn(move || Node::start(shared, cluster, number, &[]));
                let starting: Vec<_> = (1..=nodes).map(start).collect();
                let join = |node: std::thread::ScopedJoinHandle<'_, _>| {
                    node.join().expect("a start does not panic")
                };
                starting.into_iter().map(join).collect()
            })
        });
        for node in started {
            all.nodes.push(node?);
        }
        all.agree(nodes)?;
        Ok(all)
    }

    /// What is stored.
    ///
    /// # Errors
    /// What the store says.
    pub async fn stores(&self) -> Result<Stores> {
        let mut config = Config::development("nowhere".into());
        config.storage = backend::parse(&self.shared.lines())?;
        let Opened { stores, .. } = stores::open(&config, None).await?;
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
        self.started += 1;
        let start = || Node::start(&self.shared, &self.cluster, self.started, variables);
        let node = tokio::task::block_in_place(start)?;
        let took = node.took;
        self.nodes.push(node);
        self.balance();
        Ok(took)
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
        let mut node = self.nodes.remove(at);
        // A balancer sees that `/ready` is red, and sends it nobody any more.
        self.balance();
        let status = tokio::task::block_in_place(|| node.process.terminate())?;
        Ok((status, node.log()))
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

fn configuration(shared: &Shared, cluster: &str, port: u16) -> String {
    format!(
        r#"domains = ["{DOMAIN}"]
http = "127.0.0.1:0"
shutdown_grace = "5s"

[storage]
{storage}

[[listeners]]
address = "127.0.0.1:{port}"
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
        storage = shared.lines(),
        listen = match cluster.contains("listen =") {
            true => "",
            false => "listen = \"127.0.0.1:0\"",
        },
    )
}

/// Where a server's files are, for who wants to look at them.
impl AsRef<Path> for Node {
    fn as_ref(&self) -> &Path {
        self.room.path()
    }
}
