//! `kill -9` of nodes under load.
//!
//! `STARLING_NODE_KILLS`: how many nodes die, one after the other, each replaced by a new one (4).

use std::time::Duration;

use tests::cluster::Cluster;
use tests::faults::actor::{actor_name, all_resumed};
use tests::faults::dice::{Dice, count, seed};
use tests::faults::node::create_accounts;
use tests::faults::settings::Settings;

use crate::play::Play;

const ACTORS: usize = 12;

/// What survivors take over. Between two deaths sessions become known to another node again; those that a second death finds
/// before are lost, and no message with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_left_serves_all() {
    let seed = seed();
    println!("seed {seed}");
    let mut dice = Dice::new(seed, u64::MAX);
    let mut cluster = Cluster::start(4, Settings::default()).await.unwrap();
    create_accounts(&cluster.stores(), (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, cluster.balancer.address, seed);
    while cluster.len() > 1 {
        tokio::time::sleep(dice.between_ms(2_000, 2_500)).await;
        let victim = dice.below(cluster.len() as u64) as usize;
        cluster.kill(victim).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    play.settle().await;
    let story = play.stop().await;
    let counts = play.verify(&cluster.stores()).await;
    println!("{counts:?}\n{story:?}");
    assert!(counts.promised > 100);
    all_resumed(&story);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_die_take_nothing_with_them() {
    let (seed, kills) = (seed(), count("STARLING_NODE_KILLS", 4));
    println!("seed {seed}, {kills} kills");
    let mut dice = Dice::new(seed, u64::MAX);
    let mut cluster = Cluster::start(3, Settings::default()).await.unwrap();
    create_accounts(&cluster.stores(), (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    let mut play = Play::start(ACTORS, cluster.balancer.address, seed);
    for _ in 0..kills {
        tokio::time::sleep(dice.between_ms(500, 1500)).await;
        let victim = dice.below(cluster.len() as u64) as usize;
        cluster.kill(victim).unwrap();
        tokio::time::sleep(dice.between_ms(300, 800)).await;
        cluster.launch().await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    play.settle().await;
    let story = play.stop().await;
    let counts = play.verify(&cluster.stores()).await;
    println!("{counts:?}\n{story:?}");
    assert!(counts.promised > 100);
    all_resumed(&story);
    cluster.stop().await;
}
