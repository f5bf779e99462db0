//! A soak: whatever goes wrong by a schedule, no promise is broken. Its story is printed: what was done when, and for how long
//! clients were affected.
//!
//! `STARLING_SOAK_S`: how long it lasts (20; acceptance 3600). `STARLING_SEED` repeats the schedule and the choices of the clients.
//! None of these holds yet with every seed on a machine that is busy:
//! `cargo nextest run -p tests --test processes --run-ignored only soak`.
//! `STARLING_SOAK_LOGS`: a directory that gets the logs of all nodes. `STARLING_SOAK_FAULTS`: which faults, by name (all).

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use services::Redis;
use tests::faults::actor::Phase;
use tests::faults::dice::{Dice, count};
use tests::faults::node::create_accounts;
use tests::faults::owners::{Claims, Rival};
use tests::processes::network::Network;
use tests::processes::schedule::{Fault, Step, schedule};
use tests::processes::{Node, over_redis};
use tokio::sync::watch;
use tokio::task::{JoinHandle, block_in_place, spawn_blocking};

use crate::playing::Playing;

/// How many nodes there are when nothing goes wrong.
const NODES: usize = 4;
/// Nodes that the network has addresses for.
const ADDRESSES: u8 = 250;
/// The account that two clients want the same resource of.
const CONTESTED: &str = "contested";

/// A step and what it was to whom.
struct Told {
    what: String,
    began: Instant,
    clock: String,
}

/// A cluster that things are done to.
struct Soak {
    playing: Playing,
    network: Network,
    redis: Option<Redis>,
    /// Nodes that are being started.
    coming: Vec<JoinHandle<anyhow::Result<Node>>>,
    /// Nodes that were told to leave.
    going: Vec<JoinHandle<anyhow::Result<String>>>,
    /// What those logged that are gone.
    logs: BTreeMap<usize, String>,
    /// What is to be undone, by step.
    undo: BTreeMap<usize, Undo>,
    story: Vec<Told>,
}

/// How a step ends.
enum Undo {
    Launch,
    Leave,
    Thaw(usize),
    Restore(Vec<(usize, usize)>),
    Redis,
}

/// The time of day, as it stands in logs.
fn clock() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (s, ms) = (now.as_secs() % 86_400, now.subsec_millis());
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3_600, s / 60 % 60, s % 60)
}

impl Soak {
    async fn begin(redis: Option<Redis>) -> Self {
        let network = Network::start(ADDRESSES).await.unwrap();
        let mut lines = network.lines();
        lines.extend(redis.as_ref().map(over_redis));
        Self {
            playing: Playing::begin(NODES, &lines).await,
            network,
            redis,
            coming: Vec::new(),
            going: Vec::new(),
            logs: BTreeMap::new(),
            undo: BTreeMap::new(),
            story: Vec::new(),
        }
    }

    fn node(&self, number: usize) -> Option<&Node> {
        let mut nodes = self.playing.cluster.nodes.iter();
        nodes.find(|node| node.number == number)
    }

    /// Whether this node stands still.
    fn is_frozen(&self, number: usize) -> bool {
        let mut undo = self.undo.values();
        undo.any(|undo| matches!(undo, Undo::Thaw(frozen) if *frozen == number))
    }

    fn launch(&mut self) {
        let start = self.playing.cluster.another();
        self.coming.push(spawn_blocking(|| start.run()));
    }

    fn leave(&mut self, at: usize) -> usize {
        let node = self.playing.cluster.remove(at);
        let number = node.number;
        let stop = || {
            let (status, log) = node.stop()?;
            anyhow::ensure!(status.success(), "{status}\n{log}");
            Ok(log)
        };
        self.going.push(spawn_blocking(stop));
        number
    }

