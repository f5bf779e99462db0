//! What a message meets in a loaded home: the account's rules, its log, its sessions.
//!
//! Source: RFC 6121 §8.5 through `pipeline::delivery`, XEP-0160, XEP-0280. Runs under the home's lock.
//! Stored: nothing; what is to be stored is queued for `flush`.

use std::sync::Arc;

use bytes::Bytes;
use cluster::directory::Entry;
use smallvec::SmallVec;
use storage::repository::EntryFlags;
use tokio::time::Instant;
use xmpp::{BareJid, Jid, StanzaError, StanzaErrorCondition as Condition};

use super::{After, Home, MAX_QUEUE, Parcel, Queued, State, wait};
use crate::{
    home::render::{self, Direction},
    modules::{archive::preferences, blocking::Passing},
    pipeline::delivery::{self, Action, Addressee, MessageType, Resource},
    routing::{Delivery, Letter, Posted, Router, Said, SessionHandle, Shared, flags},
};

impl State {
    pub(super) fn receive(
        &mut self,
        home: &Arc<Home>,
        router: &Arc<Router>,
        mut parcel: Parcel,
    ) -> After {
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
            return self.enqueue(home, router, Queued { parcel, flags });
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
        self.enqueue(home, router, Queued { parcel, flags })
    }

    pub(super) fn sent(
        &mut self,
        home: &Arc<Home>,
        router: &Arc<Router>,
        mut parcel: Parcel,
    ) -> After {
        parcel.stanza = render::without_forged_ids(parcel.stanza, &home.account);
        if let Some(doubt) = &mut parcel.doubt {
            // It was the recipient's log that was looked through.
            doubt.looked = false;
        }
        let archived = router.config.archive.enabled
            && !self.passing
            && parcel.class.archived()
            && preferences::archives(&self.preferences, parcel.stanza.to(), || {
                router.rosters.cached(&home.account)
            });
        if archived || !self.queue.is_empty() {
            let flags = archived.then_some(EntryFlags::SENT | EntryFlags::ARCHIVED);
            return self.enqueue(home, router, Queued { parcel, flags });
        }
        self.copy_to_others(&home.account, router, &parcel, 0);
        After::Done(parcel)
    }

    pub(super) fn enqueue(
        &mut self,
        home: &Arc<Home>,
        router: &Arc<Router>,
        mut queued: Queued,
    ) -> After {
        if self.is_of_others(&queued) {
            // It waits for clients as what is found in the log does.
            return After::Done(queued.parcel);
        }
        if self.queue.len() >= MAX_QUEUE && !queued.parcel.sent {
            return After::Refuse(
                queued.parcel,
                wait("too many messages wait for this account"),
            );
        }
        self.doubted
            .heed(&mut queued, router.now_ms(), Instant::now);
        self.in_doubt |= queued.parcel.doubt.is_some();
        self.queue.push_back(queued);
        if !self.flushing {
            self.flushing = true;
            router.spawn(home.clone().flush(router.clone()));
        }
        After::Nothing
    }

    /// Gives a session all that waits and nobody holds: it claims that when it gets there. If it ends before, the next one
    /// does.
    pub(super) fn give_waiting(&self, target: &SessionHandle) {
        if self.pending.unclaimed() > 0 {
            target.mailbox.post(Letter::Waiting);
        }
    }

    /// Posts a message to the resources that get it, and carbons to those that asked. Returns how many hold it.
    pub(super) fn deliver(
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
        // What a room said may come by two ways when a session or the room has moved.
        let is_said = parcel.class.message_type() == MessageType::Groupchat;
        let said = is_said.then(|| Said::of(router, &parcel.stanza)).flatten();
        let was_given = |entry: &Entry| {
            let handle = || router.sessions.get(entry.session.number);
            let said = said.as_ref();
            said.is_some_and(|said| handle().is_some_and(|handle| !said.is_for(&handle)))
        };
        let mut holders = 0;
        for entry in entries.iter().filter(|entry| reached(entry)) {
            if was_given(entry) {
                holders += 1;
                continue;
            }
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
    pub(super) fn copy_to_others(
        &self,
        account: &BareJid,
        router: &Router,
        parcel: &Parcel,
        number: u64,
    ) {
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
pub(super) struct Numbers {
    pub(super) archive: u64,
    pub(super) deliver: u64,
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

fn offline_is_full() -> StanzaError {
    StanzaError::new(Condition::ServiceUnavailable, "offline storage is full")
}
