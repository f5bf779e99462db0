//! Scenario `login`: a storm of logins, each from connecting to an available resource and back.
//!
//! Every login is a full TLS handshake, a full SASL exchange, bind, roster and presence, then a clean end. A first
//! round, which is not counted, fills the client's cache of SCRAM keys.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;
use tokio::task::JoinSet;

use super::histogram::Histogram;
use super::measure::{self, Meter};
use super::report::Outcome;
use super::session::{Profile, Session, World};
use super::stanza;

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many logins are measured.
    #[arg(long, default_value_t = 1000)]
    pub logins: u32,
    /// Over how many accounts.
    #[arg(long, default_value_t = 200)]
    pub accounts: u32,
}

/// Runs the storm.
///
/// # Errors
/// If the first round fails; later failures are counted as problems.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "login");
    let accounts = options.accounts.min(world.target.users.count);
    let all: Vec<u32> = (0..accounts).collect();
    measure::log_out(measure::log_in(&world, &all, &Profile::default()).await?).await;

    let next = Arc::new(AtomicU32::new(0));
    let meter = Meter::start(&world.target.server_pid);
    let mut tasks = JoinSet::new();
    for _ in 0..world.target.concurrency {
        let (world, next) = (world.clone(), next.clone());
        tasks.spawn(async move {
            let (mut latency, mut failed) = (Histogram::default(), 0);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= options.logins {
                    return (latency, failed);
                }
                // Two logins of one account at once differ in the resource.
                let profile = Profile {
                    resource: format!("load{number}"),
                    ..Profile::default()
                };
                let began = stanza::now();
                match Session::login(&world, number % accounts, &profile).await {
                    Ok(session) => {
                        latency.record(stanza::now() - began);
                        session.close().await;
                    }
                    Err(_) => failed += 1,
                }
            }
        });
    }
    let (mut latency, mut failed) = (Histogram::default(), 0);
    while let Some(done) = tasks.join_next().await {
        let (some, bad) = done.map_err(io::Error::other)?;
        latency.add(&some);
        failed += bad;
    }
    let span = meter.stop();
    outcome.set("logins", options.logins);
    outcome.set("concurrency", world.target.concurrency);
    outcome.set("tls", format!("{:?}", world.target.tls));
    outcome.rate("", latency.count(), &span);
    outcome.latency("", &latency);
    outcome.problem("logins failed", failed);
    Ok(outcome)
}
