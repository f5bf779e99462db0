//! The world: nodes, the network between them, their clients, and what goes wrong, moved forward by a few milliseconds at a
//! time, in one thread.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::NodeId;
use cluster::place::Member;
use parking_lot::Mutex as Lock;
use storage::Stores;
use storage::backend::memory::{MemoryBlobs, MemoryTable};
use storage::shape::{Blobs, Table};
use tests::faults::actor::{Actor, Door, Phase, Stage, Story, actor_name};
use tests::faults::dice::Dice;
use tests::faults::ledger::{Counts, Ledger};
use tests::faults::node::create_accounts;
use tests::processes::schedule::{Fault, Step};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::net::Net;
use crate::node::{Life, News, Node, Now, runtime};
use crate::plan::Plan;
use crate::play::read_log;
use crate::store::{Mood, Slow};
use crate::story;

/// How long everything may take to arrive once nothing goes wrong any more.
const SETTLE_MS: u64 = 90_000;
/// How long what a node that leaves has said may take to be acknowledged.
const SETTLED_MS: u64 = 5_000;

/// What happens at a time.
enum Event {
    Begins(usize),
    Ends(usize),
    /// The directory declares the life of a node over.
    Declared(NodeId),
    /// A node hears that its life is.
    Heard(NodeId),
    /// A node is ready to serve.
    Ready(NodeId),
    Launch,
}

/// What became of a run.
pub struct Outcome {
    /// What clients and logs came to.
    pub counts: Counts,
    /// Promises that were broken, in words.
    pub broken: Vec<String>,
    /// What happened to clients.
    pub story: Story,
    /// What was done to the nodes.
    pub trace: String,
    /// How long it took, in the world.
    pub lasted: Duration,
}

/// See the file's head.
pub struct World {
    plan: Plan,
    now: Now,
    net: Arc<Net>,
    dice: Dice,
    table: Arc<dyn Table>,
    blobs: Arc<dyn Blobs>,
    mood: Arc<Lock<Mood>>,
    nodes: Vec<Node>,
    epoch: u64,
    seats: Vec<Member>,
    /// Until when a node hears nothing.
    deaf_ms: BTreeMap<NodeId, u64>,
    /// Nodes that have left, but for what they have said, and how long that may take.
    closing: Vec<(NodeId, u64)>,
    agenda: BTreeMap<(u64, u64), Event>,
    noted: u64,
    trace: String,
    // Clients.
    clients: Runtime,
    zero: Instant,
    ledger: Arc<Mutex<Ledger>>,
    phase: watch::Sender<Phase>,
    actors: Vec<JoinHandle<Story>>,
}

impl World {
    /// Plays a plan to its end.
    pub fn play(plan: Plan) -> Outcome {
        let mut world = Self::new(plan);
        for _ in 0..world.plan.nodes {
            let id = world.launch();
            world.take_seat(id);
        }
        world.agree();
        world.begin();
        let steps = world.plan.steps.clone();
        for (place, step) in steps.iter().enumerate() {
            world.at(1_000 + millis(step.at), Event::Begins(place));
            world.at(1_000 + millis(step.end()), Event::Ends(place));
        }
        let end_ms = steps.iter().map(|step| millis(step.end())).max();
        world.run_until(2_000 + end_ms.unwrap_or_default(), |_| false);
        world.end()
    }

    fn new(plan: Plan) -> Self {
        let now = Now::default();
        let table: Arc<dyn Table> = Arc::new(MemoryTable::with_clock(Arc::new(now.clone())));
        let clients = runtime();
        let zero = clients.block_on(async { Instant::now() });
        Self {
            net: Net::new(Dice::new(plan.seed, 2)),
            dice: Dice::new(plan.seed, 3),
            ledger: Arc::new(Mutex::new(Ledger::under(Arc::new(now.clone())))),
            plan,
            now,
            table,
            blobs: Arc::new(MemoryBlobs::new()),
            mood: Arc::default(),
            nodes: Vec::new(),
            epoch: 0,
            seats: Vec::new(),
            deaf_ms: BTreeMap::new(),
            closing: Vec::new(),
            agenda: BTreeMap::new(),
            noted: 0,
            trace: String::new(),
            clients,
            zero,
            phase: watch::Sender::new(Phase::Load),
            actors: Vec::new(),
        }
    }

