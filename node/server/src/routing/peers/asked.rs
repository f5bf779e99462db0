//! Asked: stanzas that other nodes were asked to deliver and have not answered, and the order in which those of an account go.
//!
//! When an account's home changes, or a node says that it is not the home ([`Asking::back`]), nothing more goes to the account
//! until all is answered that is under way: what a node has done counts, and what it has not comes back and goes anew, before
//! what has waited. So the order holds over any number of moves, and however late nodes learn of them. What a node that died
//! had not answered comes back as well, in doubt.
//! Stored: nothing. Bounds: [`MAX_ASKED`], [`MAX_BYTES`], what waits among it.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use cluster::NodeId;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::time::Instant;
use xmpp::{BareJid, Jid};

use crate::home::{Doubt, Parcel};

/// Sessions have windows; this is what all together may have under way.
const MAX_ASKED: usize = 1 << 20;
/// The same in bytes of stanzas.
const MAX_BYTES: usize = 256 << 20;
const SHARDS: usize = 16;

/// How long an account waits for an answer before it goes on without its order: far longer than a node that lives takes, and a
/// node that dies is known by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a node was asked.
struct Asked {
    node: NodeId,
    /// When, in milliseconds since 1970.
    at_ms: u64,
    /// The same, by which waiting ends.
    since: Instant,
    parcel: Parcel,
    /// A halt waits for the answer.
    awaited: bool,
}

/// An account of which nothing leaves for now.
#[derive(Default)]
struct Halt {
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

/// All that is under way.
#[derive(Default)]
pub(super) struct Asking {
    shards: [Mutex<HashMap<u64, Asked>>; SHARDS],
    bytes: AtomicUsize,
    halts: Mutex<HashMap<BareJid, Halt>>,
    has_halts: AtomicBool,
    /// The epoch of the view.
    epoch: AtomicU64,
    /// Accounts that may go on and that nobody lets.
    free: Mutex<Vec<BareJid>>,
}

type Halts = HashMap<BareJid, Halt>;

/// Whether a stanza may leave.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and most have their turn"
)]
pub(super) enum Turn {
    /// It may.
    Now(Parcel),
    /// It waits behind others.
    Waits,
    /// Too much does.
    Full(Box<Parcel>),
}

/// What a stanza costs that waits, in bytes: itself, and what is around it.
fn weight(parcel: &Parcel) -> usize {
    parcel.stanza.raw().len() + size_of::<Asked>()
}

impl Halt {
    /// Whether something has come back that left before this turn; 0: what has never left.
    fn has_before(&self, turn: u64) -> bool {
        let first = self.back.first_key_value();
        first.is_some_and(|(first, _)| turn == 0 || *first < turn)
    }
}

impl Asking {
    fn shard(&self, number: u64) -> &Mutex<HashMap<u64, Asked>> {
        &self.shards[number as usize % SHARDS]
    }

    /// Notes a question.
    ///
    /// # Errors
    /// The parcel: too much is under way.
    pub(super) fn insert(
        &self,
        number: u64,
        node: NodeId,
        at_ms: u64,
        mut parcel: Parcel,
    ) -> Result<(), Box<Parcel>> {
        let mut shard = self.shard(number).lock();
        if self.is_full(&parcel) || shard.len() >= MAX_ASKED / SHARDS {
            return Err(Box::new(parcel));
        }
        self.count(&parcel);
        if parcel.turn == 0 {
            parcel.turn = number;
        }
        let asked = Asked {
            node,
            at_ms,
            since: Instant::now(),
            parcel,
            awaited: false,
        };
        shard.insert(number, asked);
        Ok(())
    }

    fn take(&self, number: u64, by: NodeId) -> Option<Asked> {
        let mut shard = self.shard(number).lock();
        if shard.get(&number)?.node != by {
            return None;
        }
        let asked = shard.remove(&number)?;
        self.discount(&asked.parcel);
        Some(asked)
    }

    /// Takes a question back, or takes what was answered out.
    pub(super) fn remove(&self, number: u64, by: NodeId) -> Option<Parcel> {
        let asked = self.take(number, by)?;
        if asked.awaited
            && let Some(account) = asked.parcel.account()
            && let Some(halt) = self.halts.lock().get_mut(&account)
        {
            halt.awaited = halt.awaited.saturating_sub(1);
            self.look(&account, halt);
        }
        Some(asked.parcel)
    }

