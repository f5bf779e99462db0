//! From a command to its reply: commands are gathered into batches, one batch of a node is under way at a time, and it is
//! repeated until the local replica has applied it. The state machine does a batch once, however often it is in the log.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{Command, Notice, Replica, Reply, SubmitError, replica::Frozen, wire::Batch};
use crate::NodeId;

/// How many commands wait at most; what comes then is [`SubmitError::Busy`].
pub const WAITING_MAX: usize = 65_536;
/// How many commands a batch has at most; each entry of a re-assertion counts as one, so a batch has one of those and what
/// fits beside it. With names of usual length that is some 100 KiB.
pub const BATCH_MAX: usize = 512;
/// How long a batch is repeated before its fate is [`SubmitError::Unknown`].
const GIVE_UP: Duration = Duration::from_secs(3);
/// How long an accepted batch may take to be applied here before it is sent again.
const AGAIN: Duration = Duration::from_millis(500);
/// The rest between attempts that failed.
const PAUSE: Duration = Duration::from_millis(25);

/// How long look-ups go on from the generation before for what nobody said in the new one.
pub const GRACE: Duration = Duration::from_secs(10);

/// Why a batch is not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError {
    /// It certainly is not.
    Not,
    /// It may be.
    Unknown,
}

/// A log that orders batches.
#[async_trait]
pub trait Log: Send + Sync {
    /// Puts a batch at its end.
    ///
    /// # Errors
    /// Whether it may be there all the same.
    async fn append(&self, batch: Bytes) -> Result<(), AppendError>;
}

type Waiter = oneshot::Sender<Result<Reply, SubmitError>>;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Command, Waiter)>,
    flight: Option<(u64, Vec<Waiter>)>,
    last: u64,
    over: bool,
}

/// A replica, and the commands of this node on their way to it.
pub struct Core {
    me: NodeId,
    replica: Replica,
    open: AtomicBool,
    queue: Mutex<Queue>,
    /// The generation whose log is applied; held while applying, so that an older log ends before a newer one begins.
    turn: Mutex<u64>,
    /// When that generation began here.
    begun: Mutex<Instant>,
    /// There is something to send.
    filled: Notify,
    /// The batch under way was dealt with.
    landed: Notify,
}

impl Core {
    /// Of this node; closed.
    pub fn new(me: NodeId) -> Arc<Self> {
        Arc::new(Self {
            me,
            replica: Replica::default(),
            open: AtomicBool::new(false),
            queue: Mutex::default(),
            turn: Mutex::default(),
            begun: Mutex::new(Instant::now()),
            filled: Notify::new(),
            landed: Notify::new(),
        })
    }

