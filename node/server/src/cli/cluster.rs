//! `starling cluster`: through the socket of the node that runs. What it answers goes to standard output, how far something
//! is and what is wrong to standard error.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{ALONE, FAILED, Failure, ILL, PARTLY, REFUSED, SourceArgs, answer, load, say};
use crate::{
    admin::{
        Request, Response, Why,
        client::{AdminClient, PATIENCE},
        cluster::member,
    },
    config::Overrides,
    status::{
        Facts,
        text::{Departure, Text, departure},
    },
};

/// How often it is looked how far a member is.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Tell what the node knows of itself and of the cluster. Exit 0: all is well; 5: something is not.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a member hand over what it has, and go; waits until it has gone.
    Drain(DrainArgs),
    /// Declare a member dead without asking it: the others take over what it had, at once. For one that cannot be reached.
    Fence {
        /// The member: its name, its address, or its id or the beginning of that.
        node: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
    /// Replace the secret by which members know each other. Nothing restarts; it takes some minutes by itself.
    SecretRotate,
}

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// The member: its name, its address, or its id or the beginning of that.
    #[arg(required_unless_present = "itself")]
    node: Option<String>,
    /// The node that is asked.
    #[arg(long = "self", conflicts_with = "node")]
    itself: bool,
    /// Do not wait until it has gone.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, in seconds; it goes on meanwhile.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

pub(super) fn run(command: &ClusterCommand, source: &SourceArgs) -> Result<(), Failure> {
    let config = load(source, Overrides::default())?.config;
    let node = Node(config.admin_socket());
    match command {
        ClusterCommand::Status { json } => status(&node.facts()?, *json),
        ClusterCommand::Drain(args) => drain(&node, args),
        ClusterCommand::Fence { node: name, yes } => fence(&node, name, *yes),
        ClusterCommand::SecretRotate => {
            node.ask(&Request::RotateSecret)?;
            answer("a new secret is announced; the former one is dropped when all prove with it");
            Ok(())
        }
    }
}

fn status(facts: &Facts, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string_pretty(facts);
        answer(&text.context("writing JSON")?);
    } else {
        answer(Text(facts).to_string().trim_end());
    }
    match facts.troubles().as_slice() {
        [] => Ok(()),
        troubles => Err(Failure::new(
            ILL,
            format!("starling: not well: {}", troubles.join("; ")),
        )),
    }
}

fn fence(node: &Node, name: &str, yes: bool) -> Result<(), Failure> {
    let facts = node.facts()?;
    // Who is meant is looked up once, so that what is done is what was confirmed.
    let members = facts.cluster.map(|cluster| cluster.members);
    let members = members.ok_or_else(alone)?;
    let found = member(&members, name);
    let found = found.map_err(|declined| refusal(declined.why, &declined.reason))?;
    if !yes {
        let question = format!(
            "{} ({} at {}, {}) is declared dead: what it has in memory only is lost. Really? [y/N] ",
            found.name, found.node, found.address, found.state
        );
        confirm(&question)?;
    }
    let request = Request::Fence {
        node: found.node.clone(),
    };
    node.ask(&request)?;
    answer(&format!("{} is fenced", found.node));
    Ok(())
}

/// Asks at the terminal.
fn confirm(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "starling: not at a terminal: say --yes if you mean it";
        return Err(Failure::new(REFUSED, message));
    }
    let mut stderr = io::stderr();
    stderr.write_all(question.as_bytes())?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(REFUSED, "starling: nothing was done")),
    }
}

