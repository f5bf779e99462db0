//! Rosters in memory: read through, changed by compare-and-set, one change of an account at a time.
//!
//! Who asks gets the owner's contacts together with those that the owner is given (`modules::groups`); who changes changes the
//! owner's alone.
//! Bound: [`MAX_CACHED`] rosters; a shard that is full forgets all of its own, which costs a read each. Those that privacy
//! lists ask for are [pinned](Rosters::pin): beside the homes in memory, and no more of them than there are homes.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use storage::{
    ErrorKind,
    repository::{Roster, RosterItem, RosterRepository},
};
use tokio::sync::{MutexGuard, OwnedMutexGuard};
use xmpp::{BareJid, Jid, StanzaError};

use super::subscription::Standing;
use crate::modules::groups::{self, Groups, Part};

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
    /// Resources that are there of contacts that are shown only while they are, of accounts with sessions.
    there: HashMap<BareJid, There, foldhash::fast::RandomState>,
}

/// Resources by contact.
type There = BTreeMap<BareJid, BTreeSet<String>>;

#[derive(Clone)]
struct Cached {
    /// The owner's.
    own: Arc<Roster>,
    /// Most are given nothing, and have none.
    given: Option<Arc<Given>>,
    /// By which reading of the groups.
    reading: u32,
    /// A write went wrong: the store may have a newer one. Rules are judged by it until it was read again.
    doubtful: bool,
}

/// Of somebody who is given contacts.
struct Given {
    part: Arc<Part>,
    /// The owner's contacts and these together.
    roster: Arc<Roster>,
}

impl Cached {
    fn roster(&self) -> &Arc<Roster> {
        self.given.as_ref().map_or(&self.own, |given| &given.roster)
    }

    fn part(&self) -> Arc<Part> {
        let given = self.given.as_ref();
        given.map_or_else(Arc::default, |given| given.part.clone())
    }
}

/// The rosters of all accounts.
pub struct Rosters {
    repository: Arc<dyn RosterRepository>,
    groups: Option<Arc<Groups>>,
    /// Somebody is given contacts that are shown only while they are there.
    watches: AtomicBool,
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
    /// Over a repository; nobody is given anything.
    pub fn new(repository: Arc<dyn RosterRepository>) -> Self {
        Self::build(repository, None)
    }

    /// Over a repository, with what accounts are given by these groups.
    pub fn with_groups(repository: Arc<dyn RosterRepository>, groups: Arc<Groups>) -> Self {
        Self::build(repository, Some(groups))
    }

    fn build(repository: Arc<dyn RosterRepository>, groups: Option<Arc<Groups>>) -> Self {
        let shards = (0..SHARDS).map(|_| Shard::default()).collect();
        Self {
            repository,
            groups,
            watches: AtomicBool::new(false),
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
        Some(shard.rosters.get(account)?.roster().clone())
    }

    /// What is in memory and is as it is stored.
    fn certain(&self, account: &BareJid) -> Option<Cached> {
        let shard = self.shard(account).lock();
        let cached = shard.rosters.get(account)?;
        (!cached.doubtful).then(|| cached.clone())
    }

    fn reading(&self, account: &BareJid) -> u32 {
        let groups = self.groups.as_ref();
        groups.map_or(0, |groups| groups.reading(account.domain()))
    }

    /// A roster; empty if there is none.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn load(&self, account: &BareJid) -> Result<Arc<Roster>, StanzaError> {
        Ok(self.read(account).await?.roster().clone())
    }

