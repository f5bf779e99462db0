//! `starling user`: through the socket of the node that runs, else on its store.

use clap::Subcommand;
use xmpp::payload::delay::stamp;

use super::{Failure, SourceArgs, answer, asked::Asked, load, password::password};
use crate::{
    admin::{MAX_PAGE, Request, Response, User},
    config::Overrides,
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
    /// Lock an account: its sessions end and nobody logs in to it. Nothing is removed.
    Disable {
        /// The account.
        jid: String,
    },
    /// Unlock an account.
    Enable {
        /// The account.
        jid: String,
    },
    /// List accounts, one address a line; behind a locked one stands "disabled".
    List {
        /// Of this domain only.
        domain: Option<String>,
        /// Say of each, separated by tabs: "enabled" or "disabled", since when it is, when it was last there.
        #[arg(long, short)]
        long: bool,
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
        UserCommand::Disable { jid } => Asked::new(&config)?
            .ask(Request::Disable { account: jid })
            .map(drop),
        UserCommand::Enable { jid } => Asked::new(&config)?
            .ask(Request::Enable { account: jid })
            .map(drop),
        UserCommand::List { domain, long } => {
            let mut asked = Asked::new(&config)?;
            let domains = domain.map_or_else(|| config.domains.clone(), |domain| vec![domain]);
            domains
                .iter()
                .try_for_each(|domain| list(&mut asked, domain, long))
        }
    }
}

fn list(asked: &mut Asked, domain: &str, long: bool) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let request = Request::List {
            domain: domain.to_owned(),
            after: after.clone(),
            limit: MAX_PAGE,
            times: long,
        };
        let Response::Users(users) = asked.ask(request)? else {
            return Ok(());
        };
        for user in &users {
            answer(&line(user, domain));
        }
        if users.len() < MAX_PAGE {
            return Ok(());
        }
        after = users.last().map(|user| user.name.clone());
    }
}

fn line(user: &User, domain: &str) -> String {
    let name = &user.name;
    let time = |ms| match ms {
        0 => "never".to_owned(),
        ms => stamp(i64::try_from(ms).unwrap_or(i64::MAX)),
    };
    match (&user.times, user.disabled) {
        (None, false) => format!("{name}@{domain}"),
        (None, true) => format!("{name}@{domain}\tdisabled"),
        (Some(times), disabled) => {
            let state = if disabled { "disabled" } else { "enabled" };
            let (created, last) = (time(times.created_ms), time(times.last_active_ms));
            format!("{name}@{domain}\t{state}\t{created}\t{last}")
        }
    }
}
