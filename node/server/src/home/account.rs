//! The home of an account: its log, what waits for its clients, who blocks whom, the presence of its sessions.
//!
//! A locked state, not a task: an operation runs in its caller while the account is loaded and costs no hop; what must
//! wait for the store is queued, and one flush at a time writes what has gathered as one item of the log. Locks are
//! leaves: nothing but mailboxes is locked while a home is.
//! Stored: the account's log and its mailbox record.

mod doubt;
mod flush;
mod keeping;
mod known;
mod messages;
mod remembered;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use storage::repository::{ArchivePreferences, EntryFlags, LogRange, Mailbox, PrivacyData};
use thin_vec::ThinVec;
use xmpp::{BareJid, ErrorType, Jid, Kind, Stanza, StanzaError, StanzaErrorCondition as Condition};

use self::{
    keeping::CLAIM_AGAIN,
    remembered::{Doubted, Others},
};
use super::{pending::Pending, render};
use crate::{
    modules::vcard::Photo,
    pipeline::archive_rule::{Class, classify},
    routing::{Asker, Delivery, Origin, Progress, Router, SessionHandle},
};

/// Operations that may wait for a home to load, or entries for a flush: beyond this, senders are told to wait.
const MAX_QUEUE: usize = 4096;
/// Acknowledged entries after which the mailbox record is written.
const ACKS_PER_SAVE: u32 = 50;

/// The home of one account.
pub struct Home {
    /// Whose.
    pub account: BareJid,
    inner: Mutex<Inner>,
    /// Writes to the store that are under way, and ends of sessions.
    busy: AtomicU32,
    /// What is still being loaded is of no use.
    forgotten: AtomicBool,
    /// The account goes to another node: no session begins here any more.
    leaving: AtomicBool,
}

/// Something that a home stays for: a write to the store that is under way, or a session that ends, whose contacts are told.
pub struct Busy(Arc<Home>);

impl Busy {
    /// Counted at once: who has forgotten the home, or waits until it has nothing more to do, sees it.
    fn new(home: &Arc<Home>) -> Self {
        home.busy.fetch_add(1, Ordering::Relaxed);
        Self(home.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Release);
    }
}

enum Inner {
    Loading(ThinVec<Waiting>),
    /// There is no such account.
    Absent,
    Ready(Box<State>),
    /// Could not be loaded, or was dropped from memory: look it up again.
    Gone,
    /// The account is served by another node.
    Left,
}

/// What waits for a home to load.
enum Waiting {
    Receive(Parcel),
    Sent(Parcel),
    /// A presence or an IQ.
    Routed(Parcel),
    Then(Box<dyn FnOnce(&Inner) + Send>),
}

#[derive(Default)]
struct State {
    /// The account is stored nowhere (XEP-0175): nothing is written, and nothing waits for it.
    passing: bool,
    /// Newest committed number.
    head: u64,
    /// When that was last known for sure, in milliseconds since 1970.
    head_known_ms: u64,
    /// Time of the newest entry, so that times never go back.
    newest_ms: u64,
    queue: VecDeque<Queued>,
    /// Something in it may be in the log already, and was not looked for.
    in_doubt: bool,
    /// What was in doubt a while ago.
    doubted: Doubted,
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
    /// Entries that sessions brought along and that are in the log behind what is known of it, with how many hold each; `None`:
    /// a client has acknowledged it.
    ahead: ThinVec<(u64, Option<u16>)>,
    /// What others appended not long ago.
    others: Option<Box<Others>>,
}

/// A message on its way through a home.
pub struct Parcel {
    /// The message, its sender stamped.
    pub stanza: Stanza,
    /// What it is.
    pub class: Class,
    /// Who waits for the outcome.
    pub origin: Option<Origin>,
    /// Where a copy goes afterwards, for the sender's archive and its other resources.
    pub copy: Option<CopyTo>,
    /// The node that was asked before is gone: it may be in the log already.
    pub doubt: Option<Doubt>,
    /// It is by the account that it is for now: for its archive and its other resources.
    pub sent: bool,
    /// How many nodes it has come over.
    pub hops: u8,
    /// Its place among those that left for the account, once it has: a number that was not used before. 0: it has not.
    pub turn: u64,
    /// When it was to leave first, in milliseconds since 1970, if that was before now; 0: it was not.
    pub since_ms: u64,
}

impl Parcel {
    /// A stanza that was routed by nobody yet. What it is is asked of messages alone.
    pub fn new(stanza: Stanza, origin: Option<Origin>) -> Self {
        let class = match stanza.kind() {
            Kind::Message => classify(&stanza),
            Kind::Presence | Kind::Iq => Class::default(),
        };
        Self {
            stanza,
            class,
            origin,
            copy: None,
            doubt: None,
            sent: false,
            hops: 0,
            turn: 0,
            since_ms: 0,
        }
    }

