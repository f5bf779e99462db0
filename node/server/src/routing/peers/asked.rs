//! Asked: stanzas that other nodes were asked to deliver and have not answered, and the order in which those of an account go.
//!
//! While a node has something of an account, what follows goes the same way, even when the account's home is at another node
//! by then: that node passes it on, in order. What a node that died had not answered is routed anew before anything that came
//! later.
//! Stored: nothing. Bounds: [`MAX_ASKED`], [`MAX_BYTES`].

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use cluster::NodeId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use xmpp::BareJid;

use crate::home::{Doubt, Parcel};

/// Sessions have windows; this is what all together may have under way.
const MAX_ASKED: usize = 1 << 20;
/// The same in bytes of stanzas.
const MAX_BYTES: usize = 256 << 20;
const SHARDS: usize = 16;
/// Nodes over which a stanza may have come and still go behind others instead of home. Where several nodes leave within a second
/// and learn of it at different times, it comes by all of them more than once.
const MAX_DETOURS: u8 = 16;

/// What a node was asked.
struct Asked {
    node: NodeId,
    /// When, in milliseconds since 1970.
    at_ms: u64,
    parcel: Parcel,
}

/// Where stanzas of an account go instead of its home.
enum Detour {
    /// To a node that has something of it: so much, when the view changed.
    By(NodeId),
    /// They wait until what came before them is on its way again.
    Waits(VecDeque<Parcel>),
}

/// What becomes of a stanza for an account.
pub(super) enum Turn {
    /// It goes where its account is served.
    Home(Parcel),
    /// It goes to this node, behind others.
    By(NodeId, Parcel),
    /// It waits behind others.
    Waits,
}