    /// Does it; what was done, in words, and how it ends. Nothing: the cluster is too small for it now.
    fn break_it(&mut self, step: &Step) -> Option<(String, Undo)> {
        let nodes = &self.playing.cluster.nodes;
        let at = (step.victim % nodes.len() as u64) as usize;
        let number = nodes[at].number;
        let others = || {
            nodes
                .iter()
                .map(|node| node.number)
                .filter(|it| *it != number)
        };
        let is_enough = nodes.len() >= 3;
        Some(match step.fault {
            Fault::Kill if is_enough => {
                let node = self.playing.cluster.kill(at);
                self.logs.insert(number, node.log());
                (format!("kill -9 of {number}"), Undo::Launch)
            }
            Fault::Leave if is_enough && !self.is_frozen(number) => {
                self.leave(at);
                (format!("SIGTERM to {number}"), Undo::Launch)
            }
            Fault::Join => {
                self.launch();
                ("one more is started".to_owned(), Undo::Leave)
            }
            Fault::Freeze if is_enough && !self.is_frozen(number) => {
                block_in_place(|| nodes[at].process().freeze()).unwrap();
                (format!("SIGSTOP of {number}"), Undo::Thaw(number))
            }
            Fault::Apart | Fault::Unheard | Fault::Deaf | Fault::Pair => {
                let away = others().map(|it| (number, it));
                let here = others().map(|it| (it, number));
                let (cut, what): (Vec<_>, _) = match step.fault {
                    Fault::Apart => (away.chain(here).collect(), "is apart"),
                    Fault::Unheard => (away.collect(), "is not heard"),
                    Fault::Deaf => (here.collect(), "hears nothing"),
                    _ => {
                        let pair = away.take(1).chain(here.take(1));
                        (pair.collect(), "and its neighbour are apart")
                    }
                };
                self.set(&cut, true);
                (format!("{number} {what}"), Undo::Restore(cut))
            }
            Fault::Empty => {
                let redis = self.redis.as_mut()?;
                block_in_place(|| redis.kill());
                ("Redis is killed".to_owned(), Undo::Redis)
            }
            _ => return None,
        })
    }

    fn set(&self, cut: &[(usize, usize)], is_cut: bool) {
        for (from, to) in cut {
            // Who is gone has no connections.
            if let (Some(from), Some(to)) = (self.node(*from), self.node(*to)) {
                self.network.hold(from, to, is_cut);
            }
        }
    }

    fn mend(&mut self, undo: Undo) {
        match undo {
            Undo::Launch => self.launch(),
            Undo::Leave => {
                let frozen = |node: &Node| self.is_frozen(node.number);
                let nodes = &self.playing.cluster.nodes;
                let newest = nodes.iter().rposition(|node| !frozen(node));
                if let Some(newest) = newest.filter(|_| nodes.len() > NODES) {
                    self.leave(newest);
                }
            }
            Undo::Thaw(number) => {
                if let Some(node) = self.node(number) {
                    node.process().thaw().unwrap();
                }
            }
            Undo::Restore(cut) => self.set(&cut, false),
            Undo::Redis => {
                let redis = self.redis.as_mut().expect("it was killed");
                block_in_place(|| redis.restart()).unwrap();
            }
        }
    }

    /// Takes in who has started, and lets go who has left.
    async fn tend(&mut self) {
        while let Some(at) = self.coming.iter().position(JoinHandle::is_finished) {
            let node = self.coming.swap_remove(at).await.unwrap();
            match node {
                Ok(node) => self.playing.cluster.add(node),
                Err(error) => self.playing.fail(&format!("{error:#}")),
            }
        }
        while let Some(at) = self.going.iter().position(JoinHandle::is_finished) {
            match self.going.swap_remove(at).await.unwrap() {
                Ok(log) => _ = self.logs.insert(10_000 + self.logs.len(), log),
                Err(error) => self.playing.fail(&format!("{error:#}")),
            }
        }
    }

