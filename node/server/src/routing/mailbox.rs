//! Mailbox: how others reach a session.
//!
//! Why not a channel: an idle session must hold no buffer, a letter that is in the log needs only its number when the
//! reader is slow or away, and the reader takes everything at once.
//! Outcomes (what became of the client's own stanzas) stand apart: they count even while a slow client keeps letters
//! waiting, and the session's window bounds them.
//! Bounds: beyond [`FULL_LETTERS`] waiting letters, what is in the log is kept as its number; beyond [`MAX_LETTERS`] or
//! [`MAX_BYTES`] the mailbox is overrun: it takes nothing more and its session ends (what is in the log waits there). A
//! detached session drops what is out of date before that (`prune`).

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use thin_vec::ThinVec;
use xmpp::{Element, Stanza, StreamError};

use super::prune;
use crate::{
    c2s::{SessionCore, stream_management::Ticket},
    pipeline::{
        archive_rule::{Class, classify},
        delivery::MessageType,
    },
};

/// Beyond this many waiting letters, logged stanzas are kept as numbers.
const FULL_LETTERS: usize = 512;
/// Beyond this many waiting letters the session is too slow to keep.
const MAX_LETTERS: usize = 16_384;
/// With this many letters a detached session first looks what is out of date.
const FIRST_PRUNE: usize = 64;
/// Beyond this many waiting bytes the session is too slow to keep.
const MAX_BYTES: usize = 4 << 20;
/// Up to this many waiting letters and bytes there is room for more of what can wait.
const ROOM_LETTERS: usize = MAX_LETTERS / 4;
const ROOM_BYTES: usize = MAX_BYTES / 4;

/// A stanza for a session's client.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The finished stanza.
    pub bytes: Bytes,
    /// Its number in the account's log if it waits there for the client's acknowledgement; 0: it does not.
    pub number: u64,
    /// What kind of stanza it is.
    pub class: Class,
    /// Other sessions have the same message, and no log has it.
    pub shared: Option<Shared>,
}

/// A message that is in no log and in the hands of several sessions: the last one to give it up undelivered gives it back.
/// A session that delivered it gives nothing up.
#[derive(Debug, Clone)]
pub struct Shared(Arc<AtomicU32>);

impl Shared {
    /// In the hands of so many sessions.
    pub fn new(holders: u32) -> Self {
        Self(Arc::new(AtomicU32::new(holders)))
    }

    /// How many have it still.
    pub fn holders(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// What tells it from others while it lives.
    pub fn identity(&self) -> u64 {
        Arc::as_ptr(&self.0) as usize as u64
    }

    /// One of them could not deliver it. True: nobody has it any more.
    pub fn give_up(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl Delivery {
    /// An answer, a push, a presence: kept nowhere, sent in turn.
    pub fn passing(bytes: Bytes) -> Self {
        Self {
            bytes,
            number: 0,
            class: Class::default(),
            shared: None,
        }
    }

    /// Gives up a message that was not delivered and is in no log. Its bytes, if it is to be routed once more.
    pub fn give_up(self) -> Option<Bytes> {
        let mine = self.class.stored_offline() && self.shared.is_none_or(|shared| shared.give_up());
        mine.then_some(self.bytes)
    }
}

impl Letter {
    /// What a stanza of the client's own is answered with that is refused where it came in.
    pub fn refusal(error: &Element) -> Self {
        let error = Stanza::from_element(error);
        Self::Stanza(Delivery {
            class: classify(&error).of_copy(),
            ..Delivery::passing(error.raw().clone())
        })
    }

    /// Its number in the log, if it has one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Logged(number) => Some(*number),
            Self::Stanza(delivery) => Some(delivery.number).filter(|number| *number != 0),
            Self::Waiting | Self::Done(_) | Self::LaneDone => None,
        }
    }

    /// How long what it has with it is.
    fn bytes(&self) -> usize {
        match self {
            Self::Stanza(delivery) => delivery.bytes.len(),
            _ => 0,
        }
    }

    /// Whether it is the answer to a message that was refused.
    pub fn is_refusal(&self) -> bool {
        let is_error = |delivery: &Delivery| delivery.class.message_type() == MessageType::Error;
        matches!(self, Self::Stanza(delivery) if delivery.number == 0 && is_error(delivery))
    }

    /// Whether it brings something out of the log.
    pub fn is_logged(&self) -> bool {
        match self {
            Self::Stanza(delivery) => delivery.number != 0,
            _ => true,
        }
    }
}

impl From<Bytes> for Letter {
    fn from(bytes: Bytes) -> Self {
        Self::Stanza(Delivery::passing(bytes))
    }
}

/// What a session is told.
#[derive(Debug)]
pub enum Letter {
    /// A stanza to send.
    Stanza(Delivery),
    /// A stanza to send that is to be read from the log first.
    Logged(u64),
    /// In this place comes what waits in the log and nobody holds: a letter however much it is, so that a mailbox is not
    /// overrun by it.
    Waiting,
    /// The effects of the client's own stanza are committed: its ticket.
    Done(Ticket),
    /// The request at the head of the session's lane was answered.
    LaneDone,
}

/// Something a session is told to do.
pub enum Order {
    /// End the stream with this error; nothing can be resumed.
    End(StreamError),
    /// Nothing was heard for long: ask for a sign of life.
    Ping,
    /// No sign of life came: the connection is dead.
    Dead,
    /// Answer what the client asked some time ago (XEP-0198 §4), if that is still owed.
    Acknowledge,
    /// The server stops: end the stream so that the client comes back.
    Shutdown,
    /// Another connection resumes this session: hand over and go.
    Handover(tokio::sync::oneshot::Sender<Box<SessionCore>>),
    /// The session goes to another node.
    Move(tokio::sync::oneshot::Sender<Box<SessionCore>>),
    /// Another node knows more of the session than before, or is to know.
    Replicated,
    /// Entries that were asked for with [`Letter::Logged`], read.
    Fetched(Vec<(u64, Option<Delivery>)>),
}

/// Whether a letter was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// It waits for the session.
    Yes,
    /// The session has ended or is overrun.
    Closed,
}

