//! A node: the real server without sockets, on a runtime of its own whose clock the world moves.
//!
//! A runtime for each: a node that stands still is one that is not run, and when it goes on all its timers are due at once, as
//! after SIGSTOP; a node that dies is dropped with all that it was at.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cluster::NodeId;
use cluster::place::Member;
use starling::app::App;
use starling::intake::{self, Intake};
use starling::metrics::Metrics;
use starling::routing::Router;
use starling::routing::peers::View;
use storage::shape::Table;
use storage::{Clock, Stores};
use tests::faults::dice::Dice;
use tests::faults::settings::Settings;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, sleep_until};

use crate::net::{Net, Way};

/// A node that was not run for so long goes on as one that stood still.
const STOOD_STILL_MS: u64 = 40;
/// How long a node that leaves waits for its accounts to go.
const STALLED: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
const NUDGE_EVERY: u32 = 10;
const GRACE: Duration = Duration::from_secs(5);

/// The time of the world, for stores, logs and ledgers; clones share it.
#[derive(Clone, Default)]
pub struct Now(pub Arc<AtomicU64>);

impl Clock for Now {
    fn now(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A runtime whose clock stands still unless it is told where to go.
pub fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    runtime.expect("a runtime without drivers can be had")
}

/// What the directory tells: who serves, and who is a member at all.
#[derive(Debug, Clone)]
pub struct News {
    pub due_ms: u64,
    pub epoch: u64,
    pub seats: Vec<Member>,
}

/// How far a life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Serves,
    /// It is to leave, and hands over once it knows that.
    Leaves,
    /// Its life was declared over, and it ends.
    Falls,
}

/// See the file's head.
pub struct Node {
    pub id: NodeId,
    pub life: Life,
    /// It stands still until then.
    pub frozen_ms: Option<u64>,
    /// What the directory says and it has not heard, in order.
    pub news: Vec<News>,
    /// It has ended what it does.
    pub is_done: Arc<AtomicBool>,
    known: BTreeSet<NodeId>,
    router: Arc<Router>,
    intake: Intake,
    app: Option<App>,
    net: Arc<Net>,
    dice: Dice,
    /// How long it may go without being run.
    patience_ms: u64,
    /// The time of the world when its own was zero, and how far it is.
    zero: (u64, Instant),
    ran_ms: u64,
    // Behind what it runs.
    runtime: Runtime,
}

impl Node {
    /// Begins a life that serves nothing yet.
    pub fn start(
        id: NodeId,
        table: Arc<dyn Table>,
        stores: Stores,
        net: &Arc<Net>,
        now: &Now,
        mut dice: Dice,
    ) -> Self {
        let runtime = runtime();
        let config = Settings {
            resume_s: 120,
            ..Settings::default()
        };
        let config = config.config(Path::new("nowhere"));
        let clock: Arc<dyn Clock> = Arc::new(now.clone());
        let building = App::build_as(id, config, stores, table, clock, Metrics::default());
        let app = runtime.block_on(Box::pin(building));
        let app = app.expect("a store that answers is enough to start");
        let me = Way {
            me: id,
            net: net.clone(),
        };
        app.router.peers.join(id, Arc::new(me));
        let now_ms = net.0.lock().now_ms;
        let zero = runtime.block_on(async { Instant::now() });
        Self {
            id,
            life: Life::Serves,
            frozen_ms: None,
            news: Vec::new(),
            is_done: Arc::default(),
            known: BTreeSet::new(),
            router: app.router.clone(),
            intake: app.intake(),
            app: Some(app),
            net: net.clone(),
            patience_ms: dice.below(12),
            dice,
            zero: (now_ms, zero),
            ran_ms: now_ms,
            runtime,
        }
    }

    /// Whether it takes clients: it does once it knows that it is a member.
    pub fn takes_clients(&self) -> bool {
        self.life == Life::Serves && self.frozen_ms.is_none() && self.known.contains(&self.id)
    }

