//! The section `pubsub`: services for publishing (XEP-0060), and what accounts may keep (XEP-0163).

use super::{
    Circle, Config,
    reader::{Section, boolean, choice, number, size},
    services::{services, usual},
};

/// Services for publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pubsub {
    /// Whether there is any. Accounts are services of their own in any case.
    pub enabled: bool,
    /// The domains of the services; empty: `pubsub.` before each domain.
    pub services: Vec<String>,
    /// Who may make nodes.
    pub create: Circle,
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
            create: Circle::Accounts,
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
            (true, true) => usual("pubsub", &self.domains)
                .map(|(name, _)| name)
                .collect(),
        }
    }
}

pub(super) fn pubsub(mut section: Section<'_>, domains: &[String], pubsub: &mut Pubsub) {
    section.read("enabled", &mut pubsub.enabled, boolean);
    if let Some(services) = services(&mut section, domains, "pubsub.example.org") {
        pubsub.services = services;
    }
    section.read("create", &mut pubsub.create, choice(Circle::CHOICES));
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
