//! Asked: stanzas that other nodes were asked to deliver and have not answered, and the order in which those of an account go.
//!
//! When an account's home changes, or a node says that it is not the home ([`Asking::back`]), nothing more goes to the account
//! until all is answered that is under way: what a node has done counts, and what it has not comes back and goes anew, before
//! what has waited. So the order holds over any number of moves, and however late nodes learn of them. What a node that died
//! had not answered comes back as well, in doubt.
//! Stored: nothing. Bounds: [`MAX_ASKED`], [`MAX_BYTES`], what waits among it.

mod halts;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use cluster::NodeId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::time::Instant;
use xmpp::BareJid;

use self::halts::Halt;
pub(super) use self::halts::Turn;

use crate::home::{Doubt, Parcel};

/// Sessions have windows; this is what all together may have under way.
const MAX_ASKED: usize = 1 << 20;
/// The same in bytes of stanzas.
const MAX_BYTES: usize = 256 << 20;
const SHARDS: usize = 16;

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

/// What a stanza costs that waits, in bytes: itself, and what is around it.
fn weight(parcel: &Parcel) -> usize {
    parcel.stanza.raw().len() + size_of::<Asked>()
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
            halt.answered();
            self.look(&account, halt);
        }
        Some(asked.parcel)
    }

    /// Whether a node is asked something under this number.
    pub(super) fn has_asked(&self, number: u64, node: NodeId) -> bool {
        let shard = self.shard(number).lock();
        shard.get(&number).is_some_and(|asked| asked.node == node)
    }

    /// How many are under way, or wait for those.
    pub(super) fn len(&self) -> usize {
        let halts = self.halts.lock();
        let waiting = halts.values().map(Halt::waiting);
        let waiting: usize = waiting.sum();
        let asked: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        asked + waiting
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
