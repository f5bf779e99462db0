//! Three nodes, one of which only reads, over three real memcached under load, while these are emptied, stopped, killed and replaced: no call fails
//! because of it, no node reads less than it wrote or knew, nobody reads what was replaced before the time limit, and
//! when all is well again everybody sees everything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use services::Memcached as Running;
use tokio::task::JoinSet;
use xmpp::BareJid;

use super::model::Tally;
use crate::{
    backend::{
        memcached::{BreakerPolicy, Memcached, MemcachedOptions, Servers},
        memory::MemoryTable,
    },
    clock::SystemClock,
    error::{Error, Result},
    key,
    layer::cached::{CacheLimits, Cached},
    shape::{Batch, Cache, Condition, Consistency, Key, Page, Query, Record, Space, Table},
};

const NODES: usize = 3;
/// Nodes from here on only read: they remember nothing of their own.
const READING: usize = 2;
const KEYS: usize = 12;
const READERS: usize = 3;
const WRITERS: usize = 2;
/// Calls of each kind on each node within each phase.
const READS: u64 = 600;
const WRITES: u64 = 60;

/// A table of records that are only ever put, so that the version tells the place in the history.
#[derive(Default)]
struct Ledger {
    table: MemoryTable,
    /// When each version of each key came to be.
    born: [Mutex<Vec<Instant>>; KEYS],
}

impl Ledger {
    fn last(&self, which: usize) -> u64 {
        self.born[which].lock().len() as u64
    }
    /// When this version was replaced.
    fn replaced(&self, which: usize, version: u64) -> Option<Instant> {
        let index = usize::try_from(version).expect("small");
        self.born[which].lock().get(index).copied()
    }
}

#[async_trait]
impl Table for Ledger {
    async fn get(&self, key: &Key, consistency: Consistency) -> Result<Option<Record>> {
        tokio::task::yield_now().await;
        self.table.get(key, consistency).await
    }
    async fn write(&self, batch: Batch) -> Result<()> {
        tokio::task::yield_now().await;
        let which = which_of(batch.operations[0].key());
        let mut born = self.born[which].lock();
        super::servers::at_once(self.table.write(batch))?;
        born.push(Instant::now());
        Ok(())
    }
    async fn query(&self, _: &Query) -> Result<Page> {
        unreachable!("not cached")
    }
    fn trouble(&self) -> Option<Error> {
        None
    }
    async fn partitions(&self, _: Space, _: Option<&[u8]>, _: usize) -> Result<Vec<Bytes>> {
        unreachable!("not cached")
    }
}

fn key_of(which: usize) -> Key {
    let owner = BareJid::parse(&format!("u{which}@example.org")).expect("an address");
    key::of_account(&owner, key::ROSTER)
}

fn which_of(key: &Key) -> usize {
    (0..KEYS)
        .find(|which| key_of(*which) == *key)
        .expect("one of ours")
}

fn version_of(found: &Option<Record>) -> u64 {
    found.as_ref().map_or(0, |record| record.version)
}

struct Node {
    cache: Arc<Memcached>,
    table: Cached,
    /// What it must see.
    floors: [AtomicU64; KEYS],
    reads: AtomicU64,
    writes: AtomicU64,
}

struct Storm {
    /// How long an entry lives.
    life: Duration,
    ledger: Arc<Ledger>,
    nodes: Vec<Node>,
    tally: Arc<Tally>,
    is_over: AtomicBool,
}

