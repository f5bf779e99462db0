//! Scenario `join`: many enter one room at once, again and again.
//!
//! Source: XEP-0045 §7.1. A storm ends when everybody has seen everybody: the time is taken from the first entrance asked for.
//! Then all leave, and the next storm begins with an empty room but for the one who keeps it.

use std::io;
use std::sync::Arc;

use clap::Args;
use tokio::time::timeout;

use super::histogram::Histogram;
use super::measure::{self, Meter};
use super::muc::{self, entrance, is_own, nick, see_own};
use super::procfs;
use super::report::Outcome;
use super::session::{Profile, Session, World};
use super::stanza::{self, attribute, name};

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many enter at once.
    #[arg(long, default_value_t = 100)]
    pub occupants: u32,
    /// How often.
    #[arg(long, default_value_t = 5)]
    pub storms: u32,
}

/// Runs the storms.
///
/// # Errors
/// If a login or an entrance fails, or not all have seen all in time.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "join");
    let room = muc::room(&world, "storm");
    let accounts: Vec<u32> = (0..=options.occupants).collect();
    let mut sessions = measure::log_in(&world, &accounts, &Profile::default()).await?;
    let keeper = sessions.split_off(options.occupants as usize);
    let keeper = muc::enter_all(&world, &room, keeper).await?;
    let patience = world.target.patience();
    let (mut storms, mut cpu) = (Histogram::default(), 0.0);
    for _ in 0..options.storms {
        let meter = Meter::start(&world.target.server_pid);
        let began = stanza::now();
        // The one who keeps the room is seen by all as well.
        let count = options.occupants + 1;
        let enters = |(number, mut session): (usize, Session)| {
            let address = format!("{room}/{}", nick(number + 1));
            async move {
                session.send(entrance(&address).as_bytes()).await?;
                timeout(patience, see_all(&mut session, count, &address)).await??;
                Ok(session)
            }
        };
        sessions = measure::all(sessions.into_iter().enumerate().map(enters)).await?;
        storms.record(stanza::now() - began);
        cpu += meter.stop().server_cpu_s;
        let leaves = |(number, mut session): (usize, Session)| {
            let address = format!("{room}/{}", nick(number + 1));
            async move {
                let leave = format!("<presence to='{address}' type='unavailable'/>");
                session.send(leave.as_bytes()).await?;
                timeout(patience, see_own(&mut session, &address)).await??;
                Ok(session)
            }
        };
        sessions = measure::all(sessions.into_iter().enumerate().map(leaves)).await?;
    }
    let joins = f64::from(options.storms * options.occupants);
    outcome.set("occupants", options.occupants);
    outcome.set("storms", options.storms);
    outcome.latency("storm_", &storms);
    outcome.figure("cpu_ms_per_1000", cpu * 1e6 / joins);
    outcome.figure("cpu_ms_per_storm", cpu * 1e3 / f64::from(options.storms));
    outcome.figure("load_average", procfs::load_average());
    measure::log_out(sessions).await;
    measure::log_out(keeper).await;
    Ok(outcome)
}

/// Waits until so many were seen, itself among them.
async fn see_all(session: &mut Session, count: u32, address: &str) -> io::Result<()> {
    let room = address.split('/').next().unwrap_or(address).as_bytes();
    let mut seen = 0;
    while seen < count {
        let mut refused = None;
        session
            .stanzas(|stanza| {
                if let Err(error) = is_own(stanza, address) {
                    refused = Some(error);
                }
                let of_room = attribute(stanza, "from").is_some_and(|from| from.starts_with(room));
                let is_there = name(stanza) == b"presence" && attribute(stanza, "type").is_none();
                seen += u32::from(of_room && is_there);
            })
            .await?;
        if let Some(error) = refused {
            return Err(error);
        }
    }
    Ok(())
}
