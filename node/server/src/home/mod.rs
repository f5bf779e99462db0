//! Homes: what is served at a place, loaded on demand.
//!
//! On one node every account's home is here. A home stays in memory while its account has sessions or something in
//! flight; a sweep drops the others, whose truth is in the store.

mod account;
mod archived;
pub mod pending;
pub mod render;

use std::{
    hash::BuildHasher,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use xmpp::BareJid;

pub use account::{CopyTo, Doubt, Home, Parcel};
pub(crate) use account::{deliver, delivered, tell, wait};

use crate::routing::Router;

pub(crate) const HOME_SHARDS: usize = 64;
/// Names without an account that are remembered between two sweeps.
const MAX_ABSENT: usize = 4_096;

type Shard = Mutex<HashMap<BareJid, Arc<Home>, foldhash::fast::RandomState>>;

/// The homes in memory.
pub struct Homes {
    shards: Box<[Shard]>,
    hasher: foldhash::fast::RandomState,
    /// Names without an account that were looked up since the last sweep.
    absent: AtomicUsize,
}

impl Default for Homes {
    fn default() -> Self {
        Self {
            shards: (0..HOME_SHARDS).map(|_| Shard::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            absent: AtomicUsize::new(0),
        }
    }
}

impl Homes {
    fn shard(&self, account: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(account) as usize % HOME_SHARDS]
    }

    /// The home of an account, loading if it was not in memory. Whether there is such an account shows when it is
    /// loaded. Of an account that another node serves it is one that is moving.
    pub fn get(&self, router: &Arc<Router>, account: &BareJid) -> Arc<Home> {
        let mut shard = self.shard(account.as_str()).lock();
        if let Some(home) = shard.get(account.as_str())
            && !home.is_gone()
        {
            return home.clone();
        }
        if router.peers.elsewhere(account.as_str()).is_some() {
            return Arc::new(Home::elsewhere(account.clone()));
        }
        let home = Arc::new(Home::loading(account.clone()));
        shard.insert(account.clone(), home.clone());
        drop(shard);
        router.spawn(home.clone().load(router.clone()));
        home
    }

    /// A home for an account that is stored nowhere and lasts as long as its session (XEP-0175): what reaches that is
    /// delivered, the rest refused.
    pub fn passing(&self, account: &BareJid) -> Arc<Home> {
        let home = Arc::new(Home::passing(account.clone()));
        self.shard(account.as_str())
            .lock()
            .insert(account.clone(), home.clone());
        home
    }

    /// The home of an account if it is in memory.
    pub fn loaded(&self, account: &str) -> Option<Arc<Home>> {
        self.shard(account).lock().get(account).cloned()
    }

    /// Whether the home of an account is in memory, and not about to be dropped.
    pub fn is_loaded(&self, account: &str) -> bool {
        let shard = self.shard(account).lock();
        shard.get(account).is_some_and(|home| !home.is_gone())
    }

    /// All that are in memory and of which this is true of the account.
    pub fn of(&self, is: impl Fn(&BareJid) -> bool) -> Vec<Arc<Home>> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            found.extend(shard.values().filter(|home| is(&home.account)).cloned());
        }
        found
    }

    /// The account was made or removed: what was known of it counts no longer.
    pub fn forget(&self, router: &Arc<Router>, account: &str) {
        let home = self.shard(account).lock().remove(account);
        if let Some(home) = home {
            home.forget(router);
        }
    }

    /// Whether one more name without an account may be remembered as such, which spares the store a second look. Bounded,
    /// since anybody can think of any number of names.
    fn may_keep_absent(&self) -> bool {
        self.absent.fetch_add(1, Ordering::Relaxed) < MAX_ABSENT
    }

    pub(crate) fn drop_gone(&self, home: &Arc<Home>) {
        let mut shard = self.shard(home.account.as_str()).lock();
        if shard
            .get(home.account.as_str())
            .is_some_and(|h| Arc::ptr_eq(h, home))
        {
            shard.remove(home.account.as_str());
        }
    }

    /// Drops what can be loaded again and nobody uses; writes what is unsaved. One pass over all shards.
    pub fn sweep(&self, router: &Arc<Router>) {
        self.sweep_shards(router, 0..HOME_SHARDS);
    }

    /// The same for some shards, so that what gathered is not written all at once.
    pub fn sweep_shards(&self, router: &Arc<Router>, shards: Range<usize>) {
        if shards.start == 0 {
            self.absent.store(0, Ordering::Relaxed);
        }
        for shard in &self.shards[shards] {
            let homes: Vec<Arc<Home>> = shard.lock().values().cloned().collect();
            for home in homes {
                home.save(router);
                let mut shard = shard.lock();
                // Nobody but the map and this loop.
                if Arc::strong_count(&home) == 2 && home.try_evict(router) {
                    shard.remove(home.account.as_str());
                }
                if shard.capacity() > 64 && shard.len() * 4 < shard.capacity() {
                    shard.shrink_to_fit();
                }
            }
        }
    }

    /// Whose home is not in memory is judged by no roster: it need not be kept.
    pub fn unpin(&self, router: &Router) {
        for account in router.rosters.pinned() {
            // Under the lock: a home that comes pins it again.
            let shard = self.shard(account.as_str()).lock();
            if !shard.contains_key(account.as_str()) {
                router.rosters.unpin(&account);
            }
        }
    }

    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
