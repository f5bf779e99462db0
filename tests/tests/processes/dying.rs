//! `kill -9` of processes under load.
//!
//! `STARLING_PROCESS_KILLS`: how many nodes die, each in turn and replaced by a new one (2). What came of it is printed in lines
//! that begin with `figures`: `STARLING_PROCESS_KILLS=30 cargo nextest run -p tests --test processes take_nothing_with_them
//! --no-capture`.

use std::time::{Duration, Instant};

use services::Redis;
use tests::faults::actor::all_resumed;
use tests::faults::dice::{Dice, count};
use tests::processes::{Processes, Shared, over_redis};

use crate::ALL;
use crate::playing::Playing;

async fn nodes_that_die_take_nothing_with_them(lines: &str) {
    let kills = count("STARLING_PROCESS_KILLS", 2);
    println!("{kills} kills");
    let mut playing = Playing::begin(3, lines).await;
    let mut dice = Dice::new(playing.seed, u64::MAX);
    let (cluster, stage) = (&mut playing.cluster, &playing.play.stage);
    let (began, mut logs) = (Instant::now(), Vec::new());
    for _ in 0..kills {
        tokio::time::sleep(dice.between_ms(1_000, 2_000)).await;
        stage.ledger().times.dies();
        // Whoever has lived for longest.
        let dead = cluster.kill(0);
        let died = Instant::now();
        logs.push(dead.log());
        cluster.agree(2).unwrap();
        println!(
            "the others go on without it {:?} after its death",
            died.elapsed()
        );
        tokio::time::sleep(dice.between_ms(300, 800)).await;
        println!(
            "another takes clients after {:?}",
            cluster.launch().unwrap()
        );
        cluster.agree(3).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    playing.print_silences("all", &ALL, began);
    let (counts, story) = playing.end().await;
    assert!(counts.promised > 100);
    logs.extend(playing.cluster.nodes.iter().map(|node| node.log()));
    let missed = |line: &&str| line.contains("to be resumed is not here");
    for line in logs.iter().flat_map(|log| log.lines()).filter(missed) {
        println!("{line}");
    }
    all_resumed(&story);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_die_take_nothing_with_them_over_raft() {
    nodes_that_die_take_nothing_with_them("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_die_take_nothing_with_them_over_redis() {
    let redis = tokio::task::block_in_place(Redis::start).unwrap();
    nodes_that_die_take_nothing_with_them(&over_redis(&redis)).await;
}

/// Two of three die at once: the one that is left has no majority, and founds the directory anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_left_serves_all() {
    let mut playing = Playing::begin(3, "").await;
    let cluster = &mut playing.cluster;
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(cluster.kill(0));
    drop(cluster.kill(0));
    let died = Instant::now();
    cluster.agree(1).unwrap();
    println!(
        "the last goes on alone {:?} after their death",
        died.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    playing.print_silences("all", &ALL, died);
    let (counts, _) = playing.end().await;
    assert!(counts.promised > 50);
}

/// A process that stood still for a while was declared over meanwhile: it begins a new life by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_frozen_begins_a_new_life() {
    let shared = Shared::chosen().unwrap();
    let cluster = Processes::start(3, shared, "").await.unwrap();
    let frozen = cluster.nodes[2].process();
    frozen.freeze().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let serving = |at: usize| cluster.nodes[at].metric("xmpp_cluster_members{stage=\"ready\"}");
    while (0..2).any(|at| serving(at) != Some(2.0)) {
        assert!(Instant::now() < until, "it is not declared over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    frozen.thaw().unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    while !cluster.nodes[2]
        .log()
        .contains("a new life of the node begins")
    {
        assert!(Instant::now() < until, "{}", cluster.nodes[2].log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.agree(3).unwrap();
}
