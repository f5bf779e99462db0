//! The active list of each session that has one (XEP-0016 §2.4): in memory, as long as the session.
//!
//! Why here and not in the session: whoever delivers to a session asks, and hardly any session ever has one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cluster::directory::SessionRef;
use hashbrown::HashMap;
use parking_lot::Mutex;

/// The active lists. Bound: one name per session.
#[derive(Default)]
pub struct ActiveLists {
    names: Mutex<HashMap<SessionRef, Arc<str>>>,
    /// So that a server whose clients use none pays nothing.
    count: AtomicUsize,
}

impl ActiveLists {
    /// The name of a session's active list.
    pub fn get(&self, session: SessionRef) -> Option<Arc<str>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.names.lock().get(&session).cloned()
    }

    /// Sets or declines it.
    pub fn set(&self, session: SessionRef, name: Option<&str>) {
        let mut names = self.names.lock();
        match name {
            Some(name) => names.insert(session, name.into()),
            None => names.remove(&session),
        };
        self.count.store(names.len(), Ordering::Release);
    }

    /// The session ended.
    pub fn ended(&self, session: SessionRef) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.set(session, None);
        }
    }
}
