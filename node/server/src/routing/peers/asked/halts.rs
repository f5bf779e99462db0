//! Halts: accounts of which nothing leaves until all that is under way is answered.
//!
//! Bounds: what waits is counted among what is asked.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::atomic::Ordering,
    time::Duration,
};

use cluster::NodeId;
use hashbrown::{HashMap, HashSet};
use tokio::time::Instant;
use xmpp::{BareJid, Jid};

use super::{Asked, Asking};
use crate::home::{Doubt, Parcel};

/// How long an account waits for an answer before it goes on without its order: far longer than a node that lives takes, and a
/// node that dies is known by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// An account of which nothing leaves for now.
#[derive(Default)]
pub(super) struct Halt {
    /// So many answers are to come first.
    awaited: usize,
    /// And this node is to know the view of this epoch.
    epoch: u64,
    /// What goes anew, by when it went first.
    back: BTreeMap<u64, Parcel>,
    /// What has never gone, in its order.
    waits: VecDeque<Parcel>,
    /// It may go on.
    goes: bool,
    /// Somebody lets it.
    driven: bool,
}

type Halts = HashMap<BareJid, Halt>;

/// Whether a stanza may leave.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and most have their turn"
)]
pub(in crate::routing::peers) enum Turn {
    /// It may.
    Now(Parcel),
    /// It waits behind others.
    Waits,
    /// Too much does.
    Full(Box<Parcel>),
}

impl Halt {
    /// One answer less is to come.
    pub(super) fn answered(&mut self) {
        self.awaited = self.awaited.saturating_sub(1);
    }

    /// How many stanzas wait.
    pub(super) fn waiting(&self) -> usize {
        self.back.len() + self.waits.len()
    }

    /// Whether something has come back that left before this turn; 0: what has never left.
    fn has_before(&self, turn: u64) -> bool {
        let first = self.back.first_key_value();
        first.is_some_and(|(first, _)| turn == 0 || *first < turn)
    }
}

impl Asking {
    /// What follows what was asked under this number waits for its answer.
    pub(in crate::routing::peers) fn hold(&self, number: u64, node: NodeId) {
        let mut halts = self.halts.lock();
        self.has_halts.store(true, Ordering::SeqCst);
        if let Some(asked) = self.shard(number).lock().get_mut(&number)
            && asked.node == node
            && !asked.awaited
            && let Some(account) = asked.parcel.account()
        {
            let halt = halts.entry(account).or_default();
            halt.awaited += 1;
            halt.goes = false;
            asked.awaited = true;
        }
        self.has_halts.store(!halts.is_empty(), Ordering::SeqCst);
    }

    /// Lets an account go on if nothing is awaited any more.
    pub(super) fn look(&self, account: &BareJid, halt: &mut Halt) {
        let known = self.epoch.load(Ordering::SeqCst);
        if halt.awaited == 0 && halt.epoch <= known {
            halt.goes = true;
            // By one at a time: it goes on in order.
            if !mem::replace(&mut halt.driven, true) {
                self.free.lock().push(account.clone());
            }
        }
    }

    /// Waits for the answers to all that is under way of some accounts.
    fn wait_for(&self, halts: &mut Halts, is_one: impl Fn(&Asked, &Jid) -> bool) {
        for shard in &self.shards {
            for asked in shard.lock().values_mut().filter(|asked| !asked.awaited) {
                let Some(address) = asked.parcel.address() else {
                    continue;
                };
                if is_one(asked, address) {
                    let halt = halts.entry(address.to_bare()).or_default();
                    halt.awaited += 1;
                    halt.goes = false;
                    asked.awaited = true;
                }
            }
        }
    }

    /// Whether it has its turn, or waits behind others.
    pub(in crate::routing::peers) fn turn(&self, mut parcel: Parcel, now_ms: u64) -> Turn {
        if !self.has_halts.load(Ordering::SeqCst) {
            return Turn::Now(parcel);
        }
        let Some(account) = parcel.account() else {
            return Turn::Now(parcel);
        };
        match self.halts.lock().get_mut(&account) {
            None => Turn::Now(parcel),
            // Who is told that these were not delivered might be told a lie.
            Some(_) if self.is_full(&parcel) && parcel.doubt.is_none() && !parcel.sent => {
                Turn::Full(Box::new(parcel))
            }
            Some(halt) => {
                if parcel.since_ms == 0 {
                    parcel.since_ms = now_ms;
                }
                self.count(&parcel);
                halt.waits.push_back(parcel);
                Turn::Waits
            }
        }
    }

    /// Puts what was asked back in its place, before what came later.
    fn put_back(&self, halt: &mut Halt, parcel: Parcel) {
        self.count(&parcel);
        halt.back.insert(parcel.turn, parcel);
    }

    /// The same for what [`Asking::next`] gave and did not leave: in its old place if the account was halted anew, or something
    /// that left before it has come back.
    pub(in crate::routing::peers) fn turn_again(&self, parcel: Parcel) -> Option<Parcel> {
        let Some(account) = parcel.account() else {
            return Some(parcel);
        };
        match self.halts.lock().get_mut(&account) {
            Some(halt) if !halt.goes || halt.has_before(parcel.turn) => {
                match parcel.turn {
                    0 => {
                        self.count(&parcel);
                        halt.waits.push_front(parcel);
                    }
                    _ => self.put_back(halt, parcel),
                }
                None
            }
            _ => Some(parcel),
        }
    }