    /// What is an account's own.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn own(&self, account: &BareJid) -> Result<Arc<Roster>, StanzaError> {
        Ok(self.read(account).await?.own)
    }

    /// What an account is given.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn given(&self, account: &BareJid) -> Result<Arc<Part>, StanzaError> {
        Ok(self.read(account).await?.part())
    }

    /// A roster as it is stored, for who does not serve the account: what is in memory may be older.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn stored(&self, account: &BareJid) -> Result<Roster, StanzaError> {
        Ok(self.repository.load(account).await?)
    }

    async fn read(&self, account: &BareJid) -> storage::Result<Cached> {
        let reading = self.reading(account);
        let known = self.certain(account);
        if let Some(cached) = known.as_ref().filter(|known| known.reading == reading) {
            return Ok(cached.clone());
        }
        let own = match known {
            Some(known) => known.own,
            None => Arc::new(self.repository.load(account).await?),
        };
        let (part, reading) = match &self.groups {
            Some(groups) => groups.part(account).await?,
            None => (Arc::default(), 0),
        };
        Ok(self.keep(account, own, part, reading))
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
        shard.there.remove(account);
    }

    /// A roster as it is with what its owner was given before.
    pub fn as_shown(&self, account: &BareJid, own: &Arc<Roster>, part: &Part) -> Arc<Roster> {
        let shard = self.shard(account).lock();
        groups::merged(own, part, shard.there.get(account))
    }

    /// A contact is there, or is not. The roster, if its owner's clients are to be told of that: it shows the contact only
    /// while it is there.
    pub fn heard(&self, account: &BareJid, from: &Jid, is_there: bool) -> Option<Arc<Roster>> {
        if !self.watches.load(Ordering::Acquire) {
            return None;
        }
        let contact = from.to_bare();
        let Kept { rosters, there, .. } = &mut *self.shard(account).lock();
        let cached = rosters.get_mut(account)?;
        let part = cached.given.as_ref()?.part.clone();
        part.get(&contact).filter(|it| it.only_online)?;
        let there = there.entry(account.clone()).or_default();
        let was_there = there.contains_key(&contact);
        let resource = from.resource().unwrap_or_default();
        if is_there {
            let resources = there.entry(contact).or_default();
            resources.insert(resource.to_owned());
        } else if let Some(resources) = there.get_mut(&contact) {
            resources.remove(resource);
            if resources.is_empty() || resource.is_empty() {
                there.remove(&contact);
            }
        }
        // Where the account was served before more was known: who is gone is taken out in any case.
        let is_there = there.contains_key(&from.to_bare());
        if was_there && is_there {
            return None;
        }
        let roster = groups::merged(&cached.own, &part, Some(there));
        cached.given = Some(Arc::new(Given {
            part,
            roster: roster.clone(),
        }));
        Some(roster)
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
            let Kept {
                rosters,
                pinned,
                there,
            } = &mut *shard.lock();
            rosters.retain(|account, _| pinned.contains(account) || keep(account));
            rosters.shrink_to_fit();
            there.retain(|account, _| keep(account));
        }
    }

    /// Keeps what was read, or is newer; what is in memory then.
    fn keep(&self, account: &BareJid, own: Arc<Roster>, part: Arc<Part>, reading: u32) -> Cached {
        let Kept {
            rosters,
            pinned,
            there,
        } = &mut *self.shard(account).lock();
        let known = rosters.get(account);
        let own = match known {
            Some(known) if known.own.version > own.version => known.own.clone(),
            _ => own,
        };
        if part.is_watching {
            self.watches.store(true, Ordering::Release);
        }
        let given = (*part != Part::default()).then(|| {
            let roster = groups::merged(&own, &part, there.get(account));
            Arc::new(Given { part, roster })
        });
        let cached = Cached {
            own,
            given,
            reading,
            doubtful: false,
        };
        if known.is_none() && rosters.len() >= MAX_CACHED / SHARDS {
            rosters.retain(|account, _| pinned.contains(account));
        }
        rosters.insert(account.clone(), cached.clone());
        cached
    }
}

impl Turn<'_> {
    /// Changes what is the owner's of a roster. `change` gets a copy and the version that the change will have, and may be called again if
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
            let known = rosters.read(account).await?;
            let before = &known.own;
            let mut roster = Roster::clone(before);
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
                    rosters.keep(account, Arc::new(roster), known.part(), known.reading);
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