    /// Clients come.
    fn begin(&mut self) {
        let stores = Stores::over(self.table.clone(), self.blobs.clone());
        let names = (0..self.plan.actors).map(actor_name);
        let created = self.clients.block_on(create_accounts(&stores, names));
        created.expect("a store in memory takes them");
        let net = self.net.clone();
        let dial = move || Ok(tests::load::wire::Wire::over_stream(net.dial()?));
        let stage = Stage {
            ledger: self.ledger.clone(),
            door: Door::Made(Arc::new(dial), Arc::default()),
            pace: self.plan.pace,
            phase: self.phase.subscribe(),
        };
        let count = self.plan.actors;
        self.actors = (0..count)
            .map(|me| {
                let peers = (1..=3.min(count - 1)).map(|step| (me + step) % count);
                let actor = Actor::new(me, peers.collect(), stage.clone(), self.plan.seed);
                self.clients.spawn(actor.run())
            })
            .collect();
    }

    fn now_ms(&self) -> u64 {
        self.now.0.load(Ordering::Relaxed)
    }

    fn at(&mut self, ms: u64, event: Event) {
        self.noted += 1;
        self.agenda.insert((ms, self.noted), event);
    }

    fn soon(&mut self, from_ms: u64, to_ms: u64, event: Event) {
        let ms = self.now_ms() + from_ms + self.dice.below(to_ms - from_ms + 1);
        self.at(ms, event);
    }

    fn note(&mut self, what: &str) {
        let ms = self.now_ms();
        let (s, ms) = (ms / 1_000, ms % 1_000);
        // A string takes every write.
        let _ = writeln!(self.trace, "{s:4}.{ms:03} {what}");
    }

    fn name(&self, node: NodeId) -> usize {
        self.net.0.lock().name(node)
    }

    /// Moves everything forward until then, or until it is so.
    fn run_until(&mut self, until_ms: u64, is_so: impl Fn(&Self) -> bool) {
        while self.now_ms() < until_ms && !is_so(self) {
            self.step();
        }
    }

    fn step(&mut self) {
        let now_ms = self.now_ms() + 1 + self.dice.below(4);
        self.now.0.store(now_ms, Ordering::Relaxed);
        self.net.0.lock().now_ms = now_ms;
        while let Some(entry) = self.agenda.first_entry()
            && entry.key().0 <= now_ms
        {
            let event = entry.remove();
            self.happen(event);
        }
        self.net.deliver();
        let first = self.dice.below(self.nodes.len() as u64) as usize;
        for place in 0..self.nodes.len() {
            let place = (first + place) % self.nodes.len();
            story::turn(now_ms, self.name(self.nodes[place].id));
            self.nodes[place].run(now_ms);
        }
        story::turn(now_ms, 0);
        let target = self.zero + Duration::from_millis(now_ms);
        self.clients.block_on(async { sleep_until(target).await });
        self.tend();
    }

    /// Lets go of who is done.
    fn tend(&mut self) {
        while let Some(place) = self.nodes.iter().position(|node| {
            node.life != Life::Serves && node.is_done.swap(false, Ordering::Relaxed)
        }) {
            let (id, life) = (self.nodes[place].id, self.nodes[place].life);
            if life == Life::Falls {
                self.end_life(place);
                self.soon(500, 3_000, Event::Launch);
            } else {
                self.closing.push((id, self.now_ms() + SETTLED_MS));
            }
        }
        let now_ms = self.now_ms();
        let net = self.net.clone();
        let said = |(id, until): &mut (NodeId, u64)| *until <= now_ms || !net.0.lock().owes(*id);
        let gone: Vec<_> = self.closing.extract_if(.., said).collect();
        for (id, _) in gone {
            self.leaves(id);
        }
        let doors = self.nodes.iter().filter(|node| node.takes_clients());
        let doors = doors.map(|node| node.id).collect();
        self.net.0.lock().doors = doors;
    }

    /// A process is no more, with all that it had in memory.
    fn end_life(&mut self, place: usize) {
        let node = self.nodes.remove(place);
        let mut net = self.net.0.lock();
        net.ends(node.id);
        net.cut_cables(node.id);
        drop(net);
        drop(node);
    }

