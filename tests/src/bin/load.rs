//! `load`: one scenario against one XMPP server, its result as JSON on one line.
//!
//! Runs on one thread, to be pinned to a core that the server does not use.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tests::load::options::Target;
use tests::load::report::Outcome;
use tests::load::session::World;
use tests::load::{chat, idle, join, login, muc, offline, presence, publish, register, roster};

#[derive(Parser)]
#[command(about = "Puts an XMPP server under load and says what it did and what it cost")]
struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Creates accounts in band.
    Register(register::Options),
    /// Logs in and out, many times.
    Login(login::Options),
    /// Holds sessions and weighs them.
    Idle(idle::Options),
    /// Pairs talk one to one.
    Chat(chat::Options),
    /// Stores messages for accounts that are away, then lets them log in.
    Offline(offline::Options),
    /// Adds, renames and removes contacts.
    Roster(roster::Options),
    /// Accounts with many contacts change their presence.
    Presence(presence::Options),
    /// Some talk in a room, all hear.
    Muc(muc::Options),
    /// Many enter a room at once.
    Join(join::Options),
    /// One publishes, many are told.
    Publish(publish::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(run(arguments)) {
        Ok(outcome) => {
            let line = serde_json::to_string(&outcome).map_err(io::Error::other);
            match line.and_then(|line| writeln!(io::stdout(), "{line}")) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            }
        }
        Err(error) => fail(&error),
    }
}

async fn run(arguments: Arguments) -> io::Result<Outcome> {
    let world = World::new(arguments.target)?;
    let outcome = match arguments.scenario {
        Scenario::Register(options) => register::run(world.clone(), options).await,
        Scenario::Login(options) => login::run(world.clone(), options).await,
        Scenario::Idle(options) => idle::run(world.clone(), options).await,
        Scenario::Chat(options) => chat::run(world.clone(), options).await,
        Scenario::Offline(options) => offline::run(world.clone(), options).await,
        Scenario::Roster(options) => roster::run(world.clone(), options).await,
        Scenario::Presence(options) => presence::run(world.clone(), options).await,
        Scenario::Muc(options) => muc::run(world.clone(), options).await,
        Scenario::Join(options) => join::run(world.clone(), options).await,
        Scenario::Publish(options) => publish::run(world.clone(), options).await,
    };
    world.keys.save()?;
    outcome
}

fn fail(error: &io::Error) -> ExitCode {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "load: {error}");
    ExitCode::FAILURE
}
