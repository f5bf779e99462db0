//! `starling group`: through the socket of the node that runs, else on its store.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Failure, REFUSED, SourceArgs, answer, asked::Asked, load};
use crate::{
    admin::{
        Request, Response,
        groups::{Group, GroupChange, Members, ShownTo},
    },
    config::Overrides,
};

/// Members of one request, in bytes.
const MAX_MEMBERS: usize = 16 << 10;

#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Make a group. Without options its members see one another.
    Create {
        /// Its id.
        group: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Change what a group is; what is not named stays.
    Change {
        /// Its id.
        group: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Remove a group. Its members keep what is their own.
    Delete {
        /// Its id.
        group: String,
    },
    /// List groups: id, name, who belongs to it, who sees it; separated by tabs.
    List,
    /// Show a group with its members, one a line.
    Show {
        /// Its id.
        group: String,
    },
    /// Add members to a group, or change how they are shown.
    Add {
        /// Its id.
        group: String,
        /// Their addresses.
        #[arg(required = true)]
        jids: Vec<String>,
        /// How the member is shown.
        #[arg(long, value_name = "TEXT")]
        called: Option<String>,
    },
    /// Take members out of a group.
    Remove {
        /// Its id.
        group: String,
        /// Their addresses.
        #[arg(required = true)]
        jids: Vec<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct ChangeArgs {
    /// Under what its members are shown; else its id.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// For administrators.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who belongs to it besides those that are listed: `listed` (nobody), `everyone`, `online` (everyone while there).
    #[arg(long, value_name = "WHO", value_parser = members)]
    members: Option<Members>,
    /// Groups whose members belong to it, separated by commas; empty: none.
    #[arg(long, value_name = "GROUPS")]
    includes: Option<String>,
    /// Groups whose members see it, separated by commas; `everyone`: all accounts of the domain.
    #[arg(long, value_name = "GROUPS")]
    shown_to: Option<String>,
}

fn members(text: &str) -> Result<Members, String> {
    match text {
        "listed" => Ok(Members::Listed),
        "everyone" => Ok(Members::Everyone),
        "online" => Ok(Members::Online),
        _ => Err("listed, everyone or online".to_owned()),
    }
}

fn ids(text: &str) -> Vec<String> {
    let ids = text.split(',').map(str::trim);
    ids.filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

impl From<ChangeArgs> for GroupChange {
    fn from(args: ChangeArgs) -> Self {
        let shown_to = |text: String| match text.as_str() {
            "everyone" => ShownTo::Everyone,
            text => ShownTo::Groups(ids(text)),
        };
        Self {
            name: args.name,
            description: args.description,
            members: args.members,
            includes: args.includes.as_deref().map(ids),
            shown_to: args.shown_to.map(shown_to),
        }
    }
}

pub(super) fn run(
    command: GroupCommand,
    domain: Option<String>,
    serves: Vec<String>,
    source: &SourceArgs,
) -> Result<(), Failure> {
    let overrides = Overrides {
        domains: serves,
        ..Overrides::default()
    };
    let config = load(source, overrides)?.config;
    let domain = match (domain, &config.domains[..]) {
        (Some(domain), _) => domain,
        (None, [only]) => only.clone(),
        (None, domains) => {
            let served = domains.join(", ");
            let message = format!("starling: which of {served}? Say --domain");
            return Err(Failure::new(REFUSED, message));
        }
    };
    let mut asked = Asked::new(&config)?;
    match command {
        GroupCommand::List => {
            if let Response::Groups(groups) = asked.ask(Request::Groups { domain })? {
                groups.iter().for_each(|group| answer(&line(group)));
            }
            Ok(())
        }
        GroupCommand::Show { group } => {
            if let Response::Groups(groups) = asked.ask(Request::Group { domain, group })? {
                groups.iter().for_each(show);
            }
            Ok(())
        }
        change => requests(change, &domain)
            .into_iter()
            .try_for_each(|request| asked.ask(request).map(drop)),
    }
}

/// What is asked, one after the other, to change something; nothing for what only looks.
fn requests(command: GroupCommand, domain: &str) -> Vec<Request> {
    let domain = domain.to_owned();
    match command {
        GroupCommand::Create { group, change } => vec![Request::GroupCreate {
            domain,
            group,
            change: change.into(),
        }],
        GroupCommand::Change { group, change } => vec![Request::GroupChange {
            domain,
            group,
            change: change.into(),
        }],
        GroupCommand::Delete { group } => vec![Request::GroupRemove { domain, group }],
        GroupCommand::Add {
            group,
            jids,
            called,
        } => {
            let members = jids.into_iter().map(|jid| (jid, called.clone()));
            let request = |members| Request::GroupAdd {
                domain: domain.clone(),
                group: group.clone(),
                members,
            };
            pieces(members).into_iter().map(request).collect()
        }
        GroupCommand::Remove { group, jids } => {
            let request = |members| Request::GroupTakeOut {
                domain: domain.clone(),
                group: group.clone(),
                members,
            };
            pieces(jids).into_iter().map(request).collect()
        }
        GroupCommand::List | GroupCommand::Show { .. } => Vec::new(),
    }
}

/// Members in pieces of which each fits a request.
fn pieces<T: Serialize>(members: impl IntoIterator<Item = T>) -> Vec<Vec<T>> {
    let (mut pieces, mut left) = (Vec::<Vec<T>>::new(), 0);
    for member in members {
        let bytes = serde_json::to_vec(&member).map_or(0, |json| json.len() + 1);
        match pieces.last_mut().filter(|_| bytes <= left) {
            Some(piece) => piece.push(member),
            None => {
                pieces.push(vec![member]);
                left = MAX_MEMBERS;
            }
        }
        left = left.saturating_sub(bytes);
    }
    pieces
}

fn who(group: &Group) -> &'static str {
    match group.members {
        Members::Listed => "listed",
        Members::Everyone => "everyone",
        Members::Online => "online",
    }
}

fn shown_to(group: &Group) -> String {
    match &group.shown_to {
        ShownTo::Everyone => "everyone".to_owned(),
        ShownTo::Groups(ids) if ids.is_empty() => "nobody".to_owned(),
        ShownTo::Groups(ids) => ids.join(","),
        ShownTo::Decided => "whom the directory says".to_owned(),
    }
}

fn line(group: &Group) -> String {
    let (id, name) = (&group.id, &group.name);
    format!("{id}\t{name}\t{}\t{}", who(group), shown_to(group))
}

fn show(group: &Group) {
    answer(&format!("group: {}", group.id));
    answer(&format!("name: {}", group.name));
    if let Some(description) = &group.description {
        answer(&format!("description: {description}"));
    }
    answer(&format!("members: {}", who(group)));
    if !group.includes.is_empty() {
        answer(&format!("includes: {}", group.includes.join(",")));
    }
    answer(&format!("shown to: {}", shown_to(group)));
    for (jid, name) in &group.listed {
        match name {
            Some(name) => answer(&format!("{jid}\t{name}")),
            None => answer(jid),
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::repository::SharedGroup;

    use super::*;
    use crate::admin::socket::MAX_LINE;

    #[test]
    fn whoever_is_named_is_in_one_request_that_the_socket_takes() {
        let jids: Vec<String> = (0..2_000)
            .map(|number| format!("somebody.with-a-long-name-{number}@people.example.org"))
            .collect();
        let (group, called) = ("all".to_owned(), Some("\u{1}".repeat(1_024)));
        let commands = [
            GroupCommand::Add {
                group: group.clone(),
                jids: jids.clone(),
                called: None,
            },
            GroupCommand::Add {
                group: group.clone(),
                jids: jids[..20].to_vec(),
                called,
            },
            GroupCommand::Remove { group, jids },
        ];
        for (command, expected) in commands.into_iter().zip([2_000, 20, 2_000]) {
            let requests = requests(command, "people.example.org");
            assert!(requests.len() > 1);
            let mut named = Vec::new();
            for request in requests {
                let json = serde_json::to_vec(&request).unwrap();
                assert!((json.len() as u64) < MAX_LINE, "{}", json.len());
                match request {
                    Request::GroupAdd { members, .. } => {
                        named.extend(members.into_iter().map(|(jid, _)| jid));
                    }
                    Request::GroupTakeOut { members, .. } => named.extend(members),
                    _ => panic!("{}", request.name()),
                }
            }
            assert_eq!(named.len(), expected);
            let in_order = |pair: &[String]| pair[0] != pair[1];
            assert!(named.windows(2).all(in_order));
        }
    }

    #[test]
    fn the_largest_group_there_may_be_is_one_request_that_the_socket_takes() {
        let id = "\"".repeat(SharedGroup::MAX_ID);
        let ids = |count| vec![id.clone(); count].join(",");
        let text = "\u{1}".repeat(SharedGroup::MAX_TEXT);
        let change = ChangeArgs {
            name: Some(text.clone()),
            description: Some(text),
            members: None,
            includes: Some(ids(SharedGroup::MAX_INCLUDED)),
            shown_to: Some(ids(SharedGroup::MAX_AUDIENCE)),
        };
        let create = GroupCommand::Create {
            group: id.clone(),
            change,
        };
        for request in requests(create, "people.example.org") {
            let json = serde_json::to_vec(&request).unwrap();
            assert!((json.len() as u64) < MAX_LINE, "{}", json.len());
        }
    }
}
