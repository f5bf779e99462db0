//! Departing: a session is about to go on at another node, with its connection if that can be.
//!
//! Why here: what goes along is settled first: what was begun is finished, what was read and not begun is kept as bytes, and
//! nothing that was written is held back any more. What cannot be finished soon is begun anew there, in doubt, as if its
//! client had sent it again: two sessions may wait for each other's homes. A session that does not get so far in time goes
//! without its connection, as one whose connection broke.
//! Stored: nothing.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};
use xmpp::{StreamError, codec::StreamEvent};

use super::{Flow, Session, SessionCore};
use crate::{
    c2s::{
        carried::Carried,
        front::{Front, Sought},
        stream::last_words,
    },
    net::{Notice, Transport},
    routing::peers::Kind,
};

/// How long what was begun may take to be finished.
const FINISH: Duration = Duration::from_millis(200);
/// How long a session may take to get ready. The node that knows it has a second to say what it knows.
const READY: Duration = Duration::from_millis(1_500);
/// Bytes that a pipe has not taken, which go along with it. A frame holds them.
const MAX_UNSENT: usize = 512 << 10;

/// A session that is about to go.
pub(super) struct Departing {
    /// Who takes it there.
    pub(super) to: oneshot::Sender<Box<SessionCore>>,
    since: Instant,
    /// Nothing more comes from the client.
    held: bool,
}

impl Departing {
    fn may_leave_unfinished(&self) -> bool {
        self.since.elapsed() >= FINISH
    }

    fn is_late(&self) -> bool {
        self.since.elapsed() >= READY
    }

    /// When it is looked again how far the session is, whatever else happens.
    pub(super) fn next_look(&self) -> Instant {
        match self.may_leave_unfinished() {
            true => self.since + READY,
            false => self.since + FINISH,
        }
    }
}

/// A connection whose session goes.
pub(in crate::c2s) struct Left {
    to: oneshot::Sender<Box<SessionCore>>,
    carried: Carried,
}

impl Session {
    /// The session is to go.
    pub(super) fn depart(&mut self, to: oneshot::Sender<Box<SessionCore>>) -> Flow {
        if let Some(departing) = &mut self.departing {
            departing.to = to;
            return Flow::Continue;
        }
        let is_piped = self.transport.is_piped();
        let is_over = self.gone
            || self.core.anonymous
            || self.fault.is_some()
            || self.core.handle.ending.get().is_some();
        if is_over || !self.is_followed() || is_piped && !self.transport.notify(Notice::Hold) {
            return Flow::Move(to);
        }
        let held = !is_piped;
        let since = Instant::now();
        self.departing = Some(Box::new(Departing { to, since, held }));
        Flow::Continue
    }

    /// Whether the node where the session goes knows how a connection follows.
    fn is_followed(&self) -> bool {
        let peers = &self.core.router.peers;
        let home = peers.elsewhere(self.core.home.account.as_str());
        home.is_some_and(|home| peers.is_known_to(home, Kind::Attach))
    }

    /// What the other end of the pipe says of it; the stream's last words if the socket is about to be closed.
    pub(super) fn notice(&mut self) -> Option<StreamError> {
        match self.transport.take_notice() {
            Some(Notice::Held) => {
                if let Some(departing) = &mut self.departing {
                    departing.held = true;
                }
                None
            }
            notice => notice.and_then(last_words),
        }
    }

    /// Whether what the client sends is to be read, while the session is about to go: up to where it was told to stop.
    pub(super) fn reads_on(&self) -> bool {
        self.departing.as_ref().is_some_and(|it| !it.held) && self.fault.is_none() && !self.gone
    }

    /// The session goes if it is ready to, or if it was given enough time.
    pub(super) fn departs(&mut self, flow: Flow) -> Flow {
        let Some(departing) = self.departing.take() else {
            return flow;
        };
        match flow {
            Flow::Continue => {}
            // It cannot take its connection along.
            Flow::Broken => return Flow::Move(departing.to),
            flow => return flow,
        }
        let is_finished =
            self.core.is_settled() || departing.may_leave_unfinished() && self.core.is_repeatable();
        if departing.held
            && is_finished
            && self.is_ready()
            && let Some(tail) = self.tail()
        {
            let carried = self.core.carried(tail, self.pace);
            let to = departing.to;
            return Flow::Leave(Box::new(Left { to, carried }));
        }
        let mut held = self.core.held.iter();
        let ends = held.any(|event| matches!(event, StreamEvent::Close));
        if ends || self.gone || self.fault.is_some() || departing.is_late() {
            tracing::debug!(
                jid = %self.core.jid(),
                departing.held,
                in_flight = self.core.inbound.in_flight(),
                unsent_bytes = self.transport.pending_bytes(),
                "a session goes to another node without its connection"
            );
            return Flow::Move(departing.to);
        }
        self.departing = Some(departing);
        Flow::Continue
    }

    /// What the client sent and is not finished, for a new decoder.
    fn tail(&self) -> Option<Vec<u8>> {
        let unfinished = self.core.unfinished();
        self.decoder.replay_behind(&unfinished, &self.core.held)
    }

    fn is_ready(&self) -> bool {
        let pending = self.transport.pending_bytes();
        let is_sent = match &self.core.managed {
            Some(_) => pending == self.transport.sendable_bytes(),
            // What its client may never get is not to count as sent.
            None => pending == 0 && self.core.unwritten.is_empty(),
        };
        let fits = !self.transport.is_piped() || pending <= MAX_UNSENT;
        is_sent && fits && self.fault.is_none() && !self.gone
    }

    /// The session goes, and its connection stays: whoever holds the socket follows it.
    pub(super) async fn leave(self: Box<Self>, left: Left) {
        let Self {
            mut core,
            mut transport,
            permit,
            ..
        } = *self;
        let Left { to, carried } = left;
        let (router, account) = (core.router.clone(), core.home.account.clone());
        let id = core
            .handle
            .sm_id
            .get_or_init(|| crate::random::token().into());
        let mut sought = Sought {
            id: id.to_string(),
            epoch: router.peers.view().epoch,
            is_resumable: carried.is_resumable,
            unsent: Vec::new(),
            ahead: Vec::new(),
        };
        core.carried = Some(Box::new(carried));
        let front = match transport.is_piped() {
            true => {
                sought.unsent = transport.take_pending();
                tell(&mut transport, &sought);
                drop(transport);
                None
            }
            false => {
                transport.release_all();
                let peer = transport.peer_addr();
                peer.ok().map(|peer| Front {
                    router,
                    account,
                    client: transport,
                    peer,
                    permit,
                })
            }
        };
        crate::c2s::parking::give(core, to).await;
        if let Some(front) = front {
            Box::pin(front.go_on(sought)).await;
        }
    }
}

/// Tells the other end of a pipe, which ends, where its session is.
fn tell(transport: &mut Transport, sought: &Sought) {
    let how = minicbor::to_vec(sought).unwrap_or_default();
    transport.notify(Notice::Elsewhere(how.into()));
}
