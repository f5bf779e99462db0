//! What another node may have written to a log: the one that served the account before, and died while it did.
//!
//! Why here: a home appends behind what it knows, so it learns of others' entries when the store refuses one of its own, or
//! when it is told that a message was given to another before, or sent by a session of it there. Such a message is in the
//! log if an entry is the same from sender to last byte, its id included, which no two messages are; one without an id is
//! rather delivered twice than not.
//! Stored: nothing.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use storage::repository::{EntryFlags, LogEntry, LogRange};
use xmpp::Jid;

use super::{Home, Queued, State};
use crate::{home::pending::Deliverable, pipeline::delivery, routing::Router};

/// What clocks of nodes may differ by, and what a message may take to be asked for.
const SLACK_MS: u64 = 120_000;
/// Entries that are looked through for messages in doubt, at most, and at once.
pub(super) const MAX_LOOKED: usize = 4_096;
const PAGE: usize = 256;
/// When a home that has moved looks whether the former one has written more, each behind the one before.
const PROBES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
impl Home {
    /// Looks whether messages in doubt are in the log, before they are appended.
    ///
    /// # Errors
    /// The log cannot be read; nothing has changed.
    pub(super) async fn settle_doubts(
        self: &Arc<Self>,
        router: &Arc<Router>,
    ) -> storage::Result<()> {
        let doubts = self.with(|state| {
            if !state.in_doubt {
                return (None, state.head);
            }
            let doubts = state.queue.iter().filter_map(|queued| queued.parcel.doubt);
            let open = doubts.filter(|doubt| !doubt.looked);
            (open.map(|doubt| doubt.since_ms).min(), state.head)
        });
        let Some((Some(since_ms), head)) = doubts else {
            return Ok(());
        };
        let back_to_ms = since_ms.saturating_sub(SLACK_MS);
        let mut found = HashSet::new();
        let (mut to, mut looked) = (head, 0);
        while to > 0 && looked < MAX_LOOKED {
            let range = LogRange { from: 1, to };
            let page = router.stores.logs.read(&self.account, range, true, PAGE);
            let page = page.await?;
            let Some(last) = page.last() else { break };
            to = last.number - 1;
            looked += page.len();
            let is_over = last.time_ms < back_to_ms;
            found.extend(page.into_iter().map(Identity::of));
            if is_over {
                break;
            }
        }
        self.drop_found(router, &found, Some(since_ms));
        Ok(())
    }

    /// Others appended behind `known`: what is for this account waits. What is among it is not appended again, in doubt or
    /// not: a home that stood still was asked for a message, and what it had not answered was given to its successor.
    ///
    /// # Errors
    /// The log cannot be read; nothing has changed.
    pub(super) async fn catch_up(
        self: &Arc<Self>,
        router: &Arc<Router>,
        known: u64,
        head: u64,
    ) -> storage::Result<()> {
        let mut from = known + 1;
        let mut found = HashSet::new();
        while from <= head {
            let range = LogRange { from, to: head };
            let page = router.stores.logs.read(&self.account, range, false, PAGE);
            let page = page.await?;
            let Some(last) = page.last() else { break };
            from = last.number + 1;
            self.with(|state| {
                let known = state.head;
                for entry in page.iter().filter(|entry| entry.number > known) {
                    if entry.flags.contains(EntryFlags::DELIVER) {
                        state.add_of_others(entry);
                    }
                }
                state.head = state.head.max(last.number);
                let head = state.head;
                state.ahead.retain(|(number, _)| *number > head);
                state.newest_ms = state.newest_ms.max(last.time_ms);
            });
            found.extend(page.into_iter().map(Identity::of));
        }
        self.drop_found(router, &found, None);
        self.with(|state| state.remember(found));
        self.with(|state| state.give_to_best(router, &self.account));
        Ok(())
    }

    /// The node that served the account may not know yet that it does not.
    pub(in crate::home) async fn probe_later(self: Arc<Self>, router: Arc<Router>) {
        for after in PROBES {
            tokio::time::sleep(after).await;
            self.clone().probe(router.clone()).await;
        }
    }

