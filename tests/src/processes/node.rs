//! One node: what it is told, how it is started, what it says.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use services::Process;
use starling::status::Facts;
use tempfile::TempDir;

use crate::faults::node::DOMAIN;
use crate::server::{self, Files};

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
    pub(super) storage: String,
    pub(super) told: Told,
    pub(super) number: usize,
    /// The program.
    pub binary: PathBuf,
    /// Where it is, and in which network namespace; without one, in that of the tests.
    pub(super) seat: (Ipv4Addr, Option<String>),
}

/// A node.
pub struct Node {
    pub(super) process: Process,
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
