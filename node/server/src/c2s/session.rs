//! Session: the task of one connected resource.
//!
//! Source: RFC 6120 §8, RFC 6121, XEP-0198, XEP-0352. `next` is the only place that waits, `handle` runs to its end.
//! What the session is made of apart from its connection is [`SessionCore`]; it outlives the connection while the
//! client may resume.

use std::{collections::VecDeque, future::poll_fn, sync::Arc};

use bytes::Bytes;
use thin_vec::ThinVec;
use tokio::time::Instant;
use xmpp::{
    Fragment, FullJid, Kind, Stanza, StreamError, StreamErrorCondition as Condition,
    codec::{Decoder, ParseError, StreamEvent},
    ns,
    stanza::NotAStanza,
};

use super::{
    client_state::ClientState,
    managed::{Managed, Sent},
    outbox,
    pace::Pace,
    stream::{self, Stream},
    stream_management::{Handled, Ticket},
};
use crate::{
    home::Home,
    net::{Permit, Read, Transport},
    pipeline::outbound,
    routing::{Delivery, Letter, Order, Origin, Progress, Router, SessionHandle},
};

/// Unsent bytes beyond which a session takes no more letters.
const CONGESTED: usize = 128 << 10;

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
    pub(super) lang: Option<Box<str>>,
    /// Stanzas of the client on their way.
    pub(super) inbound: Handled,
    /// `h` when the backlog was last taken: everything that was said about stanzas up to there is in it, or was sent.
    pub(super) settled: u32,
    /// Stream management, if enabled.
    pub(super) managed: Option<Box<Managed>>,
    /// The client's state, once it was told.
    pub(super) client_state: Option<Box<ClientState<Delivery>>>,
    /// Requests that are answered in order, one at a time; the first is being answered.
    pub(super) lane: VecDeque<(Stanza, Ticket)>,
    /// The first of them is being answered by a task.
    lane_running: bool,
    /// Letters taken and not sent.
    pub(super) backlog: VecDeque<Letter>,
    /// Entries of the log are being read for the first letters of the backlog.
    pub(super) fetching: bool,
    /// Entries of the log that the socket has not taken in full.
    pub(super) unwritten: ThinVec<u64>,
    /// Stanzas of the client that wait for the window to open.
    pub(super) held: VecDeque<StreamEvent>,
}

/// The task of a session.
struct Session {
    core: Box<SessionCore>,
    transport: Transport,
    decoder: Decoder,
    fault: Option<ParseError>,
    pace: Pace,
    /// When the server asked for a sign of life, if nothing was heard since.
    pinged: Option<Instant>,
    /// The client will send nothing more.
    gone: bool,
    _permit: Permit,
}

/// What woke a session.
enum Event {
    /// It begins: with what came in with the last step of the negotiation, and what waits from before a resumption.
    Start,
    Mail,
    Readable,
    Writable,
    /// The client may be read again.
    Rested,
    Broken,
}

/// How a session goes on after an event.
pub(super) enum Flow {
    Continue,
    /// The client closed the stream.
    Closed,
    /// The connection broke.
    Broken,
    /// Somebody else goes on with it.
    Handover(tokio::sync::oneshot::Sender<Box<SessionCore>>),
}

impl SessionCore {
    pub(super) fn new(
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
            held: VecDeque::new(),
        }
    }

    /// The session's full address.
    pub fn jid(&self) -> &FullJid {
        &self.handle.jid
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
    pub(super) fn set_active(&mut self) {
        if let Some(mut state) = self.client_state.take() {
            let mut ready = Vec::new();
            state.activate(&mut ready);
            outbox::put_first(&mut self.backlog, ready);
        }
    }

    fn origin(&self, ticket: Ticket) -> Origin {
        Origin {
            handle: self.handle.clone(),
            ticket,
        }
    }

    /// A stanza's effects are committed.
    fn complete(&mut self, ticket: Ticket) {
        self.inbound.complete(ticket);
    }

    /// Puts a request behind those that are being answered; answers at once if there are none.
    fn enter_lane(&mut self, stanza: Stanza, ticket: Ticket) {
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
        }
    }

    /// A session that is to end has sent all it had.
    fn has_ended(&self) -> Result<(), StreamError> {
        match self.handle.ending.get() {
            Some(error) if self.backlog.is_empty() && self.handle.mailbox.is_empty() => {
                Err((**error).clone())
            }
            _ => Ok(()),
        }
    }

    /// Whether every stanza that came in is handled.
    pub(super) fn is_settled(&self) -> bool {
        self.inbound.in_flight() == 0 && self.lane.is_empty()
    }

    /// Takes the mail: outcomes count at once, stanzas are the new backlog. While there is one they stay in the mailbox,
    /// which has bounds.
    pub(super) fn take_mail(&mut self) -> Result<(), StreamError> {
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
}

