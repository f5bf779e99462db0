//! A stage with actors, and the reading of logs when the play is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use storage::Stores;
use storage::repository::{EntryFlags, LogRange};
use tests::faults::actor::{Actor, Door, Pace, Phase, Stage, Story, actor_name};
use tests::faults::client::attr;
use tests::faults::ledger::{Counts, Key, Ledger, Logged};
use tests::faults::node::account;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long everything may take to arrive once nothing goes wrong any more.
const SETTLE: Duration = Duration::from_secs(90);

/// Running actors.
pub struct Play {
    actors: usize,
    pub stage: Stage,
    pub address: watch::Sender<SocketAddr>,
    phase: watch::Sender<Phase>,
    running: Vec<JoinHandle<Story>>,
}

impl Play {
    /// Starts the actors: each writes to the next three.
    pub fn start(actors: usize, server: SocketAddr, seed: u64) -> Self {
        let (address, address_of) = watch::channel(server);
        Self::start_at(vec![address_of; actors], address, seed)
    }

    /// Starts an actor at each of these addresses.
    pub fn start_at(
        servers: Vec<watch::Receiver<SocketAddr>>,
        address: watch::Sender<SocketAddr>,
        seed: u64,
    ) -> Self {
        let actors = servers.len();
        let (phase, phase_of) = watch::channel(Phase::Load);
        let stage = Stage {
            ledger: Arc::new(Mutex::new(Ledger::default())),
            door: Door::Address(address.subscribe()),
            pace: Pace::default(),
            phase: phase_of,
        };
        let running = (0..actors)
            .map(|me| {
                let peers = (1..=3).map(|step| (me + step) % actors).collect();
                let stage = Stage {
                    door: Door::Address(servers[me].clone()),
                    ..stage.clone()
                };
                tokio::spawn(Actor::new(me, peers, stage, seed).run())
            })
            .collect();
        Self {
            actors,
            stage,
            address,
            phase,
            running,
        }
    }

    /// No more accidents: waits until everything sent is acknowledged and everything promised has arrived.
    pub async fn settle(&self) {
        self.phase.send_replace(Phase::Settle);
        let settled = async {
            while self.stage.ledger().open() != (0, 0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(SETTLE, settled).await.is_err() {
            let (missing, open) = self.stage.ledger().open();
            println!(
                "not settled: {missing} promised messages did not arrive, {open} are not acknowledged"
            );
        }
    }

    /// Ends the actors; what happened to them.
    pub async fn stop(&mut self) -> Story {
        self.phase.send_replace(Phase::Stop);
        let mut story = Story::new();
        for actor in self.running.drain(..) {
            for (what, count) in actor.await.expect("an actor does not panic") {
                *story.entry(what).or_default() += count;
            }
        }
        story
    }

    /// What was counted, and every promise that the logs in the stores break, in words.
    pub async fn verdict(&self, stores: &Stores) -> (Counts, Vec<String>) {
        let mut logs = BTreeMap::new();
        for index in 0..self.actors {
            logs.insert(index, read_log(stores, index).await);
        }
        self.stage.ledger().verify(&logs)
    }

    /// Checks every promise against the logs in the stores; panics if one was broken.
    pub async fn verify(&self, stores: &Stores) -> Counts {
        let (counts, wrong) = self.verdict(stores).await;
        let shown: Vec<&String> = wrong.iter().take(20).collect();
        assert!(
            wrong.is_empty(),
            "{} promises broken: {shown:#?}\n{counts:?}",
            wrong.len()
        );
        assert_eq!(
            self.stage.ledger().open(),
            (0, 0),
            "promised and not received, and not acknowledged"
        );
        counts
    }
}

/// The log of an actor's account.
pub async fn read_log(stores: &Stores, index: usize) -> Vec<Logged> {
    let owner = account(&actor_name(index));
    let mut found = Vec::new();
    let mut range = LogRange::ALL;
    loop {
        let page = stores
            .logs
            .read(&owner, range, false, 500)
            .await
            .expect("the store is whole");
        let Some(last) = page.last() else {
            return found;
        };
        range = LogRange::after(last.number);
        found.extend(page.iter().map(|entry| {
            let text = String::from_utf8_lossy(&entry.stanza);
            let key = attr(&text, "id")
                .and_then(Key::parse)
                .expect("only actors write");
            Logged {
                number: entry.number,
                sent: entry.flags.contains(EntryFlags::SENT),
                key,
            }
        }));
    }
}