impl Storm {
    fn new(servers: &[Running], life: Duration) -> Arc<Self> {
        let ledger = Arc::new(Ledger::default());
        let tally = Arc::new(Tally::default());
        let node = |_| {
            let fixed = servers.iter().map(|one| (one.address().to_string(), 1));
            let cache = Memcached::new(
                Servers::Fixed(fixed.collect()),
                options(),
                Arc::new(SystemClock),
            );
            let cache = Arc::new(cache.expect("a sound list"));
            let table = Cached::new(
                ledger.clone(),
                cache.clone(),
                limits(life),
                Arc::new(SystemClock),
                tally.clone(),
            );
            Node {
                cache,
                table,
                floors: Default::default(),
                reads: AtomicU64::new(0),
                writes: AtomicU64::new(0),
            }
        };
        Arc::new(Self {
            life,
            nodes: (0..NODES).map(node).collect(),
            ledger: ledger.clone(),
            tally,
            is_over: AtomicBool::new(false),
        })
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// A read, judged.
    async fn read(&self, node: usize, which: usize) -> u64 {
        let own = &self.nodes[node];
        let (floor, began) = (own.floors[which].load(Ordering::SeqCst), Instant::now());
        let found = own.table.get(&key_of(which), Consistency::Cached).await;
        let version = version_of(&found.expect("no read fails"));
        assert!(
            version >= floor,
            "node {node} knew {floor} of {which} and read {version}"
        );
        if let Some(replaced) = self.ledger.replaced(which, version) {
            assert!(
                replaced + self.life > began,
                "{version} of {which} is {:?} too old",
                began - replaced
            );
        }
        own.reads.fetch_add(1, Ordering::Relaxed);
        version
    }

    async fn write(&self, node: usize, which: usize) {
        let own = &self.nodes[node];
        let seen = self.read(node, which).await;
        let condition = match seen {
            0 => Condition::Absent,
            seen => Condition::Version(seen),
        };
        let batch = Batch::new().put(key_of(which), format!("{node} {seen}"), condition);
        let known = match own.table.write(batch).await {
            Ok(()) => seen + 1,
            Err(error) => {
                let at = error.conflict_at().expect("no write fails but for another");
                version_of(&at.current)
            }
        };
        own.floors[which].fetch_max(known, Ordering::SeqCst);
        own.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Until each node has done so much more.
    async fn pass(&self) {
        let aims = |(number, node): (usize, &Node)| {
            let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
            let writes = if number < READING { WRITES } else { 0 };
            (now(&node.reads) + READS, now(&node.writes) + writes)
        };
        let aims: Vec<_> = self.nodes.iter().enumerate().map(aims).collect();
        for (node, (reads, writes)) in self.nodes.iter().zip(aims) {
            let done = || {
                node.reads.load(Ordering::Relaxed) >= reads
                    && node.writes.load(Ordering::Relaxed) >= writes
            };
            while !done() && !self.is_over() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// Until every node asks and trusts every server.
    async fn recover(&self) {
        let names: Vec<String> = (0..64).map(|n| format!("k{n}")).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        for node in &self.nodes {
            let is_well = || {
                node.cache
                    .status()
                    .iter()
                    .all(|one| one.is_asked && one.is_trusted)
            };
            while !is_well() && !self.is_over() {
                node.cache.maintain().await;
                node.cache.get_many(&keys).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
}

fn options() -> MemcachedOptions {
    MemcachedOptions {
        connect_timeout: Duration::from_millis(60),
        operation_timeout: Duration::from_millis(60),
        breaker: BreakerPolicy {
            failures: 3,
            first: Duration::from_millis(20),
            longest: Duration::from_millis(200),
        },
        ..MemcachedOptions::default()
    }
}

fn limits(life: Duration) -> CacheLimits {
    CacheLimits {
        present: life,
        absent: life,
        marker: Duration::from_secs(1),
        lease: Duration::from_millis(500),
        closed: Duration::from_millis(50),
        ..CacheLimits::default()
    }
}

fn begin(storm: &Arc<Storm>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for node in 0..NODES {
        let writers = if node < READING { WRITERS } else { 0 };
        for task in 0..READERS + writers {
            let storm = storm.clone();
            tasks.spawn(async move {
                let mut which = task;
                while !storm.is_over() {
                    which = (which * 7 + 5 + node) % 97;
                    if task < READERS {
                        storm.read(node, which % KEYS).await;
                    } else {
                        storm.write(node, which % KEYS).await;
                        // Rosters are read more often than changed.
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                }
            });
        }
        let cache = storm.nodes[node].cache.clone();
        let storm = storm.clone();
        tasks.spawn(async move {
            while !storm.is_over() {
                cache.maintain().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    tasks
}

async fn disturb(storm: &Storm, servers: &mut [Running]) {
    storm.pass().await;
    for round in 0..2 {
        servers[round].flush().expect("it runs");
        storm.pass().await;
        servers[round].freeze().expect("it runs");
        storm.pass().await;
        servers[round].thaw().expect("it runs");
        storm.pass().await;
        // Two at once, and one comes back empty in the place of itself.
        servers[round].kill();
        servers[2].freeze().expect("it runs");
        storm.pass().await;
        let port = servers[round].address().port();
        servers[round] = Running::start_at(port).expect("its port is free");
        storm.pass().await;
        servers[2].thaw().expect("it runs");
        storm.pass().await;
    }
    storm.pass().await;
    // All of them, and the load ends before they go on: nobody writes anew what they missed.
    for server in servers.iter() {
        server.freeze().expect("it runs");
    }
    storm.pass().await;
}

/// Entries outlive their time while servers stand still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_memcached_reads_are_right_if_entries_live_short() {
    whatever_becomes_of_memcached(Duration::from_secs(1)).await;
}

/// Entries are all there when servers go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_memcached_reads_are_right_if_entries_live_long() {
    whatever_becomes_of_memcached(Duration::from_secs(3600)).await;
}

async fn whatever_becomes_of_memcached(life: Duration) {
    let mut servers = [(); 3].map(|()| Running::start().expect("memcached"));
    let storm = Storm::new(&servers, life);
    let mut tasks = begin(&storm);
    tokio::select! {
        () = disturb(&storm, &mut servers) => {}
        ended = tasks.join_next() => ended.expect("some").expect("a call was wrong"),
    }
    storm.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("a call was wrong");
    }
    storm.is_over.store(false, Ordering::Relaxed);
    for server in &servers {
        server.thaw().expect("it runs");
    }
    storm.recover().await;
    // First who only reads: the others correct what they find wrong.
    for node in (0..NODES).rev() {
        for which in 0..KEYS {
            let version = storm.read(node, which).await;
            assert_eq!(
                version,
                storm.ledger.last(which),
                "key {which} at node {node}"
            );
        }
    }
    storm.tally.check_met(&[
        "busy",
        "closed",
        "distrusted",
        "filled",
        "hit",
        "published",
        "stale",
        "unreachable",
    ]);
}
