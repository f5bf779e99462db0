//! Links between processes that are cut and heal, under load; processes that stand still, lose their leader or their Redis,
//! or have a wrong clock. Whatever it is, no promise is broken, and how long clients were affected is printed.
//!
//! `STARLING_DISTURBED_S`: how long a disturbance lasts (5; acceptance 10).

use std::time::{Duration, Instant};

use services::Redis;
use tests::faults::dice::count;
use tests::processes::{Node, over_redis};

use crate::scene::Scene;

/// How long a disturbance lasts.
fn lasting() -> Duration {
    Duration::from_secs(count("STARLING_DISTURBED_S", 5) as u64)
}

/// Which ways of the network are cut: from a node, to a node.
type Cut = &'static [(usize, usize)];

/// One of three nodes is apart.
const APART: Cut = &[(0, 2), (1, 2), (2, 0), (2, 1)];
/// What one of three nodes says does not arrive.
const UNHEARD: Cut = &[(2, 0), (2, 1)];
/// One of three nodes hears nothing.
const DEAF: Cut = &[(0, 2), (1, 2)];
/// Two nodes do not reach each other; a third reaches both.
const PAIR: Cut = &[(0, 1), (1, 0)];

fn set(scene: &Scene, cut: Cut, is_cut: bool) {
    for (from, to) in cut {
        scene
            .network
            .hold(&scene.playing.cluster.nodes, *from, *to, is_cut);
    }
}

async fn nothing_is_lost_while_cut(what: &str, cut: Cut) {
    let scene = Scene::begin("").await;
    let began = Instant::now();
    set(&scene, cut, true);
    tokio::time::sleep(lasting()).await;
    set(&scene, cut, false);
    scene.end(what, began, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_go_on_without_the_third() {
    let scene = Scene::begin("").await;
    let began = Instant::now();
    set(&scene, APART, true);
    scene.all_served([0, 1]).await;
    tokio::time::sleep(lasting().saturating_sub(began.elapsed())).await;
    // They do so while it is apart.
    scene.all_served([0, 1]).await;
    set(&scene, APART, false);
    scene.end("two and one", began, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_heard_breaks_no_promise() {
    nothing_is_lost_while_cut("one not heard", UNHEARD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_nothing_breaks_no_promise() {
    nothing_is_lost_while_cut("one that hears nothing", DEAF).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_do_not_reach_each_other_break_no_promise() {
    nothing_is_lost_while_cut("a pair cut", PAIR).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_comes_and_goes_loses_nothing() {
    let scene = Scene::begin("").await;
    let began = Instant::now();
    while began.elapsed() < lasting() {
        set(&scene, APART, true);
        tokio::time::sleep(Duration::from_millis(300)).await;
        set(&scene, APART, false);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    scene.end("flapping", began, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stands_still_breaks_no_promise() {
    let scene = Scene::begin("").await;
    let began = Instant::now();
    let frozen = scene.playing.cluster.nodes[2].process();
    frozen.freeze().unwrap();
    tokio::time::sleep(lasting()).await;
    scene.all_served([0, 1]).await;
    frozen.thaw().unwrap();
    scene.end("stopped and continued", began, 3).await;
}

/// The node that leads the directory.
fn leader(nodes: &[Node]) -> usize {
    let leads = |node: &Node| {
        let status = node.facts().unwrap().cluster.unwrap();
        status.directory.role == "leader"
    };
    nodes.iter().position(leads).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stands_still_breaks_no_promise() {
    let scene = Scene::begin("").await;
    let began = Instant::now();
    let leader = leader(&scene.playing.cluster.nodes);
    let frozen = scene.playing.cluster.nodes[leader].process();
    frozen.freeze().unwrap();
    tokio::time::sleep(lasting()).await;
    scene
        .all_served((0..3).filter(|node| *node != leader))
        .await;
    frozen.thaw().unwrap();
    println!("node {leader} was the leader");
    scene.end("leader stopped and continued", began, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_costs_nothing() {
    let mut redis = tokio::task::block_in_place(Redis::start).unwrap();
    let scene = Scene::begin(&over_redis(&redis)).await;
    let began = Instant::now();
    tokio::task::block_in_place(|| redis.kill());
    tokio::time::sleep(lasting()).await;
    // Nobody needs it while nobody comes or goes.
    scene.all_served(0..3).await;
    tokio::task::block_in_place(|| redis.restart()).unwrap();
    scene.end("Redis killed and emptied", began, 3).await;
}

/// libfaketime (Debian: `faketime`): its variant for programs with threads, where packages put it.
fn faketime() -> &'static str {
    let found = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut library = found.map(|it| it.path().join("faketime/libfaketimeMT.so.1"));
    let library = library.find(|it| it.exists());
    let library = library.expect("libfaketime is not installed; run tests/install");
    library.to_string_lossy().into_owned().leak()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_ten_minutes_ahead_breaks_no_promise() {
    let mut scene = Scene::begin("").await;
    let began = Instant::now();
    let ahead = [
        ("LD_PRELOAD", faketime()),
        ("FAKETIME", "+600s"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let took = scene.playing.cluster.launch_with(&ahead).unwrap();
    println!("a node whose clock is ahead takes clients after {took:?}");
    scene.playing.cluster.agree(4).unwrap();
    tokio::time::sleep(lasting()).await;
    scene.all_served(0..3).await;
    // What it served goes back to those whose clocks are behind it.
    drop(scene.playing.cluster.kill(3));
    scene.playing.cluster.agree(3).unwrap();
    scene.end("a clock ahead", began, 3).await;
}
