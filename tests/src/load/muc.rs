//! Scenario `muc`: a room in which some talk and all hear.
//!
//! Source: XEP-0045 §7.1, §7.4. Without a rate a speaker keeps up to `--window` messages under way: its own message that
//! comes back is the credit for the next one. With a rate messages leave on a schedule, as in scenario `chat`.
//! A delivery is one message at one occupant; each occupant checks that it hears all, once, in the order of each speaker.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::chat::plan::Plan;
use super::clock::Clock;
use super::histogram::Histogram;
use super::measure::{self, Meter};
use super::procfs;
use super::report::Outcome;
use super::session::{Profile, Session, World};
use super::stanza::{self, Stamp, Template, attribute, contains, name};

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many are in the room.
    #[arg(long, default_value_t = 100)]
    pub occupants: u32,
    /// How many of them talk.
    #[arg(long, default_value_t = 10)]
    pub speakers: u32,
    /// Messages a second of all speakers; 0 saturates.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// Messages under way per speaker when saturating.
    #[arg(long, default_value_t = 4)]
    pub window: u32,
    /// Bytes of text per message.
    #[arg(long, default_value_t = 100)]
    pub body: usize,
    /// Measured seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before measuring begins.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
}

/// What the tasks share.
struct Board {
    clock: Clock,
    /// How long after the end a late message is waited for, in nanoseconds.
    patience: u64,
    sent: AtomicU64,
}

/// What one occupant found.
#[derive(Default)]
struct Found {
    latency: Histogram,
    late: Histogram,
    heard: u64,
    misplaced: u64,
    errors: u64,
}

/// Runs the conversation.
///
/// # Errors
/// If a login or an entrance fails, or a stream ends.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "muc");
    let room = room(&world, "talk");
    let weight = || -> f64 {
        let servers = world.target.server_pid.iter();
        servers.map(|server| procfs::memory(*server).0).sum()
    };
    let accounts: Vec<u32> = (0..options.occupants).collect();
    let before = weight();
    let sessions = measure::log_in(&world, &accounts, &Profile::default()).await?;
    let logged_in = weight();
    let meter = Meter::start(&world.target.server_pid);
    let sessions = enter_all(&world, &room, sessions).await?;
    outcome.rate("enter_", u64::from(options.occupants), &meter.stop());
    let per_occupant = |more: f64| more / f64::from(options.occupants);
    outcome.figure(
        "session_bytes_per_occupant",
        per_occupant(logged_in - before),
    );
    outcome.figure(
        "room_bytes_per_occupant",
        per_occupant(weight() - logged_in),
    );

    let board = Arc::new(Board {
        clock: Clock::start(options.warm_up, options.seconds),
        patience: u64::try_from(world.target.patience().as_nanos()).unwrap_or(u64::MAX),
        sent: AtomicU64::new(0),
    });
    let mut tasks = JoinSet::new();
    for (number, session) in (0..).zip(sessions) {
        let speaks = (number < options.speakers).then(|| Speaker {
            template: Template::groupchat(&room, options.body),
            plan: Plan::of(options.rate, options.speakers, options.window, number),
            sent: 0,
        });
        let occupant = Occupant {
            number,
            session,
            speaks,
            next: vec![0; options.speakers as usize],
            found: Found::default(),
        };
        tasks.spawn(occupant.take_part(board.clone()));
    }
    let (delivered, span) = board.clock.measure(&world.target.server_pid).await;

    let mut found = Found::default();
    while let Some(done) = tasks.join_next().await {
        let one = done.map_err(io::Error::other)??;
        found.latency.add(&one.latency);
        found.late.add(&one.late);
        found.heard += one.heard;
        found.misplaced += one.misplaced;
        found.errors += one.errors;
    }
    let sent = board.sent.load(Ordering::Relaxed);
    outcome.set("occupants", options.occupants);
    outcome.set("speakers", options.speakers);
    outcome.set(
        "load",
        format!("rate {}, window {}", options.rate, options.window),
    );
    outcome.rate("", delivered, &span);
    outcome.latency("", &found.latency);
    if options.rate > 0 {
        outcome.latency("late_", &found.late);
    }
    outcome.figure("load_average", procfs::load_average());
    outcome.problem("spans without any delivery", u64::from(delivered == 0));
    let lost = (sent * u64::from(options.occupants)).saturating_sub(found.heard);
    outcome.problem("deliveries lost", lost);
    outcome.problem("messages repeated or out of order", found.misplaced);
    outcome.problem("error stanzas", found.errors);
    Ok(outcome)
}

/// The address of a room that is this run's own.
pub(super) fn room(world: &World, name: &str) -> String {
    format!(
        "{name}{}@conference.{}",
        std::process::id(),
        world.target.domain
    )
}

/// All enter, the first before the others, so that the room is there.
pub(super) async fn enter_all(
    world: &Arc<World>,
    room: &str,
    sessions: Vec<Session>,
) -> io::Result<Vec<Session>> {
    let gate = Arc::new(Semaphore::new(world.target.concurrency));
    let patience = world.target.patience();
    let enter_one = |(number, mut session): (usize, Session)| {
        let (gate, address) = (gate.clone(), format!("{room}/{}", nick(number)));
        async move {
            let _permit = gate.acquire_owned().await.map_err(io::Error::other)?;
            timeout(patience, enter(&mut session, &address)).await??;
            Ok::<_, io::Error>(session)
        }
    };
    let mut sessions = sessions.into_iter().enumerate();
    let Some(first) = sessions.next() else {
        return Ok(Vec::new());
    };
    let mut entered = vec![enter_one(first).await?];
    entered.extend(measure::all(sessions.map(enter_one)).await?);
    Ok(entered)
}

