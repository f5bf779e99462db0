//! Scenario `roster`: contacts are added, renamed and removed, one request at a time per account.
//!
//! Source: RFC 6121 §2.3-2.5. Each request is answered and pushed to the resource itself; both are counted in its time.

use std::io;
use std::sync::Arc;

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
    /// Accounts at work at once.
    #[arg(long, default_value_t = 50)]
    pub accounts: u32,
    /// Contacts that each adds, renames and removes.
    #[arg(long, default_value_t = 20)]
    pub contacts: u32,
}

/// Runs the changes.
///
/// # Errors
/// If a login fails or a change is refused.
pub async fn run(world: Arc<World>, options: Options) -> io::Result<Outcome> {
    let mut outcome = Outcome::new(&world.target.name, "roster");
    let accounts: Vec<u32> = (0..options.accounts).collect();
    let sessions = measure::log_in(&world, &accounts, &Profile::default()).await?;
    let meter = Meter::start(&world.target.server_pid);
    let mut tasks = JoinSet::new();
    for session in sessions {
        tasks.spawn(change(
            session,
            world.target.domain.clone(),
            options.contacts,
        ));
    }
    let mut latency = Histogram::default();
    let mut sessions = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (session, some) = done.map_err(io::Error::other)??;
        latency.add(&some);
        sessions.push(session);
    }
    outcome.set("accounts", options.accounts);
    outcome.set("contacts", options.contacts);
    outcome.rate("", latency.count(), &meter.stop());
    outcome.latency("", &latency);
    measure::log_out(sessions).await;
    Ok(outcome)
}

async fn change(
    mut session: Session,
    domain: String,
    contacts: u32,
) -> io::Result<(Session, Histogram)> {
    let mut latency = Histogram::default();
    for (step, attributes) in ["name='First'", "name='Second'", "subscription='remove'"]
        .into_iter()
        .enumerate()
    {
        for contact in 0..contacts {
            let id = format!("ch{step}x{contact}");
            let iq = format!(
                "<iq type='set' id='{id}'><query xmlns='jabber:iq:roster'>\
                 <item jid='contact{contact:03}@{domain}' {attributes}/></query></iq>"
            );
            let began = stanza::now();
            session.request(&iq, &id).await?;
            latency.record(stanza::now() - began);
        }
    }
    Ok((session, latency))
}
