//! Scenario `presence`: accounts that know each other change what they show.
//!
//! Source: RFC 6121 §3.1 (subscribing), §4.4 (subsequent presence). The accounts stand in a ring and each knows its
//! nearest neighbours. What is missing of the subscriptions is made first, by the real handshake, which is reported as
//! `subscribe_`. Then an account sends its next change when all its contacts have seen the last one.

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
use tokio::time::{sleep, timeout};

use super::chat::bare;
use super::clock::{Clock, is_last};
use super::histogram::Histogram;
use super::measure::{self, Meter};
use super::report::Outcome;
use super::session::{Profile, Session, World};
use super::stanza::{self, Stamp, Template, attribute, name};

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many accounts.
    #[arg(long, default_value_t = 100)]
    pub accounts: u32,
    /// Contacts of each, subscribed both ways; an even number.
    #[arg(long, default_value_t = 50)]
    pub contacts: u32,
    /// Index of the first account, so that other scenarios do not meet these rosters.
    #[arg(long, default_value_t = 400)]
    pub first: u32,
    /// Measured seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Seconds before measuring begins.
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
}

/// What the tasks share: for each account the contacts that have not yet seen its last change, and who waits for it.
struct Board {
    unseen: Vec<AtomicU32>,
    seen_by_all: Vec<Notify>,
    clock: Clock,
    contacts: u32,
}

/// Makes the subscriptions that are missing, then measures.
///
/// # Errors
/// If a login fails or a stream ends.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "presence");
    let ring = Ring {
        first: options.first,
        accounts: options.accounts,
        contacts: (options.contacts / 2 * 2).min(options.accounts.saturating_sub(1) / 2 * 2),
    };
    let contacts = ring.contacts;
    let sessions = ring.complete(&world, &mut outcome).await?;
    let board = Arc::new(Board {
        unseen: sessions.iter().map(|_| AtomicU32::new(0)).collect(),
        seen_by_all: sessions.iter().map(|_| Notify::new()).collect(),
        clock: Clock::start(options.warm_up, options.seconds),
        contacts,
    });
    let mut tasks = JoinSet::new();
    for (number, session) in (0..).zip(sessions) {
        tasks.spawn(show(number, session, board.clone()));
    }
    let (delivered, span) = board.clock.measure(&world.target.server_pid).await;
    let mut latency = Histogram::default();
    while let Some(done) = tasks.join_next().await {
        latency.add(&done.map_err(io::Error::other)??);
    }
    let lost: u64 = board
        .unseen
        .iter()
        .map(|count| u64::from(count.load(Ordering::Relaxed)))
        .sum();
    outcome.set("accounts", options.accounts);
    outcome.set("contacts", contacts);
    outcome.rate("", delivered, &span);
    outcome.latency("", &latency);
    outcome.problem("presences lost", lost);
    Ok(outcome)
}

/// Accounts that stand in a ring; each knows its nearest neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Index of the first.
    pub first: u32,
    /// How many there are.
    pub accounts: u32,
    /// Contacts of each; an even number.
    pub contacts: u32,
}

impl Ring {
    /// All of them, logged in. What is missing of the subscriptions is made before and reported as `subscribe_`.
    ///
    /// # Errors
    /// If a login fails or a stream ends.
    pub async fn complete(
        self,
        world: &Arc<World>,
        outcome: &mut Outcome,
    ) -> io::Result<Vec<Session>> {
        let accounts: Vec<u32> = (self.first..self.first + self.accounts).collect();
        let is_incomplete = |session: &&Session| session.mutual < self.contacts as usize;
        let sessions = measure::log_in(world, &accounts, &Profile::default()).await?;
        if !sessions.iter().any(|session| is_incomplete(&session)) {
            return Ok(sessions);
        }
        let meter = Meter::start(&world.target.server_pid);
        let incomplete = self.subscribe_all(world, sessions).await?;
        let subscriptions = u64::from(self.accounts) * u64::from(self.contacts);
        outcome.rate("subscribe_", subscriptions, &meter.stop());
        outcome.problem("subscriptions never completed", incomplete);
        let sessions = measure::log_in(world, &accounts, &Profile::default()).await?;
        let missing = sessions.iter().filter(is_incomplete).count();
        outcome.problem("rosters incomplete after subscribing", missing as u64);
        Ok(sessions)
    }