    /// Looks for entries that another node wrote while it took itself for the home, or was that when this one was loaded.
    pub(in crate::home) async fn probe(self: Arc<Self>, router: Arc<Router>) {
        // As a flush: whoever appends meanwhile waits; one that is under way finds them itself.
        let begun = self.with(|state| {
            let begins = !state.flushing && !state.passing;
            state.flushing |= begins;
            let ahead: Vec<u64> = state.ahead.iter().map(|(number, _)| *number).collect();
            begins.then_some((state.head, ahead))
        });
        let Some(Some((known, ahead))) = begun else {
            return;
        };
        let looked = match router.stores.logs.tip(&self.account).await {
            Ok(tip) if tip.head > known => self.catch_up(&router, known, tip.head).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match looked {
            // What sessions had of it before is there now, or nowhere.
            Ok(()) => drop(self.with(|state| state.ahead.retain(|it| !ahead.contains(&it.0)))),
            Err(error) => {
                tracing::warn!(account = %self.account, %error, "log not looked at for entries of others");
            }
        }
        if self.goes_on() {
            self.flush(router).await;
        }
    }

    /// Messages in doubt that are among these are done. Those in doubt since `since_ms` or later have been looked for.
    fn drop_found(
        self: &Arc<Self>,
        router: &Arc<Router>,
        found: &HashSet<Identity>,
        since_ms: Option<u64>,
    ) {
        let mut done = Vec::new();
        self.with(|state| {
            state.in_doubt = false;
            let mut rest = VecDeque::with_capacity(state.queue.len());
            let mut before = HashSet::new();
            for mut queued in std::mem::take(&mut state.queue) {
                let identity = Identity::of_queued(&queued);
                // What nobody doubted is looked for among others' entries, and not in what this home knew.
                let in_doubt = queued.parcel.doubt.is_some() || since_ms.is_none();
                if in_doubt && identity.as_ref().is_some_and(|it| found.contains(it)) {
                    done.push(queued.parcel);
                    continue;
                }
                // What is about to be appended is found there next time.
                let is_first = identity.is_none_or(|identity| before.insert(identity));
                if let Some(doubt) = &mut queued.parcel.doubt {
                    let looked = since_ms.is_some_and(|since_ms| doubt.since_ms >= since_ms);
                    doubt.looked |= looked && is_first;
                    state.in_doubt |= !doubt.looked;
                }
                rest.push_back(queued);
            }
            state.queue = rest;
        });
        self.finish_all(router, done);
    }
}

/// What identifies a message of this account's log: no two are the same from the other side to the last byte.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Identity {
    sent: bool,
    peer: Jid,
    stanza: Bytes,
}

impl Identity {
    pub(super) fn of(entry: LogEntry) -> Self {
        Self {
            sent: entry.flags.contains(EntryFlags::SENT),
            peer: entry.peer,
            stanza: entry.stanza,
        }
    }

    /// `None`: it goes into no log, or has no id and may be meant twice.
    pub(super) fn of_queued(queued: &Queued) -> Option<Self> {
        let (_, peer, stanza) = queued.entry()?;
        queued.parcel.stanza.id()?;
        Some(Self {
            sent: queued.parcel.sent,
            peer: peer.clone(),
            stanza: stanza.clone(),
        })
    }
}

impl State {
    /// An entry for this account that another home has appended.
    fn add_of_others(&mut self, entry: &LogEntry) {
        let known = self
            .ahead
            .iter()
            .find(|(number, _)| *number == entry.number);
        let holders = known.map_or(Some(0), |(_, holders)| *holders);
        let held = holders.unwrap_or_default().into();
        self.pending.add(Deliverable::from(entry), held);
        if holders.is_none() {
            self.unsaved_acks += self.pending.acknowledge([entry.number]) as u32;
        }
    }

    /// Whether sessions have entries that are not known here, so that older ones may not be known either.
    pub(super) fn is_behind(&self) -> bool {
        self.ahead.iter().any(|(number, _)| *number > self.head)
    }

    /// A session holds these, of which some may not be known yet.
    pub(super) fn hold_ahead(&mut self, numbers: &[u64]) {
        for &number in numbers.iter().filter(|number| **number > self.head) {
            match self.ahead.iter_mut().find(|(it, _)| *it == number) {
                Some((_, holders)) => *holders = holders.map(|holders| holders + 1),
                None => self.ahead.push((number, Some(1))),
            }
        }
    }

    /// It holds them no longer.
    pub(super) fn release_ahead(&mut self, numbers: &[u64]) {
        for (number, holders) in &mut self.ahead {
            if numbers.contains(number) {
                *holders = holders.map(|holders| holders.saturating_sub(1));
            }
        }
    }

    /// Its client has acknowledged them.
    pub(super) fn acknowledge_ahead(&mut self, numbers: &[u64]) {
        for &number in numbers.iter().filter(|number| **number > self.head) {
            match self.ahead.iter_mut().find(|(it, _)| *it == number) {
                Some((_, holders)) => *holders = None,
                None => self.ahead.push((number, None)),
            }
        }
    }

    /// Somebody who can take it gets all that waits and nobody holds.
    pub(super) fn give_to_best(&self, router: &Router, account: &xmpp::BareJid) {
        if self.pending.unclaimed() == 0 {
            return;
        }
        let entries = router.entries(account.as_str());
        let best = delivery::most_available(entries.iter().map(|e| e.priority));
        let target = best.map(|place| entries[place].session.number);
        if let Some(target) = target.and_then(|number| router.sessions.get(number)) {
            self.give_waiting(&target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn who_has_not_seen_what_its_sessions_have_of_the_log_is_behind() {
        let mut state = State {
            head: 3,
            ..State::default()
        };
        state.hold_ahead(&[1, 3]);
        assert!(!state.is_behind());
        state.hold_ahead(&[4, 6]);
        assert!(state.is_behind());
        state.head = 5;
        assert!(state.is_behind());
        state.acknowledge_ahead(&[6, 7]);
        assert!(state.is_behind());
        state.head = 7;
        assert!(!state.is_behind());
    }
}
