//! Rosters in memory: read through, changed by compare-and-set.
//!
//! Bound: [`MAX_CACHED`] rosters; a shard that is full forgets all of its own, which costs a read each.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::HashMap;
use parking_lot::Mutex;
use storage::{
    ErrorKind,
    repository::{Roster, RosterItem, RosterRepository},
};
use xmpp::{BareJid, Jid, StanzaError};

use super::subscription::Standing;

const SHARDS: usize = 32;
const MAX_CACHED: usize = 8_192;
/// Attempts of a change against others before the sender is told to wait.
const MAX_ATTEMPTS: usize = 16;

type Shard = Mutex<HashMap<BareJid, Arc<Roster>, foldhash::fast::RandomState>>;

/// The rosters of all accounts.
pub struct Rosters {
    repository: Arc<dyn RosterRepository>,
    shards: Box<[Shard]>,
    hasher: foldhash::fast::RandomState,
}

impl Rosters {
    /// Over a repository.
    pub fn new(repository: Arc<dyn RosterRepository>) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            repository,
            shards,
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    fn shard(&self, account: &BareJid) -> &Shard {
        &self.shards[self.hasher.hash_one(account.as_str()) as usize % SHARDS]
    }

    /// A roster if it is in memory.
    pub fn cached(&self, account: &BareJid) -> Option<Arc<Roster>> {
        self.shard(account).lock().get(account).cloned()
    }

    /// A roster; empty if there is none.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn load(&self, account: &BareJid) -> Result<Arc<Roster>, StanzaError> {
        if let Some(roster) = self.cached(account) {
            return Ok(roster);
        }
        let roster = Arc::new(self.repository.load(account).await?);
        self.keep(account, roster.clone());
        Ok(roster)
    }

    /// Whether somebody may see the presence of an account: by a subscription (`from` or `both`), or because it is the
    /// account itself.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn shows_presence(
        &self,
        account: &BareJid,
        other: &Jid,
    ) -> Result<bool, StanzaError> {
        if other.bare_str() == account.as_str() {
            return Ok(true);
        }
        let roster = self.load(account).await?;
        Ok(
            item(&roster, other.bare_str())
                .is_some_and(|item| Standing::from(item).state.is_seen()),
        )
    }

    /// Changes a roster. `change` gets a copy and the version that the change will have, and may be called again if
    /// somebody else was first; `None` leaves everything as it is.
    ///
    /// # Errors
    /// That of `change`, or the store did not answer.
    pub async fn change<R>(
        &self,
        account: &BareJid,
        mut change: impl FnMut(&mut Roster, u64) -> Result<Option<R>, StanzaError> + Send,
    ) -> Result<Option<R>, StanzaError> {
        for _ in 0..MAX_ATTEMPTS {
            let before = self.load(account).await?;
            let mut roster = Roster::clone(&before);
            let Some(outcome) = change(&mut roster, before.version + 1)? else {
                return Ok(None);
            };
            match self
                .repository
                .store(account, &roster, before.version)
                .await
            {
                Ok(version) => {
                    roster.version = version;
                    self.keep(account, Arc::new(roster));
                    return Ok(Some(outcome));
                }
                Err(error) => {
                    // After a lost answer what is in memory may be behind.
                    self.forget(account);
                    if error.kind() != ErrorKind::Conflict {
                        return Err(error.into());
                    }
                }
            }
        }
        Err(crate::home::wait("the roster is being changed by others"))
    }

    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what is in memory.
    pub fn forget(&self, account: &BareJid) {
        self.shard(account).lock().remove(account);
    }

    /// Forgets the rosters of accounts for which `keep` answers false.
    pub fn retain(&self, keep: impl Fn(&BareJid) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.retain(|account, _| keep(account));
            shard.shrink_to_fit();
        }
    }

    fn keep(&self, account: &BareJid, roster: Arc<Roster>) {
        let mut shard = self.shard(account).lock();
        if let Some(known) = shard.get(account)
            && known.version > roster.version
        {
            return;
        }
        if shard.len() >= MAX_CACHED / SHARDS {
            shard.clear();
        }
        shard.insert(account.clone(), roster);
    }
}

/// An item by its address.
pub fn item<'a>(roster: &'a Roster, contact: &str) -> Option<&'a RosterItem> {
    roster
        .items
        .binary_search_by(|item| item.jid.as_str().cmp(contact))
        .ok()
        .map(|index| &roster.items[index])
}

/// An item by its address, made (outside the roster proper) if there is none.
pub fn item_mut<'a>(roster: &'a mut Roster, contact: &BareJid) -> &'a mut RosterItem {
    let index = match roster.items.binary_search_by(|item| item.jid.cmp(contact)) {
        Ok(index) => index,
        Err(index) => {
            let item = RosterItem {
                in_roster: false,
                ..RosterItem::new(contact.clone())
            };
            roster.items.insert(index, item);
            index
        }
    };
    &mut roster.items[index]
}

/// Takes an item out; a removal of one in the roster proper is remembered for roster versioning.
pub fn remove(roster: &mut Roster, contact: &BareJid, revision: u64) -> Option<RosterItem> {
    let index = roster
        .items
        .binary_search_by(|item| item.jid.cmp(contact))
        .ok()?;
    let item = roster.items.remove(index);
    if item.in_roster {
        roster.removed.push((contact.as_str().to_owned(), revision));
        if roster.removed.len() > Roster::MAX_REMOVED {
            let (_, forgotten) = roster.removed.remove(0);
            roster.floor = roster.floor.max(forgotten);
        }
    }
    Some(item)
}
