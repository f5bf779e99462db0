//! memcached is killed, frozen, emptied and replaced under load: no wrong answer, and no client is told.
//!
//! `STARLING_CACHE_ROUNDS`: how often each happens (2; acceptance 20).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use services::Memcached;
use tests::faults::actor::actor_name;
use tests::faults::dice::{Dice, count, seed};
use tests::faults::settings::Settings;
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::sleep;

use crate::cloud::{Cloud, assert_told_only};
use crate::owner::{Deeds, Owner};
use crate::play::Play;

const ACTORS: usize = 8;
const OWNERS: usize = 6;

fn owner_name(index: usize) -> String {
    format!("owner{index}")
}

/// One accident after the other, each once.
async fn storm(cloud: &mut Cloud, dice: &mut Dice) {
    let port = cloud.cache.address().port();
    // Long enough for a breaker to open, and for it to close again.
    let mut while_it_lasts = || sleep(dice.between_ms(600, 1_500));
    while_it_lasts().await;
    block_in_place(|| cloud.cache.flush()).unwrap();
    while_it_lasts().await;
    // What it holds is old when it goes on.
    block_in_place(|| cloud.cache.freeze()).unwrap();
    while_it_lasts().await;
    cloud.cache.thaw().unwrap();
    while_it_lasts().await;
    cloud.cache.kill();
    while_it_lasts().await;
    cloud.cache = block_in_place(|| Memcached::start_at(port)).unwrap();
    while_it_lasts().await;
    // Another one at once: no call fails for long.
    cloud.cache.kill();
    cloud.cache = block_in_place(|| Memcached::start_at(port)).unwrap();
    while_it_lasts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_memcached_nobody_is_told_anything_wrong() {
    let seed = seed();
    let rounds = count("STARLING_CACHE_ROUNDS", 2);
    println!("seed {seed}, {rounds} rounds");
    let names = (0..ACTORS).map(actor_name);
    let mut cloud = Cloud::start(names.chain((0..OWNERS).map(owner_name))).await;
    let node = cloud.node(&Settings::default()).await;
    let mut play = Play::start(ACTORS, node.address(), seed);

    let over = Arc::new(AtomicBool::new(false));
    let owners: Vec<JoinHandle<Deeds>> = (0..OWNERS)
        .map(|index| {
            let (over, address) = (over.clone(), node.address());
            let mut owner = Owner::new(owner_name(index), seed);
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    owner.visit(address).await.expect("the stream stays");
                }
                owner.deeds
            })
        })
        .collect();
    // A node keeps rosters in memory: without this the cache would be asked once.
    let (forgetting, router) = (over.clone(), node.app.router.clone());
    let forgetting = tokio::spawn(async move {
        while !forgetting.load(Ordering::Relaxed) {
            router.rosters.retain(|_| false);
            sleep(Duration::from_millis(5)).await;
        }
    });

    let mut dice = Dice::new(seed, u64::MAX);
    for _ in 0..rounds {
        storm(&mut cloud, &mut dice).await;
    }
    over.store(true, Ordering::Relaxed);
    let mut deeds = BTreeMap::<&str, usize>::new();
    for owner in owners {
        for (what, times) in owner.await.expect("an owner finds what it stored") {
            *deeds.entry(what).or_default() += times;
        }
    }
    forgetting.await.unwrap();
    play.settle().await;
    let story = play.stop().await;
    node.app.shutdown().await;
    let counts = play.verify(&cloud.stores().await).await;
    let seen = node.seen.counts();
    println!("{counts:?}\n{story:?}\n{deeds:?}\ncache: {seen:?}");
    assert_told_only(&story, &[]);
    assert_eq!(counts.refused, 0);
    for what in ["hit", "miss", "unreachable", "filled", "published"] {
        assert!(seen.contains_key(what), "{what} never happened: {seen:?}");
    }
    for what in [
        "logins",
        "roster changes",
        "vCard changes",
        "private changes",
    ] {
        assert!(deeds[what] > rounds, "too few {what}: {deeds:?}");
    }
}