    /// Runs it until now, if it does not stand still, and something has come or its patience is at its end.
    pub fn run(&mut self, now_ms: u64) {
        if self.frozen_ms.is_some_and(|until| until > now_ms) {
            return;
        }
        self.frozen_ms = None;
        let (frames, knocks) = {
            let mut net = self.net.0.lock();
            let frames = net.arrived(self.id);
            (frames, net.cables.knocking_at(self.id))
        };
        let lag = now_ms.saturating_sub(self.ran_ms);
        let news = self.due(now_ms);
        let is_idle = frames.is_empty() && knocks.is_empty() && news.is_empty();
        if is_idle && lag < self.patience_ms {
            return;
        }
        self.ran_ms = now_ms;
        let target = self.zero.1 + Duration::from_millis(now_ms - self.zero.0);
        let Self {
            runtime,
            intake,
            app,
            net,
            dice,
            known,
            id,
            ..
        } = self;
        runtime.block_on(async {
            if lag > STOOD_STILL_MS {
                advance(Duration::from_millis(lag - 1)).await;
            }
            let told = dice.below(frames.len() as u64 + 1) as usize;
            let mut news = Some(news);
            for (place, frame) in frames.into_iter().enumerate() {
                if place == told {
                    tell(intake, net, *id, known, news.take().unwrap_or_default());
                }
                intake.frame(frame.from, frame.kind, &frame.body);
                if dice.once_in(4) {
                    yield_now().await;
                }
            }
            tell(intake, net, *id, known, news.unwrap_or_default());
            if let Some(app) = app {
                for (pipe, peer) in knocks {
                    app.serve_pipe(pipe, peer);
                }
            }
            sleep_until(target).await;
        });
    }

    /// What the directory has told by now; one that hears of several changes at once may see the last alone.
    fn due(&mut self, now_ms: u64) -> Vec<News> {
        let is_due = |news: &News| news.due_ms <= now_ms;
        let count = self.news.iter().take_while(|it| is_due(it)).count();
        let mut due: Vec<_> = self.news.drain(..count).collect();
        if self.dice.once_in(2) {
            due.drain(..due.len().saturating_sub(1));
        }
        due
    }

    /// Runs something on it, beside what it does.
    fn beside(&self, task: impl Future<Output = ()> + Send + 'static) {
        let done = self.is_done.clone();
        self.runtime.spawn(async move {
            task.await;
            done.store(true, Ordering::Relaxed);
        });
    }

    /// It leaves: what it has goes to others, then it closes (`membership::leaving`).
    pub fn leave(&mut self) {
        let (Some(app), router) = (self.app.take(), self.router.clone()) else {
            return;
        };
        self.life = Life::Leaves;
        self.beside(async move {
            while is_weighed(&router) {
                sleep(LOOK).await;
            }
            let (mut moved, mut rounds) = ((usize::MAX, Instant::now()), 0);
            loop {
                let left = router.directory.accounts();
                if left < moved.0 {
                    moved = (left, Instant::now());
                }
                if left == 0 || moved.1.elapsed() >= STALLED {
                    break;
                }
                sleep(LOOK).await;
                rounds += 1;
                if rounds % NUDGE_EVERY == 0 {
                    intake::nudge(&router);
                }
            }
            app.shutdown_within(GRACE).await;
        });
    }

    /// Its life was declared over: nothing is said in its name any more, and its clients come again.
    pub fn fall(&mut self) {
        self.net.0.lock().hang_up(self.id);
        self.news.clear();
        self.life = Life::Falls;
        self.is_done.store(false, Ordering::Relaxed);
        match self.app.take() {
            Some(app) => self.beside(app.shutdown()),
            None => self.is_done.store(true, Ordering::Relaxed),
        }
    }
}

/// Whether something is placed on this node, as far as it knows.
fn is_weighed(router: &Router) -> bool {
    let view = router.peers.view();
    let mut members = view.members.iter();
    members.any(|member| member.node == router.node && member.weight > 0.0)
}

/// In this order: nothing more comes from who is gone, nothing more is placed on it, and what it was asked is asked of others.
fn tell(intake: &Intake, net: &Net, me: NodeId, known: &mut BTreeSet<NodeId>, news: Vec<News>) {
    for news in news {
        let seats: BTreeSet<_> = news.seats.iter().map(|seat| seat.node).collect();
        let gone: Vec<_> = known.difference(&seats).copied().collect();
        for node in &gone {
            net.0.lock().forget(me, *node);
        }
        *known = seats;
        let view = View {
            epoch: news.epoch,
            members: news.seats,
        };
        intake.view_changed(view, &gone);
    }
}
