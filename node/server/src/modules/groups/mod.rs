//! Shared groups: contacts that an organisation gives to its people.
//!
//! Source: no XEP; what `storage::repository::shared_groups` says. Left out: members of other domains are shown, and their
//! presence is theirs to give.
//!
//! | file | concern |
//! |---|---|
//! | [`snapshot`] | who belongs to what and sees whom; pure |
//! | [`merge`] | what a roster becomes with it, and what of that changed; pure |
//! | here | the groups of each domain in memory, read anew when they may have changed |
//!
//! Why in memory: whatever asks for a roster asks for what is given with it, presence above all. What is in memory is what was
//! read last: while the store or the directory does not answer it goes on counting, and before it ever answered nobody is told
//! that there are no groups.
//! Stored: by the repository. Bounds: those of the repository; [`Options::contacts`] for an account; the accounts of a domain
//! whose groups are about all of them.

pub mod merge;
pub mod snapshot;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use storage::{
    Error, ErrorKind, Result,
    repository::{AccountRepository, GroupMember, SharedGroup, SharedGroupRepository},
};
use tokio::sync::{Mutex as Turn, MutexGuard};
use xmpp::BareJid;

pub use merge::{Change, merged};
pub use snapshot::{Contact, Part, Snapshot};

/// Accounts of a domain that are read at once.
const AT_ONCE: usize = 1_000;
/// How often a group is read again that changes while it is read.
const MAX_ATTEMPTS: usize = 8;

/// How groups are used.
#[derive(Debug, Clone)]
pub struct Options {
    /// The domains that have any.
    pub domains: Vec<String>,
    /// Contacts that one account is given at most; groups beyond it are left out whole.
    pub contacts: usize,
}

#[derive(Default)]
struct Domain {
    current: Mutex<Option<Arc<Snapshot>>>,
    /// Who reads, and tells of what has changed: one after the other.
    turn: Turn<()>,
    /// It may have changed.
    doubtful: AtomicBool,
    /// The reading of which it was said that somebody is given too much.
    warned: AtomicU32,
}

/// The groups of all domains.
pub struct Groups {
    repository: Arc<dyn SharedGroupRepository>,
    accounts: Arc<dyn AccountRepository>,
    options: Options,
    domains: HashMap<String, Domain>,
    /// What a directory shows to whom: that is known only for who was asked about. As many as there are rosters in memory.
    decided: Mutex<HashMap<BareJid, Arc<[String]>>>,
}

/// What was read, and what counted before.
pub struct Renewed {
    /// Before.
    pub before: Arc<Snapshot>,
    /// Now.
    pub after: Arc<Snapshot>,
    /// What was decided before for those who were asked about.
    pub decided: HashMap<BareJid, Arc<[String]>>,
}

impl Groups {
    /// Over repositories.
    pub fn new(
        repository: Arc<dyn SharedGroupRepository>,
        accounts: Arc<dyn AccountRepository>,
        options: Options,
    ) -> Self {
        let domains = options.domains.iter();
        let domains = domains.map(|domain| (domain.clone(), Domain::default()));
        Self {
            repository,
            accounts,
            domains: domains.collect(),
            options,
            decided: Mutex::default(),
        }
    }

    /// Which reading of a domain's groups counts; 0: none, or it has none.
    pub fn reading(&self, domain: &str) -> u32 {
        let domain = self.domains.get(domain);
        let current = domain.and_then(|domain| domain.current.lock().clone());
        current.map_or(0, |snapshot| snapshot.reading)
    }

    /// The groups of a domain; `None`: it has none.
    async fn snapshot(&self, domain: &str) -> Result<Option<Arc<Snapshot>>> {
        let Some(known) = self.domains.get(domain) else {
            return Ok(None);
        };
        let current = || known.current.lock().clone();
        if let Some(snapshot) = current() {
            return Ok(Some(snapshot));
        }
        let _turn = known.turn.lock().await;
        if let Some(snapshot) = current() {
            return Ok(Some(snapshot));
        }
        let snapshot = Arc::new(self.read(domain, None).await?);
        *known.current.lock() = Some(snapshot.clone());
        Ok(Some(snapshot))
    }

    /// Reads what was never read, so that nobody has to wait for it who comes.
    pub async fn warm(&self) {
        for domain in &self.options.domains {
            if let Err(error) = self.snapshot(domain).await {
                tracing::warn!(%domain, %error, "shared groups are not read");
            }
        }
    }

    /// What an account is given, and by which reading.
    ///
    /// # Errors
    /// It was never read, and cannot be now.
    pub async fn part(&self, account: &BareJid) -> Result<(Arc<Part>, u32)> {
        let Some(snapshot) = self.snapshot(account.domain()).await? else {
            return Ok((Arc::default(), 0));
        };
        if snapshot.is_empty() {
            return Ok((Arc::default(), snapshot.reading));
        }
        let decided = match snapshot.is_decided() {
            false => Arc::from([]),
            true => self.decide(account).await?,
        };
        let part = snapshot.part(account, &decided, self.options.contacts);
        let domain = self.domains.get(account.domain());
        let said = |it: &Domain| it.warned.swap(snapshot.reading, Ordering::Relaxed);
        // Once for all of its accounts.
        if part.left_out > 0 && domain.is_some_and(|it| said(it) != snapshot.reading) {
            let groups = part.left_out;
            tracing::warn!(%account, groups, "groups left out: more contacts than an account is given");
        }
        Ok((Arc::new(part), snapshot.reading))
    }

