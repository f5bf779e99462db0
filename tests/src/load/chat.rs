//! Scenario `chat`: pairs talk one to one, at a fixed rate or as fast as the server delivers.
//!
//! Without a rate a sender keeps up to `--window` messages under way: an arrival is the credit for the next one, so
//! the server is saturated and no queue grows for ever. With a rate, messages leave on a schedule whatever the server
//! does: departure only queues bytes, so a server that stalls delays no departure and cannot hide. How late this
//! program itself was (its timer knows milliseconds, its core may be wanted) is reported as `late_`.
//!
//! One task owns both ends of a pair, so an arrival becomes the next departure without a word to another task.

pub(super) mod plan;

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use plan::Plan;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep};

use super::clock::Clock;
use super::histogram::Histogram;
use super::measure;
use super::report::Outcome;
use super::session::{Profile, Session, World};
use super::stanza::{self, Stamp, Template};

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many pairs.
    #[arg(long, default_value_t = 100)]
    pub pairs: u32,
    /// Messages a second over all pairs; 0 saturates.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// Messages under way per sender when saturating.
    #[arg(long, default_value_t = 10)]
    pub window: u32,
    /// Bytes of text per message.
    #[arg(long, default_value_t = 100)]
    pub body: usize,
    /// Measured seconds.
    #[arg(long, default_value_t = 6.0)]
    pub seconds: f64,
    /// Seconds before measuring begins.
    #[arg(long, default_value_t = 1.5)]
    pub warm_up: f64,
    /// Stream management on both ends, the sender asking for an acknowledgement after every so many messages; 0 is off.
    #[arg(long, default_value_t = 0)]
    pub acks: u32,
    /// Address the resource, not the account.
    #[arg(long)]
    pub full: bool,
    /// The peer is the bare relay: no XMPP, the same bytes.
    #[arg(long)]
    pub relay: bool,
}

/// What one pair found.
#[derive(Default)]
struct Found {
    latency: Histogram,
    ack_latency: Histogram,
    late: Histogram,
    sent: u64,
    lost: u64,
    misplaced: u64,
    errors: u64,
}

impl Found {
    fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.ack_latency.add(&other.ack_latency);
        self.late.add(&other.late);
        self.sent += other.sent;
        self.lost += other.lost;
        self.misplaced += other.misplaced;
        self.errors += other.errors;
    }
}

/// Runs the conversation.
///
/// # Errors
/// If a login fails or a stream ends.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "chat");
    let pairs = connect(&world, &options).await?;
    let clock = Arc::new(Clock::start(options.warm_up, options.seconds));
    let patience = u64::try_from(world.target.patience().as_nanos()).unwrap_or(u64::MAX);

    let mut size = 0;
    let mut tasks = JoinSet::new();
    for (number, (sender, receiver)) in (0..).zip(pairs) {
        let to = if options.full {
            receiver.jid.clone()
        } else {
            bare(&receiver.jid).to_owned()
        };
        let template = Template::message(&to, options.body);
        size = template.size();
        let plan = Plan::of(options.rate, options.pairs, options.window, number);
        let pair = Pair {
            number,
            sender,
            receiver,
            template,
            plan,
            acks: options.acks,
            patience,
            sent: 0,
            received: 0,
            found: Found::default(),
        };
        tasks.spawn(pair.talk(clock.clone()));
    }

    let (delivered, span) = clock.measure(&world.target.server_pid).await;

    let mut found = Found::default();
    while let Some(done) = tasks.join_next().await {
        found.add(&done.map_err(io::Error::other)??);
    }
    outcome.set("pairs", options.pairs);
    outcome.set("tls", format!("{:?}", world.target.tls));
    outcome.set("stanza_bytes", size);
    outcome.set(
        "load",
        if options.rate > 0 {
            format!("{}/s", options.rate)
        } else {
            format!("window {}", options.window)
        },
    );
    outcome.set("acks", options.acks);
    outcome.rate("", delivered, &span);
    outcome.latency("", &found.latency);
    if options.acks > 0 {
        outcome.latency("ack_", &found.ack_latency);
    }
    if options.rate > 0 {
        outcome.latency("late_", &found.late);
    }
    outcome.figure("sent", found.sent as f64);
    outcome.problem("spans without any delivery", u64::from(delivered == 0));
    outcome.problem("messages lost", found.lost);
    outcome.problem("messages repeated or out of order", found.misplaced);
    outcome.problem("error stanzas", found.errors);
    Ok(outcome)
}

