//! Three processes, clients that chat at each, and what a disturbance is to them.

use std::time::{Duration, Instant};

use tests::faults::actor::actor_name;
use tests::faults::dice::seed;
use tests::faults::node::create_accounts;
use tests::processes::network::Network;
use tests::processes::{Processes, Shared};
use tokio::sync::watch;

use crate::{ACTORS, play::Play};

/// How long clients may take to be served again. It is a bound, not an expectation.
const SERVED: Duration = Duration::from_secs(60);

/// A cluster under load.
pub struct Scene {
    pub cluster: Processes,
    pub network: Network,
    play: Play,
    /// How many nodes there were, and have clients.
    nodes: usize,
}

impl Scene {
    /// Three nodes over a database, and place for one more; a third of the clients come in at each, and only there.
    pub async fn begin(lines: &str) -> Self {
        let seed = seed();
        println!("seed {seed}");
        let network = Network::start(4).await.unwrap();
        let lines = format!("{}{lines}", network.lines());
        let shared = Shared::database().unwrap();
        let cluster = Processes::start(3, shared, &lines).await.unwrap();
        let stores = cluster.stores().await.unwrap();
        create_accounts(&stores, (0..ACTORS).map(actor_name))
            .await
            .unwrap();
        let nodes = cluster.nodes.len();
        let at = |actor: usize| watch::channel(cluster.nodes[actor % nodes].plain).1;
        let servers = (0..ACTORS).map(at).collect();
        let address = watch::Sender::new(cluster.balancer.address);
        let play = Play::start_at(servers, address, seed);
        let scene = Self {
            cluster,
            network,
            play,
            nodes,
        };
        let began = Instant::now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        scene.print("before", began);
        scene
    }

    /// The clients at a node.
    fn clients(&self, node: usize) -> Vec<usize> {
        (0..ACTORS)
            .filter(|actor| actor % self.nodes == node)
            .collect()
    }

    /// Prints how long the clients of each node were affected since then.
    fn print(&self, what: &str, since: Instant) {
        let window = since..Instant::now();
        for node in 0..self.nodes {
            let clients = self.clients(node);
            let ledger = self.play.stage.ledger();
            let silences = ledger.times.silences(&clients, &window);
            println!("{what}: longest time without a promise at node {node}: {silences}");
        }
    }

    /// Waits until each client of these nodes was told that something of it is safe, which was sent after now.
    pub async fn all_served(&self, nodes: impl IntoIterator<Item = usize>) {
        let (since, until) = (Instant::now(), Instant::now() + SERVED);
        for client in nodes.into_iter().flat_map(|node| self.clients(node)) {
            while !self
                .play
                .stage
                .ledger()
                .times
                .is_served_since(client, since)
            {
                if Instant::now() > until {
                    self.fail(&format!("client {client} is not served"));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn fail(&self, what: &str) -> ! {
        for node in &self.cluster.nodes {
            println!("{}\n---", node.log());
        }
        panic!("{what}");
    }

    /// The disturbance that began then is over: all are served, the members agree, and no promise was broken.
    pub async fn end(mut self, what: &str, began: Instant, members: usize) {
        let over = Instant::now();
        self.all_served(0..self.nodes).await;
        println!("{what}: all are served {:?} after its end", over.elapsed());
        self.cluster.agree(members).unwrap();
        println!("{what}: all agree {:?} after its end", over.elapsed());
        self.print(what, began);
        self.play.settle().await;
        self.cluster.agree(members).unwrap();
        let story = self.play.stop().await;
        let open = self.play.stage.ledger().open();
        if open != (0, 0) {
            println!("{story:?}");
            self.fail(&format!("{open:?} open"));
        }
        let stores = self.cluster.stores().await.unwrap();
        let counts = self.play.verify(&stores).await;
        println!("{counts:?}\n{story:?}");
        let ledger = self.play.stage.ledger();
        println!("resumed since the break: {}", ledger.times.since_break());
        println!("resumed since dialling: {}", ledger.times.since_dial());
        assert!(counts.promised > 100);
    }
}
