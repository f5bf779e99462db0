//! The cache servers of the model, as a node sees them: memory that is partitioned, emptied, resumed, and that does late
//! what it was told long ago.
//!
//! What `backend::memcached` does about generations and rings is done here in one step: an operation sees the generation
//! of its server at that moment; a server that a node distrusts is given a new one before the node uses it again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::world::World;
use crate::{
    backend::memory::MemoryCache,
    clock::ManualClock,
    error::{Error, ErrorKind, Result},
    shape::{Cache, Cached},
};

pub(super) const SERVERS: usize = 2;

/// Something that was sent and not yet done.
enum Late {
    Set(String, Bytes, Duration),
    Add(String, Bytes, Duration),
    Swap(String, u64, Bytes, Duration),
    Remove(String),
}

pub(super) struct Server {
    memory: MemoryCache,
    clock: ManualClock,
    /// Whether its clock stands still, as that of a machine that is suspended.
    sleeps: AtomicBool,
    generation: Mutex<u64>,
    late: Mutex<Vec<Late>>,
}

impl Server {
    pub(super) fn new(generation: u64) -> Self {
        let clock = ManualClock::at(1_000);
        Self {
            memory: MemoryCache::with_clock(1 << 20, Arc::new(clock.clone())),
            clock,
            sleeps: AtomicBool::new(false),
            generation: Mutex::new(generation),
            late: Mutex::default(),
        }
    }
    pub(super) fn pass(&self, time: Duration) {
        if !self.sleeps.load(Ordering::Relaxed) {
            self.clock.advance(time);
        }
    }
    /// Falls asleep or wakes up.
    pub(super) fn nod(&self) {
        self.sleeps.fetch_not(Ordering::Relaxed);
    }
    /// Forgets everything, by a restart, a flush or a new generation: all the same to who reads.
    pub(super) fn empty(&self, generation: u64) {
        *self.generation.lock() = generation;
    }
    /// Forgets one key.
    pub(super) fn evict(&self, key: &str) {
        at_once(self.memory.remove(&self.physical(key))).expect("memory");
    }
    /// Does one of the things it was told before.
    pub(super) fn resume(&self, which: u64) {
        let late = {
            let mut late = self.late.lock();
            if late.is_empty() {
                return;
            }
            let at = (which % late.len() as u64) as usize;
            late.swap_remove(at)
        };
        let memory = &self.memory;
        match late {
            Late::Set(key, value, expires) => at_once(memory.set(&key, value, expires)),
            Late::Add(key, value, expires) => at_once(memory.add(&key, value, expires)).map(drop),
            Late::Swap(key, token, value, expires) => {
                at_once(memory.compare_and_set(&key, token, value, expires)).map(drop)
            }
            Late::Remove(key) => at_once(memory.remove(&key)),
        }
        .expect("memory");
    }
    pub(super) fn resume_all(&self) {
        while !self.late.lock().is_empty() {
            self.resume(0);
        }
    }
    fn physical(&self, key: &str) -> String {
        format!("{}/{key}", *self.generation.lock())
    }
    /// Tokens of one generation are none of another's.
    fn mask(&self) -> u64 {
        *self.generation.lock() << 32
    }
}

/// The servers as one node sees them.
pub(super) struct NodeCache {
    pub(super) world: Arc<World>,
    pub(super) node: usize,
}

impl NodeCache {
    /// Reaches the server of a key, or leaves what it should do for later.
    async fn reach<T>(
        &self,
        key: &str,
        late: Option<impl FnOnce(&Server) -> Late>,
        work: impl FnOnce(&Server) -> T,
    ) -> Result<T> {
        let (world, node) = (&self.world, self.node);
        let which = world.server_of(node, key);
        let server = &world.servers[which];
        step().await;
        if !world.reaches(node, which) {
            if let Some(late) = late
                && world.random.next().is_multiple_of(2)
            {
                server.late.lock().push(late(server));
            }
            return Err(gone());
        }
        world.regain(node, which);
        let result = work(server);
        step().await;
        if world.loses_answer() {
            return Err(gone());
        }
        Ok(result)
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "no cache")
}

const NEVER: Option<fn(&Server) -> Late> = None;

#[async_trait]
impl Cache for NodeCache {
    async fn get_many(&self, keys: &[&str]) -> Vec<Result<Option<Cached>>> {
        let mut found = Vec::new();
        for key in keys {
            let get = |server: &Server| {
                let mut found = at_once(server.memory.get_many(&[&server.physical(key)]));
                let found = found.pop().expect("one").expect("memory");
                found.map(|cached| Cached {
                    token: cached.token ^ server.mask(),
                    ..cached
                })
            };
            found.push(self.reach(key, NEVER, get).await);
        }
        found
    }

    async fn set(&self, key: &str, value: Bytes, expires: Duration) -> Result<()> {
        let late = |server: &Server| Late::Set(server.physical(key), value.clone(), expires);
        let set = |server: &Server| {
            let key = server.physical(key);
            at_once(server.memory.set(&key, value.clone(), expires)).expect("memory");
        };
        self.reach(key, Some(late), set).await
    }

    async fn add(&self, key: &str, value: Bytes, expires: Duration) -> Result<Option<u64>> {
        let late = |server: &Server| Late::Add(server.physical(key), value.clone(), expires);
        let add = |server: &Server| {
            let key = server.physical(key);
            let added = at_once(server.memory.add(&key, value.clone(), expires)).expect("memory");
            added.map(|token| token ^ server.mask())
        };
        self.reach(key, Some(late), add).await
    }

    async fn compare_and_set(
        &self,
        key: &str,
        token: u64,
        value: Bytes,
        expires: Duration,
    ) -> Result<Option<u64>> {
        let late = |server: &Server| {
            let token = token ^ server.mask();
            Late::Swap(server.physical(key), token, value.clone(), expires)
        };
        let swap = |server: &Server| {
            let (key, token) = (server.physical(key), token ^ server.mask());
            let swapped = server
                .memory
                .compare_and_set(&key, token, value.clone(), expires);
            let swapped = at_once(swapped).expect("memory");
            swapped.map(|token| token ^ server.mask())
        };
        self.reach(key, Some(late), swap).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let late = |server: &Server| Late::Remove(server.physical(key));
        let remove = |server: &Server| {
            at_once(server.memory.remove(&server.physical(key))).expect("memory");
        };
        self.reach(key, Some(late), remove).await
    }

    fn distrust(&self, key: &str) {
        let which = self.world.server_of(self.node, key);
        self.world.distrust(self.node, which);
    }
}

/// Lets the scheduler choose who goes on.
pub(super) async fn step() {
    let mut passed = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut passed, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// What a future that never waits gives.
pub(super) fn at_once<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
