//! What this node knows of sessions of others, by account; pure.
//!
//! Why here: the home of an account that dies leaves its sessions to the node that knows them. Until then nobody looks.
//! Bounds: [`MAX_REPLICAS`], [`MAX_BYTES`]; what does not fit is refused, and its home is told.

use std::time::{Duration, Instant};

use cluster::NodeId;
use hashbrown::HashMap;
use minicbor::{Decode, Encode};

use super::state::{Delta, Replica};

/// Sessions of other nodes that are known here.
const MAX_REPLICAS: usize = 500_000;
/// What they may take.
const MAX_BYTES: usize = 512 << 20;
/// What one takes besides its stanzas, more or less.
const ONE: usize = 768;

/// A session, by the node that is its home and the number of what that tells of it.
type Name = (NodeId, u64);

/// What a home tells of a session.
#[derive(Debug, Encode, Decode)]
pub(super) struct Update {
    /// The first is 1.
    #[n(0)]
    pub(super) number: u64,
    /// With a whole session: whose it is, and when its home began to tell, in milliseconds since 1970.
    #[n(1)]
    pub(super) of: Option<(String, u64)>,
    #[n(2)]
    pub(super) deltas: Vec<Delta>,
}

#[derive(Debug)]
struct Held {
    account: Box<str>,
    /// When its home began to tell of it.
    began_ms: u64,
    /// The number of the last update.
    number: u64,
    replica: Replica,
    /// When its home was seen gone, in milliseconds since 1970, and when nobody can resume it any more.
    gone: Option<(u64, Instant)>,
}

impl Held {
    fn bytes(&self) -> usize {
        ONE + self.replica.bytes
    }
}

/// A session whose home is gone.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) began_ms: u64,
    pub(super) gone_ms: u64,
    pub(super) replica: Replica,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Store {
    held: HashMap<Name, Held>,
    by_account: HashMap<Box<str>, Vec<Name>>,
    bytes: usize,
    max_replicas: usize,
    max_bytes: usize,
    /// The first time at which one expires.
    next_expiry: Option<Instant>,
}

impl Default for Store {
    fn default() -> Self {
        Self::bounded(MAX_REPLICAS, MAX_BYTES)
    }
}

impl Store {
    fn bounded(max_replicas: usize, max_bytes: usize) -> Self {
        Self {
            held: HashMap::new(),
            by_account: HashMap::new(),
            bytes: 0,
            max_replicas,
            max_bytes,
            next_expiry: None,
        }
    }

    /// Follows a session. True: all that its home told is known now, up to this update. False: it is not known, and not
    /// followed any more.
    pub(super) fn take_in(&mut self, name: Name, update: Update) -> bool {
        match update.of {
            Some((account, began_ms)) => {
                let mut deltas = update.deltas.into_iter();
                let Some(Delta::Whole(session)) = deltas.next() else {
                    return false;
                };
                let before = self.remove(name);
                let gone = before.as_ref().and_then(|it| it.gone);
                let mut replica = Replica::new(*session, before.map(|it| it.replica));
                deltas.for_each(|delta| replica.apply(delta));
                let held = Held {
                    account: account.into(),
                    began_ms,
                    number: update.number,
                    replica,
                    gone,
                };
                let has_room = self.held.len() < self.max_replicas
                    && self.bytes + held.bytes() <= self.max_bytes;
                if has_room {
                    self.insert(name, held);
                }
                has_room
            }
            None => {
                let follows = self.follow(name, update);
                if !follows {
                    self.remove(name);
                }
                follows
            }
        }
    }

    fn follow(&mut self, name: Name, update: Update) -> bool {
        let Some(held) = self.held.get_mut(&name) else {
            return false;
        };
        if held.number + 1 != update.number || update.deltas.contains(&Delta::Closed) {
            return false;
        }
        let before = held.bytes();
        held.number = update.number;
        let deltas = update.deltas.into_iter();
        deltas.for_each(|delta| held.replica.apply(delta));
        self.bytes = self.bytes - before + held.bytes();
        self.bytes <= self.max_bytes
    }

    fn insert(&mut self, name: Name, held: Held) {
        self.bytes += held.bytes();
        let names = self.by_account.entry_ref(&held.account);
        names.or_default().push(name);
        self.held.insert(name, held);
    }

    fn remove(&mut self, name: Name) -> Option<Held> {
        let held = self.held.remove(&name)?;
        self.bytes -= held.bytes();
        if let Some(names) = self.by_account.get_mut(&held.account) {
            names.retain(|other| *other != name);
            if names.is_empty() {
                self.by_account.remove(&held.account);
            }
        }
        Some(held)
    }

    /// Nodes have gone: the accounts that have sessions of theirs here.
    pub(super) fn orphans(
        &mut self,
        is_gone: impl Fn(NodeId) -> bool,
        now_ms: u64,
        now: Instant,
    ) -> Vec<Box<str>> {
        let mut accounts = Vec::new();
        for ((node, _), held) in &mut self.held {
            if held.gone.is_none() && is_gone(*node) {
                let until = now + Duration::from_millis(held.replica.session.resume_ms);
                held.gone = Some((now_ms, until));
                self.next_expiry = Some(self.next_expiry.map_or(until, |next| next.min(until)));
                accounts.push(held.account.clone());
            }
        }
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    /// Takes out the sessions of an account whose homes are gone.
    pub(super) fn take(
        &mut self,
        account: &str,
        is_gone: impl Fn(NodeId) -> bool,
        now_ms: u64,
    ) -> Vec<Orphan> {
        let names = self.by_account.get(account).cloned().unwrap_or_default();
        let mut taken = Vec::new();
        for name in names {
            let is_orphan = self.held.get(&name).is_some_and(|it| it.gone.is_some());
            if (is_orphan || is_gone(name.0))
                && let Some(held) = self.remove(name)
            {
                taken.push(Orphan {
                    began_ms: held.began_ms,
                    gone_ms: held.gone.map_or(now_ms, |(gone_ms, _)| gone_ms),
                    replica: held.replica,
                });
            }
        }
        taken
    }

    /// Whether anything is known of an account.
    pub(super) fn knows(&self, account: &str) -> bool {
        self.by_account.contains_key(account)
    }

    /// Forgets what nobody can resume any more.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.next_expiry.is_none_or(|next| next > now) {
            return;
        }
        let ends = |held: &Held| held.gone.map(|(_, until)| until);
        let over: Vec<Name> = self
            .held
            .iter()
            .filter(|(_, held)| ends(held).is_some_and(|until| until <= now))
            .map(|(name, _)| *name)
            .collect();
        for name in over {
            self.remove(name);
        }
        self.next_expiry = self.held.values().filter_map(ends).min();
    }

    /// How many are known, and what they take.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.held.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests;
