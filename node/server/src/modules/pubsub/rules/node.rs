//! A node in memory, and what a rule makes of it.

use std::sync::Arc;

use storage::repository::{
    PubsubAffiliation as Affiliation, PubsubChange, PubsubHead, PubsubItemHead, PubsubNode,
    PubsubState, PubsubSubscription,
};
use xmpp::{BareJid, Element, Jid};

use super::{
    affiliation,
    config::{AccessModel, Config, Most},
    event::Event,
};

/// How much a service keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items of a node.
    pub items: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// Nodes of an account, or that one address may own at a service.
    pub nodes: usize,
    /// Subscriptions of a node.
    pub subscriptions: usize,
    /// Affiliations of a node.
    pub affiliations: usize,
    /// Bytes of payloads in one answer.
    pub answer: usize,
}

/// Longest name of a node or an item in bytes.
pub const MAX_NAME: usize = 512;
/// Entries that one request may change.
pub const MAX_ENTRIES: usize = 40;

/// What holds for all nodes of a service.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its address: an account's, or a domain.
    pub address: BareJid,
    /// The access models that it knows.
    pub models: &'static [AccessModel],
    /// How its nodes behave by default.
    pub defaults: Arc<Config>,
    /// How much it keeps.
    pub limits: Limits,
}

impl Policy {
    /// Whether it is an account's.
    pub fn is_account(&self) -> bool {
        self.address.local().is_some()
    }
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is stored of it.
    pub stored: PubsubNode,
    /// How it behaves.
    pub config: Arc<Config>,
}

/// What a rule did.
#[derive(Debug, Clone)]
pub struct Effect {
    /// The node from now on.
    pub node: Node,
    /// What is to be stored of that; `None`: nothing changed.
    pub change: Option<PubsubChange>,
    /// Who is told what.
    pub events: Vec<Event>,
    /// What the one who asked is answered.
    pub reply: Option<Element>,
}

impl Effect {
    /// Nothing but an answer.
    pub fn answer(node: &Node, reply: Option<Element>) -> Self {
        Self {
            node: node.clone(),
            change: None,
            events: Vec::new(),
            reply,
        }
    }
}

impl Node {
    /// As it was stored.
    pub fn of(stored: PubsubNode, policy: &Policy) -> Self {
        let config = Config::of_kept(&stored.head.config, &policy.defaults);
        Self {
            stored,
            config: Arc::new(config),
        }
    }

    /// One that is made now. `generation` is drawn at random.
    pub fn new(
        policy: &Policy,
        name: &str,
        creator: &BareJid,
        config: Config,
        generation: u64,
        now_ms: u64,
    ) -> Self {
        let mut affiliations = Vec::new();
        if *creator != policy.address {
            affiliations.push((creator.clone(), Affiliation::Owner));
        }
        Self {
            stored: PubsubNode {
                head: PubsubHead {
                    node: name.to_owned(),
                    version: 0,
                    generation,
                    sequence: 1,
                    created_ms: now_ms,
                    creator: creator.clone(),
                    config: config.kept(&policy.defaults),
                    affiliations,
                    last: None,
                },
                subscriptions: Arc::default(),
                items: Arc::default(),
            },
            config: Arc::new(config),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.stored.head.node
    }

    /// With another configuration.
    pub fn configured(&self, config: Config, policy: &Policy) -> Self {
        let mut node = self.clone();
        node.stored.head.config = config.kept(&policy.defaults);
        node.config = Arc::new(config);
        node
    }

    /// What an address is to this node. Of an account's the account is an owner, always.
    pub fn affiliation(&self, policy: &Policy, bare: &str) -> Option<Affiliation> {
        if policy.is_account() && bare == policy.address.as_str() {
            return Some(Affiliation::Owner);
        }
        affiliation::find(&self.stored.head.affiliations, bare)
    }

    /// Its owners.
    pub fn owners<'a>(&'a self, policy: &'a Policy) -> impl Iterator<Item = &'a BareJid> {
        let account = policy.is_account().then_some(&policy.address);
        let others = self.stored.head.affiliations.iter();
        let others = others.filter(|(_, it)| *it == Affiliation::Owner);
        account.into_iter().chain(others.map(|(jid, _)| jid))
    }

    /// The subscription of exactly this address.
    pub fn subscription(&self, jid: &Jid) -> Option<&PubsubSubscription> {
        self.stored.subscriptions.iter().find(|it| it.jid == *jid)
    }

    /// Whether an address, or its bare one, is told of what is published.
    pub fn is_subscribed(&self, jid: &Jid) -> bool {
        let mut all = self.stored.subscriptions.iter();
        all.any(|it| it.state == PubsubState::Subscribed && it.jid.bare_str() == jid.bare_str())
    }

    /// Who has to do with this node after a change that was about these addresses.
    pub fn concerned(&self, about: impl Iterator<Item = BareJid>) -> Vec<(BareJid, bool)> {
        let is_concerned = |jid: &BareJid| {
            let mut subscriptions = self.stored.subscriptions.iter();
            affiliation::find(&self.stored.head.affiliations, jid.as_str()).is_some()
                || subscriptions.any(|it| it.jid.bare_str() == jid.as_str())
        };
        about.map(|jid| (jid.clone(), is_concerned(&jid))).collect()
    }

    /// How many items it keeps.
    pub fn capacity(&self, policy: &Policy) -> usize {
        match self.config.persist {
            true => self.config.max_items.within(policy.limits.items).max(1),
            false => 0,
        }
    }

    /// The items that are not too old, in the order of publication.
    pub fn items(&self, now_ms: u64) -> &[PubsubItemHead] {
        let all = &self.stored.items[..];
        let Most::Exactly(seconds) = self.config.item_expire else {
            return all;
        };
        let oldest = now_ms.saturating_sub(seconds.saturating_mul(1_000));
        // Times do not go back with numbers, but for what clocks differ by.
        &all[all.partition_point(|item| item.published_ms < oldest)..]
    }
}
