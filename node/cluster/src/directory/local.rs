//! The directory of a single node: the replica alone, changed at once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    Bound, Conflict, Directory, Entry, Event, Events, Replica, Reply, Role, SessionRef, Status,
    SubmitError, View, state::Command,
};

/// The directory of a single node.
///
/// Its own methods know no members: the only node is the one that asks. Through [`Directory`] the rules of members hold, as
/// everywhere.
#[derive(Debug, Default)]
pub struct Local {
    replica: Replica,
}

impl Local {
    /// The sessions of an account.
    pub fn lookup(&self, account: &str) -> Option<Arc<[Entry]>> {
        self.replica.lookup(account)
    }

    /// Takes a name for a session. `alternative` is the name to take under [`Conflict::Rename`].
    pub fn bind(
        &self,
        account: &str,
        resource: &str,
        alternative: &str,
        session: SessionRef,
        conflict: Conflict,
        limit: usize,
    ) -> Bound {
        let command = Command::Bind {
            account: account.into(),
            resource: resource.into(),
            alternative: alternative.into(),
            session,
            conflict,
            limit,
        };
        match self.change(account, command) {
            Reply::Bound(bound) => bound,
            _ => unreachable!("a bind is answered by its outcome"),
        }
    }

    /// Changes what others must know of a session; whether it is still there.
    pub fn update(
        &self,
        account: &str,
        session: SessionRef,
        priority: Option<i8>,
        flags: u16,
    ) -> bool {
        let command = Command::Update {
            account: account.into(),
            session,
            priority,
            flags,
        };
        self.change(account, command) == Reply::Done
    }

    /// Removes a session; whether it was still there.
    pub fn unbind(&self, account: &str, session: SessionRef) -> bool {
        let command = Command::Unbind {
            account: account.into(),
            session,
        };
        self.change(account, command) == Reply::Done
    }

    /// Takes in a session that was bound elsewhere; false: its name is taken here.
    pub fn take_in(&self, account: &str, entry: Entry) -> bool {
        let shard = self.replica.shard(account);
        shard.write().reassert(account.into(), entry)
    }

    /// Applies a change of a session to the shard of its account.
    fn change(&self, account: &str, command: Command) -> Reply {
        self.replica.shard(account).write().apply(command).0
    }

    /// Applies any command, as the rules of members have it.
    pub fn apply(&self, command: Command) -> (Reply, Vec<Event>) {
        self.replica.apply(command)
    }

    /// How many accounts have sessions.
    pub fn accounts(&self) -> usize {
        self.replica.accounts()
    }

    /// Calls `visit` for every account with its sessions, shard by shard; each shard as it was at one moment.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<str>, &Arc<[Entry]>)) {
        for shard in self.replica.shards() {
            let snapshot: Vec<_> = shard
                .read()
                .iter()
                .map(|(a, e)| (a.clone(), e.clone()))
                .collect();
            for (account, entries) in &snapshot {
                visit(account, entries);
            }
        }
    }
}

#[async_trait]
impl Directory for Local {
    fn lookup(&self, account: &str) -> Option<Arc<[Entry]>> {
        self.replica.lookup(account)
    }

    fn view(&self) -> Arc<View> {
        self.replica.view()
    }

    async fn submit(&self, command: Command) -> Result<Reply, SubmitError> {
        super::check(&command)?;
        Ok(self.replica.apply(command).0)
    }

    fn events(&self) -> Events {
        self.replica.hub().listen()
    }

    fn status(&self) -> Status {
        Status {
            role: Role::Alone,
            leader: None,
            generation: self.replica.view().generation(),
            lag: 0,
            silence: Duration::ZERO,
            fenced: false,
            fallen: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        NodeId,
        directory::{conformance, state::tests::member},
    };

    #[tokio::test]
    async fn it_conforms() {
        let local = Arc::new(Local::default());
        local.apply(Command::NodeUp(member(7)));
        conformance::all(&[(7, local.clone())]).await;
        assert_eq!(local.apply(Command::NodeDown(NodeId(7))).0, Reply::Done);
        assert_eq!(local.accounts(), 0);
    }
}