fn drain(node: &Node, args: &DrainArgs) -> Result<(), Failure> {
    let request = Request::Drain {
        node: args.node.clone(),
    };
    let Response::Begun { node: leaving } = node.ask(&request)? else {
        return Err(unexpected());
    };
    if args.no_wait {
        answer(&format!("{leaving} drains"));
        return Ok(());
    }
    let mut watch = Watch::new(&leaving);
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    while Instant::now() < deadline {
        if let Some(outcome) = watch.take(node.see_off(&leaving)?) {
            outcome?;
            answer(&format!("{leaving} has gone"));
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    Err(Failure::new(
        PARTLY,
        format!("starling: {leaving} still drains, and goes on"),
    ))
}

/// What was seen of a member that leaves.
struct Watch<'a> {
    leaving: &'a str,
    told: String,
    handed_over: bool,
}

impl<'a> Watch<'a> {
    fn new(leaving: &'a str) -> Self {
        Self {
            leaving,
            told: String::new(),
            handed_over: false,
        }
    }

    /// Takes in what the node tells now, `None`: it does not run; whether and how it has ended.
    fn take(&mut self, facts: Option<Facts>) -> Option<Result<(), Failure>> {
        let Some(facts) = facts else {
            return Some(self.vanished());
        };
        match departure(&facts, self.leaving) {
            Departure::Gone => Some(Ok(())),
            Departure::GaveUp(accounts) => {
                let leaving = self.leaving;
                let message = format!(
                    "starling: {leaving} has gone, and {accounts} accounts were not handed over in time"
                );
                Some(Err(Failure::new(PARTLY, message)))
            }
            Departure::Going { words, handed_over } => {
                self.handed_over = handed_over;
                if words != self.told {
                    say(&words);
                    self.told = words;
                }
                None
            }
            Departure::Staying => {
                let message = format!("starling: {} does not drain any more", self.leaving);
                Some(Err(Failure::new(FAILED, message)))
            }
        }
    }

    /// The node that was asked has stopped: it left itself, or what became of it is not known.
    fn vanished(&self) -> Result<(), Failure> {
        if self.handed_over {
            return Ok(());
        }
        let message = format!(
            "starling: the node has stopped; whether {} had handed over everything is not known",
            self.leaving
        );
        Err(Failure::new(FAILED, message))
    }
}

/// The node that is asked. Each request has a connection of its own: a silent one would be closed.
struct Node(PathBuf);

impl Node {
    /// What the node tells; `None`: it does not run.
    fn look(&self) -> Result<Option<Facts>, Failure> {
        self.seen(&Request::ClusterStatus)
    }

    fn seen(&self, request: &Request) -> Result<Option<Facts>, Failure> {
        match self.try_ask(request)? {
            None => Ok(None),
            Some(Response::Cluster(facts)) => Ok(Some(*facts)),
            Some(_) => Err(unexpected()),
        }
    }

    /// What the node tells of a life that leaves.
    fn see_off(&self, leaving: &str) -> Result<Option<Facts>, Failure> {
        let node = leaving.to_owned();
        self.seen(&Request::Departure { node })
    }

    fn facts(&self) -> Result<Facts, Failure> {
        self.look()?.ok_or_else(|| self.down())
    }

    fn ask(&self, request: &Request) -> Result<Response, Failure> {
        self.try_ask(request)?.ok_or_else(|| self.down())
    }

    fn try_ask(&self, request: &Request) -> Result<Option<Response>, Failure> {
        let Self(socket) = self;
        let Some(mut client) = connect(socket)? else {
            return Ok(None);
        };
        match client.ask(request).with_context(|| asking(socket))? {
            Response::Refused { why, reason, .. } => Err(refusal(why, &reason)),
            response => Ok(Some(response)),
        }
    }

    fn down(&self) -> Failure {
        let socket = self.0.display();
        let message =
            format!("starling: no node answers at {socket}; does it have another --data?");
        Failure::new(FAILED, message)
    }
}

fn connect(socket: &Path) -> Result<Option<AdminClient>, Failure> {
    Ok(AdminClient::connect(socket, PATIENCE).with_context(|| asking(socket))?)
}

fn asking(socket: &Path) -> String {
    format!("asking the node at {}", socket.display())
}

fn unexpected() -> Failure {
    let message = "starling: the node answers what was not asked; is it of another version?";
    Failure::new(FAILED, message)
}

fn alone() -> Failure {
    refusal(Why::Alone, "this node is alone: no cluster is configured")
}

fn refusal(why: Why, reason: &str) -> Failure {
    let code = match why {
        Why::Alone => ALONE,
        Why::Store | Why::NotRunning => FAILED,
        _ => REFUSED,
    };
    Failure::new(code, format!("starling: {reason}"))
}

#[cfg(test)]
mod tests;
