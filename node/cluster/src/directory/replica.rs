//! What every implementation keeps: the state machine behind sharded locks, its view, and its listeners.
//!
//! One task applies the log; lookups come from any task and wait for one shard at most. Sharding changes nothing that can be
//! seen: a command about sessions concerns one account, and commands about members go through all shards under one lock.

use std::{
    hash::BuildHasher,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::RwLock;

use super::{
    Command, Entry, Event, Reply, View,
    events::{Hub, Notice},
    state::{self, Members, Sessions},
};
use crate::NodeId;

const SHARDS: usize = 64;

/// The local copy of the directory.
#[derive(Debug)]
pub struct Replica {
    shards: Box<[RwLock<Sessions>]>,
    hasher: foldhash::fast::RandomState,
    members: RwLock<Members>,
    view: ArcSwap<View>,
    hub: Hub,
    /// What the generation before this one had, for look-ups only, until all had time to say again what they hold.
    before: Box<[RwLock<Sessions>]>,
    has_before: AtomicBool,
}

/// All of a directory at one moment, sharing memory with it.
#[derive(Debug, Clone, Default)]
pub struct Frozen {
    /// Who is a member.
    pub members: Members,
    /// Who is connected.
    pub accounts: Vec<(Arc<str>, Arc<[Entry]>)>,
}

impl Default for Replica {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            members: RwLock::default(),
            view: ArcSwap::default(),
            hub: Hub::default(),
            before: (0..SHARDS).map(|_| RwLock::default()).collect(),
            has_before: AtomicBool::new(false),
        }
    }
}

impl Replica {
    fn index(&self, account: &str) -> usize {
        self.hasher.hash_one(account) as usize % SHARDS
    }

    pub(super) fn shard(&self, account: &str) -> &RwLock<Sessions> {
        &self.shards[self.index(account)]
    }

    pub(super) fn shards(&self) -> &[RwLock<Sessions>] {
        &self.shards
    }

    /// The sessions of an account; those of the generation before, as long as nothing was said of it in this one.
    pub fn lookup(&self, account: &str) -> Option<Arc<[Entry]>> {
        let index = self.index(account);
        let now = self.shards[index].read().lookup(account).cloned();
        if now.is_some() || !self.has_before.load(Ordering::Acquire) {
            return now;
        }
        self.before[index].read().lookup(account).cloned()
    }

    /// Begins a generation: nobody is a member and nothing is held, but look-ups go on from what was.
    pub fn begin(&self, generation: u64) {
        let mut members = self.members.write();
        self.has_before.store(true, Ordering::Release);
        for (shard, before) in self.shards.iter().zip(&self.before) {
            let (mut shard, mut before) = (shard.write(), before.write());
            // What an aborted generation did not hear of again stands as it was before.
            for (account, entries) in shard.drain() {
                before.put(account, entries);
            }
        }
        *members = Members::founded(generation);
        self.publish(&members);
    }

    /// Forgets the generation before.
    pub fn forget_before(&self) {
        if self.has_before.swap(false, Ordering::AcqRel) {
            for before in &self.before {
                *before.write() = Sessions::default();
            }
        }
    }

    /// In this generation something was said of an account.
    fn supersede(&self, account: &str) {
        if self.has_before.load(Ordering::Acquire) {
            self.before[self.index(account)].write().remove(account);
        }
    }

    /// Who is a member.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Who tells of changes.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Whether this life was declared down.
    pub fn is_fallen(&self, node: NodeId) -> bool {
        self.members.read().fallen.contains(&node)
    }

    /// The number of the last batch of a member that was applied.
    pub fn applied(&self, node: NodeId) -> Option<u64> {
        self.members.read().kept.get(&node).map(|k| k.applied)
    }

    /// Applies a change and tells who listens.
    pub fn apply(&self, command: Command) -> (Reply, Vec<Event>) {
        let (reply, events) = match command {
            Command::NodeUp(_)
            | Command::NodeReady(_)
            | Command::NodeDraining(_)
            | Command::NodeDown(_) => self.apply_member(command),
            command => self.apply_session(command),
        };
        if !events.is_empty() {
            self.hub.tell(Notice::Happened(events.as_slice().into()));
        }
        (reply, events)
    }

    fn apply_session(&self, command: Command) -> (Reply, Vec<Event>) {
        // Held to the end, so that a node's sessions cannot come behind its going.
        let members = self.members.read();
        if !members.admits(&command) {
            return (Reply::Stale, Vec::new());
        }
        if let Command::Reassert { node, entries, .. } = command {
            return state::reassert(node, entries, |account, entry| {
                self.supersede(&account);
                self.shard(&account).write().reassert(account, entry)
            });
        }
        let (Command::Bind { account, .. }
        | Command::Update { account, .. }
        | Command::Relocate { account, .. }
        | Command::Unbind { account, .. }) = &command
        else {
            return (Reply::Stale, Vec::new());
        };
        self.supersede(account);
        let (reply, event) = self.shard(account).write().apply(command);
        (reply, event.into_iter().collect())
    }

    fn apply_member(&self, command: Command) -> (Reply, Vec<Event>) {
        let mut members = self.members.write();
        let before = members.epoch;
        let down = match &command {
            Command::NodeDown(node) => Some(*node),
            _ => None,
        };
        let reply = members.apply(command);
        let mut events = Vec::new();
        if let (Reply::Done, Some(node)) = (&reply, down) {
            for shard in &self.shards {
                events.append(&mut shard.write().node_down(node));
            }
        }
        if members.epoch != before {
            self.publish(&members);
        }
        (reply, events)
    }

    fn publish(&self, members: &Members) {
        let view = Arc::new(members.view());
        self.view.store(view.clone());
        self.hub.tell(Notice::View(view));
    }

    /// Applies a node's batch, once: a repeat is `None`.
    pub fn apply_batch(
        &self,
        origin: NodeId,
        number: u64,
        commands: Vec<Command>,
    ) -> Option<Vec<Reply>> {
        if !self.members.read().is_new(origin, number) {
            return None;
        }
        let replies = commands.into_iter().map(|c| self.apply(c).0).collect();
        self.members.write().note(origin, number);
        Some(replies)
    }

    /// Everything as it is now. Consistent if nothing is applied meanwhile: call it where the log is applied.
    pub fn freeze(&self) -> Frozen {
        let members = self.members.read();
        let mut accounts = Vec::with_capacity(self.accounts());
        for shard in &self.shards {
            accounts.extend(shard.read().iter().map(|(a, e)| (a.clone(), e.clone())));
        }
        Frozen {
            members: members.clone(),
            accounts,
        }
    }

    /// Becomes this. Whoever listens hears the view.
    pub fn replace(&self, frozen: Frozen) {
        let mut members = self.members.write();
        let mut parts: Vec<Sessions> = (0..SHARDS).map(|_| Sessions::default()).collect();
        for (account, entries) in frozen.accounts {
            parts[self.index(&account)].put(account, entries);
        }
        for (shard, part) in self.shards.iter().zip(parts) {
            // What was there is dropped behind the lock.
            let old = mem::replace(&mut *shard.write(), part);
            drop(old);
        }
        *members = frozen.members;
        self.publish(&members);
    }

    /// How many accounts have sessions.
    pub fn accounts(&self) -> usize {
        self.shards.iter().map(|s| s.read().len()).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests;
