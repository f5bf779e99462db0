//! What a home keeps: it is loaded from the store, saved to it, and dropped from memory.
//!
//! Why here: when the truth is in memory and when in the store alone is one question, apart from what messages do.
//! Stored: the account's mailbox record.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use storage::{
    ErrorKind,
    repository::{EntryFlags, LogEntry, LogRange, Mailbox},
};
use thin_vec::ThinVec;
use xmpp::StanzaErrorCondition as Condition;

use super::{After, Busy, Doubt, Home, Inner, Parcel, Queued, State, Waiting, deliver, tell};
use crate::{
    home::pending::{Deliverable, Handed, Pending},
    modules::blocking::rules,
    routing::{Origin, Router, peers::Giver},
};

/// How long a home that goes to another node may take to write what it has.
const LEAVING: std::time::Duration = std::time::Duration::from_secs(5);
/// How soon a home that cannot say what waits is asked again.
pub(super) const CLAIM_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);
/// When an account that moves is read again if the store has no answer.
const READ_AGAIN: [std::time::Duration; 3] = [
    std::time::Duration::from_millis(50),
    std::time::Duration::from_millis(200),
    std::time::Duration::from_millis(500),
];
/// What waited for a home that moves may have been repeated, and appended where it was before, for so long.
const REPEATED_MS: u64 = 60_000;
/// What a home has not written when it goes may have been tried for so long.
const UNWRITTEN_MS: u64 = 600_000;

/// A home that is being loaded. However that ends, a panic included, what waits for it is not left waiting.
struct Loading<'a> {
    home: &'a Arc<Home>,
    router: &'a Arc<Router>,
    /// What it came to.
    came: Inner,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let came = std::mem::replace(&mut self.came, Inner::Gone);
        self.home.loaded(self.router, came);
    }
}

/// How far the log was handed over, on its way to the store.
struct Unsaved {
    mailbox: Mailbox,
    /// Entries that no archive keeps.
    spent: Vec<u64>,
    _busy: Busy,
}

impl State {
    /// Another home has written how far the log was handed over: what it handed over need not be again.
    fn met(&mut self, current: Mailbox) {
        let handed = Handed {
            acked: current.acked,
            undelivered: current.undelivered,
        };
        self.pending.handed_over(&handed);
        (self.mailbox.version, self.mailbox.acked) = (current.version, handed.acked);
        self.unsaved_acks = self.unsaved_acks.max(1);
    }
}

impl Home {
    /// The last resource went away: remember when, and what it said (XEP-0012). Written with the next sweep: who comes
    /// back at once, as phones do, costs no write.
    pub fn last_seen(&self, now_ms: u64, status: Option<Box<str>>) {
        self.with(|state| {
            state.mailbox.last_active_ms = now_ms;
            state.mailbox.last_status = status;
            state.unsaved_acks = state.unsaved_acks.max(1);
        });
    }

    /// When the last resource went away and what it said.
    pub fn last_activity(&self) -> Option<(u64, Option<String>)> {
        self.with(|state| {
            (
                state.mailbox.last_active_ms,
                state.mailbox.last_status.as_deref().map(str::to_owned),
            )
        })
    }

    /// How far the log was handed over, as it is to be written; `None`: nothing is of this account.
    pub fn handed(&self) -> Option<Handed> {
        self.with(|state| {
            let (acked, undelivered) = state.pending.summary(state.head, Mailbox::MAX_UNDELIVERED);
            (!state.passing).then_some(Handed { acked, undelivered })
        })?
    }

    /// Writes how far the log was handed over, if that is not written yet.
    pub fn save(self: &Arc<Self>, router: &Arc<Router>) {
        if let Some(unsaved) = self.take_unsaved() {
            let (home, router) = (self.clone(), router.clone());
            router
                .clone()
                .spawn(async move { home.store_mailbox(&router, unsaved).await });
        }
    }

