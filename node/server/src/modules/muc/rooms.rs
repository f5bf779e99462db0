//! The rooms in memory: loaded on demand, bounded, dropped when nobody is in them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use xmpp::BareJid;

use super::home::RoomHome;

/// How long a room stays in memory that nobody uses.
const IDLE_MS: u64 = 300_000;
/// How often it is looked which those are.
const SWEEP_MS: u64 = 30_000;

/// The table of them.
#[derive(Default)]
pub(super) struct Rooms {
    homes: Mutex<HashMap<BareJid, Arc<RoomHome>>>,
    swept_ms: AtomicU64,
}

impl Rooms {
    /// The home of a room, which is loaded when it is first used; `None`: too many are.
    pub(super) fn get(&self, room: &BareJid, limit: usize, now_ms: u64) -> Option<Arc<RoomHome>> {
        let mut homes = self.homes.lock();
        if let Some(home) = homes.get(room) {
            home.use_at(now_ms);
            return Some(home.clone());
        }
        let swept_ms = self.swept_ms.load(Ordering::Relaxed);
        if homes.len() >= limit || now_ms.abs_diff(swept_ms) > SWEEP_MS {
            self.swept_ms.store(now_ms, Ordering::Relaxed);
            let idle_ms = if homes.len() >= limit { 0 } else { IDLE_MS };
            homes.retain(|_, home| Arc::strong_count(home) > 1 || !home.is_idle(idle_ms, now_ms));
        }
        if homes.len() >= limit {
            return None;
        }
        let home = Arc::new(RoomHome::new(room.clone(), now_ms));
        homes.insert(room.clone(), home.clone());
        Some(home)
    }

    /// All that are in memory.
    pub(super) fn all(&self) -> Vec<Arc<RoomHome>> {
        self.homes.lock().values().cloned().collect()
    }

    /// The home of a room, if it is in memory.
    pub(super) fn find(&self, room: &str) -> Option<Arc<RoomHome>> {
        self.homes.lock().get(room).cloned()
    }

    /// How many are in memory.
    pub(super) fn len(&self) -> usize {
        self.homes.lock().len()
    }
}
