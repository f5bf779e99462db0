//! What a session is made of apart from its connection: it outlives it while the client may resume.
//!
//! Source: RFC 6120 §8, XEP-0198. Requests of one client are answered in order by its lane; messages overtake them.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use thin_vec::ThinVec;
use xmpp::{
    FullJid, Stanza, StreamError, StreamErrorCondition as Condition, codec::StreamEvent, ns,
};

use crate::{
    c2s::{
        carried::Carried,
        client_state::ClientState,
        managed::Managed,
        outbox,
        replica::Following,
        stream_management::{Handled, Ticket},
    },
    home::Home,
    pipeline::outbound,
    routing::{Delivery, Letter, Origin, Progress, Router, SessionHandle},
};

/// A session without its connection.
pub struct SessionCore {
    /// What others hold of it.
    pub handle: Arc<SessionHandle>,
    /// The home of its account.
    pub home: Arc<Home>,
    /// What everything needs.
    pub router: Arc<Router>,
    /// Its account is gone with it (XEP-0175).
    pub anonymous: bool,
    /// The language of its client's stream, if it is not ours: of every stanza that names none (RFC 6120 §8.1.5).
    pub(in crate::c2s) lang: Option<Box<str>>,
    /// Stanzas of the client on their way.
    pub(in crate::c2s) inbound: Handled,
    /// `h` when the backlog was last taken: everything that was said about stanzas up to there is in it, or was sent.
    pub(in crate::c2s) settled: u32,
    /// Stream management, if enabled.
    pub(in crate::c2s) managed: Option<Box<Managed>>,
    /// The client's state, once it was told.
    pub(in crate::c2s) client_state: Option<Box<ClientState<Delivery>>>,
    /// Requests that are answered in order, one at a time; the first is being answered.
    pub(in crate::c2s) lane: VecDeque<(Stanza, Ticket)>,
    /// The first of them is being answered by a task.
    lane_running: bool,
    /// Letters taken and not sent.
    pub(in crate::c2s) backlog: VecDeque<Letter>,
    /// Entries of the log are being read for the first letters of the backlog.
    pub(in crate::c2s) fetching: bool,
    /// Entries of the log that the socket has not taken in full.
    pub(in crate::c2s) unwritten: ThinVec<u64>,
    /// In a cluster, the client's stanzas that `h` has not passed, as they came: what is not finished here is begun anew
    /// where the session goes on. Bounded by the window.
    pub(in crate::c2s) begun: ThinVec<(Ticket, Bytes)>,
    /// Its client came back and did not send again what it was to: see [`super::repeats`].
    pub(super) strays: bool,
    /// Stanzas of the client that wait for the window to open.
    pub(in crate::c2s) held: VecDeque<StreamEvent>,
    /// How far another node knows of it, if one does.
    pub(in crate::c2s) replica: Option<Box<Following>>,
    /// What came along of its connection, while that has not followed.
    pub(in crate::c2s) carried: Option<Box<Carried>>,
}

impl SessionCore {
    pub(in crate::c2s) fn new(
        router: Arc<Router>,
        handle: Arc<SessionHandle>,
        home: Arc<Home>,
        anonymous: bool,
    ) -> Self {
        Self {
            handle,
            home,
            router,
            anonymous,
            lang: None,
            inbound: Handled::new(),
            settled: 0,
            managed: None,
            client_state: None,
            lane: VecDeque::new(),
            lane_running: false,
            backlog: VecDeque::new(),
            fetching: false,
            unwritten: ThinVec::new(),
            begun: ThinVec::new(),
            strays: false,
            held: VecDeque::new(),
            replica: None,
            carried: None,
        }
    }

    /// The session's full address.
    pub fn jid(&self) -> &FullJid {
        &self.handle.jid
    }

    /// Whether it outlives its connection.
    pub(in crate::c2s) fn is_resumable(&self) -> bool {
        let managed = self.managed.as_ref();
        managed.is_some_and(|managed| managed.resume.is_some())
    }

    /// Turns carbons on (XEP-0280), as Bind 2 asks inline.
    pub fn enable_carbons(&mut self) {
        self.router
            .set_flags(&self.handle, crate::routing::flags::CARBONS, 0);
    }

    /// The client is inactive (XEP-0352), as Bind 2 says inline.
    pub fn set_inactive(&mut self) {
        self.client_state
            .get_or_insert_with(|| Box::new(ClientState::new(Default::default())))
            .deactivate();
    }

    /// The client is active (XEP-0352): what it was spared comes next.
    pub(in crate::c2s) fn set_active(&mut self) {
        if let Some(mut state) = self.client_state.take() {
            let mut ready = Vec::new();
            state.activate(&mut ready);
            outbox::put_first(&mut self.backlog, ready);
        }
    }

    pub(super) fn origin(&self, ticket: Ticket) -> Origin {
        Origin::Session {
            handle: self.handle.clone(),
            ticket,
        }
    }