    async fn wait_until(&mut self, until: Instant) {
        while Instant::now() < until {
            self.tend().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Plays a schedule to its end.
    async fn play(&mut self, steps: &[Step]) {
        let begins = (0..steps.len()).map(|it| (steps[it].at, it, true));
        let ends = (0..steps.len()).map(|it| (steps[it].end(), it, false));
        let mut events: Vec<_> = begins.chain(ends).collect();
        events.sort_unstable();
        let zero = Instant::now();
        for (at, number, begins) in events {
            self.wait_until(zero + at).await;
            let (step, began, clock) = (steps[number], Instant::now(), clock());
            let what = if !begins {
                let Some(undo) = self.undo.remove(&number) else {
                    continue;
                };
                self.mend(undo);
                format!("the end of {number}")
            } else if let Some((what, undo)) = self.break_it(&step) {
                self.undo.insert(number, undo);
                format!("{number}: {what}")
            } else {
                format!("{number}: nothing, the cluster is too small")
            };
            self.story.push(Told { what, began, clock });
        }
        while !self.coming.is_empty() || !self.going.is_empty() {
            self.wait_until(Instant::now() + Duration::from_millis(20))
                .await;
        }
    }

    /// What was done when, and how long clients were affected until the next thing was done.
    fn print(&self, over: Instant) {
        let next = self.story.iter().skip(1).map(|told| told.began);
        let all: Vec<usize> = crate::ALL.to_vec();
        let ledger = self.playing.play.stage.ledger();
        for (told, next) in self.story.iter().zip(next.chain([over])) {
            let silences = ledger.times.silences(&all, &(told.began..next));
            let Told { what, clock, .. } = told;
            println!("{clock} {what}; longest time without a promise: {silences}");
        }
    }

    /// Keeps the logs where they were asked for.
    fn keep_logs(&self) {
        let Some(directory) = std::env::var_os("STARLING_SOAK_LOGS") else {
            return;
        };
        let directory = std::path::PathBuf::from(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let nodes = self.playing.cluster.nodes.iter();
        let alive = nodes.map(|node| (node.number, node.log()));
        let gone = self.logs.iter().map(|(number, log)| (*number, log.clone()));
        for (number, log) in alive.chain(gone) {
            std::fs::write(directory.join(format!("node-{number}.log")), log).unwrap();
        }
    }
}

/// What is done to the cluster, unless that is asked for, and whether two things are done at once.
struct Harsh {
    faults: &'static [Fault],
    overlap: bool,
}

/// What every node knows how to bear, one thing after the other.
const ORDINARY: Harsh = Harsh {
    faults: &[Fault::Kill, Fault::Leave, Fault::Join],
    overlap: false,
};

/// Everything.
const EVERYTHING: Harsh = Harsh {
    faults: &Fault::ALL,
    overlap: true,
};

async fn no_promise_is_broken(redis: Option<Redis>, harsh: Harsh) {
    let lasts = Duration::from_secs(count("STARLING_SOAK_S", 20) as u64);
    let mut soak = Soak::begin(redis).await;
    let seed = soak.playing.seed;
    let mut faults = harsh.faults.to_vec();
    faults.extend(soak.redis.is_some().then_some(Fault::Empty));
    if let Ok(names) = std::env::var("STARLING_SOAK_FAULTS") {
        faults = Fault::named(&names);
    }
    let steps = schedule(seed, lasts, &faults, harsh.overlap);
    println!("{} faults in {lasts:?}", steps.len());
    create_accounts(&soak.playing.stores, [CONTESTED.to_owned()])
        .await
        .unwrap();
    let (claims, phase) = (Claims::default(), watch::Sender::new(Phase::Load));
    let rivals = [0, 1].map(|number| {
        let rival = Rival {
            account: CONTESTED.to_owned(),
            address: soak.playing.play.address.subscribe(),
            phase: phase.subscribe(),
            claims: claims.clone(),
            dice: Dice::new(seed, 1_000 + number),
        };
        tokio::spawn(rival.run())
    });
    soak.play(&steps).await;
    let over = Instant::now();
    let members = soak.playing.cluster.nodes.len();
    let agreed = soak.playing.cluster.agree(members);
    phase.send_replace(Phase::Stop);
    for rival in rivals {
        rival.await.unwrap();
    }
    soak.print(over);
    println!("all agree {:?} after its end", over.elapsed());
    soak.keep_logs();
    agreed.unwrap();
    let overlaps = claims.overlaps();
    println!("{} sessions of one full JID", claims.count());
    for overlap in &overlaps {
        let during = soak.story.iter().rev().find(|it| it.began <= overlap.since);
        let (what, lasted) = (during.map(|told| &told.what), overlap.lasted);
        println!("two of them at once for {lasted:?}, since after {what:?}");
    }
    let (counts, _) = soak.playing.end().await;
    soak.keep_logs();
    assert!(counts.promised > 100);
    // A node that does not know that it is alone goes on serving until it hears so.
    assert!(overlaps.is_empty() || harsh.overlap, "{overlaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "TODO(#4): in some runs on a busy machine messages to one account wait for more than a minute"]
async fn no_promise_is_broken_while_nodes_come_go_and_die() {
    no_promise_is_broken(None, ORDINARY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "TODO(#4): as over Raft, on a busy machine"]
async fn no_promise_is_broken_while_nodes_come_go_and_die_over_redis() {
    let redis = block_in_place(Redis::start).unwrap();
    no_promise_is_broken(Some(redis), ORDINARY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "TODO(#4): finds promises that are broken where two faults meet, or a node is not heard"]
async fn no_promise_is_broken_whatever_goes_wrong() {
    no_promise_is_broken(None, EVERYTHING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "TODO(#4): finds promises that are broken where two faults meet, or a node is not heard"]
async fn no_promise_is_broken_whatever_goes_wrong_over_redis() {
    let redis = block_in_place(Redis::start).unwrap();
    no_promise_is_broken(Some(redis), EVERYTHING).await;
}
