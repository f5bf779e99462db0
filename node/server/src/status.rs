//! Status: what an operator is told of a node and of its cluster; as JSON, as text, as a page.
//!
//! Why here: the command, the page and scripts must say the same. What a node knows of its place is `membership::status`;
//! here stands what it knows of itself, and what of both is trouble.
//! Nothing of it concerns a user: numbers of accounts and sessions, never an address of one, and no secret.

pub mod page;
#[cfg(test)]
pub(crate) mod samples;
pub mod text;
mod words;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    membership::status::{MemberStatus, Phase, Status},
    shape::shaped,
};

/// Who looks: quick, and waits for nothing.
pub type Look = Arc<dyn Fn() -> Facts + Send + Sync>;

shaped! {
    /// What is told. Fields are added, never changed: a command may be of another version than the node that it asks.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Facts as "Status" {
        /// Of the program.
        pub version: String,
        /// What is served.
        pub domains: Vec<String>,
        /// For how long this life runs, in seconds.
        pub uptime_s: u64,
        /// Why the node is not to be sent clients; empty: it is.
        pub not_ready: Vec<String>,
        /// What keeps the store from taking writes on this node.
        pub store_trouble: Option<String>,
        /// Accounts that have sessions here.
        pub accounts: usize,
        /// Sessions here.
        pub sessions: usize,
        /// Sessions that wait to be resumed.
        pub parked: usize,
        /// Homes in memory here.
        pub homes: usize,
        /// How far a rotation of the cluster's secret is, where the store keeps it.
        pub secret: Option<SecretStatus>,
        /// Its place in the cluster; null: the node is alone.
        pub cluster: Option<Status>,
    }

    /// How far a rotation of the cluster's secret is.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
    pub struct SecretStatus as "SecretRotation" {
        /// `settled`, `announced`, `proving`.
        pub rotation: String,
        /// Since when, in seconds since 1970, by the clock of the node that took the step.
        pub since: u64,
    }
}

impl Facts {
    /// What is not as it should be, in words. Empty: the node does its work, and sees everybody it should see.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = self.not_ready.clone();
        if let Some(trouble) = &self.store_trouble
            && !troubles.contains(trouble)
        {
            troubles.push(trouble.clone());
        }
        if let Some(cluster) = &self.cluster {
            // Why it is not ready may be just that.
            let phase = cluster.phase.name();
            let is_told = self.not_ready.iter().any(|reason| reason.ends_with(phase));
            let trouble = phase_trouble(cluster).filter(|_| !is_told);
            troubles.extend(trouble.map(str::to_owned));
            troubles.extend(unseen(cluster).map(|member| {
                let state = link(cluster, member).map_or("none", |link| &link.state);
                format!(
                    "the link to {} is not up: {state}",
                    called(&member.name, &member.node)
                )
            }));
        }
        troubles
    }
}

fn phase_trouble(cluster: &Status) -> Option<&'static str> {
    match cluster.phase {
        Phase::Serving if cluster.directory.fenced => {
            Some("it has no contact with those who order changes of members")
        }
        Phase::Serving => None,
        Phase::Joining => Some("it joins, and serves nothing yet"),
        Phase::Fenced => {
            Some("it has no contact with those who order changes: others may take over what it has")
        }
        Phase::Leaving => Some("it leaves the cluster"),
        Phase::Fallen => Some("the others have given this life of it up; the next one begins"),
    }
}

/// Members to which there should be a link and is none.
fn unseen(cluster: &Status) -> impl Iterator<Item = &MemberStatus> {
    let others = cluster.members.iter().filter(|member| !member.is_me);
    others.filter(|member| link(cluster, member).is_none_or(|link| link.state != "up"))
}

fn link<'a>(
    cluster: &'a Status,
    member: &MemberStatus,
) -> Option<&'a crate::membership::status::LinkStatus> {
    cluster.links.iter().find(|link| link.node == member.node)
}

/// What a node is called: its name, else its life.
fn called<'a>(name: &'a str, node: &'a str) -> &'a str {
    if name.is_empty() { node } else { name }
}

/// The share of the accounts that a member serves, in percent: those that are `ready` share them by weight.
fn share(cluster: &Status, member: &MemberStatus) -> f64 {
    let weight = |member: &MemberStatus| match member.state.as_str() {
        "ready" => f64::from(member.weight),
        _ => 0.0,
    };
    let all: f64 = cluster.members.iter().map(weight).sum();
    if all > 0.0 {
        100.0 * weight(member) / all
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests;
