//! A simulation: real nodes in virtual time, with everything that decides who meets whom when drawn from one seed.
//!
//! What is real: the server of each node from the first byte of a client's stream to the log (`App`), without its sockets, links and
//! directory. Clients come over pipes, frames go through [`net`], views come from [`world`], and the store is one in memory that each
//! node sees through its own delays and failures. Why a runtime for each node, and not one for all: a paused clock belongs to a
//! runtime, so a node that stands still is one that is not run, and finds all its timers due when it goes on, as after SIGSTOP; and one
//! that dies is dropped. They take turns in one thread, a few milliseconds each; two seeds run beside each other.
//!
//! What a seed does not decide: the order of hash maps, random ids, and where `select!` begins. A seed fails in the same way in most
//! runs and not in all: it may have to be repeated.
//!
//! `STARLING_SEEDS`: how many runs (12). `STARLING_SEED`: the first of them, or the only one. `STARLING_FAULTS`: which faults, by name
//! (those of the test; `Empty` is a store that is slow and fails). `STARLING_LASTS_S`: how long things go wrong in a run (12).
//! To see what happened: `STARLING_LOG` (a filter for the logs of the nodes), `STARLING_FRAMES` (between nodes), `STARLING_WIRES` (of clients).
//! `cargo nextest run -p starling -p tests --test simulation --run-ignored all --no-capture`.

mod cable;
mod net;
mod node;
mod plan;
#[expect(
    dead_code,
    reason = "the actors of a simulation have a stage of their own"
)]
#[path = "../faults/play.rs"]
mod play;
mod store;
mod story;
mod world;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plan::Plan;
use tests::faults::dice::count;
use tests::processes::schedule::Fault;
use world::{Outcome, World};

/// The first seed of the gate.
const FIRST: u64 = 1;

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

fn run(seed: u64, faults: &[Fault]) -> Outcome {
    let lasts = Duration::from_secs(count("STARLING_LASTS_S", 12) as u64);
    let plan = Plan::of(seed, lasts, faults);
    PANICS.set(0);
    story::begin();
    let mut outcome = World::play(plan);
    if PANICS.get() > 0 {
        outcome.broken.push(format!("{} panics", PANICS.get()));
    }
    outcome
}

/// Counts panics of tasks: the runtime catches them.
fn count_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.set(PANICS.get() + 1);
        hook(panic);
    }));
}

fn simulate(faults: &[Fault]) {
    let given: Option<u64> = std::env::var("STARLING_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let runs = count("STARLING_SEEDS", if given.is_some() { 1 } else { 12 }) as u64;
    let first = given.unwrap_or(FIRST);
    let named = std::env::var("STARLING_FAULTS").map(|names| Fault::named(&names));
    let faults = named.as_deref().unwrap_or(faults);
    story::tell();
    count_panics();
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let (broken, virtual_ms) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    let workers = if runs == 1 { 1 } else { 2 };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + runs {
                        return;
                    }
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, faults)));
                    let Ok(outcome) = outcome else {
                        broken.lock().unwrap().push(seed);
                        continue;
                    };
                    virtual_ms.fetch_add(outcome.lasted.as_millis() as u64, Ordering::Relaxed);
                    if !outcome.broken.is_empty() {
                        broken.lock().unwrap().push(seed);
                        println!("seed {seed}:\n{}", outcome.trace);
                        for wrong in outcome.broken.iter().take(8) {
                            println!("  {wrong}");
                        }
                        println!("  {} in all", outcome.broken.len());
                        println!("at last:\n{}", story::last());
                    }
                    if runs == 1 || !outcome.broken.is_empty() {
                        println!("{:?}\n{:?}\n", outcome.counts, outcome.story);
                    }
                    assert!(
                        outcome.counts.promised > 20,
                        "seed {seed}: {:?}",
                        outcome.counts
                    );
                }
            });
        }
    });
    let virtual_s = virtual_ms.into_inner() / 1_000;
    println!("{runs} runs, {virtual_s} s in {:?}", begun.elapsed());
    let mut broken = broken.into_inner().unwrap();
    broken.sort_unstable();
    assert!(
        broken.is_empty(),
        "promises broken with these seeds: {broken:?}"
    );
}

#[test]
fn no_promise_is_broken_while_nodes_come_go_and_die() {
    simulate(&[Fault::Kill, Fault::Leave, Fault::Join]);
}

#[test]
#[ignore = "TODO(#4): finds promises that are broken, most of them second entries in logs after a node stood still or was not heard"]
fn no_promise_is_broken_whatever_goes_wrong() {
    let mut faults = Fault::ALL.to_vec();
    faults.push(Fault::Empty);
    simulate(&faults);
}
