//! The world of the model: a store that keeps its history, what each node and all together have seen, and what goes
//! wrong.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;

use super::servers::{SERVERS, Server};
use crate::{
    backend::memory::MemoryTable,
    clock::{Clock, ManualClock},
    key,
    layer::{cached::name_of, random::Random},
    shape::{Batch, Key, Operation, Record},
};

pub(super) const NODES: usize = 2;
pub(super) const KEYS: usize = 2;
/// How far the clock of each node is ahead of the world's, in milliseconds.
const AHEAD: [u64; NODES] = [700, 0];

/// What may go wrong, and what must hold nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Writers and nodes die, answers of the store get lost. All reads are as of one store without a cache.
    Deaths,
    /// The cache forgets as well. What was answered is seen by all.
    Losses,
    /// The cache cannot be reached, is another one, comes back as it was. A node sees what it wrote or read strongly;
    /// nobody sees what was replaced before the time limit.
    Outages,
    /// The same without nodes that die, and in the end everything is well again: then what was answered is seen by all.
    Healed,
}

/// A value and when it came to be.
struct Commit {
    value: Option<u64>,
    at: Duration,
}

pub(super) struct World {
    pub(super) level: Level,
    pub(super) random: Random,
    pub(super) clock: ManualClock,
    pub(super) servers: Vec<Server>,
    pub(super) bound: Duration,
    pub(super) table: MemoryTable,
    state: Mutex<State>,
}

struct State {
    histories: [Vec<Commit>; KEYS],
    /// What each node must see, as an index of the history.
    floors: [[usize; KEYS]; NODES],
    /// What all must see.
    floor: [usize; KEYS],
    /// Whether a node reaches a server.
    reaches: [[bool; SERVERS]; NODES],
    distrusts: [[bool; SERVERS]; NODES],
    /// Whether a node knows both servers.
    knows_both: [bool; NODES],
    generations: u64,
    last_value: u64,
    is_healed: bool,
    violations: Vec<String>,
}

/// The clock of a node.
struct NodeClock(ManualClock, Duration);

impl Clock for NodeClock {
    fn now(&self) -> Duration {
        self.0.now() + self.1
    }
}

pub(super) fn key_of(which: usize) -> Key {
    let owner = xmpp::BareJid::parse("bob@example.org").expect("an address");
    key::of_account(&owner, [key::ROSTER, key::VCARD][which].clone())
}

fn which_of(key: &Key) -> usize {
    usize::from(key.sort == key::VCARD)
}

pub(super) fn value_of(record: Option<&Record>) -> Option<u64> {
    record.map(|record| u64::from_be_bytes(record.value[..8].try_into().expect("8 bytes")))
}

impl World {
    pub(super) fn new(seed: u64, level: Level, lifetime: Duration) -> Arc<Self> {
        let clock = ManualClock::at(1_800_000_000);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let server = |n| Server::new(n as u64 + 1);
        let first = || {
            vec![Commit {
                value: None,
                at: Duration::ZERO,
            }]
        };
        let outages = level >= Level::Outages;
        let ahead = Duration::from_millis(*AHEAD.iter().max().expect("some"));
        Arc::new(Self {
            level,
            random: Random::new(seed),
            servers: (0..SERVERS).map(server).collect(),
            bound: lifetime + ahead,
            table: MemoryTable::with_clock(shared),
            clock,
            state: Mutex::new(State {
                histories: [first(), first()],
                floors: Default::default(),
                floor: Default::default(),
                reaches: [[true; SERVERS]; NODES],
                distrusts: Default::default(),
                knows_both: [outages; NODES],
                generations: 100,
                last_value: 0,
                is_healed: false,
                violations: Vec::new(),
            }),
        })
    }

    pub(super) fn node_clock(&self, node: usize) -> Arc<dyn Clock> {
        let ahead = Duration::from_millis(AHEAD[node]);
        Arc::new(NodeClock(self.clock.clone(), ahead))
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        self.random.next().is_multiple_of(one_in)
    }

    pub(super) fn wait(&self, time: Duration) {
        self.clock.advance(time);
        for server in &self.servers {
            server.pass(time);
        }
    }

    // The cache.