    /// A home that has left had it: its sender may have gone on elsewhere, and have sent it again.
    pub fn may_be_repeated(mut self, now_ms: u64) -> Self {
        if self.stanza.kind() == Kind::Message {
            self.doubt.get_or_insert(Doubt {
                since_ms: now_ms,
                looked: false,
            });
        }
        self
    }

    /// Whether it is looked for where it is kept before it is done once more.
    pub fn is_looked_for(&self) -> bool {
        let is_to_room = || self.stanza.type_attr().as_deref() == Some("groupchat");
        self.class.archived() || self.class.stored_offline() || is_to_room()
    }

    /// Whom it is for.
    pub fn address(&self) -> Option<&Jid> {
        match self.sent {
            true => self.stanza.from(),
            false => self.stanza.to(),
        }
    }

    /// The account that it is for.
    pub fn account(&self) -> Option<BareJid> {
        self.address().map(Jid::to_bare)
    }
}

/// A message that may be in the log already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// Since when, in milliseconds since 1970 by the clock of who asked.
    pub since_ms: u64,
    /// What was in the log when this was asked does not have it.
    pub looked: bool,
}

/// Where the copy of a message goes.
pub enum CopyTo {
    /// The sender's home.
    Home(Arc<Home>),
    /// The node where that is: it is told that the message is done, and sees to it.
    Asker(Asker),
}

struct Queued {
    parcel: Parcel,
    /// How it goes into the log, if it does.
    flags: Option<EntryFlags>,
}

/// What is done after the lock is gone.
enum After {
    Nothing,
    Done(Parcel),
    Refuse(Parcel, StanzaError),
    /// Its account may be served elsewhere.
    Again(Parcel),
}

impl Home {
    pub(super) fn loading(account: BareJid) -> Self {
        Self {
            account,
            inner: Mutex::new(Inner::Loading(ThinVec::new())),
            busy: AtomicU32::new(0),
            forgotten: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
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

    /// Of an account that another node serves.
    pub(super) fn elsewhere(account: BareJid) -> Self {
        Self {
            inner: Mutex::new(Inner::Left),
            ..Self::loading(account)
        }
    }

    /// Whether a new lookup is needed.
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.inner.lock(), Inner::Gone | Inner::Left)
    }

    /// The account goes to another node. Said before its sessions are looked for: one that begins either is found or finds
    /// this. False: it was said already.
    pub fn set_leaving(&self) -> bool {
        !self.leaving.swap(true, Ordering::SeqCst)
    }

    /// Whether it does.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// Whether it stays for something, which may have begun before it was forgotten.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    /// Held while something is written; `None` once the home is gone: its account may be another's.
    fn write(self: &Arc<Self>) -> Option<Busy> {
        self.with(|_| Busy::new(self))
    }

    /// Held while a session ends.
    pub fn ends(self: &Arc<Self>) -> Busy {
        Busy::new(self)
    }