/// Runs a bound or resumed session over its stream, as a task of its own.
pub fn start(router: Arc<Router>, stream: Stream, permit: Permit, core: Box<SessionCore>) {
    let (transport, decoder, events, fault) = stream.into_parts();
    // Boxed: a future would hold it twice, as what it was given and as what it works on.
    let mut session = Box::new(Session {
        core,
        transport,
        decoder,
        fault,
        pace: Pace::default(),
        pinged: None,
        gone: false,
        _permit: permit,
    });
    session.core.held.extend(events);
    router.clone().tasks.spawn(session.run());
}

impl Session {
    async fn run(mut self: Box<Self>) {
        let mut event = Event::Start;
        loop {
            let flow = self.handle(event);
            if !matches!(flow, Ok(Flow::Continue)) {
                // Boxed: a session that lives has no need of the room that its end takes.
                return Box::pin(self.conclude(flow)).await;
            }
            event = self.next().await;
        }
    }

    async fn conclude(self: Box<Self>, flow: Result<Flow, StreamError>) {
        match flow {
            Ok(Flow::Continue) => {}
            Ok(Flow::Closed) => {
                // What it asked for before it said goodbye is done and answered first.
                let (mut last, mut transport) = (Vec::new(), self.transport);
                if let Some((mut core, _)) = super::parking::settle(self.core).await {
                    let _ = outbox::send(&mut core, &mut transport, CONGESTED);
                    if core.managed.is_some() {
                        last = core.last_ack();
                    }
                    core.end(None);
                }
                last.extend_from_slice(b"</stream:stream>");
                stream::finish(transport, last).await;
            }
            Ok(Flow::Broken) => {
                drop(self.transport);
                super::parking::park(self.core).await;
            }
            Ok(Flow::Handover(to)) => {
                // XEP-0198 §5: the former stream, if there still is one, is told; the new one does not wait for it.
                let last = SessionCore::conflict().to_bytes();
                let last = [&last[..], b"</stream:stream>"].concat();
                self.core.router.spawn(stream::finish(self.transport, last));
                super::parking::hand_over(self.core, to).await;
            }
            Err(error) => {
                let errors = &self.core.router.metrics.stream_errors;
                errors.with_label_values(&[error.condition.as_str()]).inc();
                let last = [&error.to_bytes()[..], b"</stream:stream>"].concat();
                self.core.end(None);
                stream::finish(self.transport, last).await;
            }
        }
    }

