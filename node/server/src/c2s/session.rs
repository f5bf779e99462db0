//! Session: the task of one connected resource.
//!
//! Source: RFC 6120 §8, RFC 6121, XEP-0198, XEP-0352. `next` is the only place that waits, `handle` runs to its end.
//! What a session is made of apart from its connection is [`SessionCore`].

mod core;
mod departing;
mod ending;
mod incoming;
mod repeats;

use std::{collections::VecDeque, future::poll_fn, sync::Arc};

use thin_vec::ThinVec;
use tokio::time::Instant;
use xmpp::{
    Fragment, Stanza, StreamError, StreamErrorCondition as Condition,
    codec::{Decoder, ParseError, StreamEvent},
    ns,
    stanza::NotAStanza,
};

use super::{
    outbox,
    pace::Pace,
    replica,
    stream::{self, Stream},
};
use crate::{
    net::{Permit, Read, Transport},
    routing::{Order, Router},
};

pub use self::core::SessionCore;
use self::{
    departing::{Departing, Left},
    repeats::Sent,
};

/// Unsent bytes beyond which a session takes no more letters.
const CONGESTED: usize = 128 << 10;

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
    /// Of its connection, if that is to this node; given back with it.
    permit: Option<Permit>,
    /// It is about to go to another node.
    departing: Option<Box<Departing>>,
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
    /// It goes on at another node, without its connection.
    Move(tokio::sync::oneshot::Sender<Box<SessionCore>>),
    /// The same, and its connection follows.
    Leave(Box<Left>),
}

/// Runs a bound or resumed session over its stream, as a task of its own.
pub fn start(router: Arc<Router>, stream: Stream, permit: Option<Permit>, core: Box<SessionCore>) {
    go_on(router, stream, permit, core, Pace::default());
}

/// The same for one that goes on where it was at another node.
pub(super) fn go_on(
    router: Arc<Router>,
    stream: Stream,
    permit: Option<Permit>,
    core: Box<SessionCore>,
    pace: Pace,
) {
    let (transport, decoder, events, fault) = stream.into_parts();
    // Boxed: a future would hold it twice, as what it was given and as what it works on.
    let mut session = Box::new(Session {
        core,
        transport,
        decoder,
        fault,
        pace,
        pinged: None,
        gone: false,
        permit,
        departing: None,
    });
    session.core.held.extend(events);
    if let Some(replica) = &mut session.core.replica {
        replica.begins();
    }
    router.clone().tasks.spawn(session.run());
}

impl Session {
    async fn run(mut self: Box<Self>) {
        let mut event = Event::Start;
        loop {
            let mut flow = self.handle(event);
            if matches!(flow, Ok(Flow::Continue)) && !self.replicate() {
                flow = Ok(Flow::Broken);
            }
            if self.departing.is_some() {
                flow = flow.map(|flow| self.departs(flow));
            }
            if !matches!(flow, Ok(Flow::Continue)) {
                // Boxed: a session that lives has no need of the room that its end takes.
                return Box::pin(self.conclude(flow)).await;
            }
            event = self.next().await;
        }
    }

    /// Lets another node know what has changed, and holds back what must not be seen before it does. False: the connection
    /// broke.
    fn replicate(&mut self) -> bool {
        !self.core.is_replicated() || replica::commit(&mut self.core, &mut self.transport).is_ok()
    }

    async fn conclude(mut self: Box<Self>, flow: Result<Flow, StreamError>) {
        match flow {
            Ok(Flow::Continue) => {}
            Ok(Flow::Closed) => {
                // What it asked for before it said goodbye is done and answered first.
                let (mut last, mut transport) = (Vec::new(), self.transport);
                if let Some((mut core, heir)) = super::parking::settle(self.core).await {
                    // The last answers wait behind the first; who does not read gets no more of them.
                    while outbox::send(&mut core, &mut transport, CONGESTED).is_ok()
                        && core.backlog.is_empty()
                        && core.take_mail().is_ok()
                        && !core.backlog.is_empty()
                    {}
                    if core.managed.is_some() {
                        last = core.last_ack();
                    }
                    core.end(None);
                    drop(heir);
                }
                last.extend_from_slice(b"</stream:stream>");
                stream::finish(transport, last).await;
            }
            Ok(Flow::Broken) => {
                drop((self.transport, self.permit));
                super::parking::park(self.core).await;
            }
            Ok(Flow::Move(to)) if !self.core.is_resumable() => {
                let farewell = super::moving::farewell();
                let last = self.core.router.peers.goodbye(farewell).to_bytes();
                let last = [&last[..], b"</stream:stream>"].concat();
                // Whoever moves the account goes on when it has ended.
                self.core.end(None);
                drop(to);
                stream::finish(self.transport, last).await;
            }
            Ok(Flow::Leave(left)) => self.leave(*left).await,
            Ok(Flow::Move(to)) => {
                // Without a word: the stream has not ended, its client resumes it.
                drop((self.transport, self.permit));
                super::parking::move_away(self.core, to).await;
            }
            Ok(Flow::Handover(to)) => {
                // XEP-0198 §5: the former stream, if there still is one, is told; the new one does not wait for it.
                let last = SessionCore::conflict().to_bytes();
                let last = [&last[..], b"</stream:stream>"].concat();
                // What it must not see yet it will not see at all; and what comes behind that neither.
                if !self.transport.is_held_back() || self.transport.pending_bytes() == 0 {
                    self.core.router.spawn(stream::finish(self.transport, last));
                }
                super::parking::hand_over(self.core, to).await;
            }
            Err(error) => {
                let errors = &self.core.router.metrics.stream_errors;
                errors.with_label_values(&[error.condition.as_str()]).inc();
                let last = [&error.to_bytes()[..], b"</stream:stream>"].concat();
                self.core.end(None);
                // Whoever moves the account goes on when it has ended.
                drop(self.departing.take());
                stream::finish(self.transport, last).await;
            }
        }
    }

