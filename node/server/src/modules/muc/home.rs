//! The home of a room: what is for it is done one after the other, in the order in which it came.
//!
//! An operation that needs no store is done in the task of whoever brings it; one that waits goes on as a task, and what
//! comes meanwhile waits in the queue. Messages that wait are kept together, as one item of the room's log.
//! Bounds: [`MAX_QUEUE`].

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use xmpp::{BareJid, Kind, Stanza, StanzaError};

use super::{
    Muc,
    log::{Log, Stuck},
    pages::About,
    room::{Real, Room, Saying},
};
use crate::{
    module::{Assertion, Context, Receipt},
    turns::Queue,
};

/// Operations that may wait.
const MAX_QUEUE: usize = 4_096;
/// Messages that share an item of the log.
pub(super) const MAX_TOGETHER: usize = 64;

/// Something for a room to do.
pub(super) enum Op {
    /// A stanza for it, and who waits for what becomes of it.
    Stanza(Stanza, Receipt),
    /// Sessions that are not there any more.
    Lost(Vec<Real>),
    /// What may be in the log or not is to be looked after.
    Settle,
    /// What an administrator wants of it.
    Asked(Asked),
    /// There is something to be known of who is in it ([`RoomHome::take_asserted`]).
    Asserted,
    /// Another node serves it now.
    Leave,
}

/// What is known of a room, by name and value.
pub(super) type Facts = Vec<(String, String)>;

/// Who waits for an answer.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StanzaError>>;

/// What an administrator wants of a room.
pub(super) enum Asked {
    /// Its end; whether there was one.
    Destroy(Option<String>, Answer<bool>),
    /// What is known of it, line by line; `None`: there is none.
    Inspect(Answer<Option<Facts>>),
    /// Its end, if nobody is in it and it does not stay; whether that was so.
    EndIfOver(Answer<bool>),
}

/// The home of one room.
pub(super) struct RoomHome {
    pub(super) address: BareJid,
    queue: Mutex<Queue<Op>>,
    /// Of whoever runs the queue alone.
    pub(super) state: AsyncMutex<State>,
    used_ms: AtomicU64,
    /// Nicks in the room, for whoever counts.
    pub(super) occupants: AtomicUsize,
    /// Whether it is going to be published.
    pub(super) publishes: AtomicBool,
    /// What its pages say of it, as it is now.
    pub(super) about: Mutex<Option<About>>,
    /// Of whoever writes its pages.
    pub(super) publishing: AsyncMutex<()>,
    /// Who is in it, as other nodes tell: known before anything else is done.
    asserted: Mutex<Vec<Assertion>>,
}

/// What is known of a room.
#[derive(Default)]
pub(super) struct State {
    /// `None`: not loaded, or there is none.
    pub(super) ready: Option<Box<Ready>>,
}

/// A room that is loaded.
pub(super) struct Ready {
    pub(super) room: Room,
    pub(super) log: Log,
    /// An append of which nobody knows whether it was done, with what it says.
    pub(super) stuck: Option<Stuck>,
    /// The newest number of its log when it was loaded.
    pub(super) loaded_at: u64,
    /// What is kept behind what was done is not tried again before this moment.
    pub(super) rest_due_ms: u64,
}

/// A message to be kept, and who waits for it.
pub(super) struct Spoken {
    pub(super) saying: Saying,
    pub(super) stanza: Stanza,
    pub(super) receipt: Receipt,
}

impl RoomHome {
    pub(super) fn new(address: BareJid, now_ms: u64) -> Self {
        Self {
            address,
            queue: Mutex::default(),
            state: AsyncMutex::default(),
            used_ms: AtomicU64::new(now_ms),
            occupants: AtomicUsize::new(0),
            publishes: AtomicBool::new(false),
            about: Mutex::default(),
            publishing: AsyncMutex::default(),
            asserted: Mutex::default(),
        }
    }

    /// It is used now.
    pub(super) fn use_at(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether something is being done, or waits.
    pub(super) fn is_busy(&self) -> bool {
        !self.queue.lock().is_idle()
    }

    /// Whether nobody is in it and nothing is under way, for this long.
    pub(super) fn is_idle(&self, idle_ms: u64, now_ms: u64) -> bool {
        let queue = self.queue.lock();
        let is_old = now_ms.saturating_sub(self.used_ms.load(Ordering::Relaxed)) >= idle_ms;
        let is_stuck = || match self.state.try_lock() {
            Ok(state) => state
                .ready
                .as_ref()
                .is_some_and(|ready| ready.stuck.is_some()),
            Err(_) => true,
        };
        let knows_all = self.asserted.lock().is_empty();
        is_old
            && knows_all
            && queue.is_idle()
            && self.occupants.load(Ordering::Relaxed) == 0
            && !is_stuck()
    }

    /// Tells it who is in it.
    pub(super) fn push_asserted(self: &Arc<Self>, muc: &Arc<Muc>, told: Assertion, cx: &Context) {
        let mut asserted = self.asserted.lock();
        asserted.push(told);
        let is_first = asserted.len() == 1;
        drop(asserted);
        if is_first {
            // It is never refused.
            let _ = self.push(muc, Op::Asserted, cx);
        }
    }

    /// What it was told and does not know yet.
    pub(super) fn take_asserted(&self) -> Vec<Assertion> {
        std::mem::take(&mut *self.asserted.lock())
    }

    /// Gives it something to do. Back comes what there is no room for.
    pub(super) fn push(
        self: &Arc<Self>,
        muc: &Arc<Muc>,
        op: Op,
        cx: &Context,
    ) -> Result<(), Box<Op>> {
        let bound = match op {
            Op::Stanza(..) => MAX_QUEUE,
            _ => usize::MAX,
        };
        if !self.queue.lock().push(op, bound)? {
            return Ok(());
        }
        let (home, muc, via) = (self.clone(), muc.clone(), cx.clone());
        cx.run(Box::pin(async move { home.work(&muc, &via).await }));
        Ok(())
    }

    /// Does what waits, until nothing does.
    async fn work(self: Arc<Self>, muc: &Arc<Muc>, cx: &Context) {
        let mut state = self.state.lock().await;
        loop {
            let next = self.queue.lock().pop();
            let Some(op) = next else { return };
            muc.handle(&self, &mut state, op, cx).await;
            let there = state.ready.as_ref();
            let there = there.map_or(0, |ready| ready.room.occupants.len());
            self.occupants.store(there, Ordering::Relaxed);
        }
    }

    /// The next operation, if it is a message to all.
    pub(super) fn next_message(&self) -> Option<(Stanza, Receipt)> {
        let is_message = |op: &Op| matches!(op, Op::Stanza(stanza, _) if is_groupchat(stanza));
        match self.queue.lock().pop_if(is_message) {
            Some(Op::Stanza(stanza, receipt)) => Some((stanza, receipt)),
            _ => None,
        }
    }
}

fn is_groupchat(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Message
        && stanza.type_attr().as_deref() == Some("groupchat")
        && stanza.to().is_some_and(|to| !to.is_full())
}
