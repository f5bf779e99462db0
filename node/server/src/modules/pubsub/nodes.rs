//! Nodes in memory: read through, changed by compare-and-set, one change of a node at a time.
//!
//! Why here: what a node is told is told by who serves it, in the order of its changes: a turn is kept until subscribers are
//! told. What is in memory of an account counts while this node of the cluster serves it; who serves it no longer forgets it.
//! Bounds: [`MAX_SERVICES`] accounts and services, [`MAX_NODES`] nodes of each; what is full forgets all, which costs a read
//! each.

use std::{hash::BuildHasher, sync::Arc};

use hashbrown::HashMap;
use parking_lot::Mutex;
use storage::{
    ErrorKind,
    repository::{PubsubHead, PubsubItem, PubsubItemHead, PubsubRepository},
};
use xmpp::{BareJid, StanzaError};

use super::rules::{Effect, Node, Policy};
use crate::turns::{Turn, Turns};

const SHARDS: usize = 32;
/// Accounts and services whose nodes are in memory.
const MAX_SERVICES: usize = 8_192;
/// Nodes in memory of one of them.
const MAX_NODES: usize = 4_096;
/// Items up to which each is asked for by itself.
const FEW_ITEMS: usize = 4;

#[derive(Default)]
struct Shelves {
    known: HashMap<BareJid, Shelf, foldhash::fast::RandomState>,
    /// Counts the changes: what was read before one is not kept behind it.
    changes: u64,
}

/// What is known of an account or a service.
#[derive(Default)]
struct Shelf {
    /// Of an account: all its nodes.
    heads: Option<Arc<Vec<PubsubHead>>>,
    nodes: HashMap<String, Arc<Node>, foldhash::fast::RandomState>,
}

impl Shelves {
    fn shelf(&mut self, service: &BareJid) -> &mut Shelf {
        if self.known.len() >= MAX_SERVICES / SHARDS && !self.known.contains_key(service) {
            self.known.clear();
        }
        self.known.entry(service.clone()).or_default()
    }
}

impl Shelf {
    fn keep(&mut self, node: Arc<Node>) {
        if self.nodes.len() >= MAX_NODES {
            self.nodes.clear();
        }
        if let Some(heads) = &mut self.heads {
            let heads = Arc::make_mut(heads);
            match heads.iter_mut().find(|head| head.node == node.name()) {
                Some(head) => head.clone_from(&node.stored.head),
                None => heads.push(node.stored.head.clone()),
            }
        }
        self.nodes.insert(node.name().to_owned(), node);
    }
}

/// The nodes of all accounts and services.
pub struct Nodes {
    repository: Arc<dyn PubsubRepository>,
    shards: Box<[Mutex<Shelves>]>,
    /// By account or service, and node.
    turns: Turns<(BareJid, Box<str>)>,
    hasher: foldhash::fast::RandomState,
}

