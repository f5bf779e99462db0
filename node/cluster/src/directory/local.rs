//! The directory of a single node: the state machine behind sharded locks.

use std::{hash::BuildHasher, sync::Arc};

use parking_lot::RwLock;

use super::{Bound, Conflict, DirState, Entry, Event, Reply, SessionRef, state::Command};

const SHARDS: usize = 64;

/// The directory of a single node.
#[derive(Debug)]
pub struct Local {
    shards: Box<[RwLock<DirState>]>,
    hasher: foldhash::fast::RandomState,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }
}

impl Local {
    fn shard(&self, account: &str) -> &RwLock<DirState> {
        &self.shards[self.hasher.hash_one(account) as usize % SHARDS]
    }

    /// The sessions of an account.
    pub fn lookup(&self, account: &str) -> Option<Arc<[Entry]>> {
        self.shard(account).read().lookup(account).cloned()
    }

    /// Takes a name for a session. `alternative` is the name to take under [`Conflict::Rename`].
    pub fn bind(
        &self,
        account: &str,
        resource: &str,
        alternative: &str,
        session: SessionRef,
        conflict: Conflict,
        limit: usize,
    ) -> Bound {
        let command = Command::Bind {
            account: account.into(),
            resource: resource.into(),
            alternative: alternative.into(),
            session,
            conflict,
            limit,
        };
        match self.shard(account).write().apply(command).0 {
            Reply::Bound(bound) => bound,
            Reply::Done | Reply::Stale => unreachable!("a bind is answered by its outcome"),
        }
    }

    /// Changes what others must know of a session; whether it is still there.
    pub fn update(
        &self,
        account: &str,
        session: SessionRef,
        priority: Option<i8>,
        flags: u16,
    ) -> bool {
        let command = Command::Update {
            account: account.into(),
            session,
            priority,
            flags,
        };
        self.shard(account).write().apply(command).0 == Reply::Done
    }

    /// Removes a session; whether it was still there.
    pub fn unbind(&self, account: &str, session: SessionRef) -> bool {
        self.shard(account)
            .write()
            .apply(Command::Unbind {
                account: account.into(),
                session,
            })
            .0
            == Reply::Done
    }

    /// Applies any command to the shard of its account.
    pub fn apply(&self, account: &str, command: Command) -> (Reply, Vec<Event>) {
        self.shard(account).write().apply(command)
    }

    /// How many accounts have sessions.
    pub fn accounts(&self) -> usize {
        self.shards.iter().map(|s| s.read().len()).sum()
    }

    /// Calls `visit` for every account with its sessions, shard by shard; each shard as it was at one moment.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<str>, &Arc<[Entry]>)) {
        for shard in &self.shards {
            let snapshot: Vec<_> = shard
                .read()
                .iter()
                .map(|(a, e)| (a.clone(), e.clone()))
                .collect();
            for (account, entries) in &snapshot {
                visit(account, entries);
            }
        }
    }
}
