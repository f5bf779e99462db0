//! The model: nodes that read and write two keys through the layer, a scheduler that chooses at every await who goes on,
//! who dies and what goes wrong, and a checker that knows the history of the store.
//!
//! Everything follows from a seed. `STARLING_MODEL_SEEDS` runs more of them.

use std::{pin::Pin, sync::Arc, time::Duration};

use super::{
    actors::{read, read_strongly, write},
    servers::{NodeCache, SERVERS, at_once},
    store::Store,
    world::{KEYS, Level, NODES, World, key_of, value_of},
};
use crate::{
    clock::Clock,
    layer::cached::{CacheEvent, CacheLimits, CacheObserver, Cacheable, Cached, recent::Recent},
    shape::{Cache, Consistency, Table},
};

/// Turns of a run.
const TURNS: usize = 600;
/// Calls under way at a time.
const TASKS: usize = 8;

pub(super) const LIMITS: CacheLimits = CacheLimits {
    present: Duration::from_secs(20),
    absent: Duration::from_secs(10),
    blob: Duration::from_secs(20),
    marker: Duration::from_secs(4),
    lease: Duration::from_secs(2),
    closed: Duration::from_millis(500),
    too_large: Duration::from_secs(5),
    max_value: 1000,
    skew: Duration::from_secs(1),
    slots: 16,
};

/// What a run makes of the cache and the layer of a node: tests of the model break them here.
pub(super) trait Making: Sync {
    fn cache(&self, cache: NodeCache) -> Arc<dyn Cache> {
        Arc::new(cache)
    }
    fn layer(&self, layer: Cached, _: Arc<dyn Clock>) -> Cached {
        layer
    }
}

/// As it should be.
pub(super) struct Sound;
impl Making for Sound {}

/// What happened in runs, so that a test can see that it tested something.
#[derive(Debug, Default)]
pub(super) struct Tally(parking_lot::Mutex<std::collections::BTreeMap<&'static str, usize>>);

impl CacheObserver for Tally {
    fn observe(&self, _: Cacheable, event: CacheEvent) {
        *self.0.lock().entry(event.name()).or_default() += 1;
    }
}

impl Tally {
    /// Looks whether all this happened.
    #[track_caller]
    pub(super) fn check_met(&self, names: &[&str]) {
        let met = self.0.lock();
        for name in names {
            assert!(met.contains_key(name), "{name} was not met: {met:?}");
        }
    }
}

struct Task {
    node: usize,
    writes: bool,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

struct Run<'a> {
    world: Arc<World>,
    nodes: Vec<Arc<Cached>>,
    tasks: Vec<Task>,
    making: &'a dyn Making,
    tally: Arc<Tally>,
}

/// One run; what it found wrong.
pub(super) fn run(
    seed: u64,
    level: Level,
    making: &dyn Making,
    tally: &Arc<Tally>,
) -> Result<(), String> {
    let world = World::new(seed, level, LIMITS.present);
    let mut run = Run {
        world,
        nodes: Vec::new(),
        tasks: Vec::new(),
        making,
        tally: tally.clone(),
    };
    run.nodes = (0..NODES).map(|node| run.make(node)).collect();
    for _ in 0..TURNS {
        run.turn();
        if let Some(violation) = run.world.violation() {
            return Err(format!("seed {seed}: {violation}"));
        }
    }
    run.finish();
    run.world
        .violation()
        .map_or(Ok(()), |violation| Err(format!("seed {seed}: {violation}")))
}

impl Run<'_> {
    fn make(&self, node: usize) -> Arc<Cached> {
        let world = self.world.clone();
        let clock = world.node_clock(node);
        let store = Arc::new(Store(world.clone()));
        let cache = self.making.cache(NodeCache { world, node });
        let layer = Cached::new(store, cache, LIMITS, clock.clone(), self.tally.clone());
        let layer = Cached {
            recent: Recent::new(LIMITS.slots, LIMITS.longest(), clock.clone(), 3),
            ..layer
        };
        Arc::new(self.making.layer(layer, clock))
    }

    fn turn(&mut self) {
        match self.world.random.next() % 100 {
            0..70 => self.poll(),
            70..86 => self.begin(),
            86..92 => self.wait(),
            92 => self.kill(),
            93 if self.world.level != Level::Healed && self.world.chance(2) => self.crash(),
            _ => self.disturb(),
        }
    }

    fn any(&self, of: usize) -> usize {
        (self.world.random.next() % of as u64) as usize
    }

    fn poll(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let at = self.any(self.tasks.len());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if self.tasks[at].future.as_mut().poll(&mut context).is_ready() {
            self.tasks.swap_remove(at);
        }
    }

    fn begin(&mut self) {
        if self.tasks.len() >= TASKS {
            return;
        }
        let (node, which) = (self.any(NODES), self.any(KEYS));
        let (world, table) = (self.world.clone(), self.nodes[node].clone());
        let (writes, future): (bool, Pin<Box<dyn Future<Output = ()>>>) =
            match self.world.random.next() % 24 {
                0..19 => (false, Box::pin(read(world, table, node, which))),
                19..21 => (false, Box::pin(read_strongly(world, table, node, which))),
                21..23 => (true, Box::pin(write(world, table, node, vec![which]))),
                _ => (true, Box::pin(write(world, table, node, vec![0, 1]))),
            };
        self.tasks.push(Task {
            node,
            writes,
            future,
        });
    }

    /// Time passes. A marker outlives its writer, but not its life: that it is lost is for another level.
    fn wait(&self) {
        let busy = self.tasks.iter().any(|task| task.writes);
        if self.world.level == Level::Deaths && busy {
            return;
        }
        let millis = match self.any(8) {
            0..6 => self.any(300),
            6 => self.any(5_000),
            _ => self.any(12_000),
        };
        self.world.wait(Duration::from_millis(millis as u64));
    }

    /// A call is dropped where it is.
    fn kill(&mut self) {
        if !self.tasks.is_empty() {
            let at = self.any(self.tasks.len());
            self.tasks.swap_remove(at);
        }
    }

    /// A node dies with all its calls and is born again.
    fn crash(&mut self) {
        let node = self.any(NODES);
        self.tasks.retain(|task| task.node != node);
        self.nodes[node] = self.make(node);
        self.world.forget(node);
    }

    fn disturb(&self) {
        let (node, server) = (self.any(NODES), self.any(SERVERS));
        let kind = self.any(8);
        match self.world.level {
            Level::Deaths => {}
            Level::Losses if kind < 2 => self.world.empty(server),
            Level::Losses => self.evict(server),
            _ => match kind {
                0 if self.world.chance(4) => self.world.empty(server),
                1 => self.evict(server),
                2 if self.world.chance(4) => self.world.change_ring(node),
                3..5 => self.world.flap(node, server),
                5 => self.world.servers[server].nod(),
                _ => self.world.servers[server].resume(self.world.random.next()),
            },
        }
    }

    fn evict(&self, server: usize) {
        let name = crate::layer::cached::name_of(&key_of(self.any(KEYS)));
        self.world.servers[server].evict(&name);
    }

    fn finish(&mut self) {
        if self.world.level == Level::Healed {
            self.world.heal();
        }
        while !self.tasks.is_empty() {
            self.poll();
        }
        if self.world.level != Level::Healed {
            return;
        }
        for node in 0..NODES {
            for which in 0..KEYS {
                let world = &self.world;
                let (floor, began) = (world.global_floor(which), world.clock.now());
                for _ in 0..4 {
                    if let Ok(found) =
                        drive(self.nodes[node].get(&key_of(which), Consistency::Cached))
                    {
                        world.judge(node, which, value_of(found.as_ref()), floor, began);
                    }
                }
            }
        }
    }
}

