//! DirState: the directory as a pure state machine, and the oracle of every implementation's tests.
//!
//! Each change names the session it expects; a stale one does nothing.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Bound, Conflict, Entry, SessionRef};
use crate::NodeId;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A session takes a name under an account.
    Bind {
        /// The account.
        account: Arc<str>,
        /// The name asked for.
        resource: Arc<str>,
        /// The name to take instead under [`Conflict::Rename`].
        alternative: Arc<str>,
        /// Who.
        session: SessionRef,
        /// What to do if the name is taken.
        conflict: Conflict,
        /// How many sessions the account may have.
        limit: usize,
    },
    /// A session's priority or flags changed.
    Update {
        /// The account.
        account: Arc<str>,
        /// Who.
        session: SessionRef,
        /// Priority while available.
        priority: Option<i8>,
        /// The caller's bits.
        flags: u16,
    },
    /// A session goes on elsewhere.
    Relocate {
        /// The account.
        account: Arc<str>,
        /// Who it was.
        from: SessionRef,
        /// Who it is.
        to: SessionRef,
    },
    /// A session ended.
    Unbind {
        /// The account.
        account: Arc<str>,
        /// Who.
        session: SessionRef,
    },
    /// A node says again what it holds: the entry is put where nobody else took the name meanwhile.
    Reassert {
        /// The account.
        account: Arc<str>,
        /// The entry as the node has it.
        entry: Entry,
    },
    /// A node is gone with all its sessions.
    NodeDown(NodeId),
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Done,
    /// To a bind.
    Bound(Bound),
    /// The session named is not the one that is there.
    Stale,
}

/// What others must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This session lost its name to another and must end.
    Ended(SessionRef),
    /// This account lost a session with its node.
    Lost(Arc<str>, Entry),
}

/// The sessions of all accounts.
#[derive(Debug, Default, Clone)]
pub struct DirState {
    accounts: HashMap<Arc<str>, Arc<[Entry]>, foldhash::fast::RandomState>,
}

impl DirState {
    /// The sessions of an account; empty if there are none.
    pub fn lookup(&self, account: &str) -> Option<&Arc<[Entry]>> {
        self.accounts.get(account)
    }

    /// How many accounts have sessions.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// All accounts with their sessions.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[Entry]>)> {
        self.accounts.iter()
    }

    /// Applies a change.
    pub fn apply(&mut self, command: Command) -> (Reply, Vec<Event>) {
        match command {
            Command::Bind {
                account,
                resource,
                alternative,
                session,
                conflict,
                limit,
            } => self.bind(account, resource, alternative, session, conflict, limit),
            Command::Update {
                account,
                session,
                priority,
                flags,
            } => {
                let changed = self.edit(&account, session, |entry| {
                    entry.priority = priority;
                    entry.flags = flags;
                });
                (if changed { Reply::Done } else { Reply::Stale }, Vec::new())
            }
            Command::Relocate { account, from, to } => {
                let changed = self.edit(&account, from, |entry| entry.session = to);
                (if changed { Reply::Done } else { Reply::Stale }, Vec::new())
            }
            Command::Unbind { account, session } => {
                let Some(entries) = self.accounts.get(&account) else {
                    return (Reply::Stale, Vec::new());
                };
                if !entries.iter().any(|e| e.session == session) {
                    return (Reply::Stale, Vec::new());
                }
                let rest = entries
                    .iter()
                    .filter(|e| e.session != session)
                    .cloned()
                    .collect();
                self.set(account, rest);
                (Reply::Done, Vec::new())
            }
            Command::Reassert { account, entry } => self.reassert(account, entry),
            Command::NodeDown(node) => (Reply::Done, self.node_down(node)),
        }
    }

    fn bind(
        &mut self,
        account: Arc<str>,
        resource: Arc<str>,
        alternative: Arc<str>,
        session: SessionRef,
        conflict: Conflict,
        limit: usize,
    ) -> (Reply, Vec<Event>) {
        let mut entries: Vec<Entry> = self
            .accounts
            .get(&account)
            .map(|e| e.to_vec())
            .unwrap_or_default();
        let taken = entries.iter().position(|e| e.resource == resource);
        let (resource, replaced) = match (taken, conflict) {
            (None, _) => (resource, None),
            (Some(_), Conflict::Refuse) => return (Reply::Bound(Bound::Taken), Vec::new()),
            (Some(index), Conflict::Replace) => (resource, Some(entries.remove(index).session)),
            (Some(_), Conflict::Rename) if entries.iter().any(|e| e.resource == alternative) => {
                return (Reply::Bound(Bound::Taken), Vec::new());
            }
            (Some(_), Conflict::Rename) => (alternative, None),
        };
        if entries.len() >= limit {
            return (Reply::Bound(Bound::TooMany), Vec::new());
        }
        entries.push(Entry {
            session,
            resource: resource.clone(),
            priority: None,
            flags: 0,
        });
        self.set(account, entries);
        (
            Reply::Bound(Bound::As { resource, replaced }),
            replaced.map(Event::Ended).into_iter().collect(),
        )
    }

    fn reassert(&mut self, account: Arc<str>, entry: Entry) -> (Reply, Vec<Event>) {
        let mut entries: Vec<Entry> = self
            .accounts
            .get(&account)
            .map(|e| e.to_vec())
            .unwrap_or_default();
        if let Some(same) = entries.iter_mut().find(|e| e.session == entry.session) {
            // A session never changes its name.
            (same.priority, same.flags) = (entry.priority, entry.flags);
        } else if entries.iter().any(|e| e.resource == entry.resource) {
            // Somebody took the name while this node was not heard: the later bind stands.
            return (Reply::Stale, vec![Event::Ended(entry.session)]);
        } else {
            entries.push(entry);
        }
        self.set(account, entries);
        (Reply::Done, Vec::new())
    }

    fn node_down(&mut self, node: NodeId) -> Vec<Event> {
        let mut events = Vec::new();
        self.accounts.retain(|account, entries| {
            let (gone, rest): (Vec<_>, Vec<_>) = entries
                .iter()
                .cloned()
                .partition(|e| e.session.node == node);
            if gone.is_empty() {
                return true;
            }
            events.extend(
                gone.into_iter()
                    .map(|entry| Event::Lost(account.clone(), entry)),
            );
            *entries = rest.into();
            !entries.is_empty()
        });
        events
    }

    fn edit(
        &mut self,
        account: &Arc<str>,
        session: SessionRef,
        change: impl FnOnce(&mut Entry),
    ) -> bool {
        let Some(entries) = self.accounts.get_mut(account) else {
            return false;
        };
        let Some(index) = entries.iter().position(|e| e.session == session) else {
            return false;
        };
        // Readers hold the old list; they never see half a change.
        change(&mut Arc::make_mut(entries)[index]);
        true
    }

    fn set(&mut self, account: Arc<str>, entries: Vec<Entry>) {
        if entries.is_empty() {
            self.accounts.remove(&account);
            if self.accounts.capacity() > 1024 && self.accounts.len() * 4 < self.accounts.capacity()
            {
                self.accounts.shrink_to_fit();
            }
        } else {
            self.accounts.insert(account, entries.into());
        }
    }
}

#[cfg(test)]
mod tests;
