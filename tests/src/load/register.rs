//! Scenario `register`: accounts are created in band, many on each stream where the server allows it.
//!
//! Source: XEP-0077 v2.4 §3.1. Also the way to provision a server: an account that exists is no error.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use clap::Args;
use tokio::task::JoinSet;

use super::histogram::Histogram;
use super::measure::Meter;
use super::report::Outcome;
use super::session::{Session, World};
use super::stanza;

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// First account to create.
    #[arg(long, default_value_t = 0)]
    pub first: u32,
}

#[derive(Default)]
struct Progress {
    next: AtomicU32,
    created: AtomicU64,
    present: AtomicU64,
}

/// Creates all accounts of the target.
///
/// # Errors
/// What refused, other than that the account exists.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "register");
    let progress = Arc::new(Progress {
        next: AtomicU32::new(options.first),
        ..Progress::default()
    });
    let meter = Meter::start(&world.target.server_pid);
    let mut tasks = JoinSet::new();
    for _ in 0..world.target.concurrency {
        tasks.spawn(register_some(world.clone(), progress.clone()));
    }
    let mut latency = Histogram::default();
    while let Some(done) = tasks.join_next().await {
        latency.add(&done.map_err(io::Error::other)??);
    }
    let created = progress.created.load(Ordering::Relaxed);
    outcome.set("accounts", world.target.users.count);
    outcome.rate("", created, &meter.stop());
    outcome.figure("present", progress.present.load(Ordering::Relaxed) as f64);
    outcome.latency("", &latency);
    Ok(outcome)
}

async fn register_some(world: Arc<World>, progress: Arc<Progress>) -> io::Result<Histogram> {
    let mut latency = Histogram::default();
    let mut stream: Option<Session> = None;
    // Some servers take one account a connection; the first refusal teaches it.
    let mut reuse = true;
    loop {
        let index = progress.next.fetch_add(1, Ordering::Relaxed);
        if index >= world.target.users.count {
            break;
        }
        let (mut session, mut fresh) = match stream.take() {
            Some(session) => (session, false),
            None => (Session::connect(&world, index).await?.0, true),
        };
        loop {
            let began = stanza::now();
            match create(&world, &mut session, index).await {
                Ok(()) => {
                    latency.record(stanza::now() - began);
                    progress.created.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.to_string().contains("conflict") => {
                    progress.present.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) if !fresh => {
                    (reuse, fresh) = (false, true);
                    session.close().await;
                    session = Session::connect(&world, index).await?.0;
                    continue;
                }
                Err(error) => return Err(error),
            }
            break;
        }
        if reuse {
            stream = Some(session);
        } else {
            session.close().await;
        }
    }
    if let Some(session) = stream {
        session.close().await;
    }
    Ok(latency)
}

/// XEP-0077 §3.1: asks for one account.
async fn create(world: &World, session: &mut Session, index: u32) -> io::Result<()> {
    let users = &world.target.users;
    let iq = format!(
        "<iq type='set' id='reg{index}'><query xmlns='jabber:iq:register'>\
         <username>{}</username><password>{}</password></query></iq>",
        users.localpart(index),
        users.password
    );
    session.request(&iq, &format!("reg{index}")).await.map(drop)
}