async fn connect(world: &Arc<World>, options: &Options) -> io::Result<Vec<(Session, Session)>> {
    let mut sessions = Vec::new();
    if options.relay {
        for pair in 0..options.pairs {
            let (left, right) = tokio::join!(
                Session::relayed(world, 2 * pair, pair),
                Session::relayed(world, 2 * pair + 1, pair)
            );
            sessions.extend([left?, right?]);
        }
    } else {
        let accounts: Vec<u32> = (0..2 * options.pairs).collect();
        let profile = Profile {
            acks: options.acks > 0,
            ..Profile::default()
        };
        sessions = measure::log_in(world, &accounts, &profile).await?;
    }
    let mut halves = sessions.into_iter();
    let mut pairs = Vec::new();
    while let (Some(left), Some(right)) = (halves.next(), halves.next()) {
        pairs.push((left, right));
    }
    Ok(pairs)
}

struct Pair {
    number: u32,
    sender: Session,
    receiver: Session,
    template: Template,
    plan: Plan,
    acks: u32,
    /// How long after the end a late message is waited for, in nanoseconds.
    patience: u64,
    sent: u32,
    received: u32,
    found: Found,
}

impl Pair {
    async fn talk(mut self, clock: Arc<Clock>) -> io::Result<Found> {
        let mut batch = Vec::new();
        let mut asked: u64 = 0;
        let mut timer = pin!(sleep(Duration::ZERO));
        loop {
            let now = stanza::now();
            if now < clock.until {
                self.depart(&mut batch, &mut asked)?;
            } else if self.received == self.sent || now > clock.until + self.patience {
                break;
            }
            let wake = if now >= clock.until {
                now + 50_000_000
            } else {
                clock.until.min(self.wake())
            };
            timer
                .as_mut()
                .reset(Instant::now() + Duration::from_nanos(wake.saturating_sub(stanza::now())));
            self.turn(&clock, &mut asked, timer.as_mut()).await?;
        }
        self.found.sent = u64::from(self.sent);
        self.found.lost = u64::from(self.sent.saturating_sub(self.received));
        tokio::join!(self.sender.close(), self.receiver.close());
        Ok(self.found)
    }

    fn wake(&self) -> u64 {
        if self.plan.interval == 0 {
            u64::MAX
        } else {
            self.plan.next_due
        }
    }

    /// Queues what may leave now, as one write.
    fn depart(&mut self, batch: &mut Vec<u8>, asked: &mut u64) -> io::Result<()> {
        let (count, due) = self.plan.due(self.sent - self.received.min(self.sent));
        let now = stanza::now();
        for nth in 0..u64::from(count) {
            if self.plan.interval > 0 {
                let late = now.saturating_sub(due + nth * self.plan.interval);
                self.found.late.record(late);
            }
            let stamp = Stamp {
                sender: self.number,
                sequence: self.sent,
                sent: now,
            };
            self.template.append(stamp, batch);
            self.sent += 1;
            if self.acks > 0 && self.sent.is_multiple_of(self.acks) {
                batch.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
                if *asked == 0 {
                    *asked = stamp.sent;
                }
            }
        }
        if !batch.is_empty() {
            self.sender.queue(batch)?;
            batch.clear();
        }
        Ok(())
    }

    /// Waits until either end has something, or for the time.
    async fn turn(
        &mut self,
        clock: &Clock,
        asked: &mut u64,
        mut timer: Pin<&mut Sleep>,
    ) -> io::Result<()> {
        let Self {
            number,
            sender,
            receiver,
            received,
            found,
            ..
        } = self;
        poll_fn(|cx| {
            let _ = sender.poll_flush(cx)?;
            let _ = receiver.poll_flush(cx)?;
            let mut any = sender
                .poll_stanzas(cx, |stanza| match stanza::name(stanza) {
                    b"a" if *asked > 0 => {
                        found
                            .ack_latency
                            .record(stanza::now().saturating_sub(*asked));
                        *asked = 0;
                    }
                    b"message" => found.errors += 1,
                    _ => {}
                })?
                .is_ready();
            let mut arrived = 0;
            any |= receiver
                .poll_stanzas(cx, |stanza| {
                    let Some(stamp) =
                        Stamp::find(stanza).filter(|_| stanza::name(stanza) == b"message")
                    else {
                        return;
                    };
                    if stamp.sender != *number || stamp.sequence != *received {
                        found.misplaced += 1;
                    }
                    *received += 1;
                    arrived += 1;
                    clock.note(stamp.sent, &mut found.latency);
                })?
                .is_ready();
            if arrived > 0 {
                clock.count(arrived);
            }
            if any || timer.as_mut().poll(cx).is_ready() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

/// The account of a full address.
#[must_use]
pub fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn bare_addresses_have_no_resource() {
        assert_eq!(bare("a@b/c/d"), "a@b");
        assert_eq!(bare("a@b"), "a@b");
    }
}