    fn place(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    /// One more process, which is no member yet.
    fn launch(&mut self) -> NodeId {
        let id = NodeId(self.dice.number());
        self.net.0.lock().begins(id);
        let number = self.name(id);
        let dice = |stream| Dice::new(self.plan.seed, stream + number as u64);
        let table: Arc<dyn Table> = Arc::new(Slow::new(
            self.table.clone(),
            self.mood.clone(),
            dice(1_000),
        ));
        let stores = Stores::over(table.clone(), self.blobs.clone());
        let mut node = Node::start(id, table, stores, &self.net, &self.now, dice(2_000));
        // It followed the cluster before it becomes one of those that serve.
        node.news.push(News {
            due_ms: 0,
            epoch: self.epoch,
            seats: self.seats.clone(),
        });
        self.nodes.push(node);
        self.note(&format!("node {number} begins"));
        id
    }

    fn take_seat(&mut self, node: NodeId) {
        self.seats.push(Member { node, weight: 1.0 });
    }

    /// The directory has changed: every process hears of it in its own time.
    fn agree(&mut self) {
        self.epoch += 1;
        let members: Vec<_> = self.seats.iter().map(|seat| self.name(seat.node)).collect();
        self.note(&format!("view {}: {members:?}", self.epoch));
        let now_ms = self.now_ms();
        for node in &mut self.nodes {
            let most = if self.dice.once_in(8) { 1_200 } else { 120 };
            let lag = self.dice.below(most);
            let deaf = self.deaf_ms.get(&node.id).copied().unwrap_or_default();
            let last = node.news.last().map_or(0, |news| news.due_ms);
            node.news.push(News {
                due_ms: (now_ms.max(deaf) + lag).max(last),
                epoch: self.epoch,
                seats: self.seats.clone(),
            });
        }
    }

    fn unseat(&mut self, node: NodeId) -> bool {
        let before = self.seats.len();
        self.seats.retain(|seat| seat.node != node);
        let was_there = self.seats.len() < before;
        if was_there {
            self.agree();
        }
        was_there
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Begins(step) => {
                let step = self.plan.steps[step];
                self.break_it(&step);
            }
            Event::Ends(step) => {
                let step = self.plan.steps[step];
                self.mend(&step);
            }
            Event::Declared(node) => {
                self.note(&format!("node {} is declared over", self.name(node)));
                if self.unseat(node) && self.place(node).is_some() {
                    self.soon(0, 600, Event::Heard(node));
                }
            }
            Event::Heard(node) => self.heard(node),
            Event::Ready(node) => {
                if self.place(node).is_some() {
                    self.take_seat(node);
                    self.agree();
                }
            }
            Event::Launch => self.come(),
        }
    }

    /// A node has said all that it had to say, and declares its own life over.
    fn leaves(&mut self, id: NodeId) {
        let Some(place) = self.place(id) else { return };
        self.note(&format!("node {} has left", self.name(id)));
        self.unseat(id);
        self.net.0.lock().hang_up(id);
        self.end_life(place);
    }

    /// A node hears that it fell, unless it hears nothing.
    fn heard(&mut self, id: NodeId) {
        let Some(place) = self.place(id) else { return };
        let deaf = self.deaf_ms.get(&id).copied().unwrap_or_default();
        let until = deaf.max(self.nodes[place].frozen_ms.unwrap_or_default());
        if until > self.now_ms() {
            let lag = self.dice.below(400);
            return self.at(until + lag, Event::Heard(id));
        }
        if self.nodes[place].life != Life::Falls {
            self.note(&format!("node {} falls", self.name(id)));
            self.nodes[place].fall();
        }
    }

    /// A process is started, and serves when it is ready.
    fn come(&mut self) {
        let id = self.launch();
        self.soon(50, 400, Event::Ready(id));
    }

    /// Nodes that serve.
    fn serving(&self) -> Vec<NodeId> {
        let has_seat = |node: &&Node| {
            let mut seats = self.seats.iter();
            node.life == Life::Serves && seats.any(|seat| seat.node == node.id)
        };
        self.nodes.iter().filter(has_seat).map(|it| it.id).collect()
    }

