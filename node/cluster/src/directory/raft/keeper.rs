//! The life of a node in the directory: find it or found it, become a member, stay in contact, notice when it is over.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    Inner, Live, Record,
    duties::Duties,
    founder::NOBODY,
    live::LEASE,
    speech::{Answer, Kind, message},
};
use crate::{
    NodeId,
    directory::{Command, FENCE, Notice, Reply},
};

/// How often everything is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long a beat must stand still before the directory is founded anew.
const ABANDONED: Duration = Duration::from_secs(4);
/// How long peers have to say what they know.
const PROBE: Duration = Duration::from_millis(300);
/// How often a node asks to be let in.
const ASK: Duration = Duration::from_millis(500);
/// Where a majority of voters can be reached, an election is on its way: so long it has.
const ELECTION: Duration = Duration::from_secs(10);

/// Until this life is over.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut floor = 1;
    while !inner.core.is_over() {
        let (generation, founds) = settle(&inner, floor).await;
        let live = match Live::begin(&inner.core, inner.peers.clone(), generation).await {
            Ok(live) => Arc::new(live),
            Err(error) => {
                tracing::error!(%error, "Raft does not start");
                sleep(ASK).await;
                continue;
            }
        };
        if founds {
            let me = BTreeSet::from([inner.core.me().0]);
            if let Err(error) = live.raft.initialize(me).await {
                tracing::error!(%error, "the directory is not founded");
            }
        }
        tracing::info!(generation, founds, "the directory's generation begins here");
        inner.live.store(Some(live.clone()));
        floor = Keeper::new(inner.clone(), live.clone()).serve().await;
        inner.core.set_open(false);
        inner.live.store(None);
        // What Raft's tasks say at their end changes nothing.
        let _ = live.raft.shutdown().await;
    }
}

/// What peers say: the newest generation, and whether somebody of it is in contact with its quorum.
async fn probe(inner: &Inner) -> Option<(u64, bool)> {
    let mut asked = JoinSet::new();
    for peer in inner.peers.known() {
        let peers = inner.peers.clone();
        let call = async move {
            let body = message(Kind::Probe, 0, &[]);
            timeout(PROBE, peers.call(peer, body, PROBE)).await
        };
        asked.spawn(call);
    }
    let mut best = None;
    while let Some(answer) = asked.join_next().await {
        let Ok(Ok(Ok(bytes))) = answer else { continue };
        let Answer::Done(told) = Answer::decode(&bytes) else {
            continue;
        };
        let Some((generation, &[open])) = told.split_at_checked(8) else {
            continue;
        };
        let mut number = [0; 8];
        number.copy_from_slice(generation);
        best = best.max(Some((u64::from_be_bytes(number), open == 1)));
    }
    best
}

/// The record, if there is one and it can be read in time.
async fn read(inner: &Inner) -> Option<Record> {
    let read = timeout(PROBE, inner.founder.read()).await;
    read.ok()?.ok()?
}

/// Sees whether the record's beat stands still.
#[derive(Default)]
struct Watch(Option<(Record, Instant)>);

impl Watch {
    /// Founds anew if the record has stood still for long enough, or says that nobody keeps it; the generation that was
    /// founded.
    async fn found(&mut self, inner: &Inner, record: Record) -> Option<u64> {
        let stood_still = match self.0 {
            Some((seen, since)) if seen == record => since.elapsed(),
            _ => {
                self.0 = Some((record, Instant::now()));
                Duration::ZERO
            }
        };
        if record.founder != NOBODY && stood_still < ABANDONED {
            return None;
        }
        let next = Record {
            generation: record.generation + 1,
            founder: inner.core.me(),
            beat: 0,
        };
        let won = inner.founder.swap(Some(record), next).await == Ok(true);
        won.then_some(next.generation)
    }
}