    /// What is to be written of how far the log was handed over: under way from here on.
    fn take_unsaved(self: &Arc<Self>) -> Option<Unsaved> {
        self.with(|state| {
            if state.unsaved_acks == 0 || state.passing {
                return None;
            }
            state.unsaved_acks = 0;
            // Another home knows later entries than this one: its word is not to be replaced by less.
            if state.head < state.mailbox.acked {
                return None;
            }
            (state.mailbox.acked, state.mailbox.undelivered) =
                state.pending.summary(state.head, Mailbox::MAX_UNDELIVERED);
            Some(Unsaved {
                mailbox: state.mailbox.clone(),
                spent: state.pending.take_spent(),
                _busy: Busy::new(self),
            })
        })?
    }

    async fn store_mailbox(&self, router: &Router, unsaved: Unsaved) {
        let Unsaved {
            mailbox,
            spent,
            _busy,
        } = unsaved;
        self.forget_delivered(router, mailbox.floor(), spent).await;
        let mailboxes = &router.stores.mailboxes;
        let stored = mailboxes.store(&self.account, &mailbox, mailbox.version);
        match stored.await {
            Ok(version) => {
                self.with(|state| state.mailbox.version = version);
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                // Another home wrote; the next save names the version that is there now.
                if let Ok(current) = mailboxes.load(&self.account).await {
                    self.with(|state| state.met(current));
                }
            }
            Err(error) => {
                tracing::warn!(account = %self.account, %error, "mailbox not saved");
                self.with(|state| state.unsaved_acks = state.unsaved_acks.max(1));
            }
        }
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
    pub(in crate::home) fn try_evict(self: &Arc<Self>, router: &Arc<Router>) -> bool {
        let mut inner = self.inner.lock();
        let idle = match &mut *inner {
            Inner::Ready(state) => {
                state.forget_others();
                state.queue.is_empty()
                    && !state.flushing
                    && state.unsaved_acks == 0
                    && router.directory.lookup(self.account.as_str()).is_none()
            }
            Inner::Absent | Inner::Gone | Inner::Left => true,
            Inner::Loading(_) => false,
        };
        if idle {
            *inner = Inner::Gone;
        }
        idle
    }

    /// The account was removed or made: what is in memory counts no longer. Who waits for the outcome of a message that is
    /// not in the log is told that there is none.
    pub(in crate::home) fn forget(self: &Arc<Self>, router: &Arc<Router>) {
        let gone = {
            let mut inner = self.inner.lock();
            self.forgotten.store(true, Ordering::Relaxed);
            match &*inner {
                Inner::Loading(_) | Inner::Left => return,
                _ => std::mem::replace(&mut *inner, Inner::Gone),
            }
        };
        let Inner::Ready(state) = gone else { return };
        for queued in state.queue {
            let origin = queued.parcel.origin.clone();
            let after = if queued.parcel.sent {
                // It was delivered; there is no archive any more to keep it.
                After::Done(queued.parcel)
            } else {
                After::Refuse(queued.parcel, Condition::ServiceUnavailable.into())
            };
            tell(self.finish(router, after), origin);
        }
    }

    pub(in crate::home) async fn load(self: Arc<Self>, router: Arc<Router>) {
        let mut loading = Loading {
            home: &self,
            router: &router,
            came: Inner::Gone,
        };
        let began = tokio::time::Instant::now();
        // Whoever changes the view looks for homes after it, and a home that comes looks at the view: one sees the other.
        let is_here = router.peers.elsewhere(self.account.as_str()).is_none();
        if !is_here || !router.peers.take_over(&self.account).await {
            loading.came = Inner::Left;
            return;
        }
        router.take_left_behind(&self.account);
        let came = began.elapsed();
        if router.peers.is_moving() {
            router.spawn(self.clone().probe_later(router.clone()));
        }
        let mut givers = Vec::new();
        loading.came = match self.read_patiently(&router).await {
            Ok(Some(mut state)) => {
                givers = self.adopt(&router, &mut state);
                Inner::Ready(Box::new(state))
            }
            Ok(None) => {
                // Nobody can go on with a session of an account that was removed: not even who gets its name.
                drop(router.peers.take_moved(&self.account));
                Inner::Absent
            }
            Err(error) => {
                tracing::warn!(account = %self.account, %error, "account not loaded");
                Inner::Gone
            }
        };
        drop(loading);
        let (came_ms, all_ms) = (came.as_millis(), began.elapsed().as_millis());
        let sessions = router.entries(self.account.as_str()).len();
        tracing::debug!(account = %self.account, sessions, came_ms, all_ms, "an account is loaded");
        router.parked.look_after(&router, &self.account);
        router.replicas.thank(&router, givers);
    }

    /// What waited for the home to load goes on, or is told that it cannot.
    fn loaded(self: &Arc<Self>, router: &Arc<Router>, came: Inner) {
        if matches!(came, Inner::Left) {
            return self.leave_behind(router);
        }
        let failed = matches!(came, Inner::Gone);
        let mut outcomes = Vec::new();
        // While it waited here its sender may have moved, and have sent it again to where the account was served.
        let since_ms = router.now_ms().saturating_sub(REPEATED_MS);
        {
            let mut inner = self.inner.lock();
            let came = match self.forgotten.load(Ordering::Relaxed) {
                true => Inner::Gone,
                false => came,
            };
            let waiting = match std::mem::replace(&mut *inner, came) {
                Inner::Loading(waiting) => waiting,
                _ => ThinVec::new(),
            };
            // Under the lock: what comes now may not overtake what waited.
            for waiting in waiting {
                match waiting {
                    Waiting::Receive(parcel) => {
                        let origin = parcel.origin.clone();
                        let is_theirs = matches!(origin, Some(Origin::Node(_)));
                        let parcel = match is_theirs && router.peers.is_moving() {
                            true => parcel.may_be_repeated(since_ms),
                            false => parcel,
                        };
                        outcomes.push((self.receive_in(&mut inner, router, parcel), origin));
                    }
                    Waiting::Sent(parcel) => {
                        let origin = parcel.origin.clone();
                        outcomes.push((self.sent_in(&mut inner, router, parcel), origin));
                    }
                    Waiting::Routed(parcel) => {
                        let origin = parcel.origin.clone();
                        outcomes.push((After::Again(parcel), origin));
                    }
                    Waiting::Then(then) => then(&inner),
                }
            }
        }
        if failed || self.is_absent() && !router.homes.may_keep_absent() {
            router.homes.drop_gone(self);
        }
        for (after, origin) in outcomes {
            tell(self.finish(router, after), origin);
        }
    }

    /// The account is served elsewhere: what waits here goes there, and what comes meanwhile goes behind it. Then the home is
    /// gone.
    fn leave_behind(self: &Arc<Self>, router: &Arc<Router>) {
        let mut back = Vec::new();
        loop {
            let waiting = {
                let mut inner = self.inner.lock();
                match &mut *inner {
                    Inner::Loading(waiting) if !waiting.is_empty() => std::mem::take(waiting),
                    _ => {
                        *inner = Inner::Left;
                        break;
                    }
                }
            };
            for waiting in waiting {
                match waiting {
                    Waiting::Then(then) => then(&Inner::Left),
                    Waiting::Receive(parcel) | Waiting::Sent(parcel) | Waiting::Routed(parcel) => {
                        if let Some(parcel) = router.peers.give_back(parcel) {
                            let parcel = parcel.may_be_repeated(router.now_ms());
                            back.extend(router.deliver_away(parcel));
                        }
                    }
                }
            }
        }
        router.homes.drop_gone(self);
        // The view has changed once more, and it is served here after all.
        for parcel in back {
            deliver(router, parcel);
        }
    }

    /// Takes in the sessions that came from where the account was served before; who gave them.
    fn adopt(self: &Arc<Self>, router: &Arc<Router>, state: &mut State) -> Vec<Giver> {
        let (mut sessions, mut givers) = (Vec::new(), Vec::new());
        for came in router.peers.take_moved(&self.account) {
            sessions.push(came.session);
            givers.extend(came.giver);
        }
        let sessions = router.parked.newest(sessions);
        for adopted in router.parked.adopt(router, self, &sessions) {
            state.pending.hold(&adopted.held);
            state.hold_ahead(&adopted.held);
            state.acknowledge_ahead(&adopted.done);
            state.unsaved_acks += state.pending.acknowledge(adopted.done) as u32;
            if let Some(handed) = adopted.handed {
                state.unsaved_acks += state.pending.handed_over(&handed) as u32;
            }
            let presence = adopted.presence.map(|bytes| (adopted.number, bytes));
            state.presences.extend(presence);
        }
        // What came when they had left.
        state.give_to_best(router, &self.account);
        givers
    }

    /// Takes in sessions that came when the home was loaded already.
    pub fn adopt_late(self: &Arc<Self>, router: &Arc<Router>) {
        let givers = self.with(|state| self.adopt(router, state));
        router.parked.look_after(router, &self.account);
        router.replicas.thank(router, givers.unwrap_or_default());
        // Where they were more was written perhaps.
        router.spawn(self.clone().probe(router.clone()));
    }

    /// The account is served elsewhere: writes what is not written, and is gone. What comes goes to its new home, and so does
    /// what could not be written; it may be in the log. False: not all was written; the next home reads what the store has.
    pub async fn leave(self: &Arc<Self>, router: &Arc<Router>) -> bool {
        const ROUND: std::time::Duration = std::time::Duration::from_millis(2);
        let until = tokio::time::Instant::now() + LEAVING;
        let written = loop {
            if self.is_left() {
                // Somebody else saw to it.
                return true;
            }
            if let Some(unsaved) = self.take_unsaved() {
                self.store_mailbox(router, unsaved).await;
            }
            let busy = self
                .with(|state| state.flushing || !state.queue.is_empty() || state.unsaved_acks > 0);
            if busy != Some(true) && !self.is_busy() {
                break true;
            }
            if tokio::time::Instant::now() >= until {
                break false;
            }
            tokio::time::sleep(ROUND).await;
        };
        self.give_up_all(router);
        written
    }

    /// What is still here goes to the new home; it may be in the log.
    fn give_up_all(self: &Arc<Self>, router: &Arc<Router>) {
        let since_ms = router.now_ms().saturating_sub(UNWRITTEN_MS);
        let in_doubt = |queued: Queued| {
            Waiting::Receive(Parcel {
                doubt: queued.parcel.doubt.or(Some(Doubt {
                    since_ms,
                    looked: false,
                })),
                ..queued.parcel
            })
        };
        {
            let mut inner = self.inner.lock();
            let Inner::Ready(state) = &mut *inner else {
                return;
            };
            let queue = std::mem::take(&mut state.queue);
            *inner = Inner::Loading(queue.into_iter().map(in_doubt).collect());
        }
        self.leave_behind(router);
    }

    /// Reads it, again if the store has no answer while accounts move: when a node dies all that it served is read at once.
    async fn read_patiently(&self, router: &Router) -> storage::Result<Option<State>> {
        let mut delays = READ_AGAIN.iter();
        loop {
            let error = match self.read(router).await {
                Ok(read) => return Ok(read),
                Err(error) => error,
            };
            let passes = matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable);
            match delays.next() {
                Some(delay) if passes && router.peers.is_moving() => {
                    tracing::debug!(account = %self.account, %error, "read again");
                    tokio::time::sleep(*delay).await;
                }
                _ => return Err(error),
            }
        }
    }

    pub(super) async fn read(&self, router: &Router) -> storage::Result<Option<State>> {
        let (stores, account) = (&router.stores, &self.account);
        let head_known_ms = router.now_ms();
        // At once: over a network each takes milliseconds.
        let (found, tip, mailbox, privacy, preferences) = tokio::try_join!(
            stores.accounts.load(account),
            stores.logs.tip(account),
            stores.mailboxes.load(account),
            stores.privacy.load(account),
            stores.archive_preferences.load(account),
        )?;
        if found.is_none() {
            return Ok(None);
        }
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
        if rules::need_roster(&privacy) {
            // What comes cannot wait for it.
            router.rosters.pin(&self.account).await?;
        }
        Ok(Some(State {
            passing: false,
            head: tip.head,
            head_known_ms,
            newest_ms: tip.time_ms,
            queue: VecDeque::new(),
            in_doubt: false,
            doubted: Default::default(),
            flushing: false,
            pending,
            privacy: Arc::new(privacy),
            preferences: preferences.map(Arc::new),
            presences: ThinVec::new(),
            photo: None,
            mailbox,
            unsaved_acks: 0,
            ahead: ThinVec::new(),
            others: None,
        }))
    }
}