/// All that is under way.
#[derive(Default)]
pub(super) struct Asking {
    shards: [Mutex<HashMap<u64, Asked>>; SHARDS],
    bytes: AtomicUsize,
    detours: Mutex<HashMap<BareJid, Detour>>,
    has_detours: AtomicBool,
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
        parcel: Parcel,
    ) -> Result<(), Box<Parcel>> {
        let bytes = parcel.stanza.raw().len();
        let mut shard = self.shard(number).lock();
        let full = self.bytes.load(Ordering::Relaxed) + bytes > MAX_BYTES;
        if full || shard.len() >= MAX_ASKED / SHARDS {
            return Err(Box::new(parcel));
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let asked = Asked {
            node,
            at_ms,
            parcel,
        };
        shard.insert(number, asked);
        Ok(())
    }

    /// Takes a question back, or takes what was answered out.
    pub(super) fn remove(&self, number: u64, by: NodeId) -> Option<Parcel> {
        let asked = {
            let mut shard = self.shard(number).lock();
            if shard.get(&number)?.node != by {
                return None;
            }
            shard.remove(&number)?
        };
        self.bytes
            .fetch_sub(asked.parcel.stanza.raw().len(), Ordering::Relaxed);
        if self.has_detours.load(Ordering::SeqCst) {
            self.shorten(asked.parcel.account(), by);
        }
        Some(asked.parcel)
    }

    /// Whether a node is asked something under this number.
    pub(super) fn has_asked(&self, number: u64, node: NodeId) -> bool {
        let shard = self.shard(number).lock();
        shard.get(&number).is_some_and(|asked| asked.node == node)
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// A detour ends with the last that took it.
    fn shorten(&self, account: Option<BareJid>, by: NodeId) {
        let Some(account) = account else { return };
        let mut detours = self.detours.lock();
        if matches!(detours.get(&account), Some(Detour::By(node)) if *node == by)
            && !self.has(&account, by, |_| true)
        {
            detours.remove(&account);
            self.has_detours
                .store(!detours.is_empty(), Ordering::SeqCst);
        }
    }

    /// Whether a node was asked such a stanza of an account.
    fn has(&self, account: &BareJid, by: NodeId, such: impl Fn(&Parcel) -> bool) -> bool {
        self.shards.iter().any(|shard| {
            let shard = shard.lock();
            let mut asked = shard.values().filter(|asked| asked.node == by);
            asked.any(|Asked { parcel, .. }| {
                such(parcel) && parcel.account().as_ref() == Some(account)
            })
        })
    }

    /// Which way the next stanza for an account goes.
    pub(super) fn turn(&self, parcel: Parcel) -> Turn {
        if !self.has_detours.load(Ordering::SeqCst) {
            return Turn::Home(parcel);
        }
        let Some(account) = parcel.account() else {
            return Turn::Home(parcel);
        };
        match self.detours.lock().get_mut(&account) {
            None => Turn::Home(parcel),
            // Nothing goes in circles.
            Some(Detour::By(_)) if parcel.hops >= MAX_DETOURS => Turn::Home(parcel),
            // What came from there is sent back only behind what was: what that node holds back for a view that it does not
            // know yet.
            Some(Detour::By(node))
                if parcel.came_from(*node)
                    && !self.has(&account, *node, |asked| asked.came_from(*node)) =>
            {
                Turn::Home(parcel)
            }
            Some(Detour::By(node)) => Turn::By(*node, parcel),
            Some(Detour::Waits(waiting)) => {
                waiting.push_back(parcel);
                Turn::Waits
            }
        }
    }

    /// The view changes: what is under way to a node that no longer serves the account keeps what follows behind it. Nothing has
    /// its turn between the one and the other. False: the view does not change.
    pub(super) fn detour(
        &self,
        change: impl FnOnce() -> bool,
        home: impl Fn(&BareJid) -> Option<NodeId>,
    ) -> bool {
        let mut detours = self.detours.lock();
        // Whoever has its turn from now on waits for the lock.
        self.has_detours.store(true, Ordering::SeqCst);
        let changes = change();
        for shard in self.shards.iter().filter(|_| changes) {
            for asked in shard.lock().values() {
                let Some(account) = asked.parcel.account() else {
                    continue;
                };
                if home(&account) != Some(asked.node) {
                    detours.entry(account).or_insert(Detour::By(asked.node));
                }
            }
        }
        self.has_detours
            .store(!detours.is_empty(), Ordering::SeqCst);
        changes
    }

    /// A node is gone: what it was asked and has not answered waits, in the order in which it was asked, and so does what
    /// comes for the same accounts. The accounts, to be let go on with [`Asking::next`].
    pub(super) fn gone(&self, node: NodeId) -> Vec<BareJid> {
        let mut detours = self.detours.lock();
        let mut left = Vec::new();
        for shard in &self.shards {
            let gone = shard
                .lock()
                .extract_if(|_, asked| asked.node == node)
                .collect::<Vec<_>>();
            left.extend(gone);
        }
        left.sort_unstable_by_key(|(number, _)| *number);
        detours.retain(|_, detour| !matches!(detour, Detour::By(by) if *by == node));
        let mut accounts = Vec::new();
        for (_, asked) in left {
            self.bytes
                .fetch_sub(asked.parcel.stanza.raw().len(), Ordering::Relaxed);
            let Some(account) = asked.parcel.account() else {
                continue;
            };
            let detour = detours.entry(account.clone()).or_insert(Detour::By(node));
            if let Detour::By(_) = detour {
                *detour = Detour::Waits(VecDeque::new());
                accounts.push(account);
            }
            if let Detour::Waits(waiting) = detour {
                waiting.push_back(asked.in_doubt());
            }
        }
        self.has_detours
            .store(!detours.is_empty(), Ordering::SeqCst);
        accounts
    }

    /// The next of what waits for an account; `None`: no more waits, and what comes goes on as usual.
    pub(super) fn next(&self, account: &BareJid) -> Option<Parcel> {
        let mut detours = self.detours.lock();
        if let Some(Detour::Waits(waiting)) = detours.get_mut(account)
            && let Some(parcel) = waiting.pop_front()
        {
            return Some(parcel);
        }
        if matches!(detours.get(account), Some(Detour::Waits(_))) {
            detours.remove(account);
            self.has_detours
                .store(!detours.is_empty(), Ordering::SeqCst);
        }
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
    use std::sync::Arc;

    use xmpp::Stanza;

    use super::*;
    use crate::routing::{Asker, Origin};

    fn parcel(from: Option<u64>, hops: u8) -> Parcel {
        let stanza = Stanza::parse("<message to='ada@example.org'/>".into()).unwrap();
        let origin = from.map(|node| {
            Origin::Node(Asker {
                peers: Arc::default(),
                node: NodeId(node),
                number: 1,
            })
        });
        Parcel {
            hops,
            ..Parcel::new(stanza, origin)
        }
    }

    #[test]
    fn what_follows_goes_behind_what_is_under_way() {
        let asking = Asking::default();
        let (former, home) = (NodeId(1), NodeId(2));
        assert!(asking.insert(7, former, 0, parcel(None, 0)).is_ok());
        assert!(asking.detour(|| true, |_| Some(home)));
        let check = |from: Option<u64>, hops: u8, expected: Option<NodeId>| {
            let by = match asking.turn(parcel(from, hops)) {
                Turn::By(node, _) => Some(node),
                Turn::Home(_) => None,
                Turn::Waits => panic!("nobody is gone"),
            };
            assert_eq!(by, expected, "from {from:?} over {hops}");
        };
        check(None, 0, Some(former));
        // A sender whose socket or home is at a third node: its earlier messages may be among those under way.
        check(Some(3), 1, Some(former));
        check(Some(1), 1, None);
        check(Some(3), MAX_DETOURS, None);
        assert!(asking.remove(7, former).is_some());
        check(None, 0, None);
        check(Some(3), 1, None);
    }

    /// The home went to a node and on to the next, before the former one had passed on what that node sent.
    #[test]
    fn what_follows_goes_back_behind_what_was_sent_back() {
        let asking = Asking::default();
        let (first, next) = (NodeId(1), NodeId(2));
        assert!(asking.insert(7, first, 0, parcel(Some(1), 1)).is_ok());
        assert!(asking.detour(|| true, |_| Some(next)));
        let check = |from: Option<u64>, hops: u8, expected: bool| {
            let by = matches!(asking.turn(parcel(from, hops)), Turn::By(node, _) if node == first);
            assert_eq!(by, expected, "from {from:?} over {hops}");
        };
        check(Some(1), 1, true);
        check(None, 0, true);
        check(Some(1), MAX_DETOURS, false);
        assert!(asking.insert(8, first, 0, parcel(None, 0)).is_ok());
        assert!(asking.remove(7, first).is_some());
        // Nothing of what is there came from there.
        check(Some(1), 1, false);
        check(None, 0, true);
    }
}