    /// The view changes to one of this epoch: accounts of which something is under way to another node than their home are
    /// halted. Nothing has its turn between the one and the other. False: the view does not change.
    pub(in crate::routing::peers) fn change(
        &self,
        epoch: u64,
        change: impl FnOnce() -> bool,
        home: impl Fn(&str) -> Option<NodeId>,
    ) -> bool {
        let mut halts = self.halts.lock();
        // Whoever has its turn from now on waits for the lock.
        self.has_halts.store(true, Ordering::SeqCst);
        let changes = change();
        if changes {
            self.epoch.store(epoch, Ordering::SeqCst);
            self.wait_for(&mut halts, |asked, address| {
                home(address.bare_str()) != Some(asked.node)
            });
            for (account, halt) in halts.iter_mut() {
                self.look(account, halt);
            }
        }
        self.has_halts.store(!halts.is_empty(), Ordering::SeqCst);
        changes
    }

    /// A node says that it does not serve the account, in the view of this epoch, and since when what it was asked may be in the
    /// log, if it may. `halts`: called before anything is looked at; what has its turn and was not noted yet has it anew.
    pub(in crate::routing::peers) fn back(
        &self,
        number: u64,
        by: NodeId,
        (epoch, since_ms): (u64, Option<u64>),
        halt_all: impl FnOnce(),
    ) {
        let mut halts = self.halts.lock();
        let Some(mut asked) = self.take(number, by) else {
            return;
        };
        let Some(account) = asked.parcel.account() else {
            return;
        };
        self.has_halts.store(true, Ordering::SeqCst);
        let halt = halts.entry(account.clone()).or_default();
        if asked.awaited {
            halt.answered();
        }
        let is_new = halt.goes || !asked.awaited;
        halt.goes = false;
        halt.epoch = halt.epoch.max(epoch);
        let kept = asked.parcel.is_looked_for();
        if let Some(since_ms) = since_ms.filter(|_| kept) {
            let known = asked.parcel.doubt.map_or(asked.at_ms, |it| it.since_ms);
            asked.parcel.doubt = Some(Doubt {
                since_ms: known.min(since_ms),
                looked: false,
            });
        }
        if asked.parcel.since_ms == 0 {
            asked.parcel.since_ms = asked.at_ms;
        }
        self.put_back(halt, asked.parcel);
        if is_new {
            halt_all();
            self.wait_for(&mut halts, |_, address| {
                address.bare_str() == account.as_str()
            });
        }
        if let Some(halt) = halts.get_mut(&account) {
            self.look(&account, halt);
        }
    }

    /// A node is gone: what it was asked and has not answered comes back.
    pub(in crate::routing::peers) fn gone(&self, node: NodeId) {
        let mut halts = self.halts.lock();
        self.has_halts.store(true, Ordering::SeqCst);
        let mut accounts = HashSet::new();
        for shard in &self.shards {
            let gone = shard
                .lock()
                .extract_if(|_, asked| asked.node == node)
                .collect::<Vec<_>>();
            for (_, asked) in gone {
                self.discount(&asked.parcel);
                let Some(account) = asked.parcel.account() else {
                    continue;
                };
                let halt = halts.entry(account.clone()).or_default();
                if asked.awaited {
                    halt.answered();
                }
                halt.goes = false;
                self.put_back(halt, asked.in_doubt());
                accounts.insert(account);
            }
        }
        self.wait_for(&mut halts, |_, address| {
            !accounts.is_empty() && accounts.contains(&address.to_bare())
        });
        for account in &accounts {
            if let Some(halt) = halts.get_mut(account) {
                self.look(account, halt);
            }
        }
        self.has_halts.store(!halts.is_empty(), Ordering::SeqCst);
    }

    /// What was asked so long ago that no answer is to be expected is waited for no longer; of how much that is true.
    pub(in crate::routing::peers) fn lose_patience(&self, now: Instant) -> usize {
        let mut halts = self.halts.lock();
        let is_late = |asked: &&mut Asked| asked.awaited && now - asked.since > PATIENCE;
        let (mut late, mut accounts) = (0, Vec::new());
        for shard in self.shards.iter().filter(|_| !halts.is_empty()) {
            for asked in shard.lock().values_mut().filter(is_late) {
                asked.awaited = false;
                late += 1;
                accounts.extend(asked.parcel.account());
            }
        }
        for account in accounts {
            if let Some(halt) = halts.get_mut(&account) {
                halt.answered();
                self.look(&account, halt);
            }
        }
        late
    }

    /// Takes the accounts that may go on: each with [`Asking::next`].
    pub(in crate::routing::peers) fn free(&self) -> Vec<BareJid> {
        match self.has_halts.load(Ordering::SeqCst) {
            true => mem::take(&mut self.free.lock()),
            false => Vec::new(),
        }
    }

    /// The next of what waits for an account; `None`: no more waits, and what comes goes on as usual, or the account was halted
    /// anew.
    pub(in crate::routing::peers) fn next(&self, account: &BareJid) -> Option<Parcel> {
        let mut halts = self.halts.lock();
        let halt = halts.get_mut(account)?;
        if !halt.goes {
            halt.driven = false;
            return None;
        }
        let back = halt.back.pop_first().map(|(_, parcel)| parcel);
        if let Some(parcel) = back.or_else(|| halt.waits.pop_front()) {
            self.discount(&parcel);
            return Some(parcel);
        }
        halts.remove(account);
        self.has_halts.store(!halts.is_empty(), Ordering::SeqCst);
        None
    }
}