/// Finds a directory of at least this generation, or founds one: its generation, and whether it is to be founded here.
async fn settle(inner: &Inner, floor: u64) -> (u64, bool) {
    let begun = Instant::now();
    let mut watch = Watch::default();
    loop {
        if let Some((generation, _)) = probe(inner).await
            && generation >= floor
        {
            return (generation, false);
        }
        match inner.founder.read().await {
            Ok(None) if begun.elapsed() >= inner.founder.patience() => {
                let next = Record {
                    generation: inner.founder.first().max(floor),
                    founder: inner.core.me(),
                    beat: 0,
                };
                if inner.founder.swap(None, next).await == Ok(true) {
                    return (next.generation, true);
                }
            }
            // Put here, with the answer lost.
            Ok(Some(record)) if record.founder == inner.core.me() && record.generation >= floor => {
                return (record.generation, true);
            }
            Ok(Some(record)) => {
                if let Some(generation) = watch.found(inner, record).await {
                    return (generation, true);
                }
            }
            Ok(None) | Err(_) => {}
        }
        sleep(TICK).await;
    }
}

/// One generation, as long as it lasts.
struct Keeper {
    inner: Arc<Inner>,
    live: Arc<Live>,
    duties: Duties,
    watch: Watch,
    /// The log must be applied up to here to be caught up.
    until: Option<u64>,
    asked: Option<Instant>,
    reported: bool,
    begun: Instant,
    coming: Option<tokio::task::JoinHandle<bool>>,
}

impl Keeper {
    fn new(inner: Arc<Inner>, live: Arc<Live>) -> Self {
        Self {
            inner,
            live,
            duties: Duties::default(),
            watch: Watch::default(),
            until: None,
            asked: None,
            reported: false,
            begun: Instant::now(),
            coming: None,
        }
    }

