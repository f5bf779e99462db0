//! Cache in memory: bounded by bytes; what was not read since it was last looked at goes first (second chance).
//!
//! Every set puts a line (key, token) at the end of a queue. Room is made from its front: a line whose token is no
//! longer current is dropped, a value read since then goes to the end once more, any other is forgotten.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::{
    clock::{Clock, SystemClock},
    error::Result,
    shape::{Cache, Cached},
};

/// What an entry costs beside its key and value.
const OVERHEAD: usize = 128;

struct Entry {
    value: Bytes,
    token: u64,
    expires: Duration,
    read: bool,
}

#[derive(Default)]
struct State {
    entries: HashMap<Arc<str>, Entry, foldhash::fast::RandomState>,
    order: VecDeque<(Arc<str>, u64)>,
    bytes: usize,
    last_token: u64,
}

/// The cache.
pub struct MemoryCache {
    state: Mutex<State>,
    capacity: usize,
    clock: Arc<dyn Clock>,
}

impl MemoryCache {
    /// A cache that holds about this many bytes.
    pub fn new(capacity: usize) -> Self {
        Self::with_clock(capacity, Arc::new(SystemClock))
    }
    /// The same under this clock.
    pub fn with_clock(capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::default(),
            capacity,
            clock,
        }
    }
    fn expiry(&self, expires: Duration) -> Duration {
        self.clock.now().saturating_add(expires)
    }
}

fn cost(key: &str, value: &Bytes) -> usize {
    key.len() + value.len() + OVERHEAD
}

impl State {
    fn live(&mut self, key: &str, now: Duration) -> Option<&mut Entry> {
        self.entries
            .get_mut(key)
            .filter(|entry| now < entry.expires)
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= cost(key, &entry.value);
        }
    }

    /// Its token.
    fn set(&mut self, key: &str, value: Bytes, expires: Duration, capacity: usize) -> u64 {
        self.remove(key);
        self.last_token += 1;
        let token = self.last_token;
        if cost(key, &value) > capacity {
            return token;
        }
        let key: Arc<str> = key.into();
        self.bytes += cost(&key, &value);
        self.order.push_back((key.clone(), token));
        self.entries.insert(
            key,
            Entry {
                value,
                token,
                expires,
                read: false,
            },
        );
        self.make_room(capacity);
        token
    }

    fn make_room(&mut self, capacity: usize) {
        while self.bytes > capacity {
            let Some((key, token)) = self.order.pop_front() else {
                return;
            };
            match self.entries.get_mut(&key) {
                Some(entry) if entry.token == token && entry.read => {
                    entry.read = false;
                    self.order.push_back((key, token));
                }
                Some(entry) if entry.token == token => self.remove(&key),
                _ => {}
            }
        }
        if self.order.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.order
                .retain(|(key, token)| entries.get(key).is_some_and(|entry| entry.token == *token));
        }
    }
}

#[async_trait]
impl Cache for MemoryCache {
    async fn get_many(&self, keys: &[&str]) -> Vec<Result<Option<Cached>>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let get = |key: &&str| {
            let entry = state.live(key, now)?;
            entry.read = true;
            Some(Cached {
                value: entry.value.clone(),
                token: entry.token,
            })
        };
        keys.iter().map(get).map(Ok).collect()
    }

    async fn set(&self, key: &str, value: Bytes, expires: Duration) -> Result<()> {
        self.state
            .lock()
            .set(key, value, self.expiry(expires), self.capacity);
        Ok(())
    }

    async fn add(&self, key: &str, value: Bytes, expires: Duration) -> Result<Option<u64>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.live(key, now).is_some() {
            return Ok(None);
        }
        Ok(Some(state.set(
            key,
            value,
            self.expiry(expires),
            self.capacity,
        )))
    }

    async fn compare_and_set(
        &self,
        key: &str,
        token: u64,
        value: Bytes,
        expires: Duration,
    ) -> Result<Option<u64>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let same = state
            .live(key, now)
            .is_some_and(|entry| entry.token == token);
        if !same {
            return Ok(None);
        }
        Ok(Some(state.set(
            key,
            value,
            self.expiry(expires),
            self.capacity,
        )))
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.state.lock().remove(key);
        Ok(())
    }
}