/// What an occupant is called.
pub(super) fn nick(number: usize) -> String {
    format!("nick{number:05}")
}

/// What asks to enter, without anything that was said before (XEP-0045 §7.2.14).
pub(super) fn entrance(address: &str) -> String {
    format!(
        "<presence to='{address}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
    )
}

/// Enters and waits for its own presence, which comes last (§7.1.2).
async fn enter(session: &mut Session, address: &str) -> io::Result<()> {
    session.send(entrance(address).as_bytes()).await?;
    see_own(session, address).await
}

/// Waits for its own presence.
pub(super) async fn see_own(session: &mut Session, address: &str) -> io::Result<()> {
    while !is_own(&session.next().await?, address)? {}
    Ok(())
}

/// Whether this is one's own presence in a room.
///
/// # Errors
/// `PermissionDenied`: it is refused.
pub(super) fn is_own(stanza: &[u8], address: &str) -> io::Result<bool> {
    if name(stanza) != b"presence" {
        return Ok(false);
    }
    if attribute(stanza, "type") == Some(b"error") {
        let shown = String::from_utf8_lossy(&stanza[..stanza.len().min(300)]).into_owned();
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, shown));
    }
    let is_it = attribute(stanza, "from") == Some(address.as_bytes());
    let own = contains(stanza, "code='110'") || contains(stanza, "code=\"110\"");
    Ok(is_it && own)
}

struct Speaker {
    template: Template,
    plan: Plan,
    sent: u32,
}

struct Occupant {
    number: u32,
    session: Session,
    speaks: Option<Speaker>,
    /// The next message of each speaker.
    next: Vec<u32>,
    found: Found,
}

impl Occupant {
    async fn take_part(mut self, board: Arc<Board>) -> io::Result<Found> {
        let mut batch = Vec::new();
        let mut timer = pin!(sleep(Duration::ZERO));
        loop {
            let now = stanza::now();
            let is_over = now >= board.clock.until;
            if !is_over {
                self.speak(&board, &mut batch)?;
            } else if self.found.heard == board.sent.load(Ordering::Relaxed)
                || now > board.clock.until + board.patience
            {
                break;
            }
            let wake = match &self.speaks {
                _ if is_over => now + 50_000_000,
                Some(speaker) if speaker.plan.interval > 0 => {
                    board.clock.until.min(speaker.plan.next_due)
                }
                _ => board.clock.until,
            };
            let rest = Duration::from_nanos(wake.saturating_sub(stanza::now()));
            timer.as_mut().reset(Instant::now() + rest);
            let (session, next, found) = (&mut self.session, &mut self.next, &mut self.found);
            poll_fn(|cx| {
                let _ = session.poll_flush(cx)?;
                let mut heard = 0;
                let any = session
                    .poll_stanzas(cx, |stanza| heard += hear(stanza, next, found, &board))?;
                if heard > 0 {
                    board.clock.count(heard);
                }
                match any.is_ready() || timer.as_mut().poll(cx).is_ready() {
                    true => Poll::Ready(Ok::<_, io::Error>(())),
                    false => Poll::Pending,
                }
            })
            .await?;
        }
        self.session.close().await;
        Ok(self.found)
    }

    /// Queues what may leave now, as one write.
    fn speak(&mut self, board: &Board, batch: &mut Vec<u8>) -> io::Result<()> {
        let Some(speaker) = &mut self.speaks else {
            return Ok(());
        };
        let came_back = self.next[self.number as usize];
        let (count, due) = speaker.plan.due(speaker.sent.saturating_sub(came_back));
        let now = stanza::now();
        for nth in 0..u64::from(count) {
            if speaker.plan.interval > 0 {
                let due = due + nth * speaker.plan.interval;
                self.found.late.record(now.saturating_sub(due));
            }
            let stamp = Stamp {
                sender: self.number,
                sequence: speaker.sent,
                sent: now,
            };
            speaker.template.append(stamp, batch);
            speaker.sent += 1;
        }
        if count > 0 {
            board.sent.fetch_add(u64::from(count), Ordering::Relaxed);
            self.session.queue(batch)?;
            batch.clear();
        }
        Ok(())
    }
}

/// Notes a message; 1 if it is one of ours.
fn hear(stanza: &[u8], next: &mut [u32], found: &mut Found, board: &Board) -> u64 {
    if name(stanza) != b"message" {
        return 0;
    }
    let stamp = Stamp::find(stanza);
    let Some((stamp, next)) = stamp.and_then(|it| Some((it, next.get_mut(it.sender as usize)?)))
    else {
        return 0;
    };
    if attribute(stanza, "type") == Some(b"error") {
        found.errors += 1;
        return 0;
    }
    found.misplaced += u64::from(stamp.sequence != *next);
    *next = stamp.sequence + 1;
    found.heard += 1;
    board.clock.note(stamp.sent, &mut found.latency);
    1
}