impl Nodes {
    /// Over a repository.
    pub fn new(repository: Arc<dyn PubsubRepository>) -> Self {
        Self {
            repository,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            turns: Turns::default(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// What keeps them.
    pub fn repository(&self) -> &dyn PubsubRepository {
        &*self.repository
    }

    fn shard(&self, service: &BareJid) -> &Mutex<Shelves> {
        &self.shards[self.hasher.hash_one(service.as_str()) as usize % SHARDS]
    }

    /// Something has changed.
    fn change<R>(&self, service: &BareJid, change: impl FnOnce(&mut Shelf) -> R) -> R {
        let mut shelves = self.shard(service).lock();
        shelves.changes += 1;
        change(shelves.shelf(service))
    }

    /// Something was read, when there had been so many changes.
    fn keep_read(&self, service: &BareJid, seen: u64, keep: impl FnOnce(&mut Shelf)) {
        let mut shelves = self.shard(service).lock();
        if shelves.changes == seen {
            keep(shelves.shelf(service));
        }
    }

    /// Waits until nobody else on this node of the cluster is changing this one. First come, first served.
    pub async fn turn(&self, service: &BareJid, node: &str) -> Turn<'_, (BareJid, Box<str>)> {
        self.turns.take((service.clone(), node.into())).await
    }

    /// All nodes of an account.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn heads(&self, policy: &Policy) -> Result<Arc<Vec<PubsubHead>>, StanzaError> {
        let account = &policy.address;
        let (known, seen) = {
            let shelves = self.shard(account).lock();
            let shelf = shelves.known.get(account);
            (shelf.and_then(|shelf| shelf.heads.clone()), shelves.changes)
        };
        if let Some(heads) = known {
            return Ok(heads);
        }
        let limit = policy.limits.nodes.saturating_mul(2);
        let heads = Arc::new(self.repository.heads(account, limit).await?);
        self.keep_read(account, seen, |shelf| shelf.heads = Some(heads.clone()));
        Ok(heads)
    }

    /// A node.
    ///
    /// # Errors
    /// The store did not answer: that is not to say that there is none.
    pub async fn load(
        &self,
        policy: &Policy,
        name: &str,
    ) -> Result<Option<Arc<Node>>, StanzaError> {
        let service = &policy.address;
        let (known, seen) = {
            let shelves = self.shard(service).lock();
            let shelf = shelves.known.get(service);
            let node = shelf.and_then(|shelf| shelf.nodes.get(name).cloned());
            (node, shelves.changes)
        };
        if known.is_some() {
            return Ok(known);
        }
        let Some(stored) = self.repository.load(service, name).await? else {
            return Ok(None);
        };
        let node = Arc::new(Node::of(stored, policy));
        self.keep_read(service, seen, |shelf| shelf.keep(node.clone()));
        Ok(Some(node))
    }

    /// Stores what a rule did; the node from now on. Within the node's turn.
    ///
    /// # Errors
    /// `Conflict`: somebody else has changed it since, and it is to be looked at again. The store did not answer: nobody
    /// knows, and what is in memory is forgotten.
    pub async fn commit(&self, policy: &Policy, effect: &Effect) -> storage::Result<Arc<Node>> {
        let service = &policy.address;
        let Some(change) = &effect.change else {
            return Ok(Arc::new(effect.node.clone()));
        };
        let head = &effect.node.stored.head;
        match self.repository.store(service, head, change).await {
            Ok(version) => {
                let mut node = effect.node.clone();
                node.stored.head.version = version;
                let node = Arc::new(node);
                self.change(service, |shelf| shelf.keep(node.clone()));
                Ok(node)
            }
            Err(error) => {
                self.forget(service);
                Err(error)
            }
        }
    }

    /// Removes a node. Within its turn.
    ///
    /// # Errors
    /// As [`Nodes::commit`].
    pub async fn remove(&self, policy: &Policy, node: &Node) -> storage::Result<()> {
        let service = &policy.address;
        let removed = self.repository.remove(service, &node.stored).await;
        if removed.is_err() {
            self.forget(service);
            return removed;
        }
        self.change(service, |shelf| {
            shelf.nodes.remove(node.name());
            if let Some(heads) = &mut shelf.heads {
                Arc::make_mut(heads).retain(|head| head.node != node.name());
            }
        });
        Ok(())
    }

    /// These items of a node with their payloads, as far as they are still there.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn items(
        &self,
        policy: &Policy,
        node: &Node,
        wanted: &[PubsubItemHead],
    ) -> Result<Vec<PubsubItem>, StanzaError> {
        let (service, head) = (&policy.address, &node.stored.head);
        let last = head.last.as_ref();
        if let ([only], Some(last)) = (wanted, last)
            && only.sequence == last.head.sequence
        {
            return Ok(vec![last.clone()]);
        }
        if wanted.len() > FEW_ITEMS {
            let all = self.repository.items(service, head, usize::MAX).await?;
            let is_wanted = |item: &PubsubItem| {
                let place = wanted.binary_search_by_key(&item.head.sequence, |it| it.sequence);
                place.is_ok()
            };
            return Ok(all.into_iter().filter(is_wanted).collect());
        }
        let mut items = Vec::with_capacity(wanted.len());
        for item in wanted {
            items.extend(self.repository.item(service, head, &item.id).await?);
        }
        Ok(items)
    }

    /// What is known of an account or a service counts no longer.
    pub fn forget(&self, service: &BareJid) {
        let mut shelves = self.shard(service).lock();
        shelves.changes += 1;
        shelves.known.remove(service);
    }

    /// Forgets what this is not true of.
    pub fn retain(&self, keep: impl Fn(&BareJid) -> bool) {
        for shard in &self.shards {
            let mut shelves = shard.lock();
            shelves.changes += 1;
            shelves.known.retain(|service, _| keep(service));
            shelves.known.shrink_to_fit();
        }
    }
}

/// Whether somebody else was faster.
pub fn is_conflict(error: &storage::Error) -> bool {
    error.kind() == ErrorKind::Conflict
}