    /// A stanza's effects are committed.
    pub(super) fn complete(&mut self, ticket: Ticket) {
        self.inbound.complete(ticket);
        self.pass_begun();
    }

    /// Forgets what `h` has passed.
    pub(super) fn pass_begun(&mut self) {
        let inbound = &self.inbound;
        let passed = |(ticket, _): &&(Ticket, Bytes)| inbound.has_passed(*ticket);
        let passed = self.begun.iter().take_while(passed).count();
        self.begun.drain(..passed);
    }

    /// A stanza of the client came in, as these bytes. `None`: the window is full, which [`Self::is_stalled`] says before.
    pub(super) fn begin(&mut self, raw: &Bytes) -> Option<Ticket> {
        let ticket = self.inbound.begin()?;
        if self.router.peers.generation() > 0 {
            self.begun.push((ticket, raw.clone()));
        }
        Some(ticket)
    }

    /// What is begun and not finished, as it came; in place of what is finished and `h` has not passed there stands something
    /// that counts as much and asks for nothing.
    pub(super) fn unfinished(&self) -> Vec<u8> {
        const FINISHED: &[u8] = b"<iq type='result' id='finished'/>";
        let came = self.begun.len() - self.inbound.repeats() as usize;
        let begun = self.begun.iter().take(came);
        let bytes = begun.map(|(ticket, raw)| match self.inbound.is_done(*ticket) {
            true => FINISHED,
            false => raw,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// Whether all that is unfinished can be begun anew.
    pub(in crate::c2s) fn is_repeatable(&self) -> bool {
        self.begun.len() == self.inbound.in_flight() as usize
    }

    /// Puts a request behind those that are being answered; answers at once if there are none.
    pub(super) fn enter_lane(&mut self, stanza: Stanza, ticket: Ticket) {
        self.lane.push_back((stanza, ticket));
        self.run_lane();
    }

    /// Answers requests until one has to wait.
    fn run_lane(&mut self) {
        while !self.lane_running
            && self.handle.ending.get().is_none()
            && let Some((stanza, ticket)) = self.lane.front()
        {
            // Who asks for its archive expects to find in it what it sent before.
            if !self.inbound.is_next(*ticket)
                && stanza.root().children().any(|child| child.ns() == ns::MAM)
            {
                return;
            }
            if outbound::ordered(self, stanza.clone()) == Progress::Pending {
                self.lane_running = true;
                return;
            }
            self.lane_done();
        }
    }

    fn lane_done(&mut self) {
        if let Some((_, ticket)) = self.lane.pop_front() {
            self.complete(ticket);
            if let Some(replica) = &mut self.replica {
                replica.standing_may_differ();
            }
        }
    }

    /// A session that is to end has sent all it had.
    pub(super) fn has_ended(&self) -> Result<(), StreamError> {
        match self.handle.ending.get() {
            Some(error) if self.backlog.is_empty() && self.handle.mailbox.is_empty() => {
                Err((**error).clone())
            }
            _ => Ok(()),
        }
    }

    /// Whether every stanza that came in is handled.
    pub(in crate::c2s) fn is_settled(&self) -> bool {
        self.inbound.unfinished() == 0 && self.lane.is_empty()
    }

    /// Takes the mail: outcomes count at once, stanzas are the new backlog. While there is one they stay in the mailbox,
    /// which has bounds.
    pub(in crate::c2s) fn take_mail(&mut self) -> Result<(), StreamError> {
        let mut outcomes = VecDeque::new();
        let all = self.backlog.is_empty();
        let letters = all.then_some(&mut self.backlog);
        if self.handle.mailbox.take(&mut outcomes, letters).is_err() {
            self.router.metrics.overruns.inc();
            return Err(StreamError::new(
                Condition::ResourceConstraint,
                "too much waits for a client that reads too slowly",
            ));
        }
        for outcome in outcomes {
            if let Letter::Done(ticket) = outcome {
                self.complete(ticket);
            } else {
                self.lane_running = false;
                self.lane_done();
            }
        }
        if all {
            self.settled = self.inbound.h();
        }
        self.run_lane();
        Ok(())
    }

    /// Sends something to the client behind what waits for it.
    pub fn reply(&self, element: xmpp::Element) {
        let bytes = Bytes::from(element.to_bytes(ns::CLIENT));
        self.handle.mailbox.post(bytes.into());
    }

    /// A ping of the server's (XEP-0199 §4.1), or `<r/>` where stream management makes that cheaper.
    pub(super) fn ping(&mut self) -> Vec<u8> {
        if self.managed.is_some() {
            return b"<r xmlns='urn:xmpp:sm:3'/>".to_vec();
        }
        let ping = xmpp::Element::new("iq", ns::CLIENT)
            .with_attr("type", "get")
            .with_attr("from", self.home.account.domain())
            .with_attr("to", self.jid().as_str())
            .with_attr("id", crate::random::token())
            .with_child(xmpp::Element::new("ping", ns::PING));
        ping.to_bytes(ns::CLIENT)
    }
}
