//! A lane: everything of one class between this node and one peer, over all the connections that carry it in turn.
//!
//! Locks: `inbound` before `outbound`, and the requests' table after both. `inbound` is held while the caller's handler runs,
//! so that frames reach it one by one, whatever connections do meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::AcqRel, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore, TryAcquireError},
    task::AbortHandle,
    time::{Duration, Instant},
};

use super::{
    Class, LinkError,
    frame::{Ack, MAX_BODY, NotAFrame},
    hello::Welcome,
    inbound::{Grants, Inbound, Limit},
    outbound::{Letter, OVERHEAD, Outbound, Unacknowledged},
};

/// See the file's head.
pub(super) struct Lane {
    pub(super) class: Class,
    pub(super) inbound: Mutex<Inbound>,
    pub(super) outbound: Mutex<Outbound>,
    pub(super) grants: Grants,
    /// Bytes that may still be queued, [`OVERHEAD`] for each frame included; who waits for room gets it in turn.
    pub(super) room: Semaphore,
    /// Wakes the writer.
    pub(super) wake: Notify,
    ack_due: AtomicBool,
    ack_urgent: AtomicBool,
    generations: AtomicU64,
    most: usize,
    live: Mutex<Option<(u64, AbortHandle)>>,
}

impl Lane {
    pub(super) fn new(class: Class, limit: Limit, now: Instant, dial_from: Instant) -> Self {
        let most = limit.bytes as usize + OVERHEAD;
        Self {
            class,
            inbound: Mutex::default(),
            outbound: Mutex::new(Outbound::new(now, dial_from)),
            grants: Grants::new(limit),
            room: Semaphore::new(most),
            wake: Notify::new(),
            ack_due: AtomicBool::new(false),
            ack_urgent: AtomicBool::new(false),
            generations: AtomicU64::new(0),
            most: MAX_BODY.min(limit.bytes as usize),
            live: Mutex::new(None),
        }
    }

    /// Takes a frame if there is room.
    pub(super) fn try_send(&self, letter: Letter) -> Result<(), LinkError> {
        let permit = match self.room.try_acquire_many(self.cost(&letter)?) {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => return Err(LinkError::Full),
            Err(TryAcquireError::Closed) => return Err(LinkError::Closed),
        };
        permit.forget();
        self.push(letter)
    }

    /// Takes a frame once there is room. Cancel-safe: it is taken or it is not.
    pub(super) async fn send(&self, letter: Letter) -> Result<(), LinkError> {
        let permit = self.room.acquire_many(self.cost(&letter)?).await;
        permit.map_err(|_| LinkError::Closed)?.forget();
        self.push(letter)
    }

    fn cost(&self, letter: &Letter) -> Result<u32, LinkError> {
        if letter.body.len() > self.most {
            return Err(LinkError::TooLarge);
        }
        Ok(u32::try_from(letter.cost()).expect("bodies are bounded"))
    }

    /// Takes a frame whose room, if it needs any, was taken.
    pub(super) fn push(&self, letter: Letter) -> Result<(), LinkError> {
        let mut outbound = self.outbound.lock();
        if outbound.is_closed {
            return Err(LinkError::Closed);
        }
        let wake = outbound.push(letter);
        drop(outbound);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The other side acknowledged.
    pub(super) fn acknowledged(&self, ack: Ack, now: Instant) -> Result<(), NotAFrame> {
        let mut outbound = self.outbound.lock();
        let freed = outbound.acknowledge(ack, now)?;
        let wake = outbound.is_blocked();
        drop(outbound);
        self.room.add_permits(freed);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The writer is to send an acknowledgement: soon, or at once.
    pub(super) fn ack_is_due(&self, is_urgent: bool) {
        let was_due = self.ack_due.swap(true, AcqRel);
        let was_urgent = is_urgent && self.ack_urgent.swap(true, AcqRel);
        if !was_due || (is_urgent && !was_urgent) {
            self.wake.notify_one();
        }
    }
    /// Whether one is due, and whether at once.
    pub(super) fn due(&self) -> (bool, bool) {
        (self.ack_due.load(Relaxed), self.ack_urgent.load(Relaxed))
    }
    /// The acknowledgement; none is due after it.
    pub(super) fn ack(&self) -> Ack {
        self.ack_due.store(false, Relaxed);
        self.ack_urgent.swap(false, AcqRel);
        self.grants.ack(self.inbound.lock().received())
    }

    /// The number for a connection that this node chose.
    pub(super) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Relaxed) + 1
    }
    /// Where a connection of this generation begins, as this side tells it.
    pub(super) fn welcome(&self, generation: u64, memory: u64) -> Welcome {
        // One that is due stays due: this connection may come to nothing.
        let Ack {
            received,
            frames,
            bytes,
        } = self.grants.ack(self.inbound.lock().received());
        Welcome {
            generation,
            memory,
            received,
            frames,
            bytes,
        }
    }

