//! Scenario `publish`: one publishes, many are told.
//!
//! Source: XEP-0060 §7.1, XEP-0163 §4. At a service those are told who have subscribed with their bare address; with `--pep`
//! the publisher's contacts whose capabilities say that they are interested. The next item is published when a former one
//! has reached all, so that `--window` are under way.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::chat::bare;
use super::clock::{Clock, is_last};
use super::histogram::Histogram;
use super::measure::{self, Meter};
use super::presence;
use super::procfs;
use super::report::Outcome;
use super::session::{INTEREST, Profile, Session, World};
use super::stanza::{self, Stamp, Template, attribute, name};

/// Items that may be under way.
const MAX_WINDOW: usize = 64;
/// Longest wait until an item has reached all.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// To the contacts of an account, which stand around it as in scenario `presence`.
    #[arg(long)]
    pub pep: bool,
    /// How many are told.
    #[arg(long, default_value_t = 1000)]
    pub subscribers: u32,
    /// Items under way.
    #[arg(long, default_value_t = 1)]
    pub window: usize,
    /// Bytes of text per item.
    #[arg(long, default_value_t = 100)]
    pub body: usize,
    /// Index of the first account: the publisher.
    #[arg(long, default_value_t = 0)]
    pub first: u32,
    /// Accounts of the ring in which contacts stand.
    #[arg(long, default_value_t = 100)]
    pub ring: u32,
    /// Measured seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before measuring begins.
    #[arg(long, default_value_t = 2.0)]
    pub warm_up: f64,
}

/// What the tasks share.
struct Board {
    clock: Clock,
    /// Of each item under way, whom it has not reached.
    unseen: Vec<AtomicU32>,
    seen_by_all: Notify,
}

/// Runs it.
///
/// # Errors
/// If a login, a subscription or a publication fails.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "publish");
    let service = format!("pubsub.{}", world.target.domain);
    let mut told = match options.pep {
        true => contacts(&world, &options, &mut outcome).await?,
        false => {
            let accounts = options.first..=options.first + options.subscribers;
            let accounts: Vec<u32> = accounts.collect();
            measure::log_in(&world, &accounts, &Profile::default()).await?
        }
    };
    let mut publisher = told.remove(0);
    let (to, node) = match options.pep {
        true => (None, INTEREST.to_owned()),
        false => (Some(&*service), format!("load{}", std::process::id())),
    };
    if !options.pep {
        let create = format!(
            "<iq type='set' id='make' to='{service}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='{node}'/></pubsub></iq>"
        );
        publisher.request(&create, "make").await?;
        let meter = Meter::start(&world.target.server_pid);
        for session in &mut told {
            let subscribe = format!(
                "<iq type='set' id='subs' to='{service}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='{node}' jid='{}'/></pubsub></iq>",
                bare(&session.jid)
            );
            session.request(&subscribe, "subs").await?;
        }
        outcome.rate("subscribe_", u64::from(options.subscribers), &meter.stop());
    }
    let template = Template::publication(to, &node, options.body);
    let board = Arc::new(Board {
        clock: Clock::start(options.warm_up, options.seconds),
        unseen: (0..MAX_WINDOW).map(|_| AtomicU32::new(0)).collect(),
        seen_by_all: Notify::new(),
    });
    let count = u32::try_from(told.len()).unwrap_or(u32::MAX);
    let mut tasks = JoinSet::new();
    for session in told {
        tasks.spawn(listen(session, board.clone()));
    }
    // Meanwhile clients are asked what they are interested in.
    sleep(Duration::from_secs_f64(options.warm_up / 2.0)).await;
    let window = options.window.clamp(1, MAX_WINDOW);
    let publishing = tokio::spawn(publish(publisher, template, window, count, board.clone()));
    let (delivered, span) = board.clock.measure(&world.target.server_pid).await;
    let (answered, lost) = publishing.await.map_err(io::Error::other)??;
    let (mut latency, mut misplaced, mut repeated) = (Histogram::default(), 0, 0);
    while let Some(done) = tasks.join_next().await {
        let one = done.map_err(io::Error::other)??;
        latency.add(&one.latency);
        misplaced += one.misplaced;
        repeated += one.repeated;
    }
    outcome.set("subscribers", count);
    outcome.set("window", window);
    outcome.rate("", delivered, &span);
    outcome.latency("", &latency);
    outcome.latency("answer_", &answered);
    outcome.figure("load_average", procfs::load_average());
    outcome.problem("spans without any event", u64::from(delivered == 0));
    outcome.problem("events lost", lost);
    // Some servers tell an item once for each reason that a client has to be told.
    outcome.figure("repeated", repeated as f64);
    outcome.problem("events out of order", misplaced);
    Ok(outcome)
}

/// What tells this run from others.
fn this_run() -> u32 {
    std::process::id() & 0x00ff_ffff
}