    /// Waits for something to do. Cancel safe.
    async fn next(&self) -> Event {
        let congested = self.transport.sendable_bytes() > 0;
        let letters = self.core.backlog.is_empty();
        // Who does not read what we send is not read either.
        let (rests, reading) = match &self.departing {
            Some(departing) => (Some(departing.next_look()), self.reads_on()),
            None => {
                let rests = self.pace.rests_until(Instant::now);
                let reading = rests.is_none()
                    && self.core.held.is_empty()
                    && self.fault.is_none()
                    && !self.gone
                    && self.transport.pending_bytes() < CONGESTED;
                (rests, reading)
            }
        };
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
            Event::Readable => {
                if let Some(last) = self.notice() {
                    return match self.core.is_resumable() {
                        true => Ok(Flow::Broken),
                        false => Err(last),
                    };
                }
                match self.read() {
                    Ok(true) => {}
                    // What came with the end of the connection still counts.
                    Ok(false) => self.gone = true,
                    Err(_) => return Ok(Flow::Broken),
                }
            }
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
            while !self.is_stalled()
                && let Some(event) = self.core.held.pop_front()
            {
                match self.take_in(event)? {
                    Flow::Continue => {}
                    flow => return Ok(flow),
                }
            }
            self.core.take_mail()?;
            // The mail may have opened the window: nothing else would wake the session for what is held.
            if self.core.held.is_empty() || self.is_stalled() {
                break;
            }
        }
        // A session that rests keeps no empty queues.
        if self.core.lane.is_empty() {
            self.core.lane = VecDeque::new();
        }
        if self.core.begun.is_empty() {
            self.core.begun = ThinVec::new();
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
        if self.departing.is_some() {
            // What waits goes along: what is written now would have to be known to another node first.
            if self.transport.pending_bytes() == 0 {
                self.core.written();
            }
            return self.core.has_ended().map(|()| Flow::Continue);
        }
        match outbox::send(&mut self.core, &mut self.transport, CONGESTED) {
            Ok(()) => self.core.has_ended().map(|()| Flow::Continue),
            Err(outbox::Broken) => Ok(Flow::Broken),
        }
    }

    /// Whether nothing more may be begun for now.
    fn is_stalled(&self) -> bool {
        self.departing.is_some() || self.core.is_stalled()
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
        match self.core.heed(&fragment) {
            Sent::New => {}
            Sent::Again => return Ok(Flow::Continue),
            Sent::TooEarly => return self.put_back(fragment),
        }
        match Stanza::new(fragment) {
            Ok(stanza) => self.core.stanza(stanza),
            Err(NotAStanza::Address(fragment, _)) => {
                self.core.bad_address(&fragment);
                Ok(Flow::Continue)
            }
            Err(NotAStanza::Other(fragment)) => self.nonza(fragment),
        }
    }

    /// It is looked at again when what was sent before is handled.
    fn put_back(&mut self, fragment: Fragment) -> Result<Flow, StreamError> {
        self.core.held.push_front(StreamEvent::Element(fragment));
        Ok(Flow::Continue)
    }

    /// An element that is no stanza.
    fn nonza(&mut self, fragment: Fragment) -> Result<Flow, StreamError> {
        let root = fragment.root();
        match (root.name(), root.ns()) {
            ("enable", ns::SM) if self.core.inbound.in_flight() > 0 => {
                // Counting starts here: what came before must be settled first.
                self.put_back(fragment)
            }
            (_, ns::SM) => {
                let answer = self.core.management(root)?;
                if self.core.replica.is_none() {
                    self.core.hold_back(&mut self.transport);
                }
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
            Order::Shutdown => Err(self.core.router.peers.goodbye(Condition::SystemShutdown)),
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
            // Looked at when all else is done.
            Order::Replicated => Ok(Flow::Continue),
            Order::Handover(to) => Ok(Flow::Handover(to)),
            Order::Move(to) => Ok(self.depart(to)),
            Order::Fetched(entries) => {
                self.core.fetched(entries);
                Ok(Flow::Continue)
            }
        }
    }
}
