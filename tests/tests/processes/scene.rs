//! Three processes, clients that chat at each, and what a disturbance is to them.

use std::time::{Duration, Instant};

use tests::processes::network::Network;

use crate::ACTORS;
use crate::playing::Playing;

/// How long clients may take to be served again. It is a bound, not an expectation.
const SERVED: Duration = Duration::from_secs(60);

/// A cluster under load.
pub struct Scene {
    pub playing: Playing,
    pub network: Network,
    /// How many nodes there were, and have clients.
    nodes: usize,
}

impl Scene {
    /// Three nodes over a database, and place for one more; a third of the clients come in at each, and only there.
    pub async fn begin(lines: &str) -> Self {
        let network = Network::start(4).await.unwrap();
        let lines = format!("{}{lines}", network.lines());
        let playing = Playing::begin_at(3, &lines, |cluster, actor| {
            cluster.nodes[actor % cluster.nodes.len()].plain
        });
        let playing = playing.await;
        let nodes = playing.cluster.nodes.len();
        let scene = Self {
            playing,
            network,
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
        for node in 0..self.nodes {
            let what = format!("{what}, at node {node}");
            self.playing
                .print_silences(&what, &self.clients(node), since);
        }
    }

    /// Waits until each client of these nodes was told that something of it is safe, which was sent after now.
    pub async fn all_served(&self, nodes: impl IntoIterator<Item = usize>) {
        let (since, until) = (Instant::now(), Instant::now() + SERVED);
        let stage = &self.playing.play.stage;
        for client in nodes.into_iter().flat_map(|node| self.clients(node)) {
            while !stage.ledger().times.is_served_since(client, since) {
                if Instant::now() > until {
                    self.playing.fail(&format!("client {client} is not served"));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// The disturbance that began then is over: all are served, the members agree, and no promise was broken.
    pub async fn end(mut self, what: &str, began: Instant, members: usize) {
        let over = Instant::now();
        self.all_served(0..self.nodes).await;
        println!("{what}: all are served {:?} after its end", over.elapsed());
        self.playing.cluster.agree(members).unwrap();
        println!("{what}: all agree {:?} after its end", over.elapsed());
        self.print(what, began);
        let (counts, _) = self.playing.end().await;
        self.playing.cluster.agree(members).unwrap();
        assert!(counts.promised > 100);
    }
}