    /// This life.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// The local copy.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Takes commands, or refuses them, those that wait as well: fenced.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
        if !open {
            let waiting = mem::take(&mut self.queue.lock().waiting);
            answer(waiting.into_iter().map(|w| w.1), &SubmitError::Unavailable);
        }
    }

    /// Whether commands are taken.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether this life is over.
    pub fn is_over(&self) -> bool {
        self.queue.lock().over
    }

    /// Ends this life: all that wait are told.
    pub fn end(&self) {
        let mut queue = self.queue.lock();
        queue.over = true;
        let waiting = mem::take(&mut queue.waiting);
        let flight = queue.flight.take();
        drop(queue);
        answer(waiting.into_iter().map(|w| w.1), &SubmitError::Over);
        answer(flight.into_iter().flat_map(|f| f.1), &SubmitError::Unknown);
        self.landed.notify_one();
        self.filled.notify_one();
    }

    /// Has a command done, if commands are taken.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit(&self, command: Command) -> Result<Reply, SubmitError> {
        super::check(&command)?;
        self.put(command, false)?
            .await
            .unwrap_or(Err(SubmitError::Over))
    }

    /// Has a command done that makes this node one whose commands are taken, or that the directory itself gives.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub async fn submit_closed(&self, command: Command) -> Result<Reply, SubmitError> {
        self.put(command, true)?
            .await
            .unwrap_or(Err(SubmitError::Over))
    }

    fn put(
        &self,
        command: Command,
        closed: bool,
    ) -> Result<oneshot::Receiver<Result<Reply, SubmitError>>, SubmitError> {
        let (tell, told) = oneshot::channel();
        let mut queue = self.queue.lock();
        if queue.over {
            return Err(SubmitError::Over);
        }
        // Looked at under the lock, so that nothing is put behind the one who empties the queue.
        if !closed && !self.is_open() {
            return Err(SubmitError::Unavailable);
        }
        if queue.waiting.len() >= WAITING_MAX {
            return Err(SubmitError::Busy);
        }
        queue.waiting.push_back((command, tell));
        drop(queue);
        self.filled.notify_one();
        Ok(told)
    }

    /// Sends batches until this life is over.
    pub async fn run(&self, log: &dyn Log) {
        loop {
            let filled = self.filled.notified();
            if self.is_over() {
                return;
            }
            match self.take() {
                Some((number, bytes)) => self.send(log, number, bytes).await,
                None => filled.await,
            }
        }
    }

    fn take(&self) -> Option<(u64, Bytes)> {
        let mut queue = self.queue.lock();
        if queue.waiting.is_empty() {
            return None;
        }
        let mut room = BATCH_MAX;
        let fits = |(command, _): &&(Command, Waiter)| {
            let weight = match command {
                Command::Reassert { entries, .. } => entries.len().max(1),
                _ => 1,
            };
            let first = room == BATCH_MAX;
            let fits = first || weight <= room;
            room = room.saturating_sub(weight);
            fits
        };
        let count = queue.waiting.iter().take_while(fits).count();
        let (commands, waiters): (Vec<_>, Vec<_>) = queue.waiting.drain(..count).unzip();
        queue.last += 1;
        let number = queue.last;
        queue.flight = Some((number, waiters));
        drop(queue);
        let batch = Batch {
            origin: self.me,
            number,
            commands,
        };
        Some((number, batch.encode()))
    }

    async fn send(&self, log: &dyn Log, number: u64, bytes: Bytes) {
        let begun = Instant::now();
        let mut perhaps = false;
        while begun.elapsed() < GIVE_UP {
            let result = timeout(GIVE_UP, log.append(bytes.clone())).await;
            let rest = match result {
                Ok(Ok(())) => AGAIN,
                Ok(Err(_)) | Err(_) => PAUSE,
            };
            perhaps |= !matches!(result, Ok(Err(AppendError::Not)));
            let until = Instant::now() + rest;
            while self.is_under_way(number) && Instant::now() < until {
                let landed = self.landed.notified();
                if self.is_under_way(number) {
                    tokio::select! { () = landed => {}, () = sleep(until - Instant::now()) => {} }
                }
            }
            if !self.is_under_way(number) {
                return;
            }
        }
        let error = if perhaps {
            SubmitError::Unknown
        } else {
            SubmitError::Unavailable
        };
        self.drop_flight(&error);
    }

    fn is_under_way(&self, number: u64) -> bool {
        let queue = self.queue.lock();
        queue.flight.as_ref().is_some_and(|f| f.0 == number)
    }

    fn drop_flight(&self, error: &SubmitError) {
        let flight = self.queue.lock().flight.take();
        answer(flight.into_iter().flat_map(|f| f.1), error);
        self.landed.notify_one();
    }

    /// Begins a generation: the replica is empty, and only its log is applied from now on.
    pub fn begin(&self, generation: u64) {
        let mut turn = self.turn.lock();
        *turn = generation;
        self.set_open(false);
        *self.begun.lock() = Instant::now();
        self.replica.begin(generation);
        self.replica.hub().tell(Notice::Replaced);
        self.drop_flight(&SubmitError::Unknown);
    }

    /// Looks at the time: what was before this generation is forgotten when all had time to say again what they hold.
    pub fn look(&self) {
        if self.begun.lock().elapsed() >= GRACE {
            self.replica.forget_before();
        }
    }

    /// Applies what the log of this generation has next.
    pub fn apply(&self, generation: u64, bytes: &[u8]) {
        let turn = self.turn.lock();
        if *turn != generation {
            return;
        }
        let batch = match Batch::decode(bytes) {
            Ok(batch) => batch,
            Err(error) => {
                // Every node reads it alike, so they stay equal; who sent it is told that its fate is not known.
                tracing::error!(%error, "the directory's log has what this program cannot read");
                return;
            }
        };
        let (origin, number) = (batch.origin, batch.number);
        let before = self.replica.view().epoch;
        let replies = self.replica.apply_batch(origin, number, batch.commands);
        if let (true, Some(replies)) = (origin == self.me, replies) {
            self.resolve(number, replies);
        }
        if self.replica.view().epoch != before {
            self.look_for_own_end();
        }
    }

    fn resolve(&self, number: u64, replies: Vec<Reply>) {
        let flight = self.queue.lock().flight.take_if(|f| f.0 == number);
        for (waiter, reply) in flight.into_iter().flat_map(|f| f.1).zip(replies) {
            // Who gave up waiting needs no answer.
            let _ = waiter.send(Ok(reply));
        }
        self.landed.notify_one();
    }

    /// Becomes what another node of this generation had.
    pub fn replace(&self, generation: u64, frozen: Frozen) {
        let turn = self.turn.lock();
        if *turn != generation {
            return;
        }
        self.replica.replace(frozen);
        self.replica.hub().tell(Notice::Resync);
        // The batch under way may be part of it; what it was answered is not.
        self.drop_flight(&SubmitError::Unknown);
        self.look_for_own_end();
    }

    fn look_for_own_end(&self) {
        if self.replica.is_fallen(self.me) && !self.is_over() {
            self.set_open(false);
            self.end();
            self.replica.hub().tell(Notice::Fallen);
        }
    }
}

