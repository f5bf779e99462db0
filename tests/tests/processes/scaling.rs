//! 2 -> 6 -> 2 nodes under load, the nodes that go being those that have the clients' sockets.
//!
//! `STARLING_FLEET`: clients beside the actors, each with one connection as long as it is let (24).
//! `STARLING_LOGINS`: how many others log in in a second, and leave (6).
//! `STARLING_SCALE_S`: how long load goes on between steps, in seconds (2).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::faults::client::{Client, attr, counts, name};
use tests::faults::dice::count;
use tests::faults::node::create_accounts;
use tests::processes::Processes;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::playing::Playing;

/// A node that leaves is gone within this time.
const DRAIN: Duration = Duration::from_secs(100);

/// When clients came, whom nobody counts otherwise.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<Vec<Instant>>>);

impl Arrivals {
    fn note(&self) {
        self.0.lock().unwrap().push(Instant::now());
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// The most that came within a second, since then.
    fn peak(&self, since: Instant) -> usize {
        let mut times = self.0.lock().unwrap().clone();
        times.retain(|at| *at >= since);
        times.sort_unstable();
        let second = Duration::from_secs(1);
        let within = |(first, at): (usize, &Instant)| {
            times[first..].partition_point(|other| *other < *at + second)
        };
        times.iter().enumerate().map(within).max().unwrap_or(0)
    }
}

fn fleet_name(number: usize) -> String {
    format!("fleet{number}")
}

/// What became of the fleet.
#[derive(Default)]
struct Outcomes {
    resumed: AtomicUsize,
    bound_anew: AtomicUsize,
    refused: AtomicUsize,
}

/// A client that stays, and comes back when it loses its connection. Every other one can resume its session.
struct Sailor {
    number: usize,
    id: Option<String>,
    got: u32,
}

impl Sailor {
    async fn appear(
        &mut self,
        to: std::net::SocketAddr,
        outcomes: &Outcomes,
    ) -> std::io::Result<Client> {
        let mut client = Client::authenticated(to, &fleet_name(self.number)).await?;
        if let Some(id) = self.id.take() {
            let answer = client.resume(&id, self.got).await?;
            if name(&answer) == "resumed" {
                self.id = Some(id);
                outcomes.resumed.fetch_add(1, Ordering::Relaxed);
                return Ok(client);
            }
        }
        client.bind("ship").await?;
        outcomes.bound_anew.fetch_add(1, Ordering::Relaxed);
        if self.number.is_multiple_of(2) {
            self.id = Some(client.enable().await?);
            self.got = 0;
        }
        client.send("<presence/>").await?;
        Ok(client)
    }

    /// Answers what it must, and says something now and then, until the connection ends.
    async fn stay(&mut self, mut client: Client, goes_on: &mut watch::Receiver<bool>) {
        loop {
            tokio::select! {
                text = client.recv() => {
                    let Ok(text) = text else { return };
                    self.got += u32::from(counts(&text));
                    let done = match (name(&text), attr(&text, "type")) {
                        ("r", _) => client.acknowledge(self.got).await,
                        ("iq", Some("get")) => {
                            let id = attr(&text, "id").unwrap_or_default();
                            client.send(&format!("<iq type='result' id='{id}'/>")).await
                        }
                        _ => Ok(()),
                    };
                    if done.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    if client.send("<presence/>").await.is_err() {
                        return;
                    }
                }
                _ = goes_on.changed() => return,
            }
        }
    }

