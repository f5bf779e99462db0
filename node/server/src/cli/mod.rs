//! The command line: what may be asked, and how the command ends.
//!
//! | exit | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed: the message says at what |
//! | 2 | the arguments make no sense |
//! | 3 | refused: the account or the member exists, is absent, or cannot be |
//! | 4 | done in part: an import skipped something; an archive has problems; a member still drains, or gave up |
//! | 5 | the status of a node tells of trouble |
//! | 6 | the node is alone: there is no cluster |
//! | 7 | the node has stopped, and had not handed over everything in time |
//! | 78 | the configuration has mistakes: all of them are listed |

mod archive;
mod asked;
mod audit;
mod certificate;
mod cluster;
mod configuration;
mod group;
mod opened;
mod password;
#[cfg(test)]
mod reference;
mod token;
mod transfer;
mod user;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::{
    config::{self, Loaded, Overrides, Sources},
    instance, log, serve,
};

/// How long tasks may take that are left when a node has stopped.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// How the command ends.
const FAILED: u8 = 1;
const REFUSED: u8 = 3;
const PARTLY: u8 = 4;
const ILL: u8 = 5;
const ALONE: u8 = 6;
const GAVE_UP: u8 = 7;
const CONFIGURATION: u8 = 78;

/// Starling, an XMPP server.
#[derive(Debug, Parser)]
#[command(
    name = "starling",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node. Without configuration: a development node for `localhost` with an account to log in with.
    Serve(ServeArgs),
    /// Add, change, remove, list accounts; end their sessions. The node may run or not.
    User {
        #[command(subcommand)]
        command: user::UserCommand,
        /// A domain that the node serves, if no configuration says so; repeat for more.
        #[arg(long, value_name = "DOMAIN", global = true)]
        serves: Vec<String>,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Make, change, remove, list shared groups: contacts that all their members are given. The node may run or not.
    Group {
        #[command(subcommand)]
        command: group::GroupCommand,
        /// The domain that they are of; may be left out where only one is served.
        #[arg(long, value_name = "DOMAIN", global = true)]
        domain: Option<String>,
        /// A domain that the node serves, if no configuration says so; repeat for more.
        #[arg(long, value_name = "DOMAIN", global = true)]
        serves: Vec<String>,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Read the configuration and list every mistake.
    CheckConfig {
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Show what is configured: each key that is written, its value, and where it stands. The rest are defaults.
    Config {
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Make the tables and buckets that the configured stores need, as far as they are missing. May be repeated.
    Init {
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Write accounts with all they have as XML (XEP-0227). The node must be down.
    Export {
        /// Only this domain.
        #[arg(long)]
        domain: Option<String>,
        /// Only this account.
        #[arg(long, value_name = "JID", conflicts_with = "domain")]
        user: Option<String>,
        /// Where to write; without it, standard output.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Read accounts from XML (XEP-0227), as this server, ejabberd or Prosody write it. The node must be down.
    Import {
        /// The files; what they include is read as well. `-`: standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Look at archives: verify, compact, tell what there is. On a store in a directory of this machine the node must be
    /// down; on a shared one nodes may run.
    Archive {
        #[command(subcommand)]
        command: archive::ArchiveCommand,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Put certificates into the store, which nodes share; list and remove them. Nodes that run see others within a minute.
    /// On a store in a directory of this machine the node must be down.
    Certificate {
        #[command(subcommand)]
        command: certificate::CertificateCommand,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Look at a cluster and change it, through a node that runs on this machine.
    Cluster {
        #[command(subcommand)]
        command: cluster::ClusterCommand,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Make, list and revoke tokens for the HTTP API and the console. The node may run or not.
    Token {
        #[command(subcommand)]
        command: token::TokenCommand,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Tell what was changed by whom, the newest first: when, who, what, to what, how it ended; separated by tabs.
    Audit {
        /// How many changes.
        #[arg(long, short = 'n', default_value_t = 100)]
        limit: usize,
        /// As JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: SourceArgs,
    },
    /// Print completions for a shell, e.g. `starling completions bash > /etc/bash_completion.d/starling`.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Where configuration comes from.
#[derive(Debug, Clone, Default, Args)]
struct SourceArgs {
    /// The configuration file [env: STARLING_CONFIG].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The directory of the node.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// A domain to serve; repeat for more.
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,
    /// Where clients connect: `[::]:5222`, `direct:[::]:5223`; repeat for more. Port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where metrics and health are served, or `off`.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Keep everything in memory.
    #[arg(long)]
    memory: bool,
    /// Write ports and process id to this file once the node listens.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// What is logged: a level, or `info,starling::c2s=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How it is logged: text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Does what the arguments of this process ask.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => run(args),
        Command::User {
            command,
            serves,
            source,
        } => user::run(command, serves, &source),
        Command::Group {
            command,
            domain,
            serves,
            source,
        } => group::run(command, domain, serves, &source),
        Command::CheckConfig { source } => configuration::check(&source),
        Command::Config { source } => configuration::show(&source),
        Command::Init { source } => configuration::init(&source),
        Command::Export {
            domain,
            user,
            output,
            source,
        } => transfer::export(
            domain.as_deref(),
            user.as_deref(),
            output.as_deref(),
            &source,
        ),
        Command::Import { files, source } => transfer::import(&files, &source),
        Command::Archive { command, source } => archive::run(&command, &source),
        Command::Certificate { command, source } => certificate::run(&command, &source),
        Command::Cluster { command, source } => cluster::run(&command, &source),
        Command::Token { command, source } => token::run(command, &source),
        Command::Audit {
            limit,
            json,
            source,
        } => audit::run(limit, json, &source),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "starling",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// How a command did not end well.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(FAILED, format!("starling: {error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl From<config::Mistakes> for Failure {
    fn from(mistakes: config::Mistakes) -> Self {
        let number = mistakes.0.len();
        let noun = if number == 1 { "mistake" } else { "mistakes" };
        Self::new(
            CONFIGURATION,
            format!("{mistakes}\nstarling: {number} {noun} in the configuration"),
        )
    }
}

fn load(source: &SourceArgs, overrides: Overrides) -> Result<Loaded, Failure> {
    let overrides = Overrides {
        data: source.data.clone(),
        ..overrides
    };
    let mut sources = Sources::of_process(source.config.clone(), overrides);
    if sources.named_file().is_none() {
        sources.launched = single_threaded()?.block_on(instance::launched())?;
    }
    Ok(config::load(&sources)?)
}

fn single_threaded() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn run(args: ServeArgs) -> Result<(), Failure> {
    let overrides = Overrides {
        domains: args.domain,
        listeners: args.listen,
        http: args.http,
        log: args.log,
        log_format: args.log_format,
        memory: args.memory,
        ready_file: args.ready_file,
        data: None,
    };
    let loaded = load(&args.source, overrides)?;
    log::init(&loaded.config.log).map_err(anyhow::Error::from)?;
    match &loaded.file {
        Some(file) => tracing::info!(file = %file.display(), "configuration read"),
        None if loaded.is_launched => {
            tracing::info!("configuration read from the instance's user data");
        }
        None => tracing::info!(data = %loaded.config.data.display(), "no configuration file"),
    }
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    // Those that make a certificate useless stop the start; a domain without one is the operator's to judge.
    for mistake in loaded.certificate_mistakes() {
        tracing::warn!("{mistake}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve::serve(loaded.config));
    // Whatever is left has had its time.
    runtime.shutdown_timeout(LAST_TASKS);
    match served? {
        0 => Ok(()),
        accounts => Err(Failure::new(
            GAVE_UP,
            format!("starling: {accounts} accounts were not handed over in time"),
        )),
    }
}

/// What the command answers: standard output.
#[expect(clippy::print_stdout, reason = "a command answers on standard output")]
fn answer(text: &str) {
    println!("{text}");
}

/// What the command tells a person: standard error.
#[expect(
    clippy::print_stderr,
    reason = "a command tells people on standard error"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests;
