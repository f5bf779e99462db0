//! Nodes that come under load: accounts move to them with their sessions.
//!
//! `STARLING_NEW_NODES`: how many come, one after the other (4).

use std::time::Duration;

use tests::cluster::Cluster;
use tests::faults::actor::actor_name;
use tests::faults::dice::{Dice, count, seed};
use tests::faults::node::create_accounts;
use tests::faults::settings::Settings;

use crate::play::Play;

const ACTORS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_move_to_nodes_that_come() {
    let (seed, new) = (seed(), count("STARLING_NEW_NODES", 4));
    println!("seed {seed}, {new} nodes come");
    let mut dice = Dice::new(seed, u64::MAX);
    let mut cluster = Cluster::start(1, Settings::default()).await.unwrap();
    create_accounts(&cluster.stores(), (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, cluster.balancer.address, seed);
    for _ in 0..new {
        tokio::time::sleep(dice.between_ms(500, 1500)).await;
        cluster.launch().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let homes: Vec<_> = (0..cluster.len())
        .map(|at| cluster.app(at).router.homes.len())
        .collect();
    play.settle().await;
    let story = play.stop().await;
    let counts = play.verify(&cluster.stores()).await;
    println!("{counts:?}\n{story:?}\nhomes {homes:?}");
    assert!(counts.promised > 100 && counts.refused == 0);
    assert!(
        !story
            .keys()
            .any(|what| what.starts_with("resumption failed")),
        "{story:?}"
    );
    cluster.stop().await;
}
