//! The sessions of accounts: what each change does, given that its node may make it.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Command, Event, Reply};
use crate::{
    NodeId,
    directory::{Bound, Conflict, Entry, SessionRef},
};

fn done(done: bool) -> Reply {
    if done { Reply::Done } else { Reply::Stale }
}

/// The sessions of all accounts.
#[derive(Debug, Default, Clone)]
pub struct Sessions {
    accounts: HashMap<Arc<str>, Arc<[Entry]>, foldhash::fast::RandomState>,
}

impl Sessions {
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

    /// Puts the sessions of an account, as a snapshot has them.
    pub fn put(&mut self, account: Arc<str>, entries: Arc<[Entry]>) {
        self.accounts.insert(account, entries);
    }

    /// Forgets an account.
    pub fn remove(&mut self, account: &str) {
        self.accounts.remove(account);
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> impl Iterator<Item = (Arc<str>, Arc<[Entry]>)> {
        std::mem::take(&mut self.accounts).into_iter()
    }

    /// All accounts with their sessions.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<[Entry]>)> {
        self.accounts.iter()
    }

    /// Applies a change of one session. What is no such change does nothing and is [`Reply::Stale`].
    pub fn apply(&mut self, command: Command) -> (Reply, Option<Event>) {
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
                (done(changed), None)
            }
            Command::Relocate {
                account,
                from,
                to,
                changed,
            } => {
                let done_it = self.edit(&account, from, |entry| {
                    entry.session = to;
                    if let Some((priority, flags)) = changed {
                        (entry.priority, entry.flags) = (priority, flags);
                    }
                });
                (done(done_it), None)
            }
            Command::Unbind { account, session } => (done(self.unbind(account, session)), None),
            _ => (Reply::Stale, None),
        }
    }

    fn unbind(&mut self, account: Arc<str>, session: SessionRef) -> bool {
        let Some(entries) = self.accounts.get(&account) else {
            return false;
        };
        if !entries.iter().any(|e| e.session == session) {
            return false;
        }
        let rest = entries
            .iter()
            .filter(|e| e.session != session)
            .cloned()
            .collect();
        self.set(account, rest);
        true
    }

    fn bind(
        &mut self,
        account: Arc<str>,
        resource: Arc<str>,
        alternative: Arc<str>,
        session: SessionRef,
        conflict: Conflict,
        limit: usize,
    ) -> (Reply, Option<Event>) {
        let mut entries = self.entries(&account);
        if let Some(same) = entries.iter().find(|e| e.session == session) {
            // Numbers are never used twice, so this is a repeat: it must not replace itself.
            let resource = same.resource.clone();
            return (
                Reply::Bound(Bound::As {
                    resource,
                    replaced: None,
                }),
                None,
            );
        }
        let taken = entries.iter().position(|e| e.resource == resource);
        let (resource, replaced) = match (taken, conflict) {
            (None, _) => (resource, None),
            (Some(_), Conflict::Refuse) => return (Reply::Bound(Bound::Taken), None),
            (Some(index), Conflict::Replace) => (resource, Some(entries.remove(index).session)),
            (Some(_), Conflict::Rename) if entries.iter().any(|e| e.resource == alternative) => {
                return (Reply::Bound(Bound::Taken), None);
            }
            (Some(_), Conflict::Rename) => (alternative, None),
        };
        if entries.len() >= limit {
            return (Reply::Bound(Bound::TooMany), None);
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
            replaced.map(Event::Ended),
        )
    }

    fn entries(&self, account: &str) -> Vec<Entry> {
        let entries = self.accounts.get(account);
        entries.map(|e| e.to_vec()).unwrap_or_default()
    }

    /// Puts an entry as its node has it; whether it stands. Whoever took the name or all room meanwhile keeps it.
    pub fn reassert(&mut self, account: Arc<str>, entry: Entry) -> bool {
        let mut entries = self.entries(&account);
        if let Some(same) = entries.iter_mut().find(|e| e.session == entry.session) {
            // A session never changes its name.
            (same.priority, same.flags) = (entry.priority, entry.flags);
        } else if entries.iter().any(|e| e.resource == entry.resource) {
            return false;
        } else {
            entries.push(entry);
        }
        self.set(account, entries);
        true
    }

    /// Removes the sessions of a node and tells which they were.
    pub fn node_down(&mut self, node: NodeId) -> Vec<Event> {
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
