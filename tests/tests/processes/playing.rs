//! Processes under load: clients chat, and in the end every promise is checked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use storage::Stores;
use tests::faults::actor::{Story, actor_name, resumptions};
use tests::faults::dice::seed;
use tests::faults::ledger::Counts;
use tests::faults::node::create_accounts;
use tests::processes::{Processes, Shared};
use tokio::sync::watch;

use crate::{ACTORS, play::Play};

/// How long clients may take to be served again. It is a bound, not an expectation.
const SERVED: Duration = Duration::from_secs(60);

/// A cluster and its clients.
pub struct Playing {
    pub cluster: Processes,
    pub stores: Stores,
    pub play: Play,
    /// What repeats its choices.
    pub seed: u64,
    began: Instant,
}

impl Playing {
    /// So many nodes over a database, which write these lines under `[cluster]`; clients come through the balancer.
    pub async fn begin(nodes: usize, lines: &str) -> Self {
        let all = |cluster: &Processes, _| cluster.balancer.address;
        Box::pin(Self::begin_at(nodes, lines, all)).await
    }

    /// The same, and each client comes in at an address of its own.
    pub async fn begin_at(
        nodes: usize,
        lines: &str,
        place: impl Fn(&Processes, usize) -> SocketAddr,
    ) -> Self {
        let shared = Shared::chosen().unwrap();
        let cluster = Processes::start(nodes, shared, lines).await.unwrap();
        Box::pin(Self::begin_on(cluster, place)).await
    }

    /// Clients on a cluster that runs.
    pub async fn begin_on(
        cluster: Processes,
        place: impl Fn(&Processes, usize) -> SocketAddr,
    ) -> Self {
        let seed = seed();
        println!("seed {seed}");
        let stores = cluster.stores().await.unwrap();
        create_accounts(&stores, (0..ACTORS).map(actor_name))
            .await
            .unwrap();
        let at = |actor| watch::channel(place(&cluster, actor)).1;
        let servers = (0..ACTORS).map(at).collect();
        let address = watch::Sender::new(cluster.balancer.address);
        let play = Play::start_at(servers, address, seed);
        Self {
            cluster,
            stores,
            play,
            seed,
            began: Instant::now(),
        }
    }

    /// Prints how long these clients were affected since then.
    pub fn print_silences(&self, what: &str, clients: &[usize], since: Instant) {
        let window = since..Instant::now();
        let silences = self.play.stage.ledger().times.silences(clients, &window);
        println!("{what}: longest time without a promise: {silences}");
    }

    /// Waits until each of these clients was told that something of it is safe, which was sent after now.
    pub async fn all_served(&self, clients: impl IntoIterator<Item = usize>) {
        let (since, until) = (Instant::now(), Instant::now() + SERVED);
        for client in clients {
            let served = || {
                self.play
                    .stage
                    .ledger()
                    .times
                    .is_served_since(client, since)
            };
            while !served() {
                if Instant::now() > until {
                    self.fail(&format!("client {client} is not served"));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Ends the load and checks every promise; what was counted, and what happened to the clients.
    pub async fn end(&mut self) -> (Counts, Story) {
        self.play.settle().await;
        let story = self.play.stop().await;
        println!("{story:?}");
        self.print_figures(&story).await;
        let open = self.play.stage.ledger().open();
        if open != (0, 0) {
            self.fail(&format!("{open:?} open"));
        }
        let counts = self.play.verify(&self.stores).await;
        println!("{counts:?}");
        (counts, story)
    }

    /// Prints what became of messages and sessions, before anything fails.
    async fn print_figures(&self, story: &Story) {
        let (counts, wrong) = self.play.verdict(&self.stores).await;
        let of = |what: &str| wrong.iter().filter(|wrong| wrong.contains(what)).count();
        let (lost, disordered) = (of("was acknowledged and"), of("comes after number"));
        let (resumed, missed) = resumptions(story);
        println!(
            "figures: {:.0} stanzas/s, {} acknowledged, {lost} lost, {disordered} out of order, {} duplicates above 0198 and others",
            counts.attempts as f64 / self.began.elapsed().as_secs_f64(),
            counts.promised,
            wrong.len() - lost - disordered,
        );
        println!("figures: {resumed} sessions resumed, {missed} not found");
        for wrong in wrong.iter().take(20) {
            println!("wrong: {wrong}");
        }
        let ledger = self.play.stage.ledger();
        let times = &ledger.times;
        println!("figures: resumed since the break: {}", times.since_break());
        println!("figures: resumed since dialling: {}", times.since_dial());
        println!(
            "figures: resumed after a death, since that: {}; since dialling: {}",
            times.since_death(),
            times.since_dial_after_death()
        );
    }

    /// Fails, with what the nodes logged.
    pub fn fail(&self, what: &str) -> ! {
        for node in &self.cluster.nodes {
            println!("{}\n---", node.log());
        }
        panic!("{what}");
    }
}
