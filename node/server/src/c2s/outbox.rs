//! Outbox: what leaves a session, in order: client state (XEP-0352), then stream management, then the socket.

use std::{cell::RefCell, collections::VecDeque};

use xmpp::{Kind, Stanza};

use super::{client_state, managed::Sent, session::SessionCore};
use crate::{
    net::Transport,
    pipeline::archive_rule::classify,
    routing::{Delivery, Letter, Order},
};

/// Entries that are read from the log at once.
const FETCH: usize = 50;
/// Bytes gathered before they are handed to the connection.
const BURST: usize = 32 << 10;

/// The connection broke.
pub(super) struct Broken;

/// Answers to refused messages that overtake everything else when a session is resumed: more than may be under way at once.
const MAX_REFUSALS: usize = 256;

thread_local! {
    /// Where a burst is gathered: one for all sessions of a thread.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Sends what waits, until the socket takes no more, the log has to be read, or as much waits for the client's
/// acknowledgement as may: then what is in the log stays there, and the mailbox has its own bounds.
pub(super) fn send(
    core: &mut SessionCore,
    transport: &mut Transport,
    congested: usize,
) -> Result<(), Broken> {
    SCRATCH.with_borrow_mut(|out| {
        out.clear();
        while !core.fetching && transport.pending_bytes() < congested {
            match core.backlog.pop_front() {
                Some(Letter::Stanza(delivery)) if !core.has_room(&delivery) => {
                    core.backlog.push_front(Letter::Stanza(delivery));
                    break;
                }
                Some(Letter::Stanza(delivery)) => core.offer(delivery, out),
                Some(Letter::Logged(number)) => {
                    core.backlog.push_front(Letter::Logged(number));
                    core.fetch();
                }
                Some(Letter::Waiting) => core.claim(),
                // Outcomes are no part of a backlog.
                Some(Letter::Done(_) | Letter::LaneDone) => {}
                None => break,
            }
            if out.len() >= BURST {
                flush(core, transport, out)?;
            }
        }
        if core.backlog.is_empty() {
            core.backlog = VecDeque::new();
            if let Some(managed) = &mut core.managed {
                managed.tellable = core.settled;
            }
        }
        if let Some(ack) = core.owed_ack() {
            out.extend_from_slice(&ack);
        }
        if let Some(managed) = &mut core.managed
            && managed.wants_ack()
        {
            out.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
        }
        flush(core, transport, out)
    })
}

fn flush(
    core: &mut SessionCore,
    transport: &mut Transport,
    out: &mut Vec<u8>,
) -> Result<(), Broken> {
    if !out.is_empty() {
        transport.write(out).map_err(|_| Broken)?;
        out.clear();
    }
    if transport.pending_bytes() == 0 {
        core.written();
    }
    Ok(())
}

/// Puts stanzas in front of what waits.
pub(super) fn put_first(backlog: &mut VecDeque<Letter>, deliveries: Vec<Delivery>) {
    for delivery in deliveries.into_iter().rev() {
        backlog.push_front(Letter::Stanza(delivery));
    }
}

impl SessionCore {
    /// Before its client learns by `<resumed/>` how much is handled: what of that was refused is said right behind it. It may
    /// not wait for what is to be read from the log first. A client that lost it in the meantime, and the session with it,
    /// would take what was refused for sent.
    pub(super) fn put_refusals_first(&mut self) {
        let waiting = std::mem::take(&mut self.backlog);
        let (mut first, rest): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(Letter::is_refusal);
        // What is not taken out of the mailbox here still counts among what may wait there.
        let limit = MAX_REFUSALS.saturating_sub(first.len());
        first.extend(self.handle.mailbox.pull(limit, Letter::is_refusal));
        first.extend(rest);
        self.backlog = first;
    }

    /// Whether another stanza may wait for the client's acknowledgement.
    fn has_room(&self, delivery: &Delivery) -> bool {
        self.managed
            .as_ref()
            .is_none_or(|managed| managed.outbound.has_room(delivery.bytes.len()))
    }

    /// Offers a stanza to the client state; what is to be sent now is written to `out`.
    fn offer(&mut self, delivery: Delivery, out: &mut Vec<u8>) {
        let Some(state) = self
            .client_state
            .as_mut()
            .filter(|state| state.is_inactive())
        else {
            return self.put(delivery, out);
        };
        // Parsed again: only while the client sleeps.
        let urgency =
            Stanza::parse(delivery.bytes.clone()).map_or(client_state::Urgency::Now, |stanza| {
                let class = if stanza.kind() == Kind::Presence {
                    classify(&stanza)
                } else {
                    delivery.class
                };
                client_state::urgency(&stanza, class)
            });
        let mut ready = Vec::new();
        let bytes = delivery.bytes.len();
        state.offer(delivery, bytes, urgency, &mut ready);
        for delivery in ready {
            self.put(delivery, out);
        }
    }

    /// Counts a stanza and writes it.
    fn put(&mut self, delivery: Delivery, out: &mut Vec<u8>) {
        out.extend_from_slice(&delivery.bytes);
        match &mut self.managed {
            Some(managed) => {
                let size = delivery.bytes.len();
                managed.unasked |= delivery.number != 0 || delivery.class.stored_offline();
                let sent = if delivery.number != 0 {
                    Sent::Logged(delivery.number)
                } else if delivery.class.stored_offline() {
                    Sent::Message(delivery)
                } else {
                    Sent::Other(delivery.bytes)
                };
                // `send` looked whether there is room; what the client state held back is bounded by itself.
                managed.outbound.push_anyway(sent, size);
            }
            None => {
                if delivery.number != 0 {
                    self.unwritten.push(delivery.number);
                }
            }
        }
    }

    /// The socket took everything: without stream management that is all the acknowledgement there is.
    pub(super) fn written(&mut self) {
        if !self.unwritten.is_empty() {
            let numbers = std::mem::take(&mut self.unwritten);
            self.home.acknowledge(&self.router, &numbers);
        }
    }

    /// Puts the next of what waits in the log first, and whatever is left behind it. What has come to wait since then, because
    /// the session was on its way to another node, has its place behind what follows.
    fn claim(&mut self) {
        let (backlog, mailbox) = (&self.backlog, &self.handle.mailbox);
        let next = || {
            let next = backlog.iter().find_map(Letter::number);
            next.or_else(|| mailbox.next_number())
        };
        let Some(numbers) = self.home.claim(FETCH, next) else {
            return self.claim_later();
        };
        if !numbers.is_empty() {
            self.backlog.push_front(Letter::Waiting);
        }
        for number in numbers.into_iter().rev() {
            self.backlog.push_front(Letter::Logged(number));
        }
    }

    /// The home is not loaded, about to leave, or has not seen all of the log: what waits there keeps its place until it can
    /// be asked.
    fn claim_later(&mut self) {
        self.backlog.push_front(Letter::Waiting);
        self.fetching = true;
        let (home, router, handle) = (self.home.clone(), self.router.clone(), self.handle.clone());
        self.router.spawn(async move {
            // Whatever came of it, the session looks again.
            home.until_claimable(&router).await;
            handle.mailbox.order(Order::Fetched(Vec::new()));
        });
    }

    /// Reads the first entries of the backlog from the log, as a task.
    fn fetch(&mut self) {
        let numbers: Vec<u64> = self
            .backlog
            .iter()
            .map_while(|letter| {
                if let Letter::Logged(number) = letter {
                    Some(*number)
                } else {
                    None
                }
            })
            .take(FETCH)
            .collect();
        self.fetching = true;
        let (home, router, handle) = (self.home.clone(), self.router.clone(), self.handle.clone());
        self.router.spawn(async move {
            let mut delay = std::time::Duration::from_millis(50);
            loop {
                match home.fetch(&router, &numbers).await {
                    Ok(entries) => {
                        handle.mailbox.order(Order::Fetched(entries));
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(account = %home.account, %error, "messages not read from the log");
                        tokio::time::sleep(delay).await;
                        delay = (delay * 2).min(std::time::Duration::from_secs(5));
                    }
                }
            }
        });
    }

    /// Entries of the log were read: they take the place of their numbers.
    pub(super) fn fetched(&mut self, entries: Vec<(u64, Option<Delivery>)>) {
        self.fetching = false;
        // What a client that woke was spared may stand before them by now.
        let before = self
            .backlog
            .iter()
            .take_while(|letter| !matches!(letter, Letter::Logged(_)))
            .count();
        let mut rest = self.backlog.split_off(before);
        let mut deliveries = Vec::with_capacity(entries.len());
        let mut gone = Vec::new();
        for (number, delivery) in entries {
            rest.pop_front();
            match delivery {
                Some(delivery) => deliveries.push(delivery),
                None => gone.push(number),
            }
        }
        if !gone.is_empty() {
            self.home.acknowledge(&self.router, &gone);
        }
        put_first(&mut rest, deliveries);
        self.backlog.append(&mut rest);
    }
}