/// Runs one future alone.
fn drive<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn seeds() -> u64 {
    let asked = std::env::var("STARLING_MODEL_SEEDS").ok();
    asked.map_or(1500, |text| text.parse().expect("a number of seeds"))
}

#[track_caller]
fn check(level: Level, met: &[CacheEvent]) {
    let tally = Arc::new(Tally::default());
    for seed in 0..seeds() {
        if let Err(violation) = run(seed, level, &Sound, &tally) {
            panic!("{violation}");
        }
    }
    let names: Vec<&str> = met.iter().map(|event| event.name()).collect();
    tally.check_met(&names);
}

#[test]
fn with_writers_that_die_reads_are_as_of_one_store() {
    use CacheEvent::{Busy, Closed, Filled, Hit, HitAbsent, Miss, NotFilled, Published, Stale};
    check(
        Level::Deaths,
        &[
            Busy, Closed, Filled, Hit, HitAbsent, Miss, NotFilled, Published, Stale,
        ],
    );
}

#[test]
fn with_a_cache_that_forgets_what_was_answered_is_seen_by_all() {
    use CacheEvent::{Busy, Closed, Hit, Joined, Miss, NotFilled, Published, Refused};
    check(
        Level::Losses,
        &[
            Busy, Closed, Hit, Joined, Miss, NotFilled, Published, Refused,
        ],
    );
}

#[test]
fn with_a_cache_that_is_gone_nobody_reads_older_than_its_own_or_the_limit() {
    use CacheEvent::{Distrusted, Hit, Refused, Stale, Unreachable};
    check(
        Level::Outages,
        &[Distrusted, Hit, Refused, Stale, Unreachable],
    );
}

#[test]
fn when_all_is_well_again_what_was_answered_is_seen_by_all() {
    use CacheEvent::{Distrusted, Hit, Stale, Unreachable};
    check(Level::Healed, &[Distrusted, Hit, Stale, Unreachable]);
}

#[test]
fn a_seed_repeats_its_run() {
    let counted = |seed| {
        let tally = Arc::new(Tally::default());
        at_once(async { run(seed, Level::Outages, &Sound, &tally) }).expect("sound");
        format!("{:?}", tally.0.lock())
    };
    assert_eq!(counted(7), counted(7));
    assert_ne!(counted(7), counted(8));
}
