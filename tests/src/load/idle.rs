//! Scenario `idle`: what a session costs that does nothing, in bytes of the server's memory.
//!
//! The sessions are logged in, have fetched their roster and are available. A few logins before the first sample
//! load what a server loads once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::measure::{self, Meter};
use super::procfs;
use super::report::Outcome;
use super::session::{Profile, Session, World};

/// Flags of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How many sessions are held.
    #[arg(long, default_value_t = 2000)]
    pub sessions: u32,
    /// Longest wait for the server's memory to settle, in seconds.
    #[arg(long, default_value_t = 8)]
    pub settle: u64,
}

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(500);

/// Holds the sessions and weighs the server.
///
/// # Errors
/// If a login fails, or no server process was named.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "idle");
    let Some(&server) = world.target.server_pid.first() else {
        return Err(io::Error::other("idle needs --server-pid"));
    };
    let first: Vec<u32> = (0..20.min(options.sessions)).collect();
    measure::log_out(measure::log_in(&world, &first, &Profile::default()).await?).await;
    settle(server, options.settle).await;
    let (before, kernel_before) = (procfs::memory(server), procfs::kernel_memory());

    let all: Vec<u32> = (0..options.sessions).collect();
    let meter = Meter::start(&[server]);
    let mut sessions = measure::log_in(&world, &all, &Profile::default()).await?;
    let span = meter.stop();
    sessions.iter_mut().for_each(Session::shrink);
    let waited = settle(server, options.settle).await;
    let after = procfs::memory(server);

    let per_session = |after: f64, before: f64| (after - before) / f64::from(options.sessions);
    outcome.set("sessions", options.sessions);
    outcome.set("tls", format!("{:?}", world.target.tls));
    outcome.figure("pss_bytes_per_session", per_session(after.0, before.0));
    outcome.figure("rss_bytes_per_session", per_session(after.1, before.1));
    outcome.figure(
        "kernel_bytes_per_session",
        per_session(procfs::kernel_memory(), kernel_before),
    );
    outcome.figure("pss_before_bytes", before.0);
    outcome.figure("pss_after_bytes", after.0);
    outcome.figure("settled_s", waited);
    outcome.rate("login_", u64::from(options.sessions), &span);
    // Idle means alive: none may have been closed meanwhile.
    let mut dead = 0;
    for session in &mut sessions {
        let ping = "<iq type='get' id='alive'><query xmlns='jabber:iq:roster'/></iq>";
        dead += u64::from(session.request(ping, "alive").await.is_err());
    }
    outcome.problem("sessions died while idle", dead);
    measure::log_out(sessions).await;
    Ok(outcome)
}

/// Waits until the memory moves by less than 0.5 % in two looks in a row, at most `seconds`.
async fn settle(server: u32, seconds: u64) -> f64 {
    let looks = seconds * 2;
    let (mut last, mut quiet) = (procfs::memory(server).0, 0);
    for look in 0..looks {
        sleep(LOOK).await;
        let now = procfs::memory(server).0;
        quiet = if (now - last).abs() < last * 0.005 {
            quiet + 1
        } else {
            0
        };
        last = now;
        if quiet == 4 {
            return (look + 1) as f64 / 2.0;
        }
    }
    seconds as f64
}