fn answer(waiters: impl Iterator<Item = Waiter>, error: &SubmitError) {
    for waiter in waiters {
        // Who gave up waiting needs no answer.
        let _ = waiter.send(Err(error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Entry, SessionRef};

    fn reassertion(entries: usize) -> Command {
        let entry = Entry {
            session: SessionRef {
                node: NodeId(1),
                number: 1,
            },
            resource: "r".into(),
            priority: None,
            flags: 0,
        };
        Command::Reassert {
            node: NodeId(1),
            epoch: 1,
            entries: vec![("a@x".into(), entry); entries],
        }
    }

    /// How many commands the batches have that these are packed into.
    #[track_caller]
    fn check(commands: Vec<Command>, expected: &[usize]) {
        let core = Core::new(NodeId(1));
        let _told: Vec<_> = commands.into_iter().map(|c| core.put(c, true)).collect();
        let mut batches = Vec::new();
        while let Some((_, bytes)) = core.take() {
            batches.push(Batch::decode(&bytes).unwrap().commands.len());
        }
        assert_eq!(batches, expected);
    }

    #[test]
    fn batches_have_a_bound() {
        let small = || Command::NodeReady(NodeId(1));
        check(vec![], &[]);
        check(vec![small(); 3], &[3]);
        check(vec![small(); BATCH_MAX + 1], &[BATCH_MAX, 1]);
        // A large one goes alone, whatever it is beside.
        check(vec![reassertion(1_024), small(), small()], &[1, 2]);
        check(vec![small(), reassertion(1_024), small()], &[1, 1, 1]);
        check(vec![reassertion(300), reassertion(300), small()], &[1, 2]);
    }

    #[tokio::test]
    async fn who_waits_is_told_when_the_node_is_fenced_or_its_life_is_over() {
        let core = Core::new(NodeId(1));
        let submit = |command| core.submit(command);
        let small = || Command::NodeReady(NodeId(1));
        assert_eq!(submit(small()).await, Err(SubmitError::Unavailable));
        core.set_open(true);
        let (waits, ()) = tokio::join!(submit(small()), async { core.set_open(false) });
        assert_eq!(waits, Err(SubmitError::Unavailable));
        core.set_open(true);
        let under_way = async {
            assert!(core.take().is_some());
            core.end();
        };
        let (waits, ()) = tokio::join!(submit(small()), under_way);
        assert_eq!(waits, Err(SubmitError::Unknown));
        assert_eq!(submit(small()).await, Err(SubmitError::Over));
        assert_eq!(submit(reassertion(1_025)).await, Err(SubmitError::TooLarge));
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused() {
        let core = Core::new(NodeId(1));
        core.set_open(true);
        let small = || Command::NodeReady(NodeId(1));
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| core.put(small(), false)).collect();
        assert!(waiting.iter().all(Result::is_ok));
        assert_eq!(core.submit(small()).await, Err(SubmitError::Busy));
    }
}
