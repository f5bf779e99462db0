//! Three nodes with addresses of their own, in network namespaces, and packets that are really lost: cables that are pulled
//! without a word, nodes that are not heard or hear nothing, routes that go. No promise is broken.
//!
//! `STARLING_DISTURBED_S`: how long a disturbance lasts (5). Needs root and `ip`; where these are missing, that is said and nothing
//! is tested.

use std::time::{Duration, Instant};

use tests::faults::dice::count;
use tests::processes::lab::Lab;
use tests::processes::{Processes, Shared};
use tests::server::starling_binary;

use crate::ACTORS;
use crate::playing::Playing;

/// How many nodes there are.
const NODES: usize = 3;

fn clients(nodes: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let nodes: Vec<usize> = nodes.into_iter().collect();
    let is_at = |actor: &usize| nodes.contains(&(actor % NODES));
    (0..ACTORS).filter(is_at).collect()
}

/// What is done to the network, and undone.
type Cut = fn(&Lab, bool) -> anyhow::Result<()>;

async fn nothing_is_lost(what: &str, cut: Cut, served: &[usize]) {
    if let Err(reason) = Lab::is_possible() {
        println!("LEFT OUT: no network namespaces here: {reason:#}");
        return;
    }
    let shared = Shared::database().unwrap();
    let Shared::Database(store) = &shared else {
        unreachable!("that is what was started")
    };
    let store = ([127, 0, 0, 1], store.port()).into();
    let lab = Lab::start(NODES, store).await.unwrap();
    let (binary, seats) = (starling_binary().unwrap(), Some(lab.seats.clone()));
    let cluster = Processes::start_as(NODES, shared, "", binary, seats);
    let cluster = Box::pin(cluster).await.unwrap();
    let at = |cluster: &Processes, actor: usize| cluster.nodes[actor % NODES].plain;
    let mut playing = Playing::begin_on(cluster, at).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = Instant::now();
    cut(&lab, true).unwrap();
    let lasting = Duration::from_secs(count("STARLING_DISTURBED_S", 5) as u64);
    tokio::time::sleep(lasting).await;
    // They go on meanwhile.
    playing.all_served(clients(served.iter().copied())).await;
    cut(&lab, false).unwrap();
    let over = Instant::now();
    playing.all_served(clients(0..NODES)).await;
    println!("{what}: all are served {:?} after its end", over.elapsed());
    playing.cluster.agree(NODES).unwrap();
    println!("{what}: all agree {:?} after its end", over.elapsed());
    for node in 0..NODES {
        let what = format!("{what}, at node {}", node + 1);
        playing.print_silences(&what, &clients([node]), began);
    }
    let (counts, _) = playing.end().await;
    assert!(counts.promised > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cable_that_is_pulled_costs_no_message() {
    nothing_is_lost("cable pulled", |lab, is_out| lab.pull(3, is_out), &[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_packets_are_lost_breaks_no_promise() {
    nothing_is_lost("not heard", |lab, is_mute| lab.mute(3, is_mute), &[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_gets_no_packets_breaks_no_promise() {
    nothing_is_lost(
        "hears nothing",
        |lab, is_deaf| lab.deafen(3, is_deaf),
        &[0, 1],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_goes_between_two_breaks_no_promise() {
    nothing_is_lost(
        "no route between two",
        |lab, apart| lab.part(1, 2, apart),
        &[],
    )
    .await;
}