    /// What was given before.
    pub fn former(&self, renewed: &Renewed, account: &BareJid) -> Part {
        let decided = renewed.decided.get(account).cloned();
        let decided = decided.unwrap_or_else(|| Arc::from([]));
        let most = self.options.contacts;
        renewed.before.part(account, &decided, most)
    }

    /// Which groups of a directory an account is shown; what was said last if it does not answer.
    async fn decide(&self, account: &BareJid) -> Result<Arc<[String]>> {
        match self.repository.shown_to(account).await {
            Ok(shown) => {
                let shown: Arc<[String]> = shown.into();
                let mut decided = self.decided.lock();
                decided.insert(account.clone(), shown.clone());
                Ok(shown)
            }
            Err(error) => {
                let known = self.decided.lock().get(account).cloned();
                known.ok_or(error)
            }
        }
    }

    /// Forgets what was decided for accounts of which `keep` answers false.
    pub fn retain(&self, keep: impl Fn(&BareJid) -> bool) {
        let mut decided = self.decided.lock();
        decided.retain(|account, _| keep(account));
    }

    /// Groups of a domain may have changed: they are read anew with the next sweep.
    pub fn doubt(&self, domain: &str) {
        if let Some(domain) = self.domains.get(domain) {
            domain.doubtful.store(true, Ordering::Release);
        }
    }

    /// An account was made or removed: where groups are about all accounts they have changed.
    pub fn account_changed(&self, account: &BareJid) {
        let domain = self.domains.get(account.domain());
        let current = domain.and_then(|domain| domain.current.lock().clone());
        if current.is_some_and(|snapshot| snapshot.is_about_all()) {
            self.doubt(account.domain());
        }
    }

    /// All may have changed.
    pub fn doubt_all(&self) {
        for domain in self.domains.values() {
            domain.doubtful.store(true, Ordering::Release);
        }
    }

    /// Domains whose groups may have changed; each is named once.
    pub fn take_doubtful(&self) -> Vec<String> {
        let domains = self.domains.iter();
        let doubtful = domains.filter(|(_, it)| it.doubtful.swap(false, Ordering::AcqRel));
        doubtful.map(|(name, _)| name.clone()).collect()
    }

    /// The right to read a domain's groups anew and to tell of it; `None`: it has none.
    pub async fn turn(&self, domain: &str) -> Option<MutexGuard<'_, ()>> {
        Some(self.domains.get(domain)?.turn.lock().await)
    }

    /// Reads a domain's groups anew: for who has the turn. `None`: nothing has changed, or nobody has asked for them yet.
    ///
    /// # Errors
    /// They cannot be read: what was read before goes on counting.
    pub async fn renew(&self, domain: &str) -> Result<Option<Renewed>> {
        let Some(known) = self.domains.get(domain) else {
            return Ok(None);
        };
        let Some(before) = known.current.lock().clone() else {
            return Ok(None);
        };
        let after = self.read(domain, Some(&before)).await?;
        if after.is_as(&before) && !after.is_decided() {
            return Ok(None);
        }
        let after = Arc::new(after);
        let decided = self.decided.lock().clone();
        *known.current.lock() = Some(after.clone());
        Ok(Some(Renewed {
            before,
            after,
            decided,
        }))
    }

    /// Reads the groups of a domain; those that have the version that is known are not read again.
    async fn read(&self, domain: &str, known: Option<&Snapshot>) -> Result<Snapshot> {
        let keeps_versions = self.repository.is_writable(domain);
        let mut groups = Vec::new();
        for group in self.repository.all(domain).await? {
            let same = known
                .filter(|_| keeps_versions)
                .and_then(|known| known.members_of(&group));
            match same {
                Some(members) => groups.push((group, members)),
                None => groups.extend(self.whole(domain, group).await?),
            }
        }
        let mut snapshot = Snapshot::new(domain, groups);
        if snapshot.is_about_all() {
            snapshot.set_accounts(self.all_accounts(domain).await?);
        }
        Ok(snapshot)
    }

    /// A group with its members, of one time; `None`: it is gone.
    async fn whole(
        &self,
        domain: &str,
        mut group: SharedGroup,
    ) -> Result<Option<(SharedGroup, Arc<[GroupMember]>)>> {
        for _ in 0..MAX_ATTEMPTS {
            let most = SharedGroup::MAX_MEMBERS;
            let members = self.repository.members(domain, &group.id, None, most);
            let members = members.await?;
            let Some(after) = self.repository.load(domain, &group.id).await? else {
                return Ok(None);
            };
            if after.version == group.version {
                return Ok(Some((group, members.into())));
            }
            group = after;
        }
        let context = "a shared group that changes all the time";
        Err(Error::new(ErrorKind::Throttled, context))
    }

    async fn all_accounts(&self, domain: &str) -> Result<Vec<BareJid>> {
        let mut all: Vec<BareJid> = Vec::new();
        let mut after: Option<String> = None;
        // One more than anybody is given tells that they are too many.
        while all.len() <= self.options.contacts {
            let page = self.accounts.list(domain, after.as_deref(), AT_ONCE);
            let page = page.await?;
            let jid = |name: &String| BareJid::from_parts(Some(name), domain).ok();
            all.extend(page.iter().filter_map(jid));
            if page.len() < AT_ONCE {
                break;
            }
            after = page.last().cloned();
        }
        all.sort_unstable();
        Ok(all)
    }
}
