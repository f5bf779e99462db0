//! `starling token`: tokens for the HTTP API and the console; through the socket of the node that runs, else on its store.

use std::time::Duration;

use clap::{Args, Subcommand};
use xmpp::payload::delay::stamp;

use super::{Failure, SourceArgs, answer, asked::Asked, load, say};
use crate::{
    admin::{Request, Response, answers::TokenFacts, operations::Scope},
    config::{Overrides, duration},
};

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token. It goes to standard output, and is shown this once.
    Create(CreateArgs),
    /// List tokens: id, scopes, when made, until when good, name; separated by tabs.
    List,
    /// Revoke a token: nobody comes in with it from now on.
    Revoke {
        /// Its id, as the list shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// What it may; repeat for more: metrics, read, accounts, administrators, sessions, rooms, cluster, audit; or all.
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    scope: Vec<String>,
    /// What people call it; the audit log names it.
    #[arg(long, default_value = "operator")]
    name: String,
    /// For how long it is good, such as 90d. Without: until it is revoked.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
}

pub(super) fn run(command: TokenCommand, source: &SourceArgs) -> Result<(), Failure> {
    let config = load(source, Overrides::default())?.config;
    let mut asked = Asked::new(&config)?;
    match command {
        TokenCommand::Create(args) => {
            let scopes = match args.scope.iter().any(|scope| scope == "all") {
                true => Scope::ALL.map(|scope| scope.as_str().to_owned()).into(),
                false => args.scope,
            };
            let request = Request::TokenCreate {
                name: args.name,
                scopes,
                lifetime_s: args.expires.map(|lifetime| lifetime.as_secs()),
            };
            if let Response::Token { token, id } = asked.ask(request)? {
                say(&format!(
                    "the token {id}: keep it safe, it is not shown again"
                ));
                answer(&token);
            }
            Ok(())
        }
        TokenCommand::List => {
            if let Response::Tokens(tokens) = asked.ask(Request::Tokens)? {
                tokens.iter().for_each(|token| answer(&line(token)));
            }
            Ok(())
        }
        TokenCommand::Revoke { id } => asked.ask(Request::TokenRevoke { id }).map(drop),
    }
}

fn line(token: &TokenFacts) -> String {
    let time = |ms: u64| stamp(i64::try_from(ms).unwrap_or(i64::MAX));
    let until = token.expires_ms.map_or_else(|| "for ever".to_owned(), time);
    let (id, scopes, made) = (&token.id, token.scopes.join(","), time(token.created_ms));
    format!("{id}\t{scopes}\t{made}\t{until}\t{}", token.name)
}
