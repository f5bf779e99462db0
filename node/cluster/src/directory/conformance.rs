//! What every directory must do, over its nodes, as plain async functions.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Bound, Command, Conflict, Directory, Entry, Event, Notice, Reply, SessionRef, Stage,
    SubmitError, history::History,
};
use crate::NodeId;

/// A node's life and its directory.
pub(crate) type Node = (u64, Arc<dyn Directory>);

/// How long anything may take before a test says that it does not happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until all are members in the eyes of all, and take commands.
pub(crate) async fn settled(nodes: &[Node]) {
    until("all are members", || {
        nodes.iter().all(|(_, directory)| {
            let view = directory.view();
            let all = nodes.iter().all(|(n, _)| view.seat(NodeId(*n)).is_some());
            all && view.seats.len() == nodes.len() && !directory.status().fenced
        })
    })
    .await;
}

pub(crate) fn session(node: u64, number: u64) -> SessionRef {
    SessionRef {
        node: NodeId(node),
        number,
    }
}

pub(crate) fn bind(
    account: &str,
    resource: &str,
    session: SessionRef,
    conflict: Conflict,
) -> Command {
    Command::Bind {
        account: account.into(),
        resource: resource.into(),
        alternative: format!("{resource}-2").into(),
        session,
        conflict,
        limit: 4,
    }
}

/// What a node sees of an account: who has which name.
pub(crate) fn seen(directory: &dyn Directory, account: &str) -> Vec<(String, SessionRef)> {
    let entries = directory.lookup(account);
    let entries = entries.iter().flat_map(|e| e.iter());
    entries
        .map(|e| (e.resource.to_string(), e.session))
        .collect()
}

/// All of it: members that are ready at the end, with nothing left behind.
pub(crate) async fn all(nodes: &[Node]) {
    settled(nodes).await;
    stages(nodes).await;
    names(nodes).await;
    moves(nodes).await;
    reassertion(nodes).await;
    bounds(nodes).await;
}

async fn stages(nodes: &[Node]) {
    for (node, directory) in nodes {
        let before = directory.view().epoch;
        let ready = directory.submit(Command::NodeReady(NodeId(*node))).await;
        assert_eq!(ready, Ok(Reply::Done));
        let view = directory.view();
        assert!(view.epoch > before);
        assert_eq!(
            view.seat(NodeId(*node)).map(|s| s.stage),
            Some(Stage::Ready)
        );
    }
    let epoch = nodes.iter().map(|(_, d)| d.view().epoch).max();
    until("all have the same view", || {
        nodes.iter().all(|(_, d)| Some(d.view().epoch) == epoch)
    })
    .await;
    assert_eq!(nodes[0].1.view().ready().len(), nodes.len());
}

/// Who asks reads what it wrote; a name has one owner; who lost it is told, everywhere.
async fn names(nodes: &[Node]) {
    let mut events = nodes.last().expect("there are nodes").1.events();
    let mut owner = None;
    for (round, (node, directory)) in nodes.iter().enumerate() {
        let me = session(*node, 100);
        let refused = bind("names@x", "r", me, Conflict::Refuse);
        let reply = directory.submit(refused).await;
        let expected = match owner {
            None => Bound::As {
                resource: "r".into(),
                replaced: None,
            },
            Some(_) => Bound::Taken,
        };
        assert_eq!(reply, Ok(Reply::Bound(expected)), "round {round}");
        if owner.is_some() {
            let replace = bind("names@x", "r", me, Conflict::Replace);
            let reply = directory.submit(replace).await;
            let expected = Bound::As {
                resource: "r".into(),
                replaced: owner,
            };
            assert_eq!(reply, Ok(Reply::Bound(expected)));
        }
        assert_eq!(seen(&**directory, "names@x"), [("r".to_owned(), me)]);
        if let Some(lost) = owner.replace(me) {
            let told = ended(&mut events).await;
            assert_eq!(told, lost);
        }
    }
    let last = owner.expect("somebody has it");
    for (_, directory) in nodes {
        until("all see who has the name", || {
            seen(&**directory, "names@x") == [("r".to_owned(), last)]
        })
        .await;
    }
    let (node, directory) = nodes.last().expect("there are nodes");
    let unbind = |me| Command::Unbind {
        account: "names@x".into(),
        session: me,
    };
    assert_eq!(
        directory.submit(unbind(session(*node, 99))).await,
        Ok(Reply::Stale)
    );
    assert_eq!(directory.submit(unbind(last)).await, Ok(Reply::Done));
    assert_eq!(directory.lookup("names@x"), None);
}

