//! `starling group`: through the socket of the node that runs, else on its store.

use clap::{Args, Subcommand};

use super::{Failure, REFUSED, SourceArgs, answer, asked::Asked, load};
use crate::{
    admin::{
        Request, Response,
        groups::{Group, GroupChange, Members, ShownTo},
    },
    config::Overrides,
};

/// Members that are sent at once.
const AT_ONCE: usize = 500;

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
        GroupCommand::Create { group, change } => {
            let change = change.into();
            let request = Request::GroupCreate {
                domain,
                group,
                change,
            };
            asked.ask(request).map(drop)
        }
        GroupCommand::Change { group, change } => {
            let change = change.into();
            let request = Request::GroupChange {
                domain,
                group,
                change,
            };
            asked.ask(request).map(drop)
        }
        GroupCommand::Delete { group } => {
            asked.ask(Request::GroupRemove { domain, group }).map(drop)
        }
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
        GroupCommand::Add {
            group,
            jids,
            called,
        } => jids.chunks(AT_ONCE).try_for_each(|jids| {
            let member = |jid: &String| (jid.clone(), called.clone());
            let request = Request::GroupAdd {
                domain: domain.clone(),
                group: group.clone(),
                members: jids.iter().map(member).collect(),
            };
            asked.ask(request).map(drop)
        }),
        GroupCommand::Remove { group, jids } => jids.chunks(AT_ONCE).try_for_each(|jids| {
            let request = Request::GroupTakeOut {
                domain: domain.clone(),
                group: group.clone(),
                members: jids.to_vec(),
            };
            asked.ask(request).map(drop)
        }),
    }
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