/// The publisher and its contacts, who are interested.
async fn contacts(
    world: &Arc<World>,
    options: &Options,
    outcome: &mut Outcome,
) -> io::Result<Vec<Session>> {
    let half = options.subscribers.min(options.ring.saturating_sub(1)) / 2;
    let ring = presence::Ring {
        first: options.first,
        accounts: options.ring,
        contacts: 2 * half,
    };
    measure::log_out(ring.complete(world, outcome).await?).await;
    let ahead = 0..=half;
    let places = ahead.chain((1..=half).map(|back| options.ring - back));
    let accounts: Vec<u32> = places.map(|place| options.first + place).collect();
    let profile = Profile {
        caps: true,
        ..Profile::default()
    };
    measure::log_in(world, &accounts, &profile).await
}

/// Publishes until the end; how long answers took, and how many events never came.
async fn publish(
    mut session: Session,
    template: Template,
    window: usize,
    count: u32,
    board: Arc<Board>,
) -> io::Result<(Histogram, u64)> {
    let (mut answers, mut lost) = (Histogram::default(), 0);
    let mut since = [0; MAX_WINDOW];
    let (mut sequence, mut batch) = (0_u32, Vec::new());
    loop {
        let now = stanza::now();
        let mut open = 0;
        for (slot, since) in board.unseen.iter().zip(&mut since).take(window) {
            let left = slot.load(Ordering::Relaxed);
            if left > 0 && now > *since + PATIENCE_NS {
                lost += u64::from(slot.swap(0, Ordering::Relaxed));
            } else if left > 0 {
                open += 1;
            }
        }
        while open < window && now < board.clock.until {
            let slot = sequence as usize % window;
            if board.unseen[slot].load(Ordering::Relaxed) > 0 {
                break;
            }
            board.unseen[slot].store(count, Ordering::Relaxed);
            since[slot] = now;
            let stamp = Stamp {
                sender: this_run() << 8 | slot as u32,
                sequence,
                sent: stanza::now(),
            };
            template.append(stamp, &mut batch);
            session.queue(&batch)?;
            batch.clear();
            (sequence, open) = (sequence.wrapping_add(1), open + 1);
        }
        if now >= board.clock.until && open == 0 {
            break;
        }
        let mut timer = pin!(sleep(Duration::from_millis(50)));
        let mut notified = pin!(board.seen_by_all.notified());
        let mut refused = None;
        poll_fn(|cx| {
            let _ = session.poll_flush(cx)?;
            let heard = session.poll_stanzas(cx, |stanza| {
                if name(stanza) != b"iq" {
                    return;
                }
                match attribute(stanza, "type") {
                    Some(b"result") => {
                        let sequence = attribute(stanza, "id").and_then(Template::sequence);
                        if let Some(sequence) = sequence {
                            let since = since[sequence as usize % window];
                            answers.record(stanza::now().saturating_sub(since));
                        }
                    }
                    Some(b"error") => refused = Some(String::from_utf8_lossy(stanza).into_owned()),
                    _ => {}
                }
            })?;
            let wakes = notified.as_mut().poll(cx).is_ready() || timer.as_mut().poll(cx).is_ready();
            match heard.is_ready() || wakes {
                true => Poll::Ready(Ok::<_, io::Error>(())),
                false => Poll::Pending,
            }
        })
        .await?;
        if let Some(refused) = refused {
            return Err(io::Error::other(refused));
        }
    }
    session.close().await;
    Ok((answers, lost))
}

/// What one who is told found.
#[derive(Default)]
struct Found {
    latency: Histogram,
    misplaced: u64,
    repeated: u64,
}

/// One who is told.
async fn listen(mut session: Session, board: Arc<Board>) -> io::Result<Found> {
    let (mut found, mut last) = (Found::default(), None);
    let end = board.clock.until + 500_000_000;
    loop {
        let now = stanza::now();
        let is_open = || {
            board
                .unseen
                .iter()
                .any(|slot| slot.load(Ordering::Relaxed) > 0)
        };
        if now > end && (!is_open() || now > end + PATIENCE_NS) {
            break;
        }
        let rest = match now < end {
            true => end - now,
            false => 100_000_000,
        };
        let mut timer = pin!(sleep(Duration::from_nanos(rest)));
        poll_fn(|cx| {
            let _ = session.poll_flush(cx)?;
            let heard = session.poll_stanzas(cx, |stanza| {
                let stamp = Stamp::find(stanza).filter(|_| name(stanza) == b"message");
                // What another run published last is told when somebody comes.
                let Some(stamp) = stamp.filter(|stamp| stamp.sender >> 8 == this_run()) else {
                    return;
                };
                if last.is_some_and(|last| stamp.sequence <= last) {
                    found.repeated += u64::from(last == Some(stamp.sequence));
                    found.misplaced += u64::from(last != Some(stamp.sequence));
                    return;
                }
                last = Some(stamp.sequence);
                hear(stamp, &board, &mut found.latency);
            })?;
            match heard.is_ready() || timer.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(Ok::<_, io::Error>(())),
                false => Poll::Pending,
            }
        })
        .await?;
    }
    session.close().await;
    Ok(found)
}

fn hear(stamp: Stamp, board: &Board, latency: &mut Histogram) {
    let Some(unseen) = board.unseen.get(stamp.sender as usize & 0xff) else {
        return;
    };
    board.clock.count(1);
    board.clock.note(stamp.sent, latency);
    if is_last(unseen) {
        board.seen_by_all.notify_one();
    }
}
