//! DynamoDB is gone for a while, or answers badly: streams stay, what cannot be done is refused for now or not acknowledged,
//! nothing is told that is not so, and afterwards everything goes on.
//!
//! `STARLING_GONE_SECONDS`: how long it is gone (8; acceptance 60). `STARLING_STORM_SECONDS`: how long it answers badly (5;
//! acceptance 60).

use std::sync::Arc;
use std::time::Duration;

use services::{Fault, Faults};
use tests::faults::actor::actor_name;
use tests::faults::dice::{Dice, count, seed};
use tests::faults::settings::Settings;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::cloud::{Cloud, assert_told_only};
use crate::newcomer;
use crate::play::Play;
use crate::steady::Steady;

const ACTORS: usize = 8;
/// What may be told while there is no DynamoDB.
const FOR_NOW: [&str; 5] = [
    "message refused: resource-constraint",
    "presence refused",
    "resumption failed: resource-constraint",
    "turned away: temporary-auth-failure",
    "turned away: resource-constraint",
];

/// Chat and everything else, before, while and after `during`.
async fn check(during: impl AsyncFnOnce(&Faults, u64)) {
    let seed = seed();
    println!("seed {seed}");
    let others = ["steady0", "steady1", "steady2", "visitor"];
    let names = others.into_iter().map(str::to_owned);
    let cloud = Cloud::start(names.chain((0..ACTORS).map(actor_name))).await;
    let node = cloud.node(&Settings::default()).await;
    let steady = Steady::start(node.address(), 3).await;
    let mut play = Play::start(ACTORS, node.address(), seed);
    play.stage.ledger().expect_refusals();
    sleep(Duration::from_secs(1)).await;

    let (over, is_over) = tokio::sync::watch::channel(false);
    let visits = tokio::spawn(newcomer::visit(node.address(), is_over.clone()));
    let registration = tokio::spawn(newcomer::register(node.address()));
    during(&cloud.to_tables, seed).await;
    let hits = cloud.to_tables.hits();
    cloud.to_tables.clear();
    sleep(Duration::from_secs(1)).await;
    over.send_replace(true);

    let visits = visits.await.expect("nobody is told that he is not himself");
    let attempts = registration.await.expect("nobody is told anything wrong");
    let told = steady.stop().await;
    play.settle().await;
    let story = play.stop().await;
    println!("{story:?}");
    newcomer::assert_registered_once(node.address(), &attempts).await;
    node.app.shutdown().await;
    let counts = play.verify(&cloud.stores().await).await;
    println!(
        "{hits} faults\n{counts:?}\nsteady: {told:?}\nvisits: {visits:?}\nregistrations: {attempts:?}"
    );
    assert_told_only(&story, &FOR_NOW);
    assert!(hits > 0 && counts.promised > 0 && visits["came in"] > 0);
}

async fn gone(fault: Fault) {
    let seconds = count("STARLING_GONE_SECONDS", 8) as u64;
    check(async |faults: &Faults, _| {
        let held = match &fault {
            Fault::Hold(until) => Some(until.clone()),
            _ => None,
        };
        faults.add(u64::MAX, fault, |_| true);
        sleep(Duration::from_secs(seconds)).await;
        if let Some(held) = held {
            held.add_permits(Semaphore::MAX_PERMITS / 2);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_reset() {
    gone(Fault::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_fails() {
    gone(Fault::dynamo(500, "InternalServerError")).await;
}

/// What was asked meanwhile is done when it is over, when nobody waits for it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered() {
    gone(Fault::Hold(Arc::new(Semaphore::new(0)))).await;
}

/// What was asked meanwhile is done, and nobody hears of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_lost() {
    gone(Fault::LoseAnswer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_calls_are_throttled_fail_or_lose_their_answer() {
    let seconds = count("STARLING_STORM_SECONDS", 5) as u64;
    check(async |faults: &Faults, seed| {
        let once_in = |times, stream| {
            let mut dice = Dice::new(seed, stream);
            move || dice.once_in(times)
        };
        let throttled = Fault::dynamo(400, "ProvisionedThroughputExceededException");
        let mut chance = once_in(5, 1);
        faults.add(u64::MAX, throttled, move |_| chance());
        let mut chance = once_in(8, 2);
        faults.add(u64::MAX, Fault::LoseAnswer, move |asked| {
            matches!(
                asked.operation,
                "PutItem" | "UpdateItem" | "TransactWriteItems"
            ) && chance()
        });
        let mut chance = once_in(30, 3);
        let failed = Fault::dynamo(500, "InternalServerError");
        faults.add(u64::MAX, failed, move |_| chance());
        sleep(Duration::from_secs(seconds)).await;
    })
    .await;
}
