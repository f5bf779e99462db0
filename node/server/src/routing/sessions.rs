//! The sessions that this node holds.

use std::{
    hash::BuildHasher,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use cluster::directory::SessionRef;
use hashbrown::HashMap;
use parking_lot::Mutex;
use xmpp::{FullJid, StreamError};

use super::mailbox::Mailbox;
use crate::modules::presence_rules::Directed;

/// What others hold of a session: who it is, and its mailbox.
pub struct SessionHandle {
    /// Its reference in the directory.
    pub session: SessionRef,
    /// Its full address.
    pub jid: FullJid,
    /// How to reach it.
    pub mailbox: Mailbox,
    /// Who was told directly that it is there (RFC 6121 §4.6).
    pub directed: Mutex<Directed>,
    /// By which its client resumes it (XEP-0198 §5), if it may.
    pub sm_id: OnceLock<Arc<str>>,
    /// When its client was last heard, in seconds since the node started.
    pub heard: AtomicU32,
    /// Why it ends, as soon as it has sent what it has; nothing more is taken from its client then.
    pub ending: OnceLock<Box<StreamError>>,
}

/// How many parts the table has.
pub const SHARDS: usize = 64;

type Shard = Mutex<HashMap<u64, Arc<SessionHandle>, foldhash::fast::FixedState>>;

/// The table of them.
pub struct Sessions {
    next: AtomicU64,
    shards: Box<[Shard]>,
}

impl Default for Sessions {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            next: AtomicU64::new(1),
            shards,
        }
    }
}

impl Sessions {
    fn shard(&self, number: u64) -> &Shard {
        let hash = foldhash::fast::FixedState::default().hash_one(number);
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// A number no session of this node had before.
    pub fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a session.
    pub fn insert(&self, handle: Arc<SessionHandle>) {
        self.shard(handle.session.number)
            .lock()
            .insert(handle.session.number, handle);
    }

    /// A session by its number.
    pub fn get(&self, number: u64) -> Option<Arc<SessionHandle>> {
        self.shard(number).lock().get(&number).cloned()
    }

    /// Removes a session.
    pub fn remove(&self, number: u64) {
        let mut shard = self.shard(number).lock();
        shard.remove(&number);
        if shard.capacity() > 64 && shard.len() * 4 < shard.capacity() {
            shard.shrink_to_fit();
        }
    }

    /// All sessions of one shard at one moment; `None` beyond the last shard.
    pub fn shard_snapshot(&self, index: usize) -> Option<Vec<Arc<SessionHandle>>> {
        self.shards
            .get(index)
            .map(|s| s.lock().values().cloned().collect())
    }

    /// Those of one shard of which this is true; it is asked under a lock.
    pub fn of_shard(
        &self,
        index: usize,
        mut is: impl FnMut(&SessionHandle) -> bool,
    ) -> Vec<Arc<SessionHandle>> {
        let Some(shard) = self.shards.get(index) else {
            return Vec::new();
        };
        let shard = shard.lock();
        shard
            .values()
            .filter(|handle| is(handle))
            .cloned()
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