    /// From now on the connection that this welcome of the other side is for carries the lane. `false`: there is a newer one.
    ///
    /// # Errors
    /// The other side says that it got what was never sent.
    pub(super) fn attach(&self, welcome: &Welcome, now: Instant) -> Result<bool, NotAFrame> {
        let mut inbound = self.inbound.lock();
        let mut outbound = self.outbound.lock();
        if outbound.is_closed || welcome.generation <= inbound.generation {
            return Ok(false);
        }
        let ack = Ack {
            received: welcome.received,
            frames: welcome.frames,
            bytes: welcome.bytes,
        };
        let freed = outbound.attach(welcome.generation, ack, now)?;
        inbound.generation = welcome.generation;
        drop((inbound, outbound));
        self.room.add_permits(freed);
        Ok(true)
    }

    /// The task that carries the connection of this generation: the one before it ends.
    pub(super) fn carried_by(&self, generation: u64, task: AbortHandle) {
        let mut live = self.live.lock();
        match &*live {
            Some((newer, _)) if *newer > generation => task.abort(),
            older => {
                if let Some((_, task)) = older {
                    task.abort();
                }
                *live = Some((generation, task));
            }
        }
    }

    /// The connection of this generation is gone; this side may dial after a while.
    pub(super) fn detach(&self, generation: u64, dial_from: Instant) {
        let mut outbound = self.outbound.lock();
        if outbound.generation == generation && outbound.is_attached {
            outbound.is_attached = false;
            outbound.dial_from = dial_from;
        }
    }

    /// Ends the connection, if there is one.
    pub(super) fn cut(&self) {
        if let Some((_, task)) = self.live.lock().take() {
            task.abort();
        }
    }

    /// Ends its connection if that takes frames and acknowledges nothing for too long.
    pub(super) fn cut_if_stuck(&self, now: Instant) {
        let mut outbound = self.outbound.lock();
        if outbound.is_stuck(now) {
            outbound.be_patient();
            drop(outbound);
            tracing::warn!(class = ?self.class, "connection delivers nothing");
            self.cut();
        }
    }

    /// When this side may dial for it; `None` while it is attached or closed.
    pub(super) fn dial_from(&self) -> Option<Instant> {
        let outbound = self.outbound.lock();
        (!outbound.is_attached && !outbound.is_closed).then_some(outbound.dial_from)
    }

    /// Ends it: the messages that were not acknowledged.
    pub(super) fn close(&self) -> Vec<Unacknowledged> {
        let left = self.outbound.lock().close(self.class);
        self.room.close();
        self.cut();
        left
    }
}

/// A connection that breaks earlier is not dialled again at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// A connection's hold on its lane, let go when dropped.
pub(super) struct Attached {
    pub(super) lane: Arc<Lane>,
    pub(super) generation: u64,
    pub(super) since: Instant,
    /// How long this side leaves it to the other one to dial again.
    pub(super) grace: Duration,
    pub(super) changed: tokio::sync::watch::Sender<()>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut dial_from = Instant::now() + self.grace;
        if self.since.elapsed() < SHORT_LIFE {
            dial_from += SHORT_LIFE / 4;
        }
        self.lane.detach(self.generation, dial_from);
        self.changed.send_replace(());
    }
}
