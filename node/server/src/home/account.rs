//! The home of an account: its log, what waits for its clients, who blocks whom, the presence of its sessions.
//!
//! A locked state, not a task: an operation runs in its caller while the account is loaded and costs no hop; what must
//! wait for the store is queued, and one flush at a time writes what has gathered as one item of the log. Locks are
//! leaves: nothing but mailboxes is locked while a home is.
//! Stored: the account's log and its mailbox record.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cluster::directory::Entry;
use parking_lot::Mutex;
use smallvec::SmallVec;
use storage::{
    ErrorKind,
    repository::{
        ArchivePreferences, EntryFlags, LogEntry, LogRange, Mailbox, NewEntry, PrivacyData,
    },
};
use thin_vec::ThinVec;
use xmpp::{
    BareJid, ErrorType, FullJid, Jid, Stanza, StanzaError, StanzaErrorCondition as Condition,
};

use super::{
    pending::{Deliverable, Pending},
    render::{self, Direction},
};
use crate::{
    modules::{
        archive::{
            self, preferences,
            retraction::{self, Retraction},
        },
        blocking::{Passing, rules},
        vcard::Photo,
    },
    pipeline::{
        archive_rule::Class,
        delivery::{self, Action, Addressee, MessageType, Resource},
    },
    routing::{Delivery, Letter, Origin, Posted, Progress, Router, SessionHandle, Shared, flags},
};

/// Operations that may wait for a home to load, or entries for a flush: beyond this, senders are told to wait.
const MAX_QUEUE: usize = 4096;
/// Entries of one append.
const MAX_APPEND: usize = 64;
/// Bytes of one append.
const MAX_APPEND_BYTES: usize = 60 << 10;
/// How long a flush waits after a failure: at first, at most, and when senders are told.
const FIRST_DELAY: Duration = Duration::from_millis(20);
const LAST_DELAY: Duration = Duration::from_secs(2);
const GIVE_UP_DELAY: Duration = Duration::from_secs(1);
/// How often a retraction is tried: for two minutes, in which a disk gets room or a store comes back.
const RETRACTION_ATTEMPTS: u32 = 64;
/// Acknowledged entries after which the mailbox record is written.
const ACKS_PER_SAVE: u32 = 50;

/// The home of one account.
pub struct Home {
    /// Whose.
    pub account: BareJid,
    inner: Mutex<Inner>,
    /// Writes to the store that are under way.
    writing: AtomicU32,
    /// What is still being loaded is of no use.
    forgotten: AtomicBool,
}

/// A write to the store that is under way.
struct Writing<'a>(&'a Home);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.fetch_sub(1, Ordering::Release);
    }
}

enum Inner {
    Loading(Vec<Waiting>),
    /// There is no such account.
    Absent,
    Ready(Box<State>),
    /// Could not be loaded, or was dropped from memory: look it up again.
    Gone,
}

/// What waits for a home to load.
enum Waiting {
    Receive(Parcel),
    Sent(Parcel),
    Then(Box<dyn FnOnce(&Inner) + Send>),
}

#[derive(Default)]
struct State {
    /// The account is stored nowhere (XEP-0175): nothing is written, and nothing waits for it.
    passing: bool,
    /// Newest committed number.
    head: u64,
    /// Time of the newest entry, so that times never go back.
    newest_ms: u64,
    queue: VecDeque<Queued>,
    flushing: bool,
    pending: Pending,
    privacy: Arc<PrivacyData>,
    preferences: Option<Arc<ArchivePreferences>>,
    /// By session; as bytes, since few are asked for.
    presences: ThinVec<(u64, Bytes)>,
    /// Known once a session was available.
    photo: Option<Photo>,
    mailbox: Mailbox,
    unsaved_acks: u32,
}

/// A message on its way through a home.
pub struct Parcel {
    /// The message, its sender stamped.
    pub stanza: Stanza,
    /// What it is.
    pub class: Class,
    /// Who waits for the outcome.
    pub origin: Option<Origin>,
    /// The sender's home, where a copy goes afterwards.
    pub copy: Option<Arc<Home>>,
}

struct Queued {
    parcel: Parcel,
    /// By this account, for its archive and its other resources; otherwise for this account.
    sent: bool,
    /// How it goes into the log, if it does.
    flags: Option<EntryFlags>,
}

/// A write to the log. It stays as it is until it is known whether it was done.
struct Append {
    /// Behind which number.
    head: u64,
    /// By which the store recognises it.
    write_id: u64,
    entries: Vec<NewEntry>,
    /// An answer was lost: it may be in the log.
    maybe_done: bool,
}

/// What is done after the lock is gone.
enum After {
    Nothing,
    Done(Parcel),
    Refuse(Parcel, StanzaError),
}

impl Home {
    pub(super) fn loading(account: BareJid) -> Self {
        Self {
            account,
            inner: Mutex::new(Inner::Loading(Vec::new())),
            writing: AtomicU32::new(0),
            forgotten: AtomicBool::new(false),
        }
    }

    /// The home of an account that is stored nowhere.
    pub(super) fn passing(account: BareJid) -> Self {
        Self {
            inner: Mutex::new(Inner::Ready(Box::new(State {
                passing: true,
                ..State::default()
            }))),
            ..Self::loading(account)
        }
    }