    /// Waits for something to do. Cancel safe.
    async fn next(&self) -> Event {
        let congested = self.transport.pending_bytes() > 0;
        let letters = self.core.backlog.is_empty();
        // Who does not read what we send is not read either.
        let rests = self.pace.rests_until(Instant::now);
        let reading = rests.is_none()
            && self.core.held.is_empty()
            && self.fault.is_none()
            && !self.gone
            && self.transport.pending_bytes() < CONGESTED;
        let mail = poll_fn(|cx| self.core.handle.mailbox.poll_ready(cx, letters));
        // Boxed: hardly any session rests.
        let rested = rests.map(|until| Box::pin(tokio::time::sleep_until(until)));
        let rested = async {
            match rested {
                Some(rested) => rested.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = mail => Event::Mail,
            writable = self.transport.writable(), if congested => if writable.is_ok() { Event::Writable } else { Event::Broken },
            readable = self.transport.readable(), if reading => if readable.is_ok() { Event::Readable } else { Event::Broken },
            () = rested, if rests.is_some() => Event::Rested,
        }
    }

    fn handle(&mut self, event: Event) -> Result<Flow, StreamError> {
        match event {
            Event::Start | Event::Rested => {}
            Event::Mail => {
                while let Some(order) = self.core.handle.mailbox.take_order() {
                    match self.obey(order)? {
                        Flow::Continue => {}
                        flow => return Ok(flow),
                    }
                }
                self.core.take_mail()?;
            }
            Event::Readable => match self.read() {
                Ok(true) => {}
                // What came with the end of the connection still counts.
                Ok(false) => self.gone = true,
                Err(_) => return Ok(Flow::Broken),
            },
            Event::Writable => match self.transport.try_flush() {
                Ok(true) => self.core.written(),
                Ok(false) => {}
                Err(_) => return Ok(Flow::Broken),
            },
            Event::Broken => return Ok(Flow::Broken),
        }
        self.work()
    }

    /// Handles what came in as far as the window allows, then sends what waits.
    fn work(&mut self) -> Result<Flow, StreamError> {
        loop {
            // Whatever woke the session: the window may still be full.
            while !self.core.is_stalled()
                && let Some(event) = self.core.held.pop_front()
            {
                match self.take_in(event)? {
                    Flow::Continue => {}
                    flow => return Ok(flow),
                }
            }
            self.core.take_mail()?;
            // The mail may have opened the window: nothing else would wake the session for what is held.
            if self.core.held.is_empty() || self.core.is_stalled() {
                break;
            }
        }
        // A session that rests keeps no empty queues.
        if self.core.lane.is_empty() {
            self.core.lane = VecDeque::new();
        }
        if self.core.held.is_empty() {
            self.core.held = VecDeque::new();
            if let Some(error) = self.fault {
                return Err(stream::parse_error(error));
            }
            if self.gone {
                return Ok(Flow::Broken);
            }
        }
        match outbox::send(&mut self.core, &mut self.transport, CONGESTED) {
            Ok(()) => self.core.has_ended().map(|()| Flow::Continue),
            Err(outbox::Broken) => Ok(Flow::Broken),
        }
    }

    /// Reads once. False: the peer is gone.
    fn read(&mut self) -> std::io::Result<bool> {
        self.core.router.heard(&self.core.handle);
        self.pinged = None;
        let (decoder, held, fault) = (&mut self.decoder, &mut self.core.held, &mut self.fault);
        let read = self.transport.try_read_with(|mut input| {
            while fault.is_none() {
                match decoder.next(&mut input) {
                    Ok(Some(event)) => held.push_back(event),
                    Ok(None) => break,
                    Err(error) => *fault = Some(error),
                }
            }
        })?;
        if let Read::Data(bytes) = read {
            let rate = self.core.router.config.limits.session_bytes_per_second;
            self.pace.read(Instant::now, bytes, rate);
        }
        Ok(!matches!(read, Read::Closed { .. }))
    }

    fn take_in(&mut self, event: StreamEvent) -> Result<Flow, StreamError> {
        match event {
            StreamEvent::Element(fragment) => self.element(fragment),
            StreamEvent::Close => Ok(Flow::Closed),
            // RFC 6120 §4.3.3: a restart is for the negotiation.
            StreamEvent::Open(_) => Err(Condition::BadFormat.into()),
        }
    }

    fn element(&mut self, fragment: Fragment) -> Result<Flow, StreamError> {
        match Stanza::new(fragment) {
            Ok(stanza) => self.core.stanza(stanza),
            Err(NotAStanza::Address(fragment, _)) => {
                self.core.bad_address(&fragment);
                Ok(Flow::Continue)
            }
            Err(NotAStanza::Other(fragment)) => self.nonza(fragment),
        }
    }

    /// An element that is no stanza.
    fn nonza(&mut self, fragment: Fragment) -> Result<Flow, StreamError> {
        let root = fragment.root();
        match (root.name(), root.ns()) {
            ("enable", ns::SM) if self.core.inbound.in_flight() > 0 => {
                // Counting starts here: what came before must be settled first.
                self.core.held.push_front(StreamEvent::Element(fragment));
                self.core.wait_for_settling();
                Ok(Flow::Continue)
            }
            (_, ns::SM) => {
                let answer = self.core.management(root)?;
                if !answer.is_empty() && self.transport.write(&answer).is_err() {
                    return Ok(Flow::Broken);
                }
                Ok(Flow::Continue)
            }
            ("active", ns::CSI) => {
                self.core.set_active();
                Ok(Flow::Continue)
            }
            ("inactive", ns::CSI) => {
                self.core.set_inactive();
                Ok(Flow::Continue)
            }
            // RFC 6120 §4.9.1.1: whoever sends a stream error is done, and is not answered with another.
            ("error", ns::STREAM) => Ok(Flow::Closed),
            _ => Err(Condition::UnsupportedStanzaType.into()),
        }
    }

    /// Whether the client was asked for a sign of life and has had its time to give one.
    fn is_overdue(&self) -> bool {
        let patience = self.core.router.config.limits.ping_timeout;
        self.pinged.is_some_and(|at| at.elapsed() >= patience)
    }

    fn obey(&mut self, order: Order) -> Result<Flow, StreamError> {
        match order {
            Order::End(error) => Err(error),
            Order::Shutdown => Err(Condition::SystemShutdown.into()),
            Order::Dead if self.is_overdue() => match &self.core.managed {
                Some(managed) if managed.resume.is_some() => Ok(Flow::Broken),
                _ => Err(StreamError::new(
                    Condition::ConnectionTimeout,
                    "no sign of life",
                )),
            },
            // It still has time to answer.
            Order::Dead | Order::Ping if self.pinged.is_some() => Ok(Flow::Continue),
            // Nobody asked yet: now somebody does.
            Order::Dead | Order::Ping => {
                self.pinged = Some(Instant::now());
                let ping = self.core.ping();
                match self.transport.write(&ping) {
                    Ok(()) => Ok(Flow::Continue),
                    Err(_) => Ok(Flow::Broken),
                }
            }
            Order::Acknowledge => {
                let late = self.core.late_ack().unwrap_or_default();
                match self.transport.write(&late) {
                    Ok(()) => Ok(Flow::Continue),
                    Err(_) => Ok(Flow::Broken),
                }
            }
            Order::Handover(to) => Ok(Flow::Handover(to)),
            Order::Fetched(entries) => {
                self.core.fetched(entries);
                Ok(Flow::Continue)
            }
        }
    }
}

impl SessionCore {
    /// A stanza of the client (RFC 6120 §8).
    fn stanza(&mut self, stanza: Stanza) -> Result<Flow, StreamError> {
        let Some(ticket) = self.inbound.begin() else {
            // `is_stalled` lets nothing in while the window is full.
            return Err(Condition::PolicyViolation.into());
        };
        let stanza = self.stamped(stanza)?;
        match stanza.kind() {
            Kind::Message => {
                let origin = self.origin(ticket);
                if outbound::message(self, stanza, origin) == Progress::Done {
                    self.complete(ticket);
                }
            }
            Kind::Iq => match outbound::iq_way(self, &stanza) {
                outbound::Way::Lane => self.enter_lane(stanza, ticket),
                outbound::Way::Route => {
                    let origin = self.origin(ticket);
                    if outbound::iq(self, stanza, origin) == Progress::Done {
                        self.complete(ticket);
                    }
                }
                outbound::Way::Nowhere => self.complete(ticket),
            },
            Kind::Presence => self.enter_lane(stanza, ticket),
        }
        Ok(Flow::Continue)
    }