    /// What follows what was asked under this number waits for its answer.
    pub(super) fn hold(&self, number: u64, node: NodeId) {
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

    /// Whether a node is asked something under this number.
    pub(super) fn has_asked(&self, number: u64, node: NodeId) -> bool {
        let shard = self.shard(number).lock();
        shard.get(&number).is_some_and(|asked| asked.node == node)
    }

    /// How many are under way, or wait for those.
    pub(super) fn len(&self) -> usize {
        let halts = self.halts.lock();
        let waiting = halts.values().map(|it| it.back.len() + it.waits.len());
        let waiting: usize = waiting.sum();
        let asked: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        asked + waiting
    }

    /// Lets an account go on if nothing is awaited any more.
    fn look(&self, account: &BareJid, halt: &mut Halt) {
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
    pub(super) fn turn(&self, mut parcel: Parcel, now_ms: u64) -> Turn {
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

    fn is_full(&self, parcel: &Parcel) -> bool {
        self.bytes.load(Ordering::Relaxed) + weight(parcel) > MAX_BYTES
    }

    fn count(&self, parcel: &Parcel) {
        self.bytes.fetch_add(weight(parcel), Ordering::Relaxed);
    }

    fn discount(&self, parcel: &Parcel) {
        self.bytes.fetch_sub(weight(parcel), Ordering::Relaxed);
    }

    /// Puts what was asked back in its place, before what came later.
    fn put_back(&self, halt: &mut Halt, parcel: Parcel) {
        self.count(&parcel);
        halt.back.insert(parcel.turn, parcel);
    }

    /// The same for what [`Asking::next`] gave and did not leave: in its old place if the account was halted anew, or something
    /// that left before it has come back.
    pub(super) fn turn_again(&self, parcel: Parcel) -> Option<Parcel> {
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
    pub(super) fn change(
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
    pub(super) fn back(
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
            halt.awaited = halt.awaited.saturating_sub(1);
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
    pub(super) fn gone(&self, node: NodeId) {
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
                    halt.awaited = halt.awaited.saturating_sub(1);
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
    pub(super) fn lose_patience(&self, now: Instant) -> usize {
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
                halt.awaited = halt.awaited.saturating_sub(1);
                self.look(&account, halt);
            }
        }
        late
    }

    /// Takes the accounts that may go on: each with [`Asking::next`].
    pub(super) fn free(&self) -> Vec<BareJid> {
        match self.has_halts.load(Ordering::SeqCst) {
            true => mem::take(&mut self.free.lock()),
            false => Vec::new(),
        }
    }

    /// The next of what waits for an account; `None`: no more waits, and what comes goes on as usual, or the account was halted
    /// anew.
    pub(super) fn next(&self, account: &BareJid) -> Option<Parcel> {
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

impl Asked {
    /// The node may have done it.
    fn in_doubt(self) -> Parcel {
        Parcel {
            doubt: Some(Doubt {
                since_ms: self.parcel.doubt.map_or(self.at_ms, |it| it.since_ms),
                looked: false,
            }),
            ..self.parcel
        }
    }
}

#[cfg(test)]
mod tests {
    use xmpp::Stanza;

    use super::*;

    const FORMER: NodeId = NodeId(1);
    const HOME: NodeId = NodeId(2);

    fn parcel(id: &str) -> Parcel {
        let text = format!("<message to='ada@example.org' id='{id}'><body/></message>");
        Parcel::new(Stanza::parse(text.into()).unwrap(), None)
    }

    fn ask(asking: &Asking, number: u64, node: NodeId, id: &str) {
        let Turn::Now(parcel) = asking.turn(parcel(id), 1) else {
            panic!("it has its turn")
        };
        assert!(asking.insert(number, node, 0, parcel).is_ok());
    }

    fn waits(asking: &Asking, id: &str) -> bool {
        matches!(asking.turn(parcel(id), 1), Turn::Waits)
    }

    fn moves(asking: &Asking, epoch: u64) {
        assert!(asking.change(epoch, || true, |_| Some(HOME)));
    }

    /// What goes on now.
    fn go_on(asking: &Asking) -> Vec<String> {
        let mut gone = Vec::new();
        for account in asking.free() {
            while let Some(parcel) = asking.next(&account) {
                gone.push(parcel.stanza.id().unwrap().into_owned());
            }
        }
        gone
    }

    #[test]
    fn what_follows_waits_for_what_is_under_way() {
        let asking = Asking::default();
        ask(&asking, 7, FORMER, "a");
        ask(&asking, 8, FORMER, "b");
        moves(&asking, 2);
        assert!(waits(&asking, "c"));
        assert!(asking.remove(8, FORMER).is_some());
        assert!(go_on(&asking).is_empty());
        assert!(waits(&asking, "d"));
        assert!(asking.remove(7, FORMER).is_some());
        assert_eq!(go_on(&asking), ["c", "d"]);
        assert!(!waits(&asking, "e"));
    }

    #[test]
    fn what_comes_back_goes_before_what_followed() {
        let asking = Asking::default();
        for (number, id) in [(7, "a"), (8, "b"), (9, "c")] {
            ask(&asking, number, FORMER, id);
        }
        let halted = std::cell::Cell::new(0);
        let back = |number, epoch| {
            asking.back(number, FORMER, (epoch, None), || {
                halted.set(halted.get() + 1)
            });
        };
        // This node learns of the view later.
        back(7, 2);
        assert!(waits(&asking, "d"));
        assert!(asking.remove(8, FORMER).is_some(), "it was done");
        back(9, 2);
        assert!(go_on(&asking).is_empty());
        assert_eq!(halted.get(), 1);
        moves(&asking, 2);
        assert_eq!(go_on(&asking), ["a", "c", "d"]);
        assert_eq!(asking.len(), 0);
    }

    /// The home moves on while what came back is on its way again.
    #[test]
    fn what_comes_back_twice_keeps_its_place() {
        let asking = Asking::default();
        for (number, id) in [(7, "a"), (8, "b")] {
            ask(&asking, number, FORMER, id);
        }
        moves(&asking, 2);
        for number in [7, 8] {
            asking.back(number, FORMER, (2, None), || ());
        }
        let free = asking.free();
        let first = asking.next(&free[0]).unwrap();
        assert!(asking.insert(20, HOME, 0, first).is_ok());
        let second = asking.next(&free[0]).unwrap();
        asking.back(20, HOME, (2, Some(5)), || ());
        assert!(asking.turn_again(second).is_none());
        assert!(asking.free().is_empty(), "one lets it go on already");
        for expected in ["a", "b"] {
            let parcel = asking.next(&free[0]).unwrap();
            assert_eq!(parcel.stanza.id().as_deref(), Some(expected));
        }
        assert!(asking.next(&free[0]).is_none());
        assert!(!waits(&asking, "c"));
    }

    /// A node lives and never answers: nobody waits for ever.
    #[test]
    fn patience_ends() {
        let asking = Asking::default();
        ask(&asking, 7, FORMER, "a");
        moves(&asking, 2);
        assert!(waits(&asking, "b"));
        assert_eq!(asking.lose_patience(Instant::now()), 0);
        assert!(go_on(&asking).is_empty());
        let late = Instant::now() + PATIENCE + Duration::from_secs(1);
        assert_eq!(asking.lose_patience(late), 1);
        assert_eq!(go_on(&asking), ["b"]);
        assert!(asking.remove(7, FORMER).is_some(), "it may still answer");
        assert!(!waits(&asking, "c"));
    }

    /// It could not leave yet; what follows could, and does not.
    #[test]
    fn what_is_held_is_not_overtaken() {
        let asking = Asking::default();
        ask(&asking, 7, FORMER, "a");
        asking.hold(7, FORMER);
        assert!(waits(&asking, "b"));
        assert!(go_on(&asking).is_empty());
        assert!(asking.remove(7, FORMER).is_some());
        assert_eq!(go_on(&asking), ["b"]);
        assert!(!waits(&asking, "c"));
        assert_eq!(asking.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_waits_is_bounded_but_for_what_may_be_done_already() {
        let asking = Asking::default();
        ask(&asking, 7, FORMER, "a");
        asking.hold(7, FORMER);
        asking.bytes.store(MAX_BYTES, Ordering::Relaxed);
        assert!(matches!(asking.turn(parcel("b"), 1), Turn::Full(_)));
        let doubted = parcel("c").may_be_repeated(1);
        assert!(matches!(asking.turn(doubted, 1), Turn::Waits));
    }

    #[test]
    fn what_a_dead_node_had_comes_back_in_doubt() {
        let asking = Asking::default();
        ask(&asking, 7, FORMER, "a");
        moves(&asking, 2);
        assert!(waits(&asking, "b"));
        asking.gone(FORMER);
        let free = asking.free();
        let first = asking.next(&free[0]).unwrap();
        assert_eq!(first.stanza.id().as_deref(), Some("a"));
        assert!(first.doubt.is_some());
        let second = asking.next(&free[0]).unwrap();
        assert!(second.doubt.is_none());
        assert!(asking.next(&free[0]).is_none());
        assert!(!waits(&asking, "c"));
    }
}