    /// Until there is a newer generation, which is returned, or this life is over.
    async fn serve(&mut self) -> u64 {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.live.ways.absence() >= FENCE {
                self.wake().await;
            }
            self.live.ways.look();
            let newest = self.live.ways.newer.load(Ordering::Acquire);
            if newest > self.live.ways.generation || self.inner.core.is_over() {
                return newest;
            }
            let silence = self.live.silence();
            let in_contact = silence.is_some_and(|s| s < FENCE);
            let open = in_contact && self.inner.is_member();
            self.inner.core.set_open(open);
            self.inner.core.look();
            self.restrain_elections();
            self.succeed(silence).await;
            self.live.retire();
            if self.live.leads() && in_contact {
                self.duties.look(&self.inner, &self.live);
            }
            if !self.inner.is_member() {
                self.come(in_contact).await;
            }
            if in_contact {
                self.watch = Watch::default();
                self.report().await;
            } else {
                self.look_around(silence.unwrap_or(self.begun.elapsed()))
                    .await;
            }
        }
    }

    /// This process was stopped for a while, and the others may have gone on without it: a leader that is the only voter
    /// would not notice by its quorum. It takes nothing before it has looked.
    async fn wake(&self) {
        if let Some(record) = read(&self.inner).await {
            self.live.ways.heard_of(record.generation);
        } else if let Some((generation, _)) = probe(&self.inner).await {
            self.live.ways.heard_of(generation);
        }
    }

    /// Raft 0.9 asks for votes without looking whether it can win, which ends a good leader's term. So who cannot reach a
    /// majority does not ask.
    fn restrain_elections(&self) {
        let unreachable = self.inner.liveness.unreachable();
        let hopeful = self.reaches_majority(&unreachable);
        self.live.raft.runtime_config().elect(hopeful);
    }

    /// The leader's process is gone: the first of the voters that are left asks for votes as soon as they may be given. The
    /// others wait for longer, or two would always ask at once.
    async fn succeed(&self, silence: Option<Duration>) {
        let unreachable = self.inner.liveness.unreachable();
        let leader = self.live.leader();
        if leader.is_none_or(|leader| !unreachable.contains(&leader))
            || silence.is_none_or(|silence| silence < LEASE)
            || !self.reaches_majority(&unreachable)
        {
            return;
        }
        let first = self.voters().difference(&unreachable).next().copied();
        if first == Some(self.inner.core.me()) {
            // An error means that Raft has ended.
            let _ = self.live.raft.trigger().elect().await;
        }
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        let metrics = self.live.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        membership.voter_ids().map(NodeId).collect()
    }

    fn reaches_majority(&self, unreachable: &BTreeSet<NodeId>) -> bool {
        let metrics = self.live.raft.metrics();
        let metrics = metrics.borrow();
        let configs = metrics.membership_config.membership().get_joint_config();
        configs.iter().all(|voters| {
            let lost = voters.iter().filter(|v| unreachable.contains(&NodeId(**v)));
            lost.count() * 2 < voters.len()
        })
    }

    /// The way to being a member: ask to be let in, catch up, say so.
    async fn come(&mut self, in_contact: bool) {
        if let Some(coming) = &mut self.coming {
            if !coming.is_finished() {
                return;
            }
            if coming.await.unwrap_or(false) {
                self.inner.core.end();
                self.inner.core.replica().hub().tell(Notice::Fallen);
            }
            self.coming = None;
            return;
        }
        if self.live.leads() {
            self.until = Some(0);
        }
        let applied = self.live.raft.metrics().borrow().last_applied;
        let applied = applied.map_or(0, |id| id.index + 1);
        if in_contact && self.until.is_some_and(|until| applied >= until) {
            let inner = self.inner.clone();
            self.coming = Some(tokio::spawn(async move {
                let up = Command::NodeUp(inner.member.clone());
                inner.core.submit_closed(up).await == Ok(Reply::Stale)
            }));
        } else if self.until.is_none() || !in_contact {
            self.ask(in_contact).await;
        }
    }

    /// Asks the leader, or without contact everybody: the leader of whom this node heard last may be gone, and no other tells
    /// who leads to a node that is not let in.
    async fn ask(&mut self, in_contact: bool) {
        if self.asked.is_some_and(|at| at.elapsed() < ASK) {
            return;
        }
        self.asked = Some(Instant::now());
        let peers = match self.live.leader().filter(|_| in_contact) {
            Some(leader) if leader != self.inner.core.me() => vec![leader],
            _ => self.inner.peers.known(),
        };
        let mut asked = JoinSet::new();
        for peer in peers {
            let ways = self.live.ways.clone();
            asked.spawn(async move { ways.ask(peer, Kind::Join, &[], ASK).await });
        }
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(Answer::Done(until))) => {
                    if let Ok(until) = until[..].try_into() {
                        self.until = Some(u64::from_be_bytes(until));
                    }
                }
                Ok(Ok(Answer::Fallen)) => {
                    self.inner.core.end();
                    self.inner.core.replica().hub().tell(Notice::Fallen);
                }
                _ => {}
            }
        }
    }

    /// Tells the leader whom this node cannot reach, and once that it can again.
    async fn report(&mut self) {
        let unreachable = self.inner.liveness.unreachable();
        if self.live.leads() || (unreachable.is_empty() && !self.reported) {
            return;
        }
        let Some(leader) = self.live.leader() else {
            return;
        };
        self.reported = !unreachable.is_empty();
        let body: Vec<u8> = unreachable.iter().flat_map(|n| n.0.to_be_bytes()).collect();
        // What is lost is said again at the next tick.
        let _ = self.live.ways.ask(leader, Kind::Report, &body, PROBE).await;
    }

    /// Without contact: is there a newer generation, somebody in contact, an election? Otherwise found anew, if nobody
    /// keeps the record's beat.
    async fn look_around(&mut self, silence: Duration) {
        if silence < FENCE {
            return;
        }
        let told = probe(&self.inner).await;
        if let Some((generation, open)) = told {
            self.live.ways.heard_of(generation);
            if generation >= self.live.ways.generation && open {
                self.watch = Watch::default();
                // Whoever this node was to them, it is not there any more: was it declared down?
                self.ask(false).await;
                return;
            }
        }
        let Some(record) = read(&self.inner).await else {
            return;
        };
        self.live.ways.heard_of(record.generation);
        let unreachable = self.inner.liveness.unreachable();
        if record.generation != self.live.ways.generation
            || (self.reaches_majority(&unreachable) && silence < ELECTION)
        {
            return;
        }
        if let Some(generation) = self.watch.found(&self.inner, record).await {
            self.live.ways.heard_of(generation);
        }
    }
}
