//! Scenario `offline`: messages wait for accounts that are away, then the accounts log in and get them.
//!
//! Source: RFC 6121 §8.5.2.2, XEP-0160. A sender knows that a message is kept when the server acknowledges it
//! (XEP-0198): the storing half ends with the last acknowledgement. The draining half counts the logins too; with
//! enough messages per account they weigh little.

use std::io;
use std::sync::Arc;

use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::histogram::Histogram;
use super::measure::{self, Meter};
use super::report::Outcome;
use super::session::{Profile, Session, World};
use super::stanza::{self, Stamp, Template, attribute, contains, name};

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Accounts that are away.
    #[arg(long, default_value_t = 50)]
    pub accounts: u32,
    /// Messages for each of them.
    #[arg(long, default_value_t = 100)]
    pub messages: u32,
    /// Accounts that write, each to its share.
    #[arg(long, default_value_t = 10)]
    pub senders: u32,
    /// Messages between two requests for an acknowledgement.
    #[arg(long, default_value_t = 10)]
    pub window: u32,
}

/// Stores, then drains.
///
/// # Errors
/// If a login fails or a stream ends.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "offline");
    let away: Vec<u32> = (options.senders..options.senders + options.accounts).collect();
    // A first login empties what an earlier run may have left, and fills the cache of keys.
    measure::log_out(measure::log_in(&world, &away, &Profile::default()).await?).await;
    let writers: Vec<u32> = (0..options.senders).collect();
    let profile = Profile {
        acks: true,
        ..Profile::default()
    };
    let writers = measure::log_in(&world, &writers, &profile).await?;

    let meter = Meter::start(&world.target.server_pid);
    let mut tasks = JoinSet::new();
    for (number, session) in (0..).zip(writers) {
        let to = away
            .iter()
            .filter(|account| *account % options.senders == number);
        let to = to.map(|account| {
            format!(
                "{}@{}",
                world.target.users.localpart(*account),
                world.target.domain
            )
        });
        tasks.spawn(store(
            session,
            to.collect(),
            options.messages,
            options.window,
        ));
    }
    let (mut ack_latency, mut errors) = (Histogram::default(), 0);
    let mut sessions = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (session, latency, bad) = done.map_err(io::Error::other)??;
        ack_latency.add(&latency);
        errors += bad;
        sessions.push(session);
    }
    let stored = u64::from(options.accounts) * u64::from(options.messages);
    outcome.rate("stored_", stored, &meter.stop());
    outcome.latency("stored_ack_", &ack_latency);
    measure::log_out(sessions).await;

    let meter = Meter::start(&world.target.server_pid);
    let gate = Arc::new(Semaphore::new(world.target.concurrency));
    let mut tasks = JoinSet::new();
    for account in away {
        let (world, gate) = (world.clone(), gate.clone());
        tasks.spawn(async move {
            let _permit = gate.acquire_owned().await.map_err(io::Error::other)?;
            drain(&world, account, options.messages).await
        });
    }
    let (mut drained, mut misplaced) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let (got, wrong) = done.map_err(io::Error::other)??;
        drained += u64::from(got);
        misplaced += u64::from(wrong);
    }
    outcome.rate("drained_", drained, &meter.stop());
    outcome.set("accounts", options.accounts);
    outcome.set("messages", options.messages);
    outcome.problem("messages lost", stored.saturating_sub(drained));
    outcome.problem("messages out of order", misplaced);
    outcome.problem("error stanzas", errors);
    Ok(outcome)
}

/// Sends `messages` to each address, a window at a time, each window acknowledged before the next.
async fn store(
    mut session: Session,
    to: Vec<String>,
    messages: u32,
    window: u32,
) -> io::Result<(Session, Histogram, u64)> {
    let (mut latency, mut errors) = (Histogram::default(), 0);
    let mut batch = Vec::new();
    for address in to {
        let template = Template::message(&address, 100);
        let mut sequence = 0;
        while sequence < messages {
            let sent = stanza::now();
            for _ in 0..window.min(messages - sequence) {
                template.append(
                    Stamp {
                        sender: 0,
                        sequence,
                        sent,
                    },
                    &mut batch,
                );
                sequence += 1;
            }
            batch.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
            session.send(&batch).await?;
            batch.clear();
            let mut answered = false;
            while !answered {
                session
                    .stanzas(|stanza| match name(stanza) {
                        b"a" => answered = true,
                        b"message" => errors += 1,
                        _ => {}
                    })
                    .await?;
            }
            latency.record(stanza::now() - sent);
        }
    }
    Ok((session, latency, errors))
}

/// Logs in and waits for `messages`; returns how many came and how many of them out of order.
async fn drain(world: &Arc<World>, account: u32, messages: u32) -> io::Result<(u32, u32)> {
    // Messages may come before the resource sees its own presence, so presence is sent here.
    let profile = Profile {
        presence: false,
        ..Profile::default()
    };
    let mut session = Session::login(world, account, &profile).await?;
    session.send(b"<presence/>").await?;
    let (mut got, mut misplaced) = (0, 0);
    let all = async {
        while got < messages {
            session
                .stanzas(|stanza| {
                    let Some(stamp) = Stamp::find(stanza).filter(|_| name(stanza) == b"message")
                    else {
                        return;
                    };
                    misplaced += u32::from(stamp.sequence != got);
                    got += 1;
                    debug_assert!(
                        attribute(stanza, "type") == Some(b"error") || contains(stanza, "<body>")
                    );
                })
                .await?;
        }
        Ok::<_, io::Error>(())
    };
    // What is missing when patience ends is counted by the caller.
    if let Ok(result) = timeout(world.target.patience(), all).await {
        result?;
    }
    session.close().await;
    Ok((got, misplaced))
}
