//! Sessions without a connection, waiting to be resumed (XEP-0198 §5).
//!
//! A parked session is its counters, a few flags and the numbers of what waits in the log: presence of its contacts and
//! what is in no log are kept in its mailbox, which is bounded.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, futures::OwnedNotified, oneshot},
    time::Instant,
};
use xmpp::{BareJid, StreamErrorCondition as Condition};

use super::session::SessionCore;
use crate::routing::{Order, Posted, Router, SessionHandle};

/// How long a session that cannot be resumed may take to finish what its client had sent.
const SETTLE: Duration = Duration::from_secs(10);
/// How long a session may take to hand itself over.
const HANDOVER: Duration = Duration::from_secs(10);
/// How soon a session that somebody else has just taken over is asked for again.
const AGAIN: Duration = Duration::from_millis(20);

/// Sessions that ended and whose last `h` is remembered.
const MAX_ENDED: usize = 4_096;

/// By SM id, every session that may be resumed.
#[derive(Default)]
pub struct Parking(Mutex<Slots>, Arc<Notify>);

#[derive(Default)]
struct Slots {
    by_id: HashMap<Arc<str>, Slot, foldhash::fast::RandomState>,
    /// Those that wait, by the end of their time: who is due is found without a look at the others.
    ends: BTreeSet<(Instant, Arc<str>)>,
    /// Sessions that cannot be resumed any more, with the account of each and its `h` (XEP-0198 §5): the client learns what
    /// it need not send again. The oldest goes first.
    ended: VecDeque<(Arc<str>, BareJid, u32)>,
}

impl Slots {
    fn insert(&mut self, id: Arc<str>, slot: Slot) {
        self.remove(&id);
        if let Slot::Parked(_, until) = &slot {
            self.ends.insert((*until, id.clone()));
        }
        self.by_id.insert(id, slot);
    }

    fn remove(&mut self, id: &str) -> Option<Slot> {
        let (id, slot) = self.by_id.remove_entry(id)?;
        if let Slot::Parked(_, until) = &slot {
            self.ends.remove(&(*until, id));
        }
        Some(slot)
    }

    /// Takes out the session that waits, if this one does.
    fn take_parked(&mut self, id: &str) -> Option<Box<SessionCore>> {
        if !matches!(self.by_id.get(id)?, Slot::Parked(..)) {
            return None;
        }
        match self.remove(id) {
            Some(Slot::Parked(core, _)) => Some(core),
            _ => None,
        }
    }

    /// Takes over the session that waits, if this one does, for a connection: whoever comes for it next finds it there.
    fn take_live(&mut self, id: &str) -> Option<Box<SessionCore>> {
        let core = self.take_parked(id)?;
        if core.is_resumable()
            && let Some(id) = core.handle.sm_id.get()
        {
            let live = Slot::Live(core.handle.clone());
            self.by_id.insert(id.clone(), live);
        }
        Some(core)
    }

    /// Takes out the one whose time has been over for longest.
    fn take_due(&mut self, now: Instant, all: bool) -> Option<Box<SessionCore>> {
        let (until, id) = self.ends.first()?;
        if !all && *until > now {
            return None;
        }
        let id = id.clone();
        self.take_parked(&id)
    }
}

/// What became of a session that somebody wants to go on with.
pub(super) enum Taken {
    /// Here it is.
    Session(Box<SessionCore>),
    /// There is none (any more).
    Absent,
    /// It is not done with what its client had sent, because the store does not answer: it can be asked for again.
    Busy,
}

enum Slot {
    /// It has a connection, as far as anybody knows.
    Live(Arc<SessionHandle>),
    /// It waits.
    Parked(Box<SessionCore>, Instant),
}

impl Parking {
    /// A session that may be resumed (it has an SM id) has a connection.
    pub(super) fn insert_live(&self, handle: &Arc<SessionHandle>) {
        if let Some(id) = handle.sm_id.get() {
            let live = Slot::Live(handle.clone());
            self.0.lock().insert(id.clone(), live);
        }
    }

    /// A session has gone to another node, which knows how many stanzas of its client are handled.
    pub(super) fn remove(&self, handle: &SessionHandle) {
        if let Some(id) = handle.sm_id.get() {
            self.0.lock().remove(id);
        }
    }

    /// A session is over, so many stanzas of its client being handled, if that is known.
    pub(super) fn forget(&self, handle: &SessionHandle, h: Option<u32>) {
        if let Some(id) = handle.sm_id.get() {
            let mut slots = self.0.lock();
            slots.remove(id);
            let Some(h) = h else { return };
            if slots.ended.len() == MAX_ENDED {
                slots.ended.pop_front();
            }
            slots.ended.push_back((id.clone(), handle.jid.to_bare(), h));
        }
    }