    /// The stanza with the session's address as `from`, its account as `to` if it names nobody, and its stream's language.
    fn stamped(&self, stanza: Stanza) -> Result<Stanza, StreamError> {
        let jid = self.jid().as_jid();
        if let Some(from) = stanza.from()
            && from != jid
            && from.as_str() != jid.bare_str()
        {
            // RFC 6120 §8.1.2.1, §4.9.3.9.
            return Err(StreamError::new(
                Condition::InvalidFrom,
                "the 'from' address is not that of this stream",
            ));
        }
        let from = (stanza.from() != Some(jid)).then_some(jid);
        // RFC 6120 §8.1.1.1: without 'to', a message or IQ is for the account itself.
        let own = self.home.account.as_jid();
        let to = (stanza.to().is_none() && stanza.kind() != Kind::Presence).then_some(own);
        let lang = self.lang.as_deref();
        let lang = lang.filter(|_| stanza.root().attr("xml:lang").is_none());
        if from.is_none() && to.is_none() && lang.is_none() {
            Ok(stanza)
        } else {
            Ok(stanza.stamped(from, to, lang))
        }
    }

    /// A stanza whose `to` or `from` is no address (RFC 6120 §8.3.3.8): it counts, and is answered.
    fn bad_address(&mut self, fragment: &Fragment) {
        let Some(ticket) = self.inbound.begin() else {
            return;
        };
        let mut element = fragment.to_element();
        element.remove_attr("to");
        element.set_attr("from", self.jid().as_str());
        let error = xmpp::StanzaErrorCondition::JidMalformed.into();
        if let Some(reply) = Stanza::from_element(&element).error_reply(&error) {
            self.reply(reply);
        }
        self.complete(ticket);
    }

