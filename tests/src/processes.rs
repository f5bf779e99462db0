//! A cluster of processes: the program `starling`, several times over one store, as operators run it.
//!
//! Each process has a directory and ports of its own on loopback; what it is told of the others is the name of the cluster.
//! Clients come through a [`Balancer`], which sends each connection to another node.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use starling::config::Config;
use starling::stores::{self, Opened};
use storage::Stores;

use crate::backend;
use crate::cluster::Balancer;
use crate::server;

use lab::Seats;

pub use node::{Node, Start, Told};
pub use shared::{Shared, over_redis};

pub mod lab;
pub mod network;
mod node;
pub mod schedule;
mod shared;

/// How long nodes may take to agree. It is a bound, not an expectation.
const AGREE: Duration = Duration::from_secs(60);

/// Variables of a process, beside those that it inherits.
type Variables = [(&'static str, &'static str)];

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
