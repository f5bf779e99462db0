//! `starling user`: through the socket of the node that runs, else on its store.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use storage::ErrorKind;

use super::{FAILED, Failure, REFUSED, SourceArgs, answer, load, password::password};
use crate::{
    admin::{Administrator, MAX_PAGE, Request, Response, Why, client::AdminClient},
    config::{Config, Overrides, Storage},
    keys::Keys,
    modules::{register::Accounts, roster::Rosters},
    stores,
};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an account. The password is asked for, or read from standard input.
    Add {
        /// Its address.
        jid: String,
        /// Its password; others on this machine can see it.
        password: Option<String>,
        /// Read the password from standard input, one line.
        #[arg(long, conflicts_with = "password")]
        password_stdin: bool,
    },
    /// Change a password. Tokens for fast reconnection fall with the old one, and sessions end.
    Password {
        /// The account.
        jid: String,
        /// The new password; others on this machine can see it.
        password: Option<String>,
        /// Read the password from standard input, one line.
        #[arg(long, conflicts_with = "password")]
        password_stdin: bool,
    },
    /// Remove an account with all it has: roster, messages, vCard.
    Remove {
        /// The account.
        jid: String,
    },
    /// List accounts, one address a line.
    List {
        /// Of this domain only.
        domain: Option<String>,
    },
    /// End the sessions of an account. It may log in again.
    Kick {
        /// The account.
        jid: String,
    },
}

pub(super) fn run(
    command: UserCommand,
    serves: Vec<String>,
    source: &SourceArgs,
) -> Result<(), Failure> {
    let config = load(
        source,
        Overrides {
            domains: serves,
            ..Overrides::default()
        },
    )?
    .config;
    match command {
        UserCommand::Add {
            jid,
            password: given,
            password_stdin,
        } => {
            let password = password(given, password_stdin)?.expose().to_owned();
            Asked::new(&config)?
                .ask(Request::Add {
                    account: jid,
                    password,
                })
                .map(drop)
        }
        UserCommand::Password {
            jid,
            password: given,
            password_stdin,
        } => {
            let password = password(given, password_stdin)?.expose().to_owned();
            Asked::new(&config)?
                .ask(Request::Password {
                    account: jid,
                    password,
                })
                .map(drop)
        }
        UserCommand::Remove { jid } => Asked::new(&config)?
            .ask(Request::Remove { account: jid })
            .map(drop),
        UserCommand::Kick { jid } => {
            if let Response::Ended(sessions) =
                Asked::new(&config)?.ask(Request::Kick { account: jid })?
            {
                answer(&format!("{sessions} sessions ended"));
            }
            Ok(())
        }
        UserCommand::List { domain } => {
            let mut asked = Asked::new(&config)?;
            let domains = domain.map_or_else(|| config.domains.clone(), |domain| vec![domain]);
            domains
                .iter()
                .try_for_each(|domain| list(&mut asked, domain))
        }
    }
}

fn list(asked: &mut Asked, domain: &str) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let request = Request::List {
            domain: domain.to_owned(),
            after: after.clone(),
            limit: MAX_PAGE,
        };
        let Response::Users(users) = asked.ask(request)? else {
            return Ok(());
        };
        for user in &users {
            answer(&format!("{user}@{domain}"));
        }
        if users.len() < MAX_PAGE {
            return Ok(());
        }
        after = users.last().cloned();
    }
}

/// Who does it.
enum Asked {
    /// The node that runs.
    Node(AdminClient),
    /// We do, on its store.
    Store(tokio::runtime::Runtime, Box<Administrator>),
}

impl Asked {
    fn new(config: &Config) -> Result<Self, Failure> {
        let socket = config.admin_socket();
        let client = AdminClient::connect(&socket)
            .with_context(|| format!("asking the node at {}", socket.display()))?;
        if let Some(client) = client {
            return Ok(Self::Node(client));
        }
        let Storage::Embedded { path, .. } = &config.storage else {
            let message = format!(
                "starling: no node answers at {}, and memory holds nothing without one",
                socket.display()
            );
            return Err(Failure::new(FAILED, message));
        };
        let (stores, _) = stores::open(config, None).map_err(|error| match error.kind() {
            ErrorKind::Unavailable => {
                let hint = format!(
                    "no node answers at {}; is one starting, or has another --data?",
                    socket.display()
                );
                Failure::new(
                    FAILED,
                    format!("starling: {}: {error}; {hint}", path.display()),
                )
            }
            _ => error.into(),
        })?;
        let administrator = Administrator {
            accounts: Accounts::new(
                stores.clone(),
                Arc::new(Rosters::new(stores.rosters.clone())),
                Arc::new(Keys::new(config.auth.scram_iterations)),
            ),
            domains: config.domains.clone(),
            live: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self::Store(runtime, Box::new(administrator)))
    }

    fn ask(&mut self, request: Request) -> Result<Response, Failure> {
        let response = match self {
            Self::Node(client) => client.ask(&request)?,
            Self::Store(runtime, administrator) => runtime.block_on(administrator.perform(request)),
        };
        match response {
            Response::Refused {
                why: Why::Store,
                reason,
            } => Err(Failure::new(FAILED, format!("starling: {reason}"))),
            Response::Refused { reason, .. } => {
                Err(Failure::new(REFUSED, format!("starling: {reason}")))
            }
            done => Ok(done),
        }
    }
}