    fn break_it(&mut self, step: &Step) {
        let serving = self.serving();
        let id = serving[(step.victim % serving.len() as u64) as usize];
        let (name, lasts_ms) = (self.name(id), millis(step.lasts));
        let until = self.now_ms() + lasts_ms;
        let others = || serving.iter().copied().filter(|it| *it != id);
        let is_enough = serving.len() >= 3;
        let Some(place) = self.place(id) else { return };
        match step.fault {
            Fault::Kill if is_enough => {
                self.note(&format!("node {name} is killed"));
                self.end_life(place);
                self.soon(200, 1_200, Event::Declared(id));
            }
            Fault::Leave if is_enough => {
                self.note(&format!("node {name} is to leave"));
                let seat = self.seats.iter_mut().find(|seat| seat.node == id);
                seat.expect("it serves").weight = 0.0;
                self.nodes[place].leave();
                self.agree();
            }
            Fault::Join => self.come(),
            Fault::Freeze if is_enough => {
                self.note(&format!("node {name} stands still for {lasts_ms} ms"));
                self.nodes[place].frozen_ms = Some(until);
                self.deaf_ms.insert(id, until);
                self.may_be_declared(id, lasts_ms);
                if self.dice.once_in(2) {
                    self.net.0.lock().lose_clients(id, 2_000);
                }
            }
            Fault::Apart | Fault::Unheard | Fault::Deaf | Fault::Pair if is_enough => {
                let what = step.fault;
                self.note(&format!("node {name}: {what:?} for {lasts_ms} ms"));
                let mut net = self.net.0.lock();
                let only = if what == Fault::Pair { 1 } else { usize::MAX };
                for other in others().take(only) {
                    if what != Fault::Deaf {
                        net.hold(id, other, until);
                    }
                    if what != Fault::Unheard {
                        net.hold(other, id, until);
                    }
                }
                drop(net);
                if matches!(what, Fault::Apart | Fault::Deaf) {
                    self.deaf_ms.insert(id, until);
                }
                if what != Fault::Pair {
                    self.may_be_declared(id, lasts_ms);
                }
            }
            Fault::Empty => {
                let mood = Mood {
                    slow_ms: self.dice.below(300),
                    fails_one_in: [0, 20, 100][self.dice.below(3) as usize],
                };
                self.note(&format!("the store: {mood:?} for {lasts_ms} ms"));
                *self.mood.lock() = mood;
            }
            _ => self.note("nothing, the cluster is too small"),
        }
    }

    /// Others give a node up that they do not hear for long.
    fn may_be_declared(&mut self, id: NodeId, silent_ms: u64) {
        let patience = 600 + self.dice.below(1_500);
        if silent_ms > patience {
            let ms = self.now_ms() + patience;
            self.at(ms, Event::Declared(id));
        }
    }

    fn mend(&mut self, step: &Step) {
        match step.fault {
            Fault::Kill | Fault::Leave if self.serving().len() < self.plan.nodes => self.come(),
            Fault::Join => {
                let serving = self.serving();
                if serving.len() > self.plan.nodes {
                    let newest = serving.len() - 1;
                    let leave = Step {
                        fault: Fault::Leave,
                        victim: newest as u64,
                        ..*step
                    };
                    self.break_it(&leave);
                }
            }
            Fault::Empty => *self.mood.lock() = Mood::default(),
            _ => {}
        }
    }

    /// Nothing goes wrong any more: what was promised is to arrive, and is looked for.
    fn end(mut self) -> Outcome {
        self.note("nothing goes wrong any more");
        *self.mood.lock() = Mood::default();
        self.net.0.lock().release_all();
        self.phase.send_replace(Phase::Settle);
        let is_settled = |world: &Self| world.lock().open() == (0, 0);
        self.run_until(self.now_ms() + SETTLE_MS, is_settled);
        let (missing, open) = self.lock().open();
        self.note(&format!("{missing} missing, {open} not acknowledged"));
        self.phase.send_replace(Phase::Stop);
        let is_over = |world: &Self| world.actors.iter().all(JoinHandle::is_finished);
        self.run_until(self.now_ms() + SETTLE_MS, is_over);
        let mut broken = Vec::new();
        if (missing, open) != (0, 0) {
            broken.push(format!(
                "{missing} promised messages did not arrive, {open} are not acknowledged"
            ));
        }
        let mut story = Story::new();
        for actor in std::mem::take(&mut self.actors) {
            if !actor.is_finished() {
                broken.push("an actor does not end".to_owned());
                continue;
            }
            let told = self.clients.block_on(actor);
            for (what, count) in told.expect("an actor does not panic") {
                *story.entry(what).or_default() += count;
            }
        }
        let stores = Stores::over(self.table.clone(), self.blobs.clone());
        let mut logs = BTreeMap::new();
        for index in 0..self.plan.actors {
            let log = self.clients.block_on(read_log(&stores, index));
            logs.insert(index, log);
        }
        let (counts, wrong) = self.lock().verify(&logs);
        broken.extend(wrong);
        Outcome {
            counts,
            broken,
            story,
            trace: std::mem::take(&mut self.trace),
            lasted: Duration::from_millis(self.now_ms()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}
