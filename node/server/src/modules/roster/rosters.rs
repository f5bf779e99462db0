//! Rosters in memory: read through, changed by compare-and-set, one change of an account at a time.
//!
//! Bound: [`MAX_CACHED`] rosters; a shard that is full forgets all of its own, which costs a read each. Those that privacy
//! lists ask for are [pinned](Rosters::pin): beside the homes in memory, and no more of them than there are homes.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use storage::{
    ErrorKind,
    repository::{Roster, RosterItem, RosterRepository},
};
use tokio::sync::{MutexGuard, OwnedMutexGuard};
use xmpp::{BareJid, Jid, StanzaError};

use super::subscription::Standing;

const SHARDS: usize = 32;
const MAX_CACHED: usize = 8_192;
/// Accounts whose turns may come at the same time; those with one hash wait for each other.
const TURNS: usize = 1_024;
/// Attempts of a change against those of other nodes before the sender is told to wait.
const MAX_ATTEMPTS: usize = 16;

type Shard = Mutex<Kept>;

#[derive(Default)]
struct Kept {
    rosters: HashMap<BareJid, Cached, foldhash::fast::RandomState>,
    /// Whose roster stays, because stanzas are judged by it that cannot wait for the store.
    pinned: HashSet<BareJid, foldhash::fast::RandomState>,
}

struct Cached {
    roster: Arc<Roster>,
    /// A write went wrong: the store may have a newer one. Rules are judged by it until it was read again.
    doubtful: bool,
}

/// The rosters of all accounts.
pub struct Rosters {
    repository: Arc<dyn RosterRepository>,
    shards: Box<[Shard]>,
    turns: Box<[Arc<tokio::sync::Mutex<()>>]>,
    hasher: foldhash::fast::RandomState,
}

/// The right to change a roster and to tell of it. Kept until the pushes are posted, so that they come in the order of
/// their versions; given back before anything is done to another roster.
pub struct Turn<'a> {
    rosters: &'a Rosters,
    account: &'a BareJid,
    _guard: MutexGuard<'a, ()>,
}

impl Rosters {
    /// Over a repository.
    pub fn new(repository: Arc<dyn RosterRepository>) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            repository,
            shards,
            turns: (0..TURNS).map(|_| Default::default()).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    fn hash(&self, account: &BareJid) -> usize {
        self.hasher.hash_one(account.as_str()) as usize
    }

    fn shard(&self, account: &BareJid) -> &Shard {
        &self.shards[self.hash(account) % SHARDS]
    }

    /// Waits until nobody else on this node is changing this roster. First come, first served.
    pub async fn turn<'a>(&'a self, account: &'a BareJid) -> Turn<'a> {
        Turn {
            rosters: self,
            account,
            _guard: self.turns[self.hash(account) % TURNS].lock().await,
        }
    }

    /// Waits for the same turn, to keep others from changing this roster.
    pub async fn hold(&self, account: &BareJid) -> OwnedMutexGuard<()> {
        let turn = &self.turns[self.hash(account) % TURNS];
        turn.clone().lock_owned().await
    }

    /// A roster if it is in memory: the newest that is known.
    pub fn cached(&self, account: &BareJid) -> Option<Arc<Roster>> {
        let shard = self.shard(account).lock();
        Some(shard.rosters.get(account)?.roster.clone())
    }

    fn certain(&self, account: &BareJid) -> Option<Arc<Roster>> {
        let shard = self.shard(account).lock();
        let cached = shard.rosters.get(account)?;
        (!cached.doubtful).then(|| cached.roster.clone())
    }

    /// A roster; empty if there is none.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn load(&self, account: &BareJid) -> Result<Arc<Roster>, StanzaError> {
        Ok(self.read(account).await?)
    }

    /// A roster as it is stored, for who does not serve the account: what is in memory may be older.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn stored(&self, account: &BareJid) -> Result<Roster, StanzaError> {
        Ok(self.repository.load(account).await?)
    }

    async fn read(&self, account: &BareJid) -> storage::Result<Arc<Roster>> {
        if let Some(roster) = self.certain(account) {
            return Ok(roster);
        }
        let roster = Arc::new(self.repository.load(account).await?);
        self.keep(account, roster.clone());
        Ok(roster)
    }

    /// Loads a roster and keeps it in memory until [`Rosters::unpin`]: privacy lists ask for it.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn pin(&self, account: &BareJid) -> storage::Result<()> {
        // Before it is read: what is pinned is not dropped.
        self.shard(account).lock().pinned.insert(account.clone());
        self.read(account).await.map(drop)
    }

    /// Whose rosters are pinned.
    pub fn pinned(&self) -> Vec<BareJid> {
        let pinned = |shard: &Shard| shard.lock().pinned.iter().cloned().collect::<Vec<_>>();
        self.shards.iter().flat_map(pinned).collect()
    }

    /// No privacy list asks for it any more: it may be dropped.
    pub fn unpin(&self, account: &BareJid) {
        let mut shard = self.shard(account).lock();
        shard.pinned.remove(account);
        shard.pinned.shrink_to_fit();
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

    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().rosters.len())
            .sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The account was made or removed: what is in memory counts no longer.
    pub fn forget(&self, account: &BareJid) {
        let mut shard = self.shard(account).lock();
        shard.rosters.remove(account);
        shard.pinned.remove(account);
    }

    /// The store may have a newer one.
    fn doubt(&self, account: &BareJid) {
        if let Some(cached) = self.shard(account).lock().rosters.get_mut(account) {
            cached.doubtful = true;
        }
    }

    /// Forgets the rosters of accounts for which `keep` answers false and that are not pinned.
    pub fn retain(&self, keep: impl Fn(&BareJid) -> bool) {
        for shard in &self.shards {
            let Kept { rosters, pinned } = &mut *shard.lock();
            rosters.retain(|account, _| pinned.contains(account) || keep(account));
            rosters.shrink_to_fit();
        }
    }

    fn keep(&self, account: &BareJid, roster: Arc<Roster>) {
        let Kept { rosters, pinned } = &mut *self.shard(account).lock();
        if let Some(known) = rosters.get(account)
            && known.roster.version > roster.version
        {
            return;
        }
        if rosters.len() >= MAX_CACHED / SHARDS {
            rosters.retain(|account, _| pinned.contains(account));
        }
        let doubtful = false;
        rosters.insert(account.clone(), Cached { roster, doubtful });
    }
}

impl Turn<'_> {
    /// Changes a roster. `change` gets a copy and the version that the change will have, and may be called again if
    /// somebody else was first; `None` leaves everything as it is.
    ///
    /// # Errors
    /// That of `change`, or the store did not answer.
    pub async fn change<R>(
        &self,
        mut change: impl FnMut(&mut Roster, u64) -> Result<Option<R>, StanzaError> + Send,
    ) -> Result<Option<R>, StanzaError> {
        let Self {
            rosters, account, ..
        } = self;
        for _ in 0..MAX_ATTEMPTS {
            let before = rosters.load(account).await?;
            let mut roster = Roster::clone(&before);
            let Some(outcome) = change(&mut roster, before.version + 1)? else {
                return Ok(None);
            };
            match rosters
                .repository
                .store(account, &roster, before.version)
                .await
            {
                Ok(version) => {
                    roster.version = version;
                    rosters.keep(account, Arc::new(roster));
                    return Ok(Some(outcome));
                }
                Err(error) => {
                    // After a lost answer what is in memory may be behind.
                    rosters.doubt(account);
                    if error.kind() != ErrorKind::Conflict {
                        return Err(error.into());
                    }
                }
            }
        }
        Err(crate::home::wait("the roster is being changed by others"))
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