    /// Sends something to the client behind what waits for it.
    pub fn reply(&self, element: xmpp::Element) {
        let bytes = Bytes::from(element.to_bytes(ns::CLIENT));
        self.handle.mailbox.post(bytes.into());
    }

    /// Whether nothing more may come in for now.
    fn is_stalled(&self) -> bool {
        self.inbound.is_full() || self.settling() || self.handle.ending.get().is_some()
    }

    fn settling(&self) -> bool {
        // `<enable/>` stands first among what is held until nothing is in flight.
        matches!(self.held.front(), Some(StreamEvent::Element(f)) if f.root().is("enable", ns::SM))
            && self.inbound.in_flight() > 0
    }

    fn wait_for_settling(&mut self) {
        debug_assert!(self.settling(), "only called with <enable/> held");
    }

    /// A ping of the server's (XEP-0199 §4.1), or `<r/>` where stream management makes that cheaper.
    fn ping(&mut self) -> Vec<u8> {
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

    /// The session is over: its presence ends, its name is free, what its client did not get waits for another.
    #[expect(
        clippy::boxed_local,
        reason = "a session is boxed wherever it is held, and is taken apart here"
    )]
    pub fn end(self: Box<Self>, presence: Option<Stanza>) {
        let Self {
            handle,
            home,
            router,
            managed,
            backlog,
            unwritten,
            anonymous,
            client_state,
            inbound,
            ..
        } = *self;
        let directed = std::mem::take(&mut *handle.directed.lock());
        let left = handle.mailbox.close();
        let mut numbers = Vec::from(unwritten);
        let mut homeless = Vec::new();
        // What was sent and not acknowledged is older than what was not sent.
        if let Some(managed) = managed {
            router.parked.forget(&handle, inbound.h());
            for sent in managed.outbound.into_items() {
                match sent {
                    Sent::Logged(number) => numbers.push(number),
                    Sent::Message(message) => homeless.extend(message.give_up()),
                    Sent::Other(_) => {}
                }
            }
        }
        let mut spared = Vec::new();
        if let Some(mut state) = client_state {
            state.activate(&mut spared);
        }
        let spared = spared.into_iter().map(Letter::Stanza);
        for letter in spared.chain(backlog).chain(left) {
            match letter {
                Letter::Logged(number) => numbers.push(number),
                Letter::Stanza(delivery) if delivery.number != 0 => numbers.push(delivery.number),
                Letter::Stanza(delivery) => homeless.extend(delivery.give_up()),
                Letter::Waiting | Letter::Done(_) | Letter::LaneDone => {}
            }
        }
        let presence =
            presence.unwrap_or_else(|| crate::pipeline::inbound::unavailable(&handle.jid, None));
        // At once: what comes later may not overtake what this client did not get.
        router
            .directory
            .unbind(home.account.as_str(), handle.session);
        numbers.sort_unstable();
        home.release(&router, numbers);
        for bytes in homeless {
            // It was accepted for this account; now it is kept as if it had just come.
            if let Ok(stanza) = Stanza::parse(bytes) {
                let _ = router.route(stanza, None);
            }
        }
        router.clone().spawn(async move {
            let ended = crate::pipeline::lifecycle::unavailable(&router, &home, &handle, &presence, directed).await;
            if let Err(error) = ended {
                tracing::debug!(jid = %handle.jid, %error, "contacts not told of the end of a session");
            }
            // Its list says who may hear that it ends.
            router.active_lists.ended(handle.session);
            router.sessions.remove(handle.session.number);
            home.save(&router);
            if anonymous {
                router.homes.forget(&router, home.account.as_str());
            }
        });
    }
}