    /// Every account asks its neighbours and grants what it is asked. Returns how many grants never came.
    async fn subscribe_all(self, world: &Arc<World>, sessions: Vec<Session>) -> io::Result<u64> {
        let contacts = self.contacts;
        let mut tasks = JoinSet::new();
        for (number, session) in (0..self.accounts).zip(sessions) {
            let address = |distance: u32| {
                let neighbour = self.first + (number + distance) % self.accounts;
                format!(
                    "{}@{}",
                    world.target.users.localpart(neighbour),
                    world.target.domain
                )
            };
            let half = contacts / 2;
            let ahead = (1..=half).map(address);
            let neighbours: Vec<String> = ahead
                .chain((1..=half).map(|back| address(self.accounts - back)))
                .collect();
            let patience = world.target.patience();
            tasks.spawn(async move {
                let mut session = session;
                let (mut asked, mut granted) = (0, 0);
                let work = handshake(&mut session, &neighbours, &mut asked, &mut granted);
                let in_time = timeout(patience, work).await.unwrap_or(Ok(()));
                session.close().await;
                in_time.map(|()| u64::from(contacts.saturating_sub(granted)))
            });
        }
        let mut incomplete = 0;
        while let Some(done) = tasks.join_next().await {
            incomplete += done.map_err(io::Error::other)??;
        }
        Ok(incomplete)
    }
}

/// RFC 6121 §3.1: asks all neighbours, grants all requests, until both are done for each.
async fn handshake(
    session: &mut Session,
    neighbours: &[String],
    asked: &mut u32,
    granted: &mut u32,
) -> io::Result<()> {
    let wanted = u32::try_from(neighbours.len()).unwrap_or(u32::MAX);
    let mut out: Vec<u8> = Vec::new();
    for neighbour in neighbours {
        out.extend_from_slice(format!("<presence type='subscribe' to='{neighbour}'/>").as_bytes());
    }
    while *asked < wanted || *granted < wanted {
        session.send(&out).await?;
        out.clear();
        session
            .stanzas(|stanza| {
                if name(stanza) != b"presence" {
                    return;
                }
                match attribute(stanza, "type") {
                    Some(b"subscribe") => {
                        let from =
                            String::from_utf8_lossy(attribute(stanza, "from").unwrap_or_default());
                        let grant = format!("<presence type='subscribed' to='{}'/>", bare(&from));
                        out.extend_from_slice(grant.as_bytes());
                        *asked += 1;
                    }
                    Some(b"subscribed") => *granted += 1,
                    _ => {}
                }
            })
            .await?;
    }
    session.send(&out).await
}

/// One account: sends a change, waits until it was seen, and notes the changes of others meanwhile.
async fn show(number: u32, mut session: Session, board: Arc<Board>) -> io::Result<Histogram> {
    let template = Template::presence();
    let mut latency = Histogram::default();
    let (mut sequence, mut batch) = (0, Vec::new());
    let mine = &board.unseen[number as usize];
    loop {
        let now = stanza::now();
        if mine.load(Ordering::Relaxed) == 0 && now < board.clock.until {
            mine.store(board.contacts, Ordering::Relaxed);
            template.append(
                Stamp {
                    sender: number,
                    sequence,
                    sent: now,
                },
                &mut batch,
            );
            session.queue(&batch)?;
            batch.clear();
            sequence += 1;
        }
        // After the end everybody listens a little longer, so that the last changes are seen.
        let grace = 1_500_000_000;
        if now > board.clock.until + grace {
            break;
        }
        let rest = if now < board.clock.until {
            board.clock.until - now
        } else {
            board.clock.until + grace + 1_000_000 - now
        };
        let mut timer = pin!(sleep(Duration::from_nanos(rest)));
        let mut notified = pin!(board.seen_by_all[number as usize].notified());
        poll_fn(|cx| {
            let _ = session.poll_flush(cx)?;
            let heard =
                session.poll_stanzas(cx, |stanza| hear(stanza, number, &board, &mut latency))?;
            let done = heard.is_ready()
                || notified.as_mut().poll(cx).is_ready()
                || timer.as_mut().poll(cx).is_ready();
            if done {
                Poll::Ready(Ok::<_, io::Error>(()))
            } else {
                Poll::Pending
            }
        })
        .await?;
    }
    session.close().await;
    Ok(latency)
}

fn hear(stanza: &[u8], number: u32, board: &Board, latency: &mut Histogram) {
    let Some(stamp) = Stamp::find(stanza).filter(|_| name(stanza) == b"presence") else {
        return;
    };
    let Some(unseen) = board
        .unseen
        .get(stamp.sender as usize)
        .filter(|_| stamp.sender != number)
    else {
        return;
    };
    board.clock.count(1);
    board.clock.note(stamp.sent, latency);
    if is_last(unseen) {
        board.seen_by_all[stamp.sender as usize].notify_one();
    }
}