    pub(super) fn server_of(&self, node: usize, name: &str) -> usize {
        let both = self.state.lock().knows_both[node];
        usize::from(both && name == name_of(&key_of(0)))
    }
    pub(super) fn reaches(&self, node: usize, server: usize) -> bool {
        self.state.lock().reaches[node][server]
    }
    pub(super) fn loses_answer(&self) -> bool {
        self.level >= Level::Outages && !self.state.lock().is_healed && self.chance(24)
    }
    pub(super) fn distrust(&self, node: usize, server: usize) {
        self.state.lock().distrusts[node][server] = true;
    }
    /// A node that distrusts a server and reaches it gives it a new generation.
    pub(super) fn regain(&self, node: usize, server: usize) {
        let distrusted = std::mem::take(&mut self.state.lock().distrusts[node][server]);
        if distrusted {
            self.empty(server);
        }
    }
    pub(super) fn empty(&self, server: usize) {
        let generation = {
            let mut state = self.state.lock();
            state.generations += 1;
            state.generations
        };
        self.servers[server].empty(generation);
    }
    /// Cuts a node off from a server, or ends that.
    pub(super) fn flap(&self, node: usize, server: usize) {
        let reaches = &mut self.state.lock().reaches[node][server];
        *reaches = !*reaches;
    }
    /// A node learns of the second server, or that it is gone: what gains keys by that is not trusted.
    pub(super) fn change_ring(&self, node: usize) {
        let mut state = self.state.lock();
        let both = !state.knows_both[node];
        state.knows_both[node] = both;
        state.distrusts[node][usize::from(both)] = true;
    }
    /// Ends all that goes wrong.
    pub(super) fn heal(&self) {
        self.state.lock().is_healed = true;
        self.state.lock().reaches = [[true; SERVERS]; NODES];
        for node in 0..NODES {
            if !self.state.lock().knows_both[node] {
                self.change_ring(node);
            }
        }
        for server in &self.servers {
            server.resume_all();
        }
        for node in 0..NODES {
            for server in 0..SERVERS {
                self.regain(node, server);
            }
        }
    }

    // The history.

    pub(super) fn fresh_value(&self) -> Bytes {
        let mut state = self.state.lock();
        state.last_value += 1;
        Bytes::copy_from_slice(&state.last_value.to_be_bytes())
    }
    /// Where the history of a key ends.
    pub(super) fn last(&self, which: usize) -> usize {
        self.state.lock().histories[which].len() - 1
    }
    /// What a read that begins now must see at least.
    pub(super) fn floor(&self, node: usize, which: usize) -> usize {
        let state = self.state.lock();
        match self.level {
            Level::Deaths | Level::Losses => state.floor[which].max(state.floors[node][which]),
            Level::Outages | Level::Healed => state.floors[node][which],
        }
    }
    /// What all must see in the end.
    pub(super) fn global_floor(&self, which: usize) -> usize {
        self.state.lock().floor[which]
    }
    /// A node knows of a value that came to be at this index or later.
    pub(super) fn raise(
        &self,
        node: usize,
        which: usize,
        value: Option<u64>,
        since: usize,
        all: bool,
    ) {
        let mut state = self.state.lock();
        let mut later = state.histories[which].iter().enumerate().skip(since);
        let Some((index, _)) = later.find(|(_, commit)| commit.value == value) else {
            let what = format!("{value:?} of key {which} was never written");
            state.violations.push(what);
            return;
        };
        let floor = &mut state.floors[node][which];
        *floor = (*floor).max(index);
        if all {
            let floor = &mut state.floor[which];
            *floor = (*floor).max(index);
        }
    }
    /// A node is born again and knows nothing.
    pub(super) fn forget(&self, node: usize) {
        self.state.lock().floors[node] = Default::default();
    }
    /// Whether a read that began then may have this value.
    pub(super) fn judge(
        &self,
        node: usize,
        which: usize,
        value: Option<u64>,
        floor: usize,
        began: Duration,
    ) -> Option<usize> {
        let mut state = self.state.lock();
        let history = &state.histories[which];
        let limit = began.saturating_sub(self.bound);
        let may = |index: usize| {
            let ended = history.get(index + 1).map(|next| next.at);
            index >= floor && ended.is_none_or(|ended| ended > limit)
        };
        let mut found = (0..history.len()).filter(|index| history[*index].value == value);
        let found = found.find(|index| may(*index));
        if found.is_none() {
            let known = history[floor].value;
            let what = format!(
                "{:?}: node {node} read {value:?} of key {which}, after {known:?} or the time limit",
                self.level
            );
            state.violations.push(what);
        }
        found
    }
    pub(super) fn violation(&self) -> Option<String> {
        self.state.lock().violations.first().cloned()
    }

    /// A batch has happened.
    pub(super) fn commit(&self, batch: &Batch) {
        let mut state = self.state.lock();
        let at = self.clock.now();
        for operation in &batch.operations {
            let value = match operation {
                Operation::Put { value, .. } => {
                    Some(u64::from_be_bytes(value[..8].try_into().expect("8 bytes")))
                }
                Operation::Delete { .. } => None,
                Operation::Check { .. } => continue,
            };
            state.histories[which_of(operation.key())].push(Commit { value, at });
        }
    }
}