#[derive(Default)]
struct Inner {
    letters: VecDeque<Letter>,
    outcomes: VecDeque<Letter>,
    // Thin: empty in nearly all sessions at nearly all times.
    orders: ThinVec<Order>,
    bytes: usize,
    waker: Option<Waker>,
    /// Who waits for room.
    waiting: ThinVec<Waker>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The session is detached: what is in the log is kept as numbers.
    Lean,
    Overrun,
    Closed,
}

impl Inner {
    /// Before another letter of so many bytes joins those of a detached session: drops what is out of date, each time that
    /// they have doubled, or if there is no room.
    fn prune(&mut self, bytes: usize) {
        let count = self.letters.len();
        if count >= FIRST_PRUNE && count.is_power_of_two() || self.bytes + bytes > MAX_BYTES {
            self.bytes -= prune::prune(&mut self.letters);
        }
    }

    fn has_room(&self) -> bool {
        self.letters.len() <= ROOM_LETTERS && self.bytes <= ROOM_BYTES
    }
}

/// The mailbox of one session.
#[derive(Default)]
pub struct Mailbox(Mutex<Inner>);

impl Mailbox {
    /// Posts a letter; never waits.
    pub fn post(&self, letter: Letter) -> Posted {
        let mut inner = self.0.lock();
        if matches!(inner.state, State::Closed | State::Overrun) {
            return Posted::Closed;
        }
        let letter = match letter {
            Letter::Stanza(delivery)
                if delivery.number != 0
                    && (inner.state == State::Lean || inner.letters.len() >= FULL_LETTERS) =>
            {
                Letter::Logged(delivery.number)
            }
            letter => letter,
        };
        let taken = match letter {
            outcome @ (Letter::Done(_) | Letter::LaneDone) => {
                inner.outcomes.push_back(outcome);
                Posted::Yes
            }
            letter => {
                let bytes = letter.bytes();
                if inner.state == State::Lean {
                    inner.prune(bytes);
                }
                if inner.letters.len() >= MAX_LETTERS || inner.bytes + bytes > MAX_BYTES {
                    inner.state = State::Overrun;
                    Posted::Closed
                } else {
                    inner.bytes += bytes;
                    inner.letters.push_back(letter);
                    Posted::Yes
                }
            }
        };
        let waiting = if inner.state == State::Overrun {
            std::mem::take(&mut inner.waiting)
        } else {
            ThinVec::new()
        };
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().chain(waiting).for_each(Waker::wake);
        taken
    }

    /// Waits until there is room for what comes of the session's own doing and is much: what its contacts have to say when
    /// it comes. False: the session has ended or is overrun. A session that is not read waits as long as it lives.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn room(&self) -> bool {
        poll_fn(|cx| self.poll_room(cx)).await
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut inner = self.0.lock();
        if matches!(inner.state, State::Closed | State::Overrun) {
            return Poll::Ready(false);
        }
        // A detached session drops what is out of date; what is being done for it must come to an end.
        if inner.state == State::Lean || inner.has_room() {
            return Poll::Ready(true);
        }
        if !inner.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            inner.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Gives an order: it is seen before letters, and even while a slow client keeps letters waiting.
    pub fn order(&self, order: Order) -> Posted {
        let mut inner = self.0.lock();
        if inner.state == State::Closed {
            return Posted::Closed;
        }
        if inner.state == State::Lean
            && matches!(
                order,
                Order::Acknowledge | Order::Ping | Order::Dead | Order::Replicated
            )
        {
            // Without a connection there is no sign of life, nothing to end, and nobody to answer.
            return Posted::Yes;
        }
        inner.orders.push(order);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        Posted::Yes
    }

