//! The way of a home's messages into its log: one flush at a time, in order, until nothing waits.
//!
//! Why here: what may be done again and what was done is told by the place in the queue, and by nothing else.
//! An append is judged by what the table has. What was compacted is there no more and refuses nobody, so nothing is written
//! behind a head that was learned of long ago: it is read again first.
//! Stored: the account's log.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use storage::{
    Error, ErrorKind,
    repository::{EntryFlags, LogRange, NewEntry},
};

use super::{After, Home, Parcel, Queued, State, messages::Numbers, tell, wait};
use crate::{
    home::pending::Deliverable,
    modules::archive::{
        self,
        retraction::{self, Retraction},
    },
    routing::{Progress, Router},
};

/// Entries of one append.
const MAX_APPEND: usize = 64;
/// Bytes of one append.
const MAX_APPEND_BYTES: usize = 60 << 10;
/// How long a flush waits after a failure: at first, at most, and when senders are told.
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(20);
pub(super) const LAST_DELAY: Duration = Duration::from_secs(2);
const GIVE_UP_DELAY: Duration = Duration::from_secs(1);
/// How often a retraction is tried: for two minutes, in which a disk gets room or a store comes back.
const RETRACTION_ATTEMPTS: u32 = 64;

/// A head is read again when it was learned of longer ago than this. No log is compacted up to entries of less than a day
/// (`maintenance.compact_after`).
const HEAD_TRUSTED: Duration = Duration::from_secs(3_600);

/// A write to the log. It stays as it is until it is known whether it was done.
struct Append {
    /// Behind which number.
    head: u64,
    /// When that was known to be the head.
    head_known_ms: u64,
    /// By which the store recognises it.
    write_id: u64,
    entries: Vec<NewEntry>,
    /// An answer was lost: it may be in the log.
    maybe_done: bool,
}

impl Home {
    /// Writes what has gathered, until nothing is left. One at a time per home.
    pub(super) async fn flush(self: Arc<Self>, router: Arc<Router>) {
        let mut delay = FIRST_DELAY;
        let mut repeat = None;
        loop {
            let looked = match &repeat {
                Some(_) => Ok(()),
                None => self.settle_doubts(&router).await,
            };
            let next = repeat
                .take()
                .or_else(|| self.with(|state| state.next_append(&router)));
            let Some(mut append) = next else { return };
            let Some(writing) = self.write() else { return };
            let result = match looked {
                Ok(()) => self.append(&router, &mut append).await,
                Err(error) => Err(error),
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
                    let asked_ms = router.now_ms();
                    match router.stores.logs.tip(&self.account).await {
                        Ok(tip) if tip.head > append.head => {
                            match self.catch_up(&router, append.head, tip.head).await {
                                Ok(()) => {
                                    self.with(|state| state.head_known_ms = asked_ms);
                                    continue;
                                }
                                Err(error) => {
                                    tracing::warn!(account = %self.account, %error, "log not read behind what is known")
                                }
                            }
                        }
                        Ok(tip) => {
                            // Behind: the log was begun anew.
                            self.with(|state| {
                                state.head = tip.head;
                                state.head_known_ms = asked_ms;
                                state.newest_ms = state.newest_ms.max(tip.time_ms);
                            });
                            if tip.head != append.head {
                                continue;
                            }
                            // A conflict with nothing: asked at once it would say the same again.
                            tracing::warn!(account = %self.account, %error, "log append refused without a newer entry");
                            router.metrics.append_failures.inc();
                        }
                        Err(error) => {
                            tracing::warn!(account = %self.account, %error, "log head not read")
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(account = %self.account, %error, "log append failed");
                    router.metrics.append_failures.inc();
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

    /// Writes an append, behind a head that may be trusted.
    async fn append(&self, router: &Router, append: &mut Append) -> storage::Result<()> {
        let logs = &router.stores.logs;
        if append.entries.is_empty() {
            return Ok(());
        }
        let now_ms = router.now_ms();
        // A clock that went back says nothing about an age.
        if Duration::from_millis(now_ms.abs_diff(append.head_known_ms)) > HEAD_TRUSTED {
            let head = logs.head(&self.account).await?;
            if head != append.head {
                return match append.maybe_done && self.holds(router, append).await? {
                    // Maybe somebody wrote behind it: what the head is now stays unknown.
                    true => Ok(()),
                    false => Err(Error::conflict(0, None)),
                };
            }
            append.head_known_ms = now_ms;
        }
        let written = logs
            .append(&self.account, append.head, append.write_id, &append.entries)
            .await;
        match &written {
            Ok(()) => drop(self.with(|state| state.head_known_ms = now_ms)),
            Err(error) => append.maybe_done |= error.kind() == ErrorKind::Unavailable,
        }
        written
    }

    /// Whether an append that may be done is: by what is there, since the table may have lost the write's id to a segment.
    async fn holds(&self, router: &Router, append: &Append) -> storage::Result<bool> {
        let (Some(first), number) = (append.entries.first(), append.head + 1) else {
            return Ok(false);
        };
        let range = LogRange {
            from: number,
            to: number,
        };
        let found = router.stores.logs.read(&self.account, range, false, 1);
        let found = found.await?;
        let is_ours = |it: &storage::repository::LogEntry| {
            it.time_ms == first.time_ms && it.peer == first.peer && it.stanza == first.stanza
        };
        Ok(found.first().is_some_and(is_ours))
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
                } else if kept > 0 || queued.parcel.sent || queued.parcel.doubt.is_some() {
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
    pub(super) fn goes_on(&self) -> bool {
        let goes_on = self.with(|state| {
            state.flushing = !state.queue.is_empty();
            state.flushing
        });
        goes_on == Some(true)
    }

    pub(super) fn finish_all(self: &Arc<Self>, router: &Arc<Router>, done: Vec<Parcel>) {
        for parcel in done {
            let origin = parcel.origin.clone();
            tell(self.finish(router, After::Done(parcel)), origin);
        }
    }

    /// What a logged message takes back becomes a tombstone (XEP-0424 §5.2).
    async fn retract(self: &Arc<Self>, router: &Router, number: u64, retraction: &Retraction) {
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
}

impl State {
    /// The next append, from the front of the queue; nothing is taken off it.
    fn next_append(&mut self, router: &Router) -> Append {
        let now = router.now_ms().max(self.newest_ms);
        let mut entries = Vec::new();
        let mut bytes = 0;
        for queued in &self.queue {
            let Some((flags, peer, stanza)) = queued.entry() else {
                continue;
            };
            if queued.parcel.doubt.is_some_and(|doubt| !doubt.looked) {
                // First it is looked for: it has just come, or what may be the same stands before it.
                break;
            }
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
            head_known_ms: self.head_known_ms,
            write_id: router.random(),
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
        let Queued { parcel, flags } = queued;
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
        if parcel.sent {
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
                return Some(Queued { parcel, flags });
            }
        }
        done.push(parcel);
        None
    }
}
