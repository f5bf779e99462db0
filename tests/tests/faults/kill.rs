//! `kill -9`: nothing acknowledged is lost, whenever the server dies.
//!
//! `STARLING_KILL_ROUNDS`: how often it is killed (5; acceptance 20). `STARLING_KILL_ACTORS`: how many clients (16).

use std::path::Path;

use tests::faults::actor::actor_name;
use tests::faults::dice::{Dice, count, seed};
use tests::faults::node::{Process, directory_with, open_stores};
use tests::faults::settings::Settings;

use crate::play::Play;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_loses_nothing_it_acknowledged() {
    let (rounds, actors) = (
        count("STARLING_KILL_ROUNDS", 5),
        count("STARLING_KILL_ACTORS", 16),
    );
    let seed = seed();
    println!("seed {seed}, {rounds} rounds, {actors} clients");
    let mut dice = Dice::new(seed, u64::MAX);
    let (_directory, path) = directory_with((0..actors).map(actor_name)).await.unwrap();
    let settings = Settings {
        sync: true,
        ..Settings::default()
    };
    let start = || Process::start(Path::new(VICTIM), &path, &settings).unwrap();
    let mut server = start();
    let mut play = Play::start(actors, server.plain, seed);
    for _ in 0..rounds {
        tokio::time::sleep(dice.between_ms(300, 1_500)).await;
        server.kill().unwrap();
        server = start();
        play.address.send_replace(server.plain);
    }
    tokio::time::sleep(dice.between_ms(300, 1_500)).await;
    play.settle().await;
    let story = play.stop().await;
    server.kill().unwrap();
    let counts = play.verify(&open_stores(&path).await.unwrap()).await;
    println!("{counts:?}\n{story:?}");
    assert_eq!(counts.refused, 0, "nothing was wrong with the store");
    assert!(
        counts.promised > 100 * rounds,
        "too little was sent for this to mean anything"
    );
}