    async fn sail(
        mut self,
        to: std::net::SocketAddr,
        mut goes_on: watch::Receiver<bool>,
        came_back: Arrivals,
        outcomes: Arc<Outcomes>,
    ) {
        let mut is_first = true;
        while *goes_on.borrow_and_update() {
            if !is_first {
                came_back.note();
            }
            match self.appear(to, &outcomes).await {
                Ok(client) => {
                    is_first = false;
                    self.stay(client, &mut goes_on).await;
                }
                Err(_) => {
                    outcomes.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

/// Clients that log in at a steady rate, and leave again.
async fn log_in(
    to: std::net::SocketAddr,
    per_second: usize,
    mut goes_on: watch::Receiver<bool>,
    came: Arrivals,
    failed: Arc<AtomicUsize>,
) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / per_second as u32);
    let mut tasks = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = goes_on.changed() => break,
        }
        number = (number + 1) % 50;
        let (came, failed) = (came.clone(), failed.clone());
        tasks.spawn(async move {
            came.note();
            let user = format!("guest{number}");
            let comes = async {
                let client = Client::login(to, &user, &format!("r{number}")).await?;
                client.close().await
            };
            if comes.await.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

fn sum(cluster: &Processes, outcome: &str) -> f64 {
    let metric = format!("xmpp_c2s_moved_sessions_total{{outcome=\"{outcome}\"}}");
    let of_node = |node: &tests::processes::Node| node.metric(&metric).unwrap_or(0.0);
    cluster.nodes.iter().map(of_node).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_grows_and_shrinks_under_load() {
    let fleet = count("STARLING_FLEET", 24);
    let logins = count("STARLING_LOGINS", 6);
    let pause = Duration::from_secs(count("STARLING_SCALE_S", 2) as u64);
    println!("{fleet} clients that stay, {logins} logins per second");
    let lines = format!("close_per_second = {}", logins / 2);
    let mut playing = Playing::begin(2, &lines).await;
    let guests = (0..50).map(|number| format!("guest{number}"));
    let names = (0..fleet).map(fleet_name).chain(guests);
    create_accounts(&playing.stores, names).await.unwrap();
    let address = playing.cluster.balancer.address;
    let (goes_on, told) = watch::channel(true);
    let (came_back, logged_in) = (Arrivals::default(), Arrivals::default());
    let (outcomes, failed) = (Arc::new(Outcomes::default()), Arc::default());
    let mut sailing = JoinSet::new();
    for number in 0..fleet {
        let sailor = Sailor {
            number,
            id: None,
            got: 0,
        };
        let (came_back, outcomes) = (came_back.clone(), outcomes.clone());
        sailing.spawn(sailor.sail(address, told.clone(), came_back, outcomes));
    }
    while outcomes.bound_anew.load(Ordering::Relaxed) < fleet {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let logging_in = log_in(
        address,
        logins,
        told,
        logged_in.clone(),
        Arc::clone(&failed),
    );
    let logging_in = tokio::spawn(logging_in);
    let cluster = &mut playing.cluster;
    tokio::time::sleep(pause).await;
    let began = Instant::now();
    for nodes in 3..=6 {
        let took = cluster.launch().unwrap();
        cluster.agree(nodes).unwrap();
        tokio::time::sleep(pause).await;
        println!("{nodes} nodes, the last took clients after {took:?}");
    }
    let grown = came_back.len();
    println!(
        "growing: {grown} clients came back, {} sessions moved with their connection, {} without, {} ended, {} were not found",
        sum(cluster, "with_connection"),
        sum(cluster, "without_connection"),
        sum(cluster, "ended"),
        sum(cluster, "not_found"),
    );
    let mut slowest = Duration::ZERO;
    for left in (2..=5).rev() {
        let begins = Instant::now();
        let (status, log) = cluster.stop(0).unwrap();
        let took = begins.elapsed();
        slowest = slowest.max(took);
        assert!(status.success(), "{log}");
        assert!(took < DRAIN, "{took:?}\n{log}");
        let back = came_back.peak(begins);
        println!(
            "{left} nodes left: the drain took {took:?}, {back} came back in the busiest second"
        );
        cluster.agree(left).unwrap();
        tokio::time::sleep(pause).await;
    }
    let peak = came_back.peak(began);
    println!(
        "shrinking: {} clients came back, {peak} in the busiest second, beside {logins} logins per second; the slowest drain took {slowest:?}",
        came_back.len() - grown,
    );
    println!(
        "{} resumed, {} bound anew, {} tries refused; {} of {} logins failed",
        outcomes.resumed.load(Ordering::Relaxed),
        outcomes.bound_anew.load(Ordering::Relaxed) - fleet,
        outcomes.refused.load(Ordering::Relaxed),
        failed.load(Ordering::Relaxed),
        logged_in.len(),
    );
    goes_on.send_replace(false);
    while sailing.join_next().await.is_some() {}
    logging_in.await.unwrap();
    let (counts, _) = playing.end().await;
    assert!(counts.promised > 100 && counts.refused == 0);
    assert!(peak > 0 && peak < 2 * logins, "{peak}");
}
