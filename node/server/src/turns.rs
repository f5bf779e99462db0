//! Turns: what is done one after the other, in the order in which it came.
//!
//! [`Queue`]: things for one to do, who goes on as long as there are any. [`Queues`]: one for each of many, which is there only
//! while something is. [`Turns`]: the same for who would rather wait for its turn than be called.
//! Bounds: what may wait is said by who puts it there.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash},
    sync::Arc,
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

#[cfg(test)]
mod tests;

const SHARDS: usize = 16;

/// Things for one to do.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: VecDeque<T>,
    running: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            running: false,
        }
    }
}

impl<T> Queue<T> {
    /// Puts something behind the others. True: nobody is at it, so the caller is now, until [`Queue::pop`] has nothing more.
    ///
    /// # Errors
    /// It comes back: as many wait as may.
    pub fn push(&mut self, item: T, bound: usize) -> Result<bool, T> {
        if self.waiting.len() >= bound {
            return Err(item);
        }
        self.waiting.push_back(item);
        Ok(!std::mem::replace(&mut self.running, true))
    }

    /// The next; with none, nobody is at it any more.
    pub fn pop(&mut self) -> Option<T> {
        let next = self.waiting.pop_front();
        self.running = next.is_some();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        next
    }

    /// The next, if it is such a one.
    pub fn pop_if(&mut self, is_such: impl FnOnce(&T) -> bool) -> Option<T> {
        let is_such = self.waiting.front().is_some_and(is_such);
        is_such.then(|| self.waiting.pop_front()).flatten()
    }

    /// Whether nothing is done and nothing waits.
    pub fn is_idle(&self) -> bool {
        !self.running && self.waiting.is_empty()
    }
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Maps that share what they hold by a hash, so that few wait for one lock.
struct Shards<K, V> {
    shards: Box<[Mutex<Map<K, V>>]>,
    hasher: foldhash::fast::RandomState,
}

impl<K: Hash + Eq, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }
}

impl<K: Hash + Eq, V> Shards<K, V> {
    fn of(&self, key: &K) -> &Mutex<Map<K, V>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// A queue for each of many.
pub struct Queues<K, T>(Arc<Shards<K, Queue<T>>>);

impl<K: Hash + Eq, T> Default for Queues<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Hash + Eq + Clone, T> Queues<K, T> {
    /// Puts something behind what this one has. If nobody is at it, the caller is to be.
    ///
    /// # Errors
    /// It comes back: as many wait as may.
    pub fn push(&self, key: &K, item: T, bound: usize) -> Result<Option<Running<K, T>>, T> {
        let mut shard = self.0.of(key).lock();
        let is_first = match shard.get_mut(key) {
            Some(queue) => queue.push(item, bound)?,
            None => shard
                .entry(key.clone())
                .or_default()
                .push(item, bound.max(1))?,
        };
        Ok(is_first.then(|| Running {
            queues: self.0.clone(),
            key: key.clone(),
            is_over: false,
        }))
    }

    /// Whether something of this one is being done.
    pub fn is_busy(&self, key: &K) -> bool {
        self.0.of(key).lock().contains_key(key)
    }
}

/// Who is at a queue. Dropped before its end, it takes what waits with it: nobody else would come for it.
pub struct Running<K: Hash + Eq, T> {
    queues: Arc<Shards<K, Queue<T>>>,
    key: K,
    is_over: bool,
}

impl<K: Hash + Eq, T> Running<K, T> {
    /// The next; with none, the queue is gone.
    pub fn pop(&mut self) -> Option<T> {
        if self.is_over {
            return None;
        }
        let mut shard = self.queues.of(&self.key).lock();
        let next = shard.get_mut(&self.key).and_then(Queue::pop);
        if next.is_none() {
            shard.remove(&self.key);
            self.is_over = true;
        }
        next
    }
}

impl<K: Hash + Eq, T> Drop for Running<K, T> {
    fn drop(&mut self) {
        if !self.is_over {
            // Dropped behind the lock: whoever waits for what is in it may come back at once.
            let left = self.queues.of(&self.key).lock().remove(&self.key);
            drop(left);
        }
    }
}

/// Turns of many things: each is one's at a time.
pub struct Turns<K>(Shards<K, Arc<tokio::sync::Mutex<()>>>);

impl<K: Hash + Eq> Default for Turns<K> {
    fn default() -> Self {
        Self(Shards::default())
    }
}

impl<K: Hash + Eq + Clone> Turns<K> {
    /// Waits until nobody else has it. First come, first served.
    ///
    /// # Cancel safety
    /// Who waits no more leaves nothing behind.
    pub async fn take(&self, key: K) -> Turn<'_, K> {
        let lock = self
            .0
            .of(&key)
            .lock()
            .entry(key.clone())
            .or_default()
            .clone();
        let mut turn = Turn {
            turns: self,
            key,
            guard: None,
        };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

/// A turn, as long as it is kept.
pub struct Turn<'a, K: Hash + Eq> {
    turns: &'a Turns<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Hash + Eq> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        let mut shard = self.turns.0.of(&self.key).lock();
        self.guard = None;
        // Who waits holds it as well, and takes it out of the map afterwards.
        if shard
            .get(&self.key)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            shard.remove(&self.key);
        }
    }
}