    /// Whether a new lookup is needed.
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.inner.lock(), Inner::Gone)
    }

    /// Whether something is being written that was begun before the home was forgotten.
    pub fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Acquire) > 0
    }

    /// Held while something is written; `None` once the home is gone: its account may be another's.
    fn write(&self) -> Option<Writing<'_>> {
        // Counted under the lock: who has forgotten the home sees it.
        self.with(|_| {
            self.writing.fetch_add(1, Ordering::Relaxed);
            Writing(self)
        })
    }

    fn is_absent(&self) -> bool {
        matches!(*self.inner.lock(), Inner::Absent)
    }

    /// Runs `ready` on the loaded state, now or when it is loaded; `otherwise` if there is no such account, it cannot
    /// be loaded, or too much waits for that.
    fn with<R>(&self, ready: impl FnOnce(&mut State) -> R) -> Option<R> {
        match &mut *self.inner.lock() {
            Inner::Ready(state) => Some(ready(state)),
            _ => None,
        }
    }

    /// Waits until the home is loaded; whether the account exists.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn exists(self: &Arc<Self>, _router: &Arc<Router>) -> Result<bool, StanzaError> {
        let exists = |inner: &Inner| match inner {
            Inner::Ready(_) => Ok(true),
            Inner::Absent => Ok(false),
            Inner::Loading(_) | Inner::Gone => Err(wait("the account's data cannot be read now")),
        };
        let receiver = match &mut *self.inner.lock() {
            Inner::Loading(waiting) if waiting.len() >= MAX_QUEUE => {
                return Err(wait("too much waits for this account"));
            }
            Inner::Loading(waiting) => {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                waiting.push(Waiting::Then(Box::new(move |inner| {
                    let _ = sender.send(exists(inner));
                })));
                receiver
            }
            inner => return exists(inner),
        };
        receiver
            .await
            .unwrap_or_else(|_| Err(wait("the account's data cannot be read now")))
    }

    /// A message for this account (RFC 6121 §8.5).
    pub fn receive(self: &Arc<Self>, router: &Arc<Router>, parcel: Parcel) -> Progress {
        let after = self.receive_in(&mut self.inner.lock(), router, parcel);
        self.finish(router, after)
    }

    fn receive_in(
        self: &Arc<Self>,
        inner: &mut Inner,
        router: &Arc<Router>,
        parcel: Parcel,
    ) -> After {
        match inner {
            Inner::Ready(state) => state.receive(self, router, parcel),
            Inner::Absent => After::Refuse(parcel, Condition::ServiceUnavailable.into()),
            Inner::Gone => After::Refuse(parcel, wait("the account's data cannot be read now")),
            Inner::Loading(waiting) if waiting.len() < MAX_QUEUE => {
                waiting.push(Waiting::Receive(parcel));
                After::Nothing
            }
            Inner::Loading(_) => After::Refuse(parcel, wait("too much waits for this account")),
        }
    }

    /// A copy of a message this account sent, after the recipient's side is done.
    pub fn sent(self: &Arc<Self>, router: &Arc<Router>, parcel: Parcel) -> Progress {
        let after = self.sent_in(&mut self.inner.lock(), router, parcel);
        self.finish(router, after)
    }

    fn sent_in(self: &Arc<Self>, inner: &mut Inner, router: &Arc<Router>, parcel: Parcel) -> After {
        match inner {
            Inner::Ready(state) => state.sent(self, router, parcel),
            Inner::Loading(waiting) => {
                waiting.push(Waiting::Sent(parcel));
                After::Nothing
            }
            Inner::Absent => After::Done(parcel),
            // The session went, and the home with it; the copy still counts. Until it is kept its sender is not told that
            // it is.
            Inner::Gone => {
                let (account, router) = (self.account.clone(), router.clone());
                router.clone().spawn(async move {
                    tokio::time::sleep(FIRST_DELAY).await;
                    let origin = parcel.origin.clone();
                    tell(
                        router.homes.get(&router, &account).sent(&router, parcel),
                        origin,
                    );
                });
                After::Nothing
            }
        }
    }

    fn finish(self: &Arc<Self>, router: &Arc<Router>, after: After) -> Progress {
        match after {
            After::Nothing => Progress::Pending,
            After::Done(mut parcel) => match parcel.copy.take() {
                Some(sender) => sender.sent(router, parcel),
                None => Progress::Done,
            },
            After::Refuse(parcel, error) => {
                router.refuse(&parcel.stanza, &error);
                Progress::Done
            }
        }
    }

    /// Clients acknowledged these entries, or their sockets took them.
    pub fn acknowledge(self: &Arc<Self>, router: &Arc<Router>, numbers: &[u64]) {
        let save = self.with(|state| {
            state.unsaved_acks += state.pending.acknowledge(numbers.iter().copied()) as u32;
            state.unsaved_acks >= ACKS_PER_SAVE
        });
        if save == Some(true) {
            self.save(router);
        }
    }

    /// A session ended: what its client did not acknowledge goes to another available resource, or waits.
    pub fn release(self: &Arc<Self>, router: &Arc<Router>, numbers: Vec<u64>) {
        self.with(|state| {
            state.pending.release(numbers);
            if state.pending.unclaimed() == 0 {
                return;
            }
            let entries = router.entries(self.account.as_str());
            let best = delivery::most_available(entries.iter().map(|e| e.priority));
            let target = best.map(|place| entries[place].session.number);
            if let Some(target) = target.and_then(|number| router.sessions.get(number)) {
                state.give_waiting(&target);
            }
        });
    }

    /// A resource became available with a priority of 0 or more: it gets all that waits and nobody holds.
    pub fn drain(&self, handle: &SessionHandle) {
        self.with(|state| state.give_waiting(handle));
    }

    /// The oldest of what waits and nobody holds, for a session that has come to [`Letter::Waiting`].
    pub fn claim(&self, limit: usize) -> Vec<u64> {
        self.with(|state| state.pending.claim(limit))
            .unwrap_or_default()
    }

    /// Reads entries that a session was only told the numbers of. `None` beside a number: it is no longer there.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn fetch(
        &self,
        router: &Router,
        numbers: &[u64],
    ) -> storage::Result<Vec<(u64, Option<Delivery>)>> {
        let mut fetched = Vec::with_capacity(numbers.len());
        let mut rest = numbers;
        while let Some(&from) = rest.first() {
            // Numbers that follow each other closely are read at once.
            let count = rest.iter().take_while(|&&n| n - from < 128).count();
            let to = rest[count - 1];
            let entries = router
                .stores
                .logs
                .read(&self.account, LogRange { from, to }, false, 128)
                .await?;
            for &number in &rest[..count] {
                let entry = entries.iter().find(|e| e.number == number);
                let delivery = entry.and_then(|entry| render::delayed(entry, &self.account));
                fetched.push((number, delivery));
            }
            rest = &rest[count..];
        }
        Ok(fetched)
    }

    /// What a logged message takes back becomes a tombstone (XEP-0424 §5.2).
    async fn retract(&self, router: &Router, number: u64, retraction: &Retraction) {
        let mut delay = FIRST_DELAY;
        for attempt in 1..=RETRACTION_ATTEMPTS {
            let Some(writing) = self.write() else { return };
            let logs = &*router.stores.logs;
            let applied = archive::apply_retraction(logs, &self.account, number, retraction);
            let applied = applied.await;
            drop(writing);
            let Err(error) = applied else { return };
            let left = RETRACTION_ATTEMPTS - attempt;
            tracing::warn!(account = %self.account, %error, left, "a retracted message is still in the archive");
            if left > 0 {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(LAST_DELAY);
            }
        }
        tracing::error!(account = %self.account, number, "a retracted message was left in the archive");
    }

    /// Remembers or forgets the presence of a session, for those who probe.
    /// Returns whether there was one.
    pub fn set_presence(&self, session: u64, presence: Option<Stanza>) -> bool {
        self.with(|state| {
            let before = state.presences.len();
            state.presences.retain(|(number, _)| *number != session);
            let known = state.presences.len() < before;
            if let Some(presence) = presence {
                state.presences.push((session, presence.raw().clone()));
            }
            state.presences.shrink_to_fit();
            known
        })
        .unwrap_or(false)
    }

    /// The presence of every available session.
    pub fn presences(&self) -> Vec<(u64, Stanza)> {
        let presences = self.with(|state| state.presences.clone());
        let parsed = |(session, bytes)| Some((session, Stanza::parse(bytes).ok()?));
        presences.into_iter().flatten().filter_map(parsed).collect()
    }

    /// The presence of a full address: that of its newest session, if one took it over from another.
    pub fn presence_of(&self, jid: &FullJid) -> Option<(u64, Stanza)> {
        let own = self.presences().into_iter();
        own.filter(|(_, presence)| presence.from() == Some(jid.as_jid()))
            .max_by_key(|(session, _)| *session)
    }

    /// Changes the presence of every available session; what became of it. `None` leaves it.
    pub fn change_presences(
        &self,
        change: impl Fn(&Stanza) -> Option<Stanza>,
    ) -> Vec<(u64, Stanza)> {
        self.with(|state| {
            let mut changed = Vec::new();
            for (session, presence) in &mut state.presences {
                if let Ok(old) = Stanza::parse(presence.clone())
                    && let Some(new) = change(&old)
                {
                    presence.clone_from(new.raw());
                    changed.push((*session, new));
                }
            }
            changed
        })
        .unwrap_or_default()
    }

    /// The photo that presence tells of (XEP-0153); `None`: it was not looked up yet.
    pub fn photo(&self) -> Option<Photo> {
        self.with(|state| state.photo)?
    }

    /// The photo is this, unless that of a newer vCard is known; which of them counts.
    pub fn set_photo(&self, photo: Photo) -> Photo {
        let newest = |state: &mut State| {
            let known = state.photo.filter(|known| known.version > photo.version);
            *state.photo.insert(known.unwrap_or(photo))
        };
        self.with(newest).unwrap_or(photo)
    }

    /// The lists in force; `None` while the home is not loaded.
    pub fn privacy(&self) -> Option<Arc<PrivacyData>> {
        self.with(|state| state.privacy.clone())
    }

    /// Puts new lists in force.
    pub fn set_privacy(&self, lists: Arc<PrivacyData>) {
        self.with(|state| {
            // Of two changes at once the later one may report first.
            if lists.version >= state.privacy.version {
                state.privacy = lists;
            }
        });
    }

    /// Puts new archive preferences in force.
    pub fn set_preferences(&self, preferences: Arc<ArchivePreferences>) {
        self.with(|state| {
            if state
                .preferences
                .as_ref()
                .is_none_or(|known| preferences.version >= known.version)
            {
                state.preferences = Some(preferences);
            }
        });
    }

    /// Newest committed number of the log.
    pub fn head(&self) -> Option<u64> {
        self.with(|state| state.head)
    }

    /// How many messages wait for a client that nobody holds.
    pub fn waiting(&self) -> usize {
        self.with(|state| state.pending.unclaimed()).unwrap_or(0)
    }

    /// The last resource went away: remember when, and what it said (XEP-0012).
    pub fn last_seen(self: &Arc<Self>, router: &Arc<Router>, status: Option<String>) {
        let now = router.now_ms();
        self.with(|state| {
            state.mailbox.last_active_ms = now;
            state.mailbox.last_status = status;
            state.unsaved_acks = state.unsaved_acks.max(1);
        });
        self.save(router);
    }

    /// When the last resource went away and what it said.
    pub fn last_activity(&self) -> Option<(u64, Option<String>)> {
        self.with(|state| {
            (
                state.mailbox.last_active_ms,
                state.mailbox.last_status.clone(),
            )
        })
    }

    /// Writes how far the log was handed over, if that is not written yet.
    pub fn save(self: &Arc<Self>, router: &Arc<Router>) {
        let work = self.with(|state| {
            if state.unsaved_acks == 0 || state.passing {
                return None;
            }
            state.unsaved_acks = 0;
            (state.mailbox.acked, state.mailbox.undelivered) =
                state.pending.summary(state.head, Mailbox::MAX_UNDELIVERED);
            Some((state.mailbox.clone(), state.pending.take_spent()))
        });
        let Some(Some((mailbox, spent))) = work else {
            return;
        };
        let (home, router) = (self.clone(), router.clone());
        router.clone().spawn(async move {
            let Some(_writing) = home.write() else { return };
            home.forget_delivered(&router, mailbox.floor(), spent).await;
            match router
                .stores
                .mailboxes
                .store(&home.account, &mailbox, mailbox.version)
                .await
            {
                Ok(version) => {
                    home.with(|state| state.mailbox.version = version);
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    // Another write came between; the next save names the version that is there now.
                    if let Ok(current) = router.stores.mailboxes.load(&home.account).await {
                        home.with(|state| {
                            state.mailbox.version = current.version;
                            state.unsaved_acks = state.unsaved_acks.max(1);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(account = %home.account, %error, "mailbox not saved");
                    home.with(|state| state.unsaved_acks = state.unsaved_acks.max(1));
                }
            }
        });
    }

    /// What was handed over and no archive keeps goes from the log; an archive that was turned off stays. Before the
    /// mailbox is written, or a crash between would leave it there for ever. What fails is done at the next save.
    async fn forget_delivered(&self, router: &Router, floor: u64, mut spent: Vec<u64>) {
        let logs = &router.stores.logs;
        let forget = async {
            if !router.config.archive.enabled {
                let first = logs.truncate_unarchived(&self.account, floor).await?;
                spent.retain(|number| *number >= first);
            }
            logs.blank(&self.account, &spent).await
        };
        let forgotten = forget.await;
        if let Err(error) = forgotten {
            tracing::warn!(account = %self.account, %error, "delivered messages not removed");
            self.with(|state| {
                state.pending.keep_spent(spent);
                state.unsaved_acks = state.unsaved_acks.max(1);
            });
        }
    }

    /// Whether nothing would be lost by dropping it from memory; if so it is gone.
    pub(super) fn try_evict(self: &Arc<Self>, router: &Arc<Router>) -> bool {
        let mut inner = self.inner.lock();
        let idle = match &*inner {
            Inner::Ready(state) => {
                state.queue.is_empty()
                    && !state.flushing
                    && state.unsaved_acks == 0
                    && router.directory.lookup(self.account.as_str()).is_none()
            }
            Inner::Absent | Inner::Gone => true,
            Inner::Loading(_) => false,
        };
        if idle {
            *inner = Inner::Gone;
        }
        idle
    }

    /// The account was removed or made: what is in memory counts no longer. Who waits for the outcome of a message that is
    /// not in the log is told that there is none.
    pub(super) fn forget(self: &Arc<Self>, router: &Arc<Router>) {
        let gone = {
            let mut inner = self.inner.lock();
            self.forgotten.store(true, Ordering::Relaxed);
            match &*inner {
                Inner::Loading(_) => return,
                _ => std::mem::replace(&mut *inner, Inner::Gone),
            }
        };
        let Inner::Ready(state) = gone else { return };
        for queued in state.queue {
            let origin = queued.parcel.origin.clone();
            let after = if queued.sent {
                // It was delivered; there is no archive any more to keep it.
                After::Done(queued.parcel)
            } else {
                After::Refuse(queued.parcel, Condition::ServiceUnavailable.into())
            };
            tell(self.finish(router, after), origin);
        }
    }

    pub(super) async fn load(self: Arc<Self>, router: Arc<Router>) {
        let loaded = self.read(&router).await;
        let failed = loaded.is_err();
        let state = match loaded {
            Ok(Some(state)) => Inner::Ready(Box::new(state)),
            Ok(None) => Inner::Absent,
            Err(error) => {
                tracing::warn!(account = %self.account, %error, "account not loaded");
                Inner::Gone
            }
        };
        let mut outcomes = Vec::new();
        {
            let mut inner = self.inner.lock();
            let state = match self.forgotten.load(Ordering::Relaxed) {
                true => Inner::Gone,
                false => state,
            };
            let waiting = match std::mem::replace(&mut *inner, state) {
                Inner::Loading(waiting) => waiting,
                _ => Vec::new(),
            };
            // Under the lock: what comes now may not overtake what waited.
            for waiting in waiting {
                match waiting {
                    Waiting::Receive(parcel) => {
                        let origin = parcel.origin.clone();
                        outcomes.push((self.receive_in(&mut inner, &router, parcel), origin));
                    }
                    Waiting::Sent(parcel) => {
                        let origin = parcel.origin.clone();
                        outcomes.push((self.sent_in(&mut inner, &router, parcel), origin));
                    }
                    Waiting::Then(then) => then(&inner),
                }
            }
        }
        if failed || self.is_absent() && !router.homes.may_keep_absent() {
            router.homes.drop_gone(&self);
        }
        for (after, origin) in outcomes {
            tell(self.finish(&router, after), origin);
        }
    }

    async fn read(&self, router: &Router) -> storage::Result<Option<State>> {
        let stores = &router.stores;
        if stores.accounts.load(&self.account).await?.is_none() {
            return Ok(None);
        }
        let tip = stores.logs.tip(&self.account).await?;
        let mailbox = stores.mailboxes.load(&self.account).await?;
        let mut pending = Pending::default();
        // How long they are, and what the archive keeps of them, says the log.
        let mut rest = &mailbox.undelivered[..];
        while let Some(&from) = rest.first() {
            let (near, far) = rest.split_at(rest.partition_point(|&number| number - from < 128));
            let to = near.last().copied().unwrap_or(from);
            let range = LogRange { from, to };
            let entries = stores.logs.read(&self.account, range, false, 128).await?;
            let is_waiting = |entry: &&LogEntry| {
                near.contains(&entry.number) && entry.flags.contains(EntryFlags::DELIVER)
            };
            for entry in entries.iter().filter(is_waiting) {
                pending.add(Deliverable::from(entry), 0);
            }
            rest = far;
        }
        let mut from = mailbox.acked + 1;
        while from <= tip.head {
            let page = stores
                .logs
                .read(&self.account, LogRange { from, to: tip.head }, false, 256)
                .await?;
            let Some(last) = page.last() else { break };
            from = last.number + 1;
            for entry in page
                .iter()
                .filter(|e| e.flags.contains(EntryFlags::DELIVER))
            {
                pending.add(Deliverable::from(entry), 0);
            }
        }
        let privacy = stores.privacy.load(&self.account).await?;
        if rules::need_roster(&privacy) {
            // What comes cannot wait for it.
            router.rosters.pin(&self.account).await?;
        }
        Ok(Some(State {
            passing: false,
            head: tip.head,
            newest_ms: tip.time_ms,
            queue: VecDeque::new(),
            flushing: false,
            pending,
            privacy: Arc::new(privacy),
            preferences: stores
                .archive_preferences
                .load(&self.account)
                .await?
                .map(Arc::new),
            presences: ThinVec::new(),
            photo: None,
            mailbox,
            unsaved_acks: 0,
        }))
    }

    /// Writes what has gathered, until nothing is left. One at a time per home.
    async fn flush(self: Arc<Self>, router: Arc<Router>) {
        let mut delay = FIRST_DELAY;
        let mut repeat = None;
        loop {
            let next = repeat
                .take()
                .or_else(|| self.with(|state| state.next_append(router.random())));
            let Some(mut append) = next else { return };
            let Some(writing) = self.write() else { return };
            let result = if append.entries.is_empty() {
                Ok(())
            } else {
                router
                    .stores
                    .logs
                    .append(&self.account, append.head, append.write_id, &append.entries)
                    .await
            };
            drop(writing);
            match result {
                Ok(()) => {
                    delay = FIRST_DELAY;
                    if !self.committed(&router, append.entries.len()) {
                        return;
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    // Somebody else appended, so this is not in the log: take up behind it.
                    match router.stores.logs.tip(&self.account).await {
                        Ok(tip) => {
                            self.with(|state| {
                                state.head = tip.head;
                                state.newest_ms = state.newest_ms.max(tip.time_ms);
                            });
                            continue;
                        }
                        Err(error) => {
                            tracing::warn!(account = %self.account, %error, "log head not read")
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(account = %self.account, %error, "log append failed");
                    router.metrics.append_failures.inc();
                    append.maybe_done |= error.kind() == ErrorKind::Unavailable;
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LAST_DELAY);
            let kept = if append.maybe_done {
                append.entries.len()
            } else {
                0
            };
            if delay >= GIVE_UP_DELAY && !self.give_up(&router, kept) {
                return;
            }
            // If the answer was lost the very same write is recognised; another one under its id would not be in the log.
            repeat = append.maybe_done.then_some(append);
        }
    }

    /// The store has been failing: senders are told to try again later. What may be in the log already (the first `kept`
    /// entries) stays queued, and so does what this account itself sent, which was delivered already: their senders stay
    /// unacknowledged. What needs no store does not wait for it. Whether anything is left.
    fn give_up(self: &Arc<Self>, router: &Arc<Router>, mut kept: usize) -> bool {
        let (mut refused, mut done) = (Vec::new(), Vec::new());
        self.with(|state| {
            let mut again = Vec::new();
            for queued in std::mem::take(&mut state.queue) {
                if queued.entry().is_none() {
                    again.extend(state.hand_on(self, router, queued, 0, &mut done));
                } else if kept > 0 || queued.sent {
                    kept = kept.saturating_sub(1);
                    state.queue.push_back(queued);
                } else {
                    refused.push(queued.parcel);
                }
            }
            // Behind what may be in the log already, which is told by its place.
            state.queue.extend(again);
        });
        self.finish_all(router, done);
        for parcel in refused {
            router.refuse(
                &parcel.stanza,
                &wait("the message could not be stored; try again later"),
            );
            tell(Progress::Done, parcel.origin);
        }
        self.goes_on()
    }

    /// The next entries of the queue are in the log: they are delivered, in order. Whether more wait.
    fn committed(self: &Arc<Self>, router: &Arc<Router>, logged: usize) -> bool {
        let mut done = Vec::new();
        self.with(|state| state.settle(self, router, logged, &mut done));
        self.finish_all(router, done);
        self.goes_on()
    }

    /// Whether a flush goes on. Asked when what it did is handed on, or the next flush might overtake it.
    fn goes_on(&self) -> bool {
        let goes_on = self.with(|state| {
            state.flushing = !state.queue.is_empty();
            state.flushing
        });
        goes_on == Some(true)
    }

    fn finish_all(self: &Arc<Self>, router: &Arc<Router>, done: Vec<Parcel>) {
        for parcel in done {
            let origin = parcel.origin.clone();
            tell(self.finish(router, After::Done(parcel)), origin);
        }
    }
}

impl State {
    fn receive(&mut self, home: &Arc<Home>, router: &Arc<Router>, mut parcel: Parcel) -> After {
        let account = &home.account;
        parcel.stanza = render::without_forged_ids(parcel.stanza, account);
        let from = parcel.stanza.from();
        let entries = router.entries(account.as_str());
        let action = action(&parcel, &entries);
        let resource = parcel.stanza.to().and_then(Jid::resource);
        let reached = entries.iter().filter(|e| reaches(action, resource, e));
        let judge = router.judge(account, &self.privacy);
        if from.is_some_and(|from| {
            judge.denies_all(reached.map(|e| e.session), Passing::Message, from)
        }) {
            // XEP-0016 §2.14: an error for a message; `refuse` gives none in answer to errors.
            return After::Refuse(parcel, Condition::ServiceUnavailable.into());
        }
        let class = parcel.class;
        let archived = router.config.archive.enabled
            && !self.passing
            && class.archived()
            && preferences::archives(&self.preferences, from, || router.rosters.cached(account));
        let store = match action {
            Action::Bounce => return After::Refuse(parcel, Condition::ServiceUnavailable.into()),
            Action::Store if self.passing => {
                return After::Refuse(parcel, Condition::ServiceUnavailable.into());
            }
            Action::Ignore | Action::Serve => return After::Done(parcel),
            Action::Store if self.is_full(router, &parcel) => {
                // XEP-0160 §3, step 4.
                return After::Refuse(parcel, offline_is_full());
            }
            Action::Store => true,
            Action::ToResource | Action::ToNonNegative | Action::ToAvailable => archived,
        };
        let flags = store.then(|| {
            let flag = |on, flag| if on { flag } else { EntryFlags::NONE };
            flag(archived, EntryFlags::ARCHIVED) | flag(class.stored_offline(), EntryFlags::DELIVER)
        });
        // An error waits for no store: what it answers is acknowledged already.
        let in_turn = class.message_type() != MessageType::Error && !self.queue.is_empty();
        if flags.is_some() || in_turn {
            return self.enqueue(
                home,
                router,
                Queued {
                    parcel,
                    sent: false,
                    flags,
                },
            );
        }
        if self.deliver(account, router, &parcel, Numbers::default()) == 0 && class.stored_offline()
        {
            return self.store_after_all(home, router, parcel);
        }
        After::Done(parcel)
    }

    /// Whether as much waits as may, what is on its way to the log included.
    fn is_full(&self, router: &Router, parcel: &Parcel) -> bool {
        let offline = &router.config.offline;
        let bytes = |parcel: &Parcel| parcel.stanza.raw().len() as u64;
        let queued: u64 = self.queue.iter().map(|queued| bytes(&queued.parcel)).sum();
        self.pending.len() + self.queue.len() >= offline.quota
            || self.pending.bytes() + queued + bytes(parcel) > offline.quota_bytes
    }

    /// The sessions that a message was for have just ended, or are too slow to keep: it waits for the next one.
    fn store_after_all(&mut self, home: &Arc<Home>, router: &Arc<Router>, parcel: Parcel) -> After {
        if self.passing {
            return After::Refuse(parcel, Condition::ServiceUnavailable.into());
        }
        if self.is_full(router, &parcel) {
            return After::Refuse(parcel, offline_is_full());
        }
        let flags = Some(EntryFlags::DELIVER);
        self.enqueue(
            home,
            router,
            Queued {
                parcel,
                sent: false,
                flags,
            },
        )
    }

    fn sent(&mut self, home: &Arc<Home>, router: &Arc<Router>, mut parcel: Parcel) -> After {
        parcel.stanza = render::without_forged_ids(parcel.stanza, &home.account);
        let archived = router.config.archive.enabled
            && !self.passing
            && parcel.class.archived()
            && preferences::archives(&self.preferences, parcel.stanza.to(), || {
                router.rosters.cached(&home.account)
            });
        if archived || !self.queue.is_empty() {
            let flags = archived.then_some(EntryFlags::SENT | EntryFlags::ARCHIVED);
            return self.enqueue(
                home,
                router,
                Queued {
                    parcel,
                    sent: true,
                    flags,
                },
            );
        }
        self.copy_to_others(&home.account, router, &parcel, 0);
        After::Done(parcel)
    }

    fn enqueue(&mut self, home: &Arc<Home>, router: &Arc<Router>, queued: Queued) -> After {
        if self.queue.len() >= MAX_QUEUE && !queued.sent {
            return After::Refuse(
                queued.parcel,
                wait("too many messages wait for this account"),
            );
        }
        self.queue.push_back(queued);
        if !self.flushing {
            self.flushing = true;
            router.spawn(home.clone().flush(router.clone()));
        }
        After::Nothing
    }

    /// The next append, from the front of the queue; nothing is taken off it.
    fn next_append(&mut self, write_id: u64) -> Append {
        let now = crate::clock::now_ms().max(self.newest_ms);
        let mut entries = Vec::new();
        let mut bytes = 0;
        for queued in &self.queue {
            let Some((flags, peer, stanza)) = queued.entry() else {
                continue;
            };
            bytes += stanza.len();
            if entries.len() == MAX_APPEND || (bytes > MAX_APPEND_BYTES && !entries.is_empty()) {
                break;
            }
            entries.push(NewEntry {
                time_ms: now,
                flags,
                peer: peer.clone(),
                stanza: stanza.clone(),
            });
        }
        if !entries.is_empty() {
            self.newest_ms = now;
        }
        Append {
            head: self.head,
            write_id,
            entries,
            maybe_done: false,
        }
    }

    /// Takes off the queue what an append of `logged` entries covered, with what stood between.
    fn settle(
        &mut self,
        home: &Arc<Home>,
        router: &Arc<Router>,
        mut logged: usize,
        done: &mut Vec<Parcel>,
    ) {
        let mut again = Vec::new();
        while let Some(front) = self.queue.front() {
            let mut number = 0;
            if front.entry().is_some() {
                if logged == 0 {
                    break;
                }
                logged -= 1;
                self.head += 1;
                number = self.head;
            }
            let Some(queued) = self.queue.pop_front() else {
                break;
            };
            again.extend(self.hand_on(home, router, queued, number, done));
        }
        // Before what came later.
        for queued in again.into_iter().rev() {
            self.queue.push_front(queued);
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Delivers what is in the log under this number, or in no log (0). What nobody took comes back, to be stored after
    /// all.
    fn hand_on(
        &mut self,
        home: &Arc<Home>,
        router: &Arc<Router>,
        queued: Queued,
        number: u64,
        done: &mut Vec<Parcel>,
    ) -> Option<Queued> {
        let Queued {
            parcel,
            sent,
            flags,
        } = queued;
        let numbered = |flag| {
            if flags.is_some_and(|f| f.contains(flag)) {
                number
            } else {
                0
            }
        };
        let numbers = Numbers {
            archive: numbered(EntryFlags::ARCHIVED),
            deliver: numbered(EntryFlags::DELIVER),
        };
        if numbers.archive != 0
            && let Some(retraction) = retraction::retraction(&parcel.stanza)
        {
            let (router, home) = (router.clone(), home.clone());
            router
                .clone()
                .spawn(async move { home.retract(&router, number, &retraction).await });
        }
        if sent {
            self.copy_to_others(&home.account, router, &parcel, numbers.archive);
        } else {
            let holders = self.deliver(&home.account, router, &parcel, numbers);
            if numbers.deliver != 0 {
                let deliverable = Deliverable {
                    number,
                    bytes: parcel.stanza.raw().len(),
                    archived: numbers.archive != 0,
                };
                self.pending.add(deliverable, holders);
            } else if flags.is_none() && holders == 0 && parcel.class.stored_offline() {
                // As in `receive`: it is stored after all.
                let flags = Some(EntryFlags::DELIVER);
                return Some(Queued {
                    parcel,
                    sent,
                    flags,
                });
            }
        }
        done.push(parcel);
        None
    }

    /// Gives a session all that waits and nobody holds: it claims that when it gets there. If it ends before, the next one
    /// does.
    fn give_waiting(&self, target: &SessionHandle) {
        if self.pending.unclaimed() > 0 {
            target.mailbox.post(Letter::Waiting);
        }
    }

    /// Posts a message to the resources that get it, and carbons to those that asked. Returns how many hold it.
    fn deliver(
        &mut self,
        account: &BareJid,
        router: &Router,
        parcel: &Parcel,
        numbers: Numbers,
    ) -> usize {
        let entries = router.entries(account.as_str());
        let action = action(parcel, &entries);
        let resource = parcel.stanza.to().and_then(Jid::resource);
        let judge = router.judge(account, &self.privacy);
        let denied = |entry: &Entry| {
            let from = parcel.stanza.from();
            from.is_some_and(|from| judge.denies(entry.session, Passing::Message, from))
        };
        let reached = |entry: &Entry| reaches(action, resource, entry) && !denied(entry);
        // A session that has just become available may not have what waited yet: nothing overtakes that.
        if self.pending.unclaimed() > 0
            && let Some(entry) = entries
                .iter()
                .find(|entry| reached(entry) && entry.priority.is_some_and(|p| p >= 0))
            && let Some(target) = router.sessions.get(entry.session.number)
        {
            self.give_waiting(&target);
        }
        let bytes = render::live(&parcel.stanza, account, numbers.archive);
        let targets = entries.iter().filter(|entry| reached(entry)).count();
        let shared = (targets > 1 && numbers.deliver == 0 && parcel.class.stored_offline())
            .then(|| Shared::new(targets as u32));
        let mut holders = 0;
        for entry in entries.iter().filter(|entry| reached(entry)) {
            let delivery = Delivery {
                bytes: bytes.clone(),
                number: numbers.deliver,
                class: parcel.class,
                shared: shared.clone(),
            };
            if router.post(entry, Letter::Stanza(delivery)) == Posted::Yes {
                holders += 1;
            } else if let Some(shared) = &shared {
                shared.give_up();
            }
        }
        if holders > 0 && parcel.class.copied_when_received() {
            // A copy of what a session's list denies is denied there as well.
            let others = entries
                .iter()
                .filter(|entry| !reached(entry) && !denied(entry));
            carbons(account, router, Direction::Received, others, &bytes, parcel);
        }
        holders
    }

    /// Sends carbons of what this account sent to its other resources.
    fn copy_to_others(&self, account: &BareJid, router: &Router, parcel: &Parcel, number: u64) {
        if !parcel.class.copied_when_sent() {
            return;
        }
        let entries = router.entries(account.as_str());
        let sender = parcel.stanza.from().and_then(Jid::resource);
        let others = entries
            .iter()
            .filter(|entry| Some(&*entry.resource) != sender);
        if others
            .clone()
            .any(|entry| entry.flags & flags::CARBONS != 0)
        {
            let bytes = render::live(&parcel.stanza, account, number);
            carbons(account, router, Direction::Sent, others, &bytes, parcel);
        }
    }
}

/// The numbers of an entry, 0 where it has none: as the archive shows it, as a client acknowledges it.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    archive: u64,
    deliver: u64,
}

fn carbons<'a>(
    account: &BareJid,
    router: &Router,
    direction: Direction,
    others: impl Iterator<Item = &'a Entry>,
    bytes: &Bytes,
    parcel: &Parcel,
) {
    for entry in others.filter(|entry| entry.flags & flags::CARBONS != 0) {
        let kind = parcel.stanza.type_attr();
        let bytes = render::carbon(direction, bytes, kind.as_deref(), account, &entry.resource);
        router.post(
            entry,
            Letter::Stanza(Delivery {
                class: parcel.class.of_copy(),
                ..Delivery::passing(bytes)
            }),
        );
    }
}

/// Whether a message reaches a session, as delivery goes.
fn reaches(action: Action, resource: Option<&str>, entry: &Entry) -> bool {
    match action {
        Action::ToResource => Some(&*entry.resource) == resource,
        Action::ToNonNegative => entry.priority.is_some_and(|priority| priority >= 0),
        _ => false,
    }
}

/// Where a message goes, the account having these sessions now.
fn action(parcel: &Parcel, entries: &[Entry]) -> Action {
    let resources: SmallVec<[Resource<'_>; 4]> = entries
        .iter()
        .map(|entry| Resource {
            name: &entry.resource,
            priority: entry.priority,
        })
        .collect();
    let to = Addressee {
        exists: true,
        resources: &resources,
        resource: parcel.stanza.to().and_then(Jid::resource),
    };
    delivery::message(parcel.class.message_type(), parcel.class.when_away(), to)
}

impl Queued {
    /// What goes into the log, if anything does.
    fn entry(&self) -> Option<(EntryFlags, &Jid, &Bytes)> {
        let stanza = &self.parcel.stanza;
        let peer = if self.sent {
            stanza.to()
        } else {
            stanza.from()
        };
        Some((self.flags?, peer?, stanza.raw()))
    }
}

fn offline_is_full() -> StanzaError {
    StanzaError::new(Condition::ServiceUnavailable, "offline storage is full")
}

/// Tells who waits, if nothing else will.
fn tell(progress: Progress, origin: Option<Origin>) {
    if progress == Progress::Done
        && let Some(origin) = origin
    {
        origin.done();
    }
}

/// "Not now": the sender may try again.
pub(crate) fn wait(text: &str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint, text).with_type(ErrorType::Wait)
}
