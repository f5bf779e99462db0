//! Is a history of concurrent changes one that the state machine could have had? Wing and Gong's search, with memory.
//!
//! Accounts do not touch each other, so each is searched alone (Herlihy and Wing: linearizability is local).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{Bound, Command, DirState, Directory, Entry, Reply, SessionRef, SubmitError};
use crate::{NodeId, directory::state::tests::with_members};

/// How many changes of one account are searched at most: the bits of a set of them.
const MOST: usize = 128;

/// A change, when it was asked for and answered (in steps of the history), and the answer.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub command: Command,
    pub begun: u64,
    /// `None`: no answer, so it may have been done at any time since, or never.
    pub ended: Option<(u64, Reply)>,
}

/// What was done, from all nodes.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<(u64, Vec<Call>)>);

fn account(command: &Command) -> Arc<str> {
    match command {
        Command::Bind { account, .. }
        | Command::Update { account, .. }
        | Command::Relocate { account, .. }
        | Command::Unbind { account, .. } => account.clone(),
        other => panic!("{other:?} has no account"),
    }
}

impl History {
    fn step(&self) -> u64 {
        let mut kept = self.0.lock();
        kept.0 += 1;
        kept.0
    }

    /// Has a change done and notes it; the reply, if there is one.
    pub(crate) async fn submit(&self, to: &dyn Directory, command: Command) -> Option<Reply> {
        let begun = self.step();
        let result = to.submit(command.clone()).await;
        let at = self.step();
        let ended = match result {
            Ok(reply) => Some((at, reply)),
            Err(SubmitError::Unknown) => None,
            // Nothing was done.
            Err(_) => return None,
        };
        let reply = ended.as_ref().map(|e| e.1.clone());
        let call = Call {
            command,
            begun,
            ended,
        };
        self.0.lock().1.push(call);
        reply
    }

    /// Adds a call as it was, for histories that are made up.
    pub(crate) fn put(&self, call: Call) {
        self.0.lock().1.push(call);
    }

    /// How many have an answer, and how many have none.
    pub(crate) fn count(&self) -> (usize, usize) {
        let kept = self.0.lock();
        let answered = kept.1.iter().filter(|c| c.ended.is_some()).count();
        (answered, kept.1.len() - answered)
    }

    /// The account whose calls have no order that explains all answers and ends in what `finally` has of it.
    pub(crate) fn contradiction(
        &self,
        nodes: &[u64],
        finally: impl Fn(&str) -> Option<Arc<[Entry]>>,
    ) -> Option<Arc<str>> {
        let mut accounts: BTreeMap<Arc<str>, Vec<Call>> = BTreeMap::new();
        for call in &self.0.lock().1 {
            accounts
                .entry(account(&call.command))
                .or_default()
                .push(call.clone());
        }
        let explained = |name: &str, calls: Vec<Call>| {
            assert!(
                calls.len() <= MOST,
                "{} changes of one account",
                calls.len()
            );
            let end = finally(name).map(|e| e.to_vec()).unwrap_or_default();
            let mut search = Search {
                calls,
                account: name.into(),
                end,
                seen: HashSet::new(),
            };
            search.explains(&with_members(nodes), 0)
        };
        let mut wrong = accounts
            .into_iter()
            .filter(|(n, c)| !explained(n, c.clone()));
        wrong.next().map(|(name, _)| name)
    }
}

type Key = Vec<(SessionRef, Arc<str>, Option<i8>, u16)>;

struct Search {
    calls: Vec<Call>,
    account: Arc<str>,
    end: Vec<Entry>,
    seen: HashSet<(u128, Key)>,
}

impl Search {
    fn key(&self, state: &DirState) -> Key {
        let entries = state.lookup(&self.account).map(|e| e.to_vec());
        let entries = entries.unwrap_or_default().into_iter();
        entries
            .map(|e| (e.session, e.resource, e.priority, e.flags))
            .collect()
    }

    /// Whether what is not in `done` can follow `state`.
    fn explains(&mut self, state: &DirState, done: u128) -> bool {
        let open = |index: &usize| done & (1 << index) == 0;
        let left: Vec<usize> = (0..self.calls.len()).filter(open).collect();
        // What has no answer may stay undone.
        let answered = left.iter().any(|i| self.calls[*i].ended.is_some());
        let now = state.lookup(&self.account).map(|e| e.to_vec());
        if !answered && now.unwrap_or_default() == self.end {
            return true;
        }
        if !self.seen.insert((done, self.key(state))) {
            return false;
        }
        // Whoever was answered first bounds who may come first.
        let ends = left.iter().filter_map(|i| self.calls[*i].ended.as_ref());
        let first_end = ends.map(|e| e.0).min().unwrap_or(u64::MAX);
        for index in left {
            let call = self.calls[index].clone();
            if call.begun > first_end {
                continue;
            }
            let mut next = state.clone();
            let reply = next.apply(call.command).0;
            if call.ended.is_some_and(|(_, said)| said != reply) {
                continue;
            }
            if self.explains(&next, done | (1 << index)) {
                return true;
            }
        }
        false
    }
}

fn bind(node: u64, number: u64) -> Command {
    Command::Bind {
        account: "a@x".into(),
        resource: "r".into(),
        alternative: "q".into(),
        session: SessionRef {
            node: NodeId(node),
            number,
        },
        conflict: super::Conflict::Refuse,
        limit: 9,
    }
}

fn bound() -> Reply {
    Reply::Bound(Bound::As {
        resource: "r".into(),
        replaced: None,
    })
}

/// Node, when it was asked, when it was answered and how.
type Made = (u64, u64, Option<(u64, Reply)>);

/// Whether this made-up history is found right.
#[track_caller]
fn check(calls: &[Made], held_by: Option<u64>, right: bool) {
    let history = History::default();
    for (node, begun, ended) in calls {
        history.put(Call {
            command: bind(*node, 1),
            begun: *begun,
            ended: ended.clone(),
        });
    }
    let entry = held_by.map(|node| Entry {
        session: SessionRef {
            node: NodeId(node),
            number: 1,
        },
        resource: "r".into(),
        priority: None,
        flags: 0,
    });
    let finally = |_: &str| entry.clone().map(|e| [e].into());
    assert_eq!(history.contradiction(&[1, 2], finally).is_none(), right);
}

#[test]
fn the_search_knows_right_from_wrong() {
    let taken = || Reply::Bound(Bound::Taken);
    // One after the other.
    check(
        &[(1, 1, Some((2, bound()))), (2, 3, Some((4, taken())))],
        Some(1),
        true,
    );
    // The later one cannot have come first.
    check(
        &[(1, 1, Some((2, taken()))), (2, 3, Some((4, bound())))],
        Some(2),
        false,
    );
    // At once: either way.
    check(
        &[(1, 1, Some((3, taken()))), (2, 2, Some((4, bound())))],
        Some(2),
        true,
    );
    // Two owners: what a directory without order does.
    check(
        &[(1, 1, Some((3, bound()))), (2, 2, Some((4, bound())))],
        Some(2),
        false,
    );
    // What was acknowledged is gone.
    check(&[(1, 1, Some((2, bound())))], None, false);
    // Without an answer it may have been done, or not.
    check(&[(1, 1, None), (2, 2, Some((4, taken())))], Some(1), true);
    check(&[(1, 1, None), (2, 2, Some((4, bound())))], Some(2), true);
    check(&[(1, 1, None), (2, 2, Some((4, bound())))], Some(1), false);
}
