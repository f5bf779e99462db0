//! Status for a terminal.

use std::fmt::{self, Display, Formatter};

use super::{
    Facts, called, link, share,
    words::{LeavingWords, LinkWords, Shown, Span},
};
use crate::membership::status::{Status, Step};

/// What `starling cluster status` prints.
pub struct Text<'a>(pub &'a Facts);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let facts = self.0;
        match &facts.cluster {
            None => writeln!(f, "alone: no cluster is configured")?,
            Some(cluster) => {
                head(f, cluster)?;
                writeln!(f)?;
                table(f, &members(cluster))?;
                strangers(f, cluster)?;
                writeln!(f)?;
            }
        }
        node(f, facts)
    }
}

fn head(f: &mut Formatter<'_>, cluster: &Status) -> fmt::Result {
    let (directory, number) = (&cluster.directory, cluster.members.len());
    let noun = if number == 1 { "member" } else { "members" };
    writeln!(
        f,
        "cluster {}: {number} {noun}, epoch {}, generation {}",
        Shown(&cluster.cluster),
        change(cluster.epoch),
        cluster.generation,
    )?;
    write!(f, "directory {}: ", Shown(&directory.kind))?;
    if let Some(leader) = &directory.leader {
        write!(f, "{} leads, ", Shown(name_of(cluster, leader)))?;
    }
    write!(f, "the role of this node: {}", Shown(&directory.role))?;
    if directory.lag > 0 {
        write!(f, ", {} entries behind", directory.lag)?;
    }
    match directory.silence_ms {
        Some(silence) if silence >= 1_000 => {
            writeln!(f, ", silent for {}", Span(silence / 1_000))
        }
        _ => writeln!(f),
    }
}

/// The number of an epoch within its generation, which is its upper half.
pub(super) fn change(epoch: u64) -> u64 {
    epoch & u64::from(u32::MAX)
}

/// What people call a node, if no other member is called the same.
pub(super) fn name_of<'a>(cluster: &'a Status, node: &'a str) -> &'a str {
    let mut known = cluster.members.iter();
    let Some(member) = known.find(|member| member.node == node) else {
        return node;
    };
    let namesakes = cluster.members.iter().filter(|it| it.name == member.name);
    match namesakes.count() {
        1 => called(&member.name, &member.node),
        _ => node,
    }
}

const HEADINGS: [&str; 8] = [
    "", "MEMBER", "STATE", "SHARE", "ADDRESS", "ZONE", "LINK", "NODE",
];

fn members(cluster: &Status) -> Vec<[String; 8]> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for member in &cluster.members {
        let mark = match (member.is_me, cluster.directory.leader.as_ref()) {
            (true, _) => "*",
            (false, Some(leader)) if *leader == member.node => "+",
            _ => "",
        };
        let link = match link(cluster, member) {
            _ if member.is_me => "-".to_owned(),
            Some(link) => LinkWords(link).to_string(),
            None => "none".to_owned(),
        };
        let zone = if member.zone.is_empty() {
            "-"
        } else {
            &member.zone
        };
        rows.push([
            mark.to_owned(),
            Shown(called(&member.name, &member.node)).to_string(),
            Shown(&member.state).to_string(),
            format!("{:.0} %", share(cluster, member)),
            Shown(&member.address).to_string(),
            Shown(zone).to_string(),
            link,
            Shown(&member.node).to_string(),
        ]);
    }
    rows
}

/// Columns as wide as what stands in them.
fn table<const N: usize>(f: &mut Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Links to who is no member, and addresses where something is wrong.
fn strangers(f: &mut Formatter<'_>, cluster: &Status) -> fmt::Result {
    let is_member = |node: &str| cluster.members.iter().any(|member| member.node == node);
    for link in cluster.links.iter().filter(|link| !is_member(&link.node)) {
        writeln!(
            f,
            "not a member: {} at {}, link {}",
            Shown(called(&link.name, &link.node)),
            Shown(&link.address),
            LinkWords(link)
        )?;
    }
    for dial in &cluster.dialled {
        if let Some(trouble) = &dial.trouble {
            writeln!(f, "dialled {}: {}", Shown(&dial.address), Shown(trouble))?;
        }
    }
    Ok(())
}

fn node(f: &mut Formatter<'_>, facts: &Facts) -> fmt::Result {
    write!(f, "this node")?;
    if let Some(cluster) = &facts.cluster {
        let name = Shown(called(&cluster.name, &cluster.node));
        write!(f, ", {name}, is {}", cluster.phase.name())?;
    }
    writeln!(
        f,
        ": starling {}, up {}",
        Shown(&facts.version),
        Span(facts.uptime_s)
    )?;
    writeln!(f, "  serves    {}", Shown(&facts.domains.join(", ")))?;
    writeln!(
        f,
        "  sessions  {} of {} accounts, {} wait to be resumed",
        facts.sessions, facts.accounts, facts.parked
    )?;
    writeln!(f, "  homes     {}", facts.homes)?;
    if let Some(cluster) = &facts.cluster {
        writeln!(f, "  pipes     {}", cluster.pipes)?;
    }
    let store = facts.store_trouble.as_deref();
    writeln!(f, "  store     {}", Shown(store.unwrap_or("takes writes")))?;
    if let Some(secret) = &facts.secret {
        writeln!(f, "  secret    {}", Shown(&secret.rotation))?;
    }
    if let Some(leaving) = facts.cluster.as_ref().and_then(|cluster| cluster.leaving) {
        writeln!(f, "  leaving   {}", LeavingWords(leaving))?;
    }
    Ok(())
}

/// How far a member is that was told to leave, as a node tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Departure {
    /// It is no member any more.
    Gone,
    /// The same, and so many accounts were not handed over in time.
    GaveUp(usize),
    /// It leaves.
    Going {
        /// In words.
        words: String,
        /// It has handed over everything: nothing is lost if it is seen no more.
        handed_over: bool,
    },
    /// It is there and does not leave.
    Staying,
}

/// How far this life of a member is on its way out. Only the member itself knows numbers.
pub fn departure(facts: &Facts, node: &str) -> Departure {
    let Some(cluster) = &facts.cluster else {
        return Departure::Gone;
    };
    let member = cluster.members.iter().find(|member| member.node == node);
    match (cluster.leaving.filter(|_| cluster.node == node), member) {
        (Some(leaving), _) if leaving.step == Step::Gone => match leaving.given_up {
            0 => Departure::Gone,
            accounts => Departure::GaveUp(accounts),
        },
        (Some(leaving), _) => Departure::Going {
            words: format!(
                "{}, {} sessions here",
                LeavingWords(leaving),
                facts.sessions
            ),
            handed_over: leaving.left == 0
                && matches!(leaving.step, Step::Closing | Step::SigningOff),
        },
        (None, None) => Departure::Gone,
        (None, Some(member)) if member.state == "draining" => Departure::Going {
            words: format!("{} is draining", Shown(called(&member.name, &member.node))),
            handed_over: false,
        },
        (None, Some(_)) => Departure::Staying,
    }
}