async fn ended(events: &mut super::Events) -> SessionRef {
    loop {
        match events.next().await.expect("the directory is there") {
            Notice::Happened(happened) => {
                if let [Event::Ended(session)] = happened[..] {
                    return session;
                }
            }
            Notice::View(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn moves(nodes: &[Node]) {
    let (first, last) = (&nodes[0], &nodes[nodes.len() - 1]);
    let (from, to) = (session(first.0, 200), session(last.0, 201));
    let begin = bind("moves@x", "r", from, Conflict::Refuse);
    assert!(first.1.submit(begin).await.is_ok());
    let relocate = Command::Relocate {
        account: "moves@x".into(),
        from,
        to,
        changed: Some((Some(7), 3)),
    };
    assert_eq!(last.1.submit(relocate.clone()).await, Ok(Reply::Done));
    let entry = last.1.lookup("moves@x").expect("it is there")[0].clone();
    assert_eq!(
        (entry.session, entry.priority, entry.flags),
        (to, Some(7), 3)
    );
    assert_eq!(last.1.submit(relocate).await, Ok(Reply::Stale));
    // The old one has nothing to say any more.
    let update = |session, priority| Command::Update {
        account: "moves@x".into(),
        session,
        priority,
        flags: 0,
    };
    assert_eq!(first.1.submit(update(from, None)).await, Ok(Reply::Stale));
    assert_eq!(last.1.submit(update(to, Some(1))).await, Ok(Reply::Done));
    let done = Command::Unbind {
        account: "moves@x".into(),
        session: to,
    };
    assert_eq!(last.1.submit(done).await, Ok(Reply::Done));
}

async fn reassertion(nodes: &[Node]) {
    let (node, directory) = &nodes[0];
    let taken = session(nodes[nodes.len() - 1].0, 300);
    let bound = bind("again2@x", "r", taken, Conflict::Refuse);
    assert!(nodes[nodes.len() - 1].1.submit(bound).await.is_ok());
    let entries = (0..3).map(|n| {
        let entry = Entry {
            session: session(*node, 310 + n),
            resource: "r".into(),
            priority: Some(1),
            flags: 2,
        };
        (format!("again{n}@x").into(), entry)
    });
    let again = |epoch| Command::Reassert {
        node: NodeId(*node),
        epoch,
        entries: entries.clone().collect(),
    };
    let epoch = directory.view().epoch;
    for wrong in [0, epoch + 1_000] {
        assert_eq!(directory.submit(again(wrong)).await, Ok(Reply::Stale));
    }
    let lost = session(*node, 312);
    assert_eq!(
        directory.submit(again(epoch)).await,
        Ok(Reply::Reasserted(vec![lost]))
    );
    assert_eq!(
        seen(&**directory, "again1@x"),
        [("r".to_owned(), session(*node, 311))]
    );
    assert_eq!(seen(&**directory, "again2@x"), [("r".to_owned(), taken)]);
}

async fn bounds(nodes: &[Node]) {
    let (node, directory) = &nodes[0];
    let entry = Entry {
        session: session(*node, 1),
        resource: "r".into(),
        priority: None,
        flags: 0,
    };
    let many = Command::Reassert {
        node: NodeId(*node),
        epoch: 1,
        entries: vec![("a@x".into(), entry); super::REASSERT_MAX + 1],
    };
    assert_eq!(directory.submit(many).await, Err(SubmitError::TooLarge));
    // Who never was a member changes nothing.
    let stranger = bind("s@x", "r", session(u64::MAX, 1), Conflict::Refuse);
    assert_eq!(directory.submit(stranger).await, Ok(Reply::Stale));
    assert_eq!(directory.lookup("s@x"), None);
}

/// The last node is declared down by the first: its sessions go, its life is over, others are told.
pub(crate) async fn downfall(nodes: &[Node]) {
    let (gone, its) = nodes.last().expect("there are nodes");
    let (_, first) = &nodes[0];
    let mine = bind("down@x", "r", session(*gone, 400), Conflict::Refuse);
    assert!(its.submit(mine.clone()).await.is_ok());
    let mut events = its.events();
    let down = Command::NodeDown(NodeId(*gone));
    assert_eq!(first.submit(down).await, Ok(Reply::Done));
    assert_eq!(first.lookup("down@x"), None);
    assert!(first.view().seat(NodeId(*gone)).is_none());
    loop {
        match events.next().await {
            Some(Notice::Fallen) => break,
            Some(_) => {}
            None => panic!("it is not told"),
        }
    }
    assert_eq!(its.submit(mine).await, Err(SubmitError::Over));
    assert!(its.status().fallen);
    assert_eq!(first.lookup("down@x"), None);
}

/// Numbers from a seed.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // splitmix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// One node's clients, at few names: binds, unbinds, moves, updates, each noted.
pub(crate) async fn storm(node: Node, history: Arc<History>, seed: u64, changes: u64) {
    let (me, directory) = node;
    let mut dice = Dice(seed);
    for number in 0..changes {
        let account = format!("storm{}@x", dice.below(4));
        let resource = ["r", "s"][dice.below(2) as usize];
        let new = session(me, 1_000 + number);
        let seen = seen(&*directory, &account);
        let any = (!seen.is_empty()).then(|| seen[dice.below(seen.len() as u64) as usize].1);
        let conflict = [Conflict::Replace, Conflict::Refuse, Conflict::Rename];
        let account: Arc<str> = account.into();
        let command = match (dice.below(6), any) {
            (0 | 1, Some(session)) => Command::Unbind { account, session },
            (2, Some(from)) => Command::Relocate {
                account,
                from,
                to: new,
                changed: Some((Some(1), number as u16)),
            },
            (3, Some(session)) => Command::Update {
                account,
                session,
                priority: Some(2),
                flags: number as u16,
            },
            (n, _) => bind(&account, resource, new, conflict[n as usize % 3]),
        };
        history.submit(&*directory, command).await;
        sleep(Duration::from_millis(dice.below(40))).await;
    }
}