    /// Whether this is true of every letter that waits. Stops at the first of which it is not.
    pub fn all(&self, is: impl Fn(&Letter) -> bool) -> bool {
        self.0.lock().letters.iter().all(is)
    }

    /// Looks at each letter that waits.
    pub fn visit(&self, visit: impl FnMut(&Letter)) {
        self.0.lock().letters.iter().for_each(visit);
    }

    /// Takes the letters of which this is true, at most so many, before it is their turn.
    pub fn pull(&self, limit: usize, is: impl Fn(&Letter) -> bool) -> Vec<Letter> {
        let mut inner = self.0.lock();
        let mut pulled = Vec::new();
        let mut rest = VecDeque::with_capacity(inner.letters.len());
        for letter in std::mem::take(&mut inner.letters) {
            match pulled.len() < limit && is(&letter) {
                true => pulled.push(letter),
                false => rest.push_back(letter),
            }
        }
        inner.letters = rest;
        inner.bytes -= pulled.iter().map(Letter::bytes).sum::<usize>();
        pulled
    }

    /// The first number in the log among the letters.
    pub fn next_number(&self) -> Option<u64> {
        self.0.lock().letters.iter().find_map(Letter::number)
    }

    /// How many letters wait.
    pub fn len(&self) -> usize {
        self.0.lock().letters.len()
    }

    /// Takes the oldest order.
    pub fn take_order(&self) -> Option<Order> {
        let mut inner = self.0.lock();
        (!inner.orders.is_empty()).then(|| inner.orders.remove(0))
    }

    /// Ready when there is an order, an outcome, an overrun, or (if `letters`) a letter. Cancel safe.
    pub fn poll_ready(&self, cx: &mut Context<'_>, letters: bool) -> Poll<()> {
        let mut inner = self.0.lock();
        let urgent = inner.state == State::Overrun || !inner.outcomes.is_empty();
        if urgent || !inner.orders.is_empty() || (letters && !inner.letters.is_empty()) {
            return Poll::Ready(());
        }
        if !inner
            .waker
            .as_ref()
            .is_some_and(|w| w.will_wake(cx.waker()))
        {
            inner.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Takes the outcomes into `outcomes` and, if `letters` is given, all letters; both must be empty.
    ///
    /// # Errors
    /// The session was too slow.
    pub fn take(
        &self,
        outcomes: &mut VecDeque<Letter>,
        letters: Option<&mut VecDeque<Letter>>,
    ) -> Result<(), Overrun> {
        let mut inner = self.0.lock();
        if inner.state == State::Overrun {
            return Err(Overrun);
        }
        // The session's buffers are exchanged for ours, so a busy session allocates nothing.
        std::mem::swap(&mut inner.outcomes, outcomes);
        if let Some(letters) = letters {
            std::mem::swap(&mut inner.letters, letters);
            inner.bytes = 0;
            let waiting = std::mem::take(&mut inner.waiting);
            drop(inner);
            waiting.into_iter().for_each(Waker::wake);
        }
        Ok(())
    }

    /// Whether its session has ended, or has gone to another node.
    pub fn is_closed(&self) -> bool {
        self.0.lock().state == State::Closed
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.lock().letters.is_empty()
    }

    /// From now on what is in the log is kept as its number; what waits is turned into numbers as well.
    pub fn detach(&self) {
        let mut inner = self.0.lock();
        if inner.state == State::Open {
            inner.state = State::Lean;
        }
        inner.waker = None;
        let mut freed = 0;
        for letter in &mut inner.letters {
            if let Letter::Stanza(delivery) = letter
                && delivery.number != 0
            {
                freed += delivery.bytes.len();
                *letter = Letter::Logged(delivery.number);
            }
        }
        inner.bytes -= freed;
        inner.letters.shrink_to_fit();
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The opposite of [`Mailbox::detach`].
    pub fn attach(&self) {
        let mut inner = self.0.lock();
        if inner.state == State::Lean {
            inner.state = State::Open;
        }
    }

    /// Closes: what waits is returned, what comes is refused.
    pub fn close(&self) -> VecDeque<Letter> {
        let mut inner = self.0.lock();
        inner.state = State::Closed;
        inner.waker = None;
        let (letters, waiting) = (
            std::mem::take(&mut inner.letters),
            std::mem::take(&mut inner.waiting),
        );
        drop(inner);
        waiting.into_iter().for_each(Waker::wake);
        letters
    }
}

/// More waited in a mailbox than a session may leave waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun;
