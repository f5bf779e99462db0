//! A store that fails at random, under load: nothing acknowledged is lost, nothing is told that is not so.
//!
//! `STARLING_FAULT_SECONDS`: how long each store fails (4; acceptance 30).

use std::time::Duration;

use storage::ErrorKind;
use storage::layer::faulty::{Fault, When};
use storage::layer::{Call, Switchboard};
use storage::shape::Space;
use tests::faults::actor::{Story, actor_name};
use tests::faults::dice::{Dice, count, seed};
use tests::faults::ledger::Counts;
use tests::faults::node::{Local, create_accounts};
use tests::faults::settings::Settings;

use crate::play::Play;

const ACTORS: usize = 12;

/// Lets actors chat over a store that `fail` breaks; checks that every promise was kept.
async fn check(rules: impl FnOnce(&Switchboard), outages: bool) -> (Counts, Story) {
    let seed = seed();
    println!("seed {seed}");
    let mut dice = Dice::new(seed, u64::MAX);
    let node = Local::start(&Settings::default(), seed).await.unwrap();
    create_accounts(&node.stores, (0..ACTORS).map(actor_name))
        .await
        .unwrap();
    rules(&node.switchboard);
    let mut play = Play::start(ACTORS, node.address(), seed);
    play.stage.ledger().expect_refusals();
    let end = tokio::time::Instant::now()
        + Duration::from_secs(count("STARLING_FAULT_SECONDS", 4) as u64);
    while tokio::time::Instant::now() < end {
        if outages {
            node.switchboard.switch(false);
            tokio::time::sleep(dice.between_ms(200, 600)).await;
            node.switchboard.switch(true);
        }
        tokio::time::sleep(dice.between_ms(500, 2_500)).await;
    }
    let hits = node.switchboard.hits();
    node.switchboard.switch(false);
    play.settle().await;
    let story = play.stop().await;
    println!("{story:?}");
    let counts = play.verify(&node.stop().await).await;
    println!("{hits} faults\n{counts:?}");
    assert!(
        hits > 0 && counts.promised > 0,
        "nothing failed, or nothing was sent"
    );
    (counts, story)
}

fn always_true(_: &storage::layer::faulty::Target<'_>) -> bool {
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_before_lost_answers_and_delays() {
    let rules = |faults: &Switchboard| {
        faults.add(
            always_true,
            When::Probability(0.04),
            Fault::Fail(ErrorKind::Unavailable),
        );
        faults.add(
            always_true,
            When::Probability(0.03),
            Fault::Fail(ErrorKind::Throttled),
        );
        faults.add(
            |call| call.call.is_write(),
            When::Probability(0.05),
            Fault::LoseAnswer,
        );
        faults.add(
            always_true,
            When::Probability(0.1),
            Fault::Delay(Duration::from_millis(8)),
        );
    };
    check(rules, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_appends_lost_half_of_the_time() {
    let rules = |faults: &Switchboard| {
        let append = |call: &storage::layer::faulty::Target<'_>| {
            call.call == Call::Write && call.space == Some(Space::Log)
        };
        faults.add(append, When::Probability(0.5), Fault::LoseAnswer);
        faults.add(
            append,
            When::Probability(0.3),
            Fault::Delay(Duration::from_millis(5)),
        );
    };
    check(rules, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_of_all_of_the_store() {
    let rules = |faults: &Switchboard| {
        faults.add(
            always_true,
            When::Always,
            Fault::Fail(ErrorKind::Unavailable),
        )
    };
    check(rules, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outages_in_which_writes_are_done_and_their_answers_lost() {
    let rules = |faults: &Switchboard| {
        faults.add(|call| call.call.is_write(), When::Always, Fault::LoseAnswer);
        faults.add(
            |call| !call.call.is_write(),
            When::Always,
            Fault::Fail(ErrorKind::Unavailable),
        );
    };
    check(rules, true).await;
}
