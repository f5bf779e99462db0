//! What this node knows of sessions of others, by account; pure.
//!
//! Why here: the home of an account that dies leaves its sessions to the node that knows them. Until then nobody looks.
//! Bounds: [`MAX_REPLICAS`], [`MAX_BYTES`]; what does not fit is refused, and its home is told.

use std::time::Duration;

use cluster::NodeId;
use hashbrown::HashMap;
use minicbor::{Decode, Encode};
use tokio::time::Instant;

use super::state::{Delta, Replica};
use crate::c2s::moving::Moved;

/// Sessions of other nodes that are known here.
const MAX_REPLICAS: usize = 500_000;
/// What they may take.
const MAX_BYTES: usize = 512 << 20;
/// What one takes besides its stanzas, more or less.
const ONE: usize = 768;

/// A session, by the node that is its home and the number of what that tells of it.
pub(super) type Name = (NodeId, u64);

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

impl Update {
    /// The session goes elsewhere, and is kept until it is closed. (Who does not know this forgets it.)
    pub(super) const LEAVES: Self = Self {
        number: 0,
        of: None,
        deltas: Vec::new(),
    };

    pub(super) fn leaves(&self) -> bool {
        self.number == 0 && self.of.is_none() && self.deltas.is_empty()
    }
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
    /// It goes elsewhere, as its home said.
    leaves: bool,
    /// A copy of what was given to its home: when it is of no use any more, if that lives.
    lapses: Option<Instant>,
}

impl Held {
    fn bytes(&self) -> usize {
        ONE + self.replica.bytes
    }
}

/// A session whose home is gone, as another may go on with it.
fn left(mut session: Moved, began_ms: u64, gone_ms: u64) -> Moved {
    let since_ms = session.doubt_since_ms.unwrap_or(gone_ms);
    session.doubt_since_ms = Some(since_ms.min(gone_ms));
    session.began_ms = Some(began_ms);
    session
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
                    leaves: false,
                    lapses: None,
                };
                self.insert(name, held)
            }
            None if update.leaves() => {
                let held = self.held.get_mut(&name);
                held.map(|held| held.leaves = true).is_some()
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

    /// Keeps a copy of a session that is being given to its home, until that has it or this time comes.
    pub(super) fn keep(&mut self, name: Name, of: (&str, u64), session: Moved, lapses: Instant) {
        let (account, began_ms) = of;
        self.remove(name);
        self.falls_due(lapses);
        let held = Held {
            account: account.into(),
            began_ms,
            number: 0,
            replica: Replica::new(session, None),
            gone: None,
            leaves: false,
            lapses: Some(lapses),
        };
        self.insert(name, held);
    }

    /// False: there is no room.
    fn insert(&mut self, name: Name, held: Held) -> bool {
        let has_room =
            self.held.len() < self.max_replicas && self.bytes + held.bytes() <= self.max_bytes;
        if has_room {
            self.bytes += held.bytes();
            let names = self.by_account.entry_ref(&held.account);
            names.or_default().push(name);
            self.held.insert(name, held);
        }
        has_room
    }

    fn falls_due(&mut self, at: Instant) {
        self.next_expiry = Some(self.next_expiry.map_or(at, |next| next.min(at)));
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
        let (mut accounts, mut first) = (Vec::new(), None);
        for ((node, _), held) in &mut self.held {
            if held.gone.is_none() && is_gone(*node) {
                let until = now + Duration::from_millis(held.replica.session.resume_ms);
                held.gone = Some((now_ms, until));
                first = Some(first.map_or(until, |first: Instant| first.min(until)));
                accounts.push(held.account.clone());
            }
        }
        if let Some(first) = first {
            self.falls_due(first);
        }
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    /// Takes out the sessions of an account whose homes are gone; none that `to` has told of.
    pub(super) fn take(
        &mut self,
        account: &str,
        to: Option<NodeId>,
        is_gone: impl Fn(NodeId) -> bool,
        now_ms: u64,
    ) -> Vec<Moved> {
        let names = self.by_account.get(account).cloned().unwrap_or_default();
        let mut taken = Vec::new();
        for name in names.into_iter().filter(|name| Some(name.0) != to) {
            let is_orphan = self.held.get(&name).is_some_and(|it| it.gone.is_some());
            if (is_orphan || is_gone(name.0))
                && let Some(held) = self.remove(name)
            {
                let gone_ms = held.gone.map_or(now_ms, |(gone_ms, _)| gone_ms);
                taken.push(left(held.replica.session, held.began_ms, gone_ms));
            }
        }
        taken
    }

    /// The sessions of an account whose homes are gone: they stay here as well.
    pub(super) fn left_behind(&self, account: &str) -> Vec<Moved> {
        let names = self.by_account.get(account).into_iter().flatten();
        let sessions = names.filter_map(|name| {
            let held = self.held.get(name)?;
            let (gone_ms, _) = held.gone?;
            let session = held.replica.session.clone();
            Some(left(session, held.began_ms, gone_ms))
        });
        sessions.collect()
    }

    /// Whether anything is known of an account that another node than this one has told, and that has not gone elsewhere.
    pub(super) fn knows(&self, account: &str, but: NodeId) -> bool {
        let stays = |name: &Name| self.held.get(name).is_some_and(|held| !held.leaves);
        let names = self.by_account.get(account);
        names.is_some_and(|names| names.iter().any(|name| name.0 != but && stays(name)))
    }

    /// Forgets what nobody can resume any more.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.next_expiry.is_none_or(|next| next > now) {
            return;
        }
        let ends = |held: &Held| held.gone.map_or(held.lapses, |(_, until)| Some(until));
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
