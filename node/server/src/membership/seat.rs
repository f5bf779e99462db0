//! Seat: this node's part in the directory of members, whoever orders it.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use cluster::directory::{
    self, Directory, Member,
    raft::{RaftDirectory, Setup},
    redis::{self, RedisDirectory},
};

use super::{lines::Lines, liveness::Liveness, rows::Rows};
use crate::config::cluster::{Cluster, Directory as Configured, Redis, RedisPlace};

/// See the file's head.
#[derive(Clone)]
pub(super) enum Seat {
    Raft(Arc<RaftDirectory>),
    Redis(Arc<RedisDirectory>),
}

impl Seat {
    /// Takes it: from now on this node looks for the others, and becomes a member.
    ///
    /// # Errors
    /// A file that is named cannot be read.
    pub(super) fn take(
        cluster: &Cluster,
        member: Member,
        lines: &Arc<Lines>,
        liveness: &Arc<Liveness>,
        rows: Rows,
    ) -> anyhow::Result<Self> {
        Ok(match &cluster.directory {
            Configured::Raft => Self::Raft(Arc::new(RaftDirectory::start(Setup {
                member,
                peers: lines.clone(),
                liveness: liveness.clone(),
                founder: Arc::new(rows),
            }))),
            Configured::Redis(configured) => {
                let setup = setup(configured, member, &cluster.name, liveness.clone())?;
                Self::Redis(Arc::new(RedisDirectory::start(setup)))
            }
        })
    }

    pub(super) fn directory(&self) -> &dyn Directory {
        match self {
            Self::Raft(directory) => &**directory,
            Self::Redis(directory) => &**directory,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Raft(_) => "raft",
            Self::Redis(_) => "redis",
        }
    }

    /// Ends it when this life was declared over by itself.
    pub(super) async fn sign_off(&self) {
        match self {
            Self::Raft(directory) => directory.sign_off().await,
            Self::Redis(directory) => directory.stop(),
        }
    }

    /// Ends it, without a word to the others.
    pub(super) async fn stop(&self) {
        match self {
            Self::Raft(directory) => directory.stop().await,
            Self::Redis(directory) => directory.stop(),
        }
    }
}

/// What a role is called.
pub(super) fn role(role: directory::Role) -> &'static str {
    match role {
        directory::Role::Alone => "alone",
        directory::Role::Leader => "leader",
        directory::Role::Voter => "voter",
        directory::Role::Observer => "observer",
        directory::Role::Joining => "joining",
    }
}

fn setup(
    configured: &Redis,
    member: Member,
    cluster: &str,
    witness: Arc<Liveness>,
) -> anyhow::Result<redis::Setup> {
    let password = match (&configured.password, &configured.password_file) {
        (Some(password), _) => Some(password.expose().to_owned()),
        (None, Some(file)) => Some(read(file)?.trim().to_owned()),
        (None, None) => None,
    };
    let user = configured.user.as_deref();
    let as_user = |url: &String| with_user(url, user, password.as_deref());
    let place = match &configured.place {
        RedisPlace::Server(url) => redis::Place::Server(as_user(url)),
        RedisPlace::Cluster(servers) => {
            redis::Place::Cluster(servers.iter().map(as_user).collect())
        }
        RedisPlace::Sentinel { sentinels, master } => redis::Place::Sentinel {
            sentinels: sentinels.clone(),
            name: master.clone(),
            // Only how it is spoken to counts, which is as the Sentinels are.
            server: sentinels.first().map(as_user).unwrap_or_default(),
        },
    };
    // Its library takes the provider of the process; one that is set already is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let roots = configured.ca_file.as_deref().map(read).transpose()?;
    Ok(redis::Setup {
        member,
        witness,
        place,
        roots: roots.map(String::into_bytes),
        name: format!("starling:{cluster}"),
    })
}

fn read(file: &Path) -> anyhow::Result<String> {
    let place = || format!("reading {}", file.display());
    std::fs::read_to_string(file).with_context(place)
}

/// An address with user and password in it.
fn with_user(url: &str, user: Option<&str>, password: Option<&str>) -> String {
    match (url.split_once("://"), user, password) {
        (Some((scheme, rest)), user, Some(password)) => {
            let user = escaped(user.unwrap_or_default());
            format!("{scheme}://{user}:{}@{rest}", escaped(password))
        }
        _ => url.to_owned(),
    }
}

/// As a URL has it (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_user_and_password() {
        let check = |url, user, password, expected| {
            assert_eq!(with_user(url, user, password), expected);
        };
        check("redis://a:1", None, None, "redis://a:1");
        check("redis://a:1", None, Some("s"), "redis://:s@a:1");
        check(
            "rediss://a:1/2",
            Some("u"),
            Some("p@:/"),
            "rediss://u:p%40%3A%2F@a:1/2",
        );
    }
}