    /// Whether this session is here, or ended here.
    pub(super) fn has_had(&self, id: &str) -> bool {
        let slots = self.0.lock();
        slots.by_id.contains_key(id) || slots.ended.iter().any(|(known, ..)| **known == *id)
    }

    /// How many stanzas a session of this account handled that is over, if that is still known.
    pub(super) fn handled_by(&self, id: &str, account: &BareJid) -> Option<u32> {
        let slots = self.0.lock();
        let found = slots
            .ended
            .iter()
            .rev()
            .find(|(known, owner, _)| **known == *id && owner == account);
        found.map(|(.., h)| *h)
    }

    /// Takes a session of this account over, from its connection if it still has one. Of several who come for it at once each
    /// gets it in the end, and keeps it until the next one does: which of them is its client's nobody knows.
    pub(super) async fn take(&self, id: &str, account: &BareJid) -> Taken {
        let until = Instant::now() + HANDOVER;
        loop {
            let taken = self.take_once(id, account, until).await;
            if let Taken::Absent = taken
                && self.is_of(id, account)
                && Instant::now() < until
            {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            return taken;
        }
    }

    /// Whether a session of this account has this id.
    fn is_of(&self, id: &str, account: &BareJid) -> bool {
        match self.0.lock().by_id.get(id) {
            Some(Slot::Parked(core, _)) => core.home.account == *account,
            Some(Slot::Live(handle)) => handle.jid.bare_str() == account.as_str(),
            None => false,
        }
    }

    async fn take_once(&self, id: &str, account: &BareJid, until: Instant) -> Taken {
        let handover = {
            let mut slots = self.0.lock();
            match slots.by_id.get(id) {
                Some(Slot::Parked(core, _)) if core.home.account == *account => {
                    return slots.take_live(id).map_or(Taken::Absent, Taken::Session);
                }
                Some(Slot::Live(handle)) if handle.jid.bare_str() == account.as_str() => {
                    let (sender, receiver) = oneshot::channel();
                    // Under the lock: a session that parks looks for this order under the same lock.
                    if handle.mailbox.order(Order::Handover(sender)) != Posted::Yes {
                        return Taken::Absent;
                    }
                    receiver
                }
                _ => return Taken::Absent,
            }
        };
        match handed_over(handover, until).await {
            Some(Some(core)) => Taken::Session(core),
            // It ended, or somebody else came for it as well.
            Some(None) => Taken::Absent,
            None => Taken::Busy,
        }
    }

    /// Sessions of an account came from another node.
    pub(super) fn have_come(&self) {
        self.1.notify_waiters();
    }

    /// Waits until some come after now.
    pub(super) fn came(&self) -> OwnedNotified {
        self.1.clone().notified_owned()
    }

    /// Takes over a session of this account that came here and whose connection is to follow. `None`: it has not come.
    ///
    /// # Errors
    /// Its client has it over another connection.
    pub(super) fn take_carried(
        &self,
        id: &str,
        account: &BareJid,
    ) -> Result<Option<Box<SessionCore>>, Overtaken> {
        let mut slots = self.0.lock();
        match slots.by_id.get(id) {
            None => Ok(None),
            Some(Slot::Parked(core, _))
                if core.carried.is_some() && core.home.account == *account =>
            {
                // Its client may have lost that connection, and be coming for it at this moment.
                Ok(slots.take_live(id))
            }
            Some(_) => Err(Overtaken),
        }
    }

    /// A session waits to be resumed.
    pub(super) fn insert_parked(&self, id: Arc<str>, core: Box<SessionCore>, until: Instant) {
        self.0.lock().insert(id, Slot::Parked(core, until));
    }

    /// Takes a session out to be moved if it waits; tells it to come if it has a connection.
    pub(super) fn order_to_move(&self, handle: &Arc<SessionHandle>) -> Moving {
        let mut slots = self.0.lock();
        if let Some(id) = handle.sm_id.get()
            && let Some(core) = slots.take_parked(id)
        {
            return Moving::Here(core);
        }
        let (sender, receiver) = oneshot::channel();
        handle.mailbox.order(Order::Move(sender));
        Moving::Comes(receiver)
    }

    /// Takes out the session of this id, if it waits.
    pub(super) fn take_by_id(&self, id: &str) -> Option<Box<SessionCore>> {
        self.0.lock().take_parked(id)
    }

    /// Looks at each session that waits, with the time at which it ends.
    pub(super) fn each_parked(&self, mut look: impl FnMut(&mut Box<SessionCore>)) {
        for slot in self.0.lock().by_id.values_mut() {
            if let Slot::Parked(core, _) = slot {
                look(core);
            }
        }
    }

    /// Looks at one, if it waits.
    pub(super) fn look_at(&self, id: &str, look: impl FnOnce(&mut Box<SessionCore>)) {
        if let Some(Slot::Parked(core, _)) = self.0.lock().by_id.get_mut(id) {
            look(core);
        }
    }

    /// Takes out the parked session behind a handle, if it is parked.
    pub(crate) fn take_parked(&self, handle: &Arc<SessionHandle>) -> Option<Box<SessionCore>> {
        let id = handle.sm_id.get()?;
        self.0.lock().take_parked(id)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.lock().ends.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends those whose time is over; all of them if `all`.
    pub fn sweep(&self, all: bool) {
        let now = Instant::now();
        loop {
            // One at a time: its end needs the lock again.
            let due = self.0.lock().take_due(now, all);
            let Some(core) = due else { return };
            match core.is_resumable() {
                true => {
                    let resumptions = &core.router.metrics.resumptions;
                    resumptions.with_label_values(&["expired"]).inc();
                }
                false => {
                    let moved = &core.router.metrics.moved_sessions;
                    moved.with_label_values(&["not_followed"]).inc();
                }
            }
            core.end(None);
        }
    }
}

/// Somebody else has a session.
pub(super) struct Overtaken;

/// A session that is to be moved.
pub(super) enum Moving {
    Here(Box<SessionCore>),
    Comes(oneshot::Receiver<Box<SessionCore>>),
}

impl Moving {
    /// It. `None`: it has ended, or has not come in time.
    pub(super) async fn session(self, until: Instant) -> Option<Box<SessionCore>> {
        match self {
            Self::Here(core) => Some(core),
            Self::Comes(comes) => handed_over(comes, until).await?,
        }
    }
}

/// A session that hands itself over. `None`: it does not in time; `Some(None)`: it has ended.
async fn handed_over(
    mut comes: oneshot::Receiver<Box<SessionCore>>,
    until: Instant,
) -> Option<Option<Box<SessionCore>>> {
    if let Ok(came) = tokio::time::timeout_at(until, &mut comes).await {
        return Some(came.ok());
    }
    // It may come at this very moment: from now on it sees that nobody waits.
    comes.close();
    comes.try_recv().ok().map(Some)
}

/// How long a session that goes to another node may take to finish what its client had sent. Two that wait for each other's
/// homes would wait for ever; what is not finished then is in doubt where it goes on.
const MOVE: Duration = Duration::from_millis(500);

/// Where somebody waits for a session, to go on with it.
pub(super) type Heir = Option<oneshot::Sender<Box<SessionCore>>>;

/// Finishes what the client of a session that will not be resumed had sent. Who waits for it is to be kept until it has ended.
/// `None`: the session ended.
pub(super) async fn settle(core: Box<SessionCore>) -> Option<(Box<SessionCore>, Heir)> {
    let until = Instant::now() + SETTLE;
    settle_until(core, None, Way::Ends, until).await
}

/// What becomes of a session that settles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its client does not come back for it.
    Ends,
    /// It waits for its client, who need not wait for it ([`super::session`], repeats).
    Waits,
    /// It goes to another node.
    Moves,
}

/// Finishes what the client had sent; orders that matter are obeyed. `None`: the session ended.
async fn settle_until(
    mut core: Box<SessionCore>,
    mut heir: Heir,
    way: Way,
    until: Instant,
) -> Option<(Box<SessionCore>, Heir)> {
    // `h` does not cover what was not begun: the client sends it again.
    core.held = VecDeque::new();
    let mut moves = (way == Way::Moves).then(|| Instant::now() + MOVE);
    loop {
        while let Some(order) = core.handle.mailbox.take_order() {
            match order {
                // It is promised to another node: its client finds it there.
                Order::Handover(to) if moves.is_some() => drop(to),
                Order::Handover(to) => heir = Some(to),
                Order::Move(to) => {
                    heir = Some(to);
                    moves.get_or_insert(Instant::now() + MOVE);
                }
                Order::Fetched(entries) => core.fetched(entries),
                Order::End(_) | Order::Shutdown => {
                    core.end(None);
                    return None;
                }
                Order::Acknowledge | Order::Ping | Order::Dead | Order::Replicated => {}
            }
        }
        if core.take_mail().is_err() {
            core.end(None);
            return None;
        }
        let ending = core.handle.ending.get().is_some();
        let is_awaited = way == Way::Waits && heir.is_some() && core.is_repeatable();
        // What is being read for it is read anew where it goes.
        let is_ready = match moves {
            Some(_) => core.is_settled(),
            None => (core.is_settled() || is_awaited) && !core.fetching,
        };
        if ending || is_ready {
            return Some((core, heir));
        }
        let mail = std::future::poll_fn(|cx| core.handle.mailbox.poll_ready(cx, false));
        let limit = moves.map_or(until, |moves| until.min(moves));
        if tokio::time::timeout_at(limit, mail).await.is_err() {
            if moves.is_some() && core.is_resumable() {
                return Some((core, heir));
            }
            // The store has not answered for long. What is not handled is not acknowledged: the client sends it again.
            core.end(None);
            return None;
        }
    }
}

/// The connection broke: the session waits for its client, or ends if it may not.
pub(super) async fn park(core: Box<SessionCore>) {
    wait(core, None, Way::Waits).await;
}

/// Another connection goes on with the session, the latest that wants to.
pub(super) async fn hand_over(core: Box<SessionCore>, heir: oneshot::Sender<Box<SessionCore>>) {
    wait(core, Some(heir), Way::Waits).await;
}

/// The session goes to another node, ready, with what its connection needs to follow.
pub(super) async fn give(core: Box<SessionCore>, heir: oneshot::Sender<Box<SessionCore>>) {
    core.handle.mailbox.detach();
    if let Err(mut core) = heir.send(core) {
        // Nobody takes it there: its connection finds nothing, and its client comes again.
        core.carried = None;
        park(core).await;
    }
}

/// The session goes to another node.
pub(super) async fn move_away(core: Box<SessionCore>, heir: oneshot::Sender<Box<SessionCore>>) {
    wait(core, Some(heir), Way::Moves).await;
}

/// As long as the session may be resumed it has time to settle: who cannot log in, because the store does not answer,
/// cannot come back for it either.
async fn wait(core: Box<SessionCore>, heir: Heir, way: Way) {
    let resume = core.managed.as_ref().and_then(|managed| managed.resume);
    let until = Instant::now() + resume.unwrap_or(SETTLE);
    // That may be long, and nobody reads: what comes is kept as it is for one that waits.
    core.handle.mailbox.detach();
    let (mut core, mut heir) = (core, heir);
    loop {
        let settled = settle_until(core, heir, way, until).await;
        let Some(settled) = settled else { return };
        (core, heir) = settled;
        if let Some(to) = heir.take() {
            match to.send(core) {
                Ok(()) => return,
                // Whoever asked has not waited, and it may not be settled.
                Err(back) => core = back,
            }
            continue;
        }
        let may_wait = resume.is_some() && core.handle.ending.get().is_none();
        let Some(id) = core.handle.sm_id.get().filter(|_| may_wait).cloned() else {
            return core.end(None);
        };
        core.shrink();
        super::replica::parked(&mut core);
        let router = core.router.clone();
        let mut slots = router.parked.0.lock();
        core.handle.mailbox.detach();
        // An order given before the slot changed would be seen by nobody.
        let (mut ends, mut moving) = (false, false);
        while let Some(order) = core.handle.mailbox.take_order() {
            match order {
                Order::Handover(to) if moving => drop(to),
                Order::Handover(to) => heir = Some(to),
                Order::Move(to) => (heir, moving) = (Some(to), true),
                Order::End(_) | Order::Shutdown => ends = true,
                _ => {}
            }
        }
        if !ends && heir.is_none() {
            return slots.insert(id, Slot::Parked(core, until));
        }
        drop(slots);
        if ends {
            return core.end(None);
        }
    }
}

impl SessionCore {
    /// Gives back memory that a session without connection does not need.
    fn shrink(&mut self) {
        self.set_active();
        for letter in &mut self.backlog {
            if let crate::routing::Letter::Stanza(delivery) = letter
                && delivery.number != 0
            {
                *letter = crate::routing::Letter::Logged(delivery.number);
            }
        }
        self.backlog.shrink_to_fit();
    }

    /// The stream error for a session that loses its name to another.
    pub fn conflict() -> xmpp::StreamError {
        xmpp::StreamError::new(Condition::Conflict, "another session took this resource")
    }
}

/// Ends parked sessions of an account, as the end of the account must.
pub fn end_parked(router: &Router, account: &BareJid) {
    for entry in router.entries(account.as_str()).iter() {
        let handle = router.sessions.get(entry.session.number);
        if let Some(core) = handle.and_then(|handle| router.parked.take_parked(&handle)) {
            core.end(None);
        }
    }
}