    fn is_left(&self) -> bool {
        matches!(*self.inner.lock(), Inner::Left)
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
    pub async fn exists(self: &Arc<Self>) -> Result<bool, StanzaError> {
        let exists = |inner: &Inner| match inner {
            Inner::Ready(_) => Ok(true),
            Inner::Absent => Ok(false),
            Inner::Loading(_) | Inner::Gone => Err(wait("the account's data cannot be read now")),
            Inner::Left => Err(wait("the account is moving to another node")),
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
            Inner::Left => After::Again(parcel),
        }
    }

    /// Puts a presence or an IQ off until the home is loaded, behind what waits already.
    ///
    /// # Errors
    /// The parcel: the home is not being loaded.
    pub fn put_off(self: &Arc<Self>, parcel: Parcel) -> Result<(), Box<Parcel>> {
        match &mut *self.inner.lock() {
            Inner::Loading(waiting) if waiting.len() < MAX_QUEUE => {
                waiting.push(Waiting::Routed(parcel));
                Ok(())
            }
            _ => Err(Box::new(parcel)),
        }
    }

    /// A copy of a message this account sent, after the recipient's side is done.
    pub fn sent(self: &Arc<Self>, router: &Arc<Router>, mut parcel: Parcel) -> Progress {
        parcel.sent = true;
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
                let later = sent_later(router.clone(), self.account.clone(), parcel);
                router.clone().spawn(later);
                After::Nothing
            }
            Inner::Left => After::Again(parcel),
        }
    }

    fn finish(self: &Arc<Self>, router: &Arc<Router>, after: After) -> Progress {
        match after {
            After::Nothing => Progress::Pending,
            After::Done(mut parcel) => match parcel.copy.take() {
                Some(CopyTo::Home(sender)) => sender.sent(router, parcel),
                Some(CopyTo::Asker(asker)) => {
                    asker.answer(true);
                    Progress::Pending
                }
                None => Progress::Done,
            },
            After::Refuse(parcel, error) => {
                router.refuse(&parcel.stanza, &error);
                Progress::Done
            }
            After::Again(parcel) => match router.peers.give_back(parcel) {
                Some(parcel) => router.deliver(parcel.may_be_repeated(router.now_ms())),
                None => Progress::Pending,
            },
        }
    }

    /// Clients acknowledged these entries, or their sockets took them.
    pub fn acknowledge(self: &Arc<Self>, router: &Arc<Router>, numbers: &[u64]) {
        let save = self.with(|state| {
            state.unsaved_acks += state.pending.acknowledge(numbers.iter().copied()) as u32;
            state.acknowledge_ahead(numbers);
            state.unsaved_acks >= ACKS_PER_SAVE
        });
        if save == Some(true) {
            self.save(router);
        }
    }

    /// A session ended: what its client did not acknowledge goes to another available resource, or waits.
    pub fn release(self: &Arc<Self>, router: &Arc<Router>, numbers: Vec<u64>) {
        self.with(|state| {
            state.release_ahead(&numbers);
            state.pending.release(numbers);
            state.give_to_best(router, &self.account);
        });
    }

    /// A resource became available with a priority of 0 or more: it gets all that waits and nobody holds.
    pub fn drain(&self, handle: &SessionHandle) {
        self.with(|state| state.give_waiting(handle));
    }

    /// The oldest of what waits and nobody holds, for a session that has come to [`Letter::Waiting`]: before the number that
    /// `next` says comes next. `None`: it cannot tell now, see [`Home::until_claimable`].
    pub fn claim(&self, limit: usize, next: impl FnOnce() -> Option<u64>) -> Option<Vec<u64>> {
        self.with(|state| {
            // While nothing is posted.
            let before = next().unwrap_or(u64::MAX);
            (!state.is_behind()).then(|| state.pending.claim(limit, before))
        })?
    }

    /// Waits until the home is loaded and has seen what its sessions have of the log, or for a moment if that cannot be now.
    pub async fn until_claimable(self: &Arc<Self>, router: &Arc<Router>) {
        let _ = self.exists().await;
        if self.with(|state| state.is_behind()) == Some(true) {
            self.clone().probe(router.clone()).await;
        }
        if self.with(|state| state.is_behind()) != Some(false) {
            tokio::time::sleep(CLAIM_AGAIN).await;
        }
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
            // Numbers that follow each other closely are read at once. They need not ascend: sessions bring theirs along.
            let mut to = from;
            let follows = |number: &&u64| {
                let follows = **number >= to && **number - from < 128;
                to = if follows { **number } else { to };
                follows
            };
            let count = rest.iter().take_while(follows).count();
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

    /// Newest committed number of the log.
    pub fn head(&self) -> Option<u64> {
        self.with(|state| state.head)
    }

    /// How many messages wait for a client that nobody holds.
    pub fn waiting(&self) -> usize {
        self.with(|state| state.pending.unclaimed()).unwrap_or(0)
    }
}

impl Queued {
    /// What goes into the log, if anything does.
    fn entry(&self) -> Option<(EntryFlags, &Jid, &Bytes)> {
        let stanza = &self.parcel.stanza;
        let peer = if self.parcel.sent {
            stanza.to()
        } else {
            stanza.from()
        };
        Some((self.flags?, peer?, stanza.raw()))
    }
}

/// A copy for a home that is gone: it is loaded anew, more and more seldom while the store does not answer.
async fn sent_later(router: Arc<Router>, account: BareJid, parcel: Parcel) {
    let mut delay = flush::FIRST_DELAY;
    loop {
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(flush::LAST_DELAY);
        let home = router.homes.get(&router, &account);
        if home.is_left() || home.exists().await.is_ok() {
            return deliver(&router, parcel);
        }
    }
}

/// A message that another node was asked to deliver is done there: its sender's side follows.
pub(crate) fn delivered(router: &Arc<Router>, mut parcel: Parcel, copied: bool) {
    let origin = parcel.origin.clone();
    let progress = match parcel.copy.take() {
        Some(CopyTo::Home(sender)) if copied => sender.sent(router, parcel),
        // Asked by one node and passed on to another: the first sees to it.
        Some(CopyTo::Asker(asker)) if copied => {
            asker.answer(true);
            Progress::Pending
        }
        _ => Progress::Done,
    };
    tell(progress, origin);
}

/// Delivers a parcel, and tells who waits for it.
pub(crate) fn deliver(router: &Arc<Router>, parcel: Parcel) {
    let origin = parcel.origin.clone();
    tell(router.deliver(parcel), origin);
}

/// Tells who waits, if nothing else will.
pub(crate) fn tell(progress: Progress, origin: Option<Origin>) {
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
