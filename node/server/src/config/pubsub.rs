//! The section `pubsub`: services for publishing (XEP-0060), and what accounts may keep (XEP-0163).

use xmpp::BareJid;

use super::{
    Config,
    raw::Node,
    reader::{Section, Wrong, boolean, choice, number, size, text},
};

/// Who may make nodes at a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PubsubMakers {
    /// Whoever likes.
    Everybody,
    /// Those with an account here.
    Accounts,
    /// The administrators.
    Admins,
}

/// Services for publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pubsub {
    /// Whether there is any. Accounts are services of their own in any case.
    pub enabled: bool,
    /// The domains of the services; empty: `pubsub.` before each domain.
    pub services: Vec<String>,
    /// Who may make nodes.
    pub create: PubsubMakers,
    /// Nodes that one address may have to do with as an owner.
    pub nodes: usize,
    /// Items of one node.
    pub items: usize,
    /// Longest payload, in bytes.
    pub payload: u64,
    /// Subscriptions of one node.
    pub subscriptions: usize,
}

impl Default for Pubsub {
    fn default() -> Self {
        Self {
            enabled: true,
            services: Vec::new(),
            create: PubsubMakers::Accounts,
            nodes: 1_000,
            items: 1_000,
            payload: 256 << 10,
            subscriptions: 50_000,
        }
    }
}

impl Config {
    /// The domains of the services for publishing.
    pub fn pubsub_services(&self) -> Vec<String> {
        let pubsub = &self.pubsub;
        match (pubsub.enabled, pubsub.services.is_empty()) {
            (false, _) => Vec::new(),
            (true, false) => pubsub.services.clone(),
            (true, true) => {
                let names = self.domains.iter().map(|domain| format!("pubsub.{domain}"));
                names.filter(|name| !self.domains.contains(name)).collect()
            }
        }
    }
}

pub(super) fn pubsub(mut section: Section<'_>, domains: &[String], pubsub: &mut Pubsub) {
    section.read("enabled", &mut pubsub.enabled, boolean);
    let service = |node: &Node| {
        let written = text(node)?;
        let name = match BareJid::from_parts(None, &written) {
            Ok(jid) => jid.domain().to_owned(),
            Err(error) => {
                return Err(Wrong::new(
                    format!("\"{written}\" is no domain ({error})"),
                    "write one such as pubsub.example.org",
                ));
            }
        };
        if domains.contains(&name) {
            let wrong = format!("{name} has accounts");
            return Err(Wrong::new(wrong, "give the service a domain of its own"));
        }
        Ok(name)
    };
    if let Some(services) = section.list("services", service) {
        pubsub.services = services;
    }
    let makers = &[
        ("everybody", PubsubMakers::Everybody),
        ("accounts", PubsubMakers::Accounts),
        ("admins", PubsubMakers::Admins),
    ];
    section.read("create", &mut pubsub.create, choice(makers));
    section.read("nodes", &mut pubsub.nodes, number(1, 100_000));
    section.read("items", &mut pubsub.items, number(1, 50_000));
    section.read("payload", &mut pubsub.payload, size("1000", "16MiB"));
    section.read(
        "subscriptions",
        &mut pubsub.subscriptions,
        number(1, 90_000),
    );
    section.finish();
}
