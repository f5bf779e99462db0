//! Before the first step: accounts, friends, logins.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use super::Stage;
use crate::client::Wire;
use crate::dialogue::script::{Depth, Level, Role};
use crate::server::Target;
use crate::xml::Tree;

/// Tells apart the accounts of scripts that share a server.
static NEXT: AtomicU32 = AtomicU32::new(1);
const PASSWORD: &str = "pencil";
/// An account of this name is an administrator; it is the same in all scripts.
const ADMIN: &str = "admin";

impl Stage<'_> {
    pub(super) async fn register_accounts(&mut self) -> Result<()> {
        let domain = self.target.domain.clone();
        let run = format!(
            "{:x}-{:x}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mut accounts: BTreeSet<&str> =
            self.script.accounts.iter().map(String::as_str).collect();
        for member in &self.script.cast {
            if let Role::Client { account, .. } = &member.role {
                accounts.insert(account);
            }
        }
        for name in accounts {
            let local = if name == ADMIN {
                name.to_owned()
            } else {
                format!("{name}-{run}")
            };
            self.values
                .insert(name.to_owned(), format!("{local}@{domain}"));
            self.values.insert(format!("{name}.local"), local.clone());
            self.values
                .insert(format!("{name}.password"), PASSWORD.to_owned());
            let mut wire = Wire::connect(self.target).await?;
            wire.secure()
                .await
                .with_context(|| format!("registering {name}"))?;
            let registered = wire.register(&local, PASSWORD).await;
            if name != ADMIN {
                registered?;
            }
            wire.close().await?;
        }
        self.values.insert("run".to_owned(), run);
        self.values
            .insert("search".to_owned(), format!("search.{domain}"));
        self.values
            .insert("rooms".to_owned(), format!("conference.{domain}"));
        self.values
            .insert("pubsub".to_owned(), format!("pubsub.{domain}"));
        self.values.insert("domain".to_owned(), domain);
        for (one, other) in &self.script.friends {
            let local = |name: &str| {
                self.values
                    .get(&format!("{name}.local"))
                    .cloned()
                    .context("no such account")
            };
            befriend(self.target, &local(one)?, &local(other)?)
                .await
                .context("making friends")?;
        }
        Ok(())
    }

    /// Brings a member as far as its declaration says.
    pub(super) async fn connect(&mut self, name: &str) -> Result<()> {
        let role = self.actor(name).role.clone();
        let wire = match &role {
            Role::Stream(depth) => open_stream(self.target, *depth).await?,
            Role::Client {
                account,
                resource,
                level,
                priority,
                carbons,
            } => {
                let local = self.values[&format!("{account}.local")].clone();
                let mut wire = log_in(self.target, &local).await?;
                if *level >= Level::Bound {
                    let resource = resource.replace("{run}", &self.values["run"]);
                    let jid = wire.bind(&resource).await?;
                    self.values.insert(name.to_owned(), jid.clone());
                    self.actor(name).jid = Some(jid);
                }
                if *carbons {
                    wire.send(
                        "<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
                    )
                    .await?;
                    wire.element().await?;
                }
                if *level >= Level::Interested {
                    wire.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
                        .await?;
                    wire.element().await?;
                }
                if *level >= Level::Available {
                    let presence = match priority {
                        0 => "<presence/>".to_owned(),
                        number => format!("<presence><priority>{number}</priority></presence>"),
                    };
                    wire.send(&presence).await?;
                }
                wire
            }
        };
        self.actor(name).use_wire(wire);
        Ok(())
    }

    /// Waits until the presence that logins caused has arrived everywhere, and forgets it.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let bound: Vec<String> = self
            .actors
            .iter()
            .filter(|(_, actor)| actor.jid.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in bound {
            // A login may have ended another client's session.
            if self.actor(&name).jid.is_some() {
                self.synchronise(&name).await?;
                self.actor(&name).discard_presence();
            }
        }
        Ok(())
    }
}

async fn open_stream(target: &Target, depth: Depth) -> Result<Wire> {
    if depth == Depth::DirectTls {
        return Wire::connect_tls(target).await;
    }
    let mut wire = Wire::connect(target).await?;
    match depth {
        Depth::Open => drop(wire.open().await?),
        Depth::Secure => drop(wire.secure().await?),
        Depth::Tcp | Depth::DirectTls => {}
    }
    Ok(wire)
}

async fn log_in(target: &Target, local: &str) -> Result<Wire> {
    let mut wire = Wire::connect(target).await?;
    let features = wire.secure().await?;
    wire.authenticate(&features, local, PASSWORD).await?;
    Ok(wire)
}

/// Both see each other's presence afterwards (RFC 6121 §3.1).
async fn befriend(target: &Target, one: &str, other: &str) -> Result<()> {
    let mut wires = Vec::new();
    for local in [one, other] {
        let mut wire = log_in(target, local).await?;
        wire.bind("befriend").await?;
        wire.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            .await?;
        until(&mut wire, |tree| tree.attr("id") == Some("roster")).await?;
        wire.send("<presence/>").await?;
        until(&mut wire, |tree| tree.name == "presence").await?;
        wires.push(wire);
    }
    let jid = |local: &str| format!("{local}@{}", target.domain);
    for (from, to) in [(0, 1), (1, 0)] {
        let addresses = [jid(one), jid(other)];
        wires[from]
            .send(&format!(
                "<presence type='subscribe' to='{}'/>",
                addresses[to]
            ))
            .await?;
        until(&mut wires[to], |tree| {
            tree.attr("type") == Some("subscribe")
        })
        .await?;
        wires[to]
            .send(&format!(
                "<presence type='subscribed' to='{}'/>",
                addresses[from]
            ))
            .await?;
        until(&mut wires[from], |tree| {
            tree.attr("type") == Some("subscribed")
        })
        .await?;
    }
    for wire in &mut wires {
        // An answer to a request shows that the roster was written before.
        wire.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
            .await?;
        let roster = until(wire, |tree| tree.attr("id") == Some("roster")).await?;
        let both = roster
            .elements()
            .flat_map(Tree::elements)
            .any(|item| item.attr("subscription") == Some("both"));
        anyhow::ensure!(both, "the roster is {roster}");
    }
    for wire in &mut wires {
        wire.close().await?;
    }
    Ok(())
}

async fn until(wire: &mut Wire, found: impl Fn(&Tree) -> bool) -> Result<Tree> {
    loop {
        let tree = wire.element().await?;
        if found(&tree) {
            return Ok(tree);
        }
        anyhow::ensure!(
            tree.name == "presence" || tree.name == "iq",
            "unexpected {tree}"
        );
    }
}
