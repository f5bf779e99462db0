//! Every command of the directory, every policy for conflicts, members and their fence, and that stale ones do nothing.

use proptest::prelude::*;

use super::*;
use crate::directory::member::Stage;

fn session(node: u64, number: u64) -> SessionRef {
    SessionRef {
        node: NodeId(node),
        number,
    }
}

/// A member with nothing particular.
pub(crate) fn member(node: u64) -> Arc<Member> {
    Arc::new(Member {
        node: NodeId(node),
        name: format!("n{node}").into(),
        links: vec!["127.0.0.1:1".into()],
        weight: 1,
        zone: "a".into(),
        protocol_min: 1,
        protocol_max: 1,
        version: "0".into(),
    })
}

/// A directory in which these are members.
pub(crate) fn with_members(nodes: &[u64]) -> DirState {
    let mut state = DirState::founded(1);
    for node in nodes {
        assert_eq!(state.apply(Command::NodeUp(member(*node))).0, Reply::Done);
    }
    state
}

fn bind(state: &mut DirState, resource: &str, session: SessionRef, conflict: Conflict) -> Bound {
    let command = Command::Bind {
        account: "a@x".into(),
        resource: resource.into(),
        alternative: format!("{resource}-2").into(),
        session,
        conflict,
        limit: 3,
    };
    match state.apply(command).0 {
        Reply::Bound(bound) => bound,
        other => panic!("{other:?}"),
    }
}

fn names(state: &DirState) -> Vec<String> {
    state
        .lookup("a@x")
        .map(|e| e.iter().map(|e| e.resource.to_string()).collect())
        .unwrap_or_default()
}

#[test]
fn conflict_policies() {
    let mut state = with_members(&[0, 1, 2]);
    assert_eq!(
        bind(&mut state, "r", session(1, 1), Conflict::Refuse),
        Bound::As {
            resource: "r".into(),
            replaced: None
        }
    );
    assert_eq!(
        bind(&mut state, "r", session(1, 2), Conflict::Refuse),
        Bound::Taken
    );
    assert_eq!(
        bind(&mut state, "r", session(1, 3), Conflict::Rename),
        Bound::As {
            resource: "r-2".into(),
            replaced: None
        }
    );
    assert_eq!(
        bind(&mut state, "r", session(1, 4), Conflict::Rename),
        Bound::Taken
    );
    assert_eq!(
        bind(&mut state, "r", session(1, 5), Conflict::Replace),
        Bound::As {
            resource: "r".into(),
            replaced: Some(session(1, 1))
        }
    );
    assert_eq!(names(&state), ["r-2", "r"]);
    assert!(matches!(
        bind(&mut state, "s", session(1, 6), Conflict::Refuse),
        Bound::As { .. }
    ));
    assert_eq!(
        bind(&mut state, "t", session(1, 7), Conflict::Refuse),
        Bound::TooMany
    );
    // A replacement needs no room.
    assert!(matches!(
        bind(&mut state, "s", session(1, 8), Conflict::Replace),
        Bound::As { .. }
    ));
}

#[test]
fn stale_changes_do_nothing() {
    let mut state = with_members(&[0, 1, 2]);
    bind(&mut state, "r", session(1, 1), Conflict::Replace);
    bind(&mut state, "r", session(1, 2), Conflict::Replace);
    let account: Arc<str> = "a@x".into();
    let before = state.lookup("a@x").cloned();
    for command in [
        Command::Unbind {
            account: account.clone(),
            session: session(1, 1),
        },
        Command::Update {
            account: account.clone(),
            session: session(1, 1),
            priority: Some(1),
            flags: 1,
        },
        Command::Relocate {
            account: account.clone(),
            from: session(1, 1),
            to: session(2, 1),
            changed: None,
        },
        Command::Unbind {
            account: "b@x".into(),
            session: session(1, 2),
        },
    ] {
        assert_eq!(state.apply(command).0, Reply::Stale);
    }
    assert_eq!(state.lookup("a@x").cloned(), before);
}

#[test]
fn a_node_goes_with_its_sessions() {
    let mut state = with_members(&[0, 1, 2]);
    bind(&mut state, "r", session(1, 1), Conflict::Replace);
    bind(&mut state, "s", session(2, 1), Conflict::Replace);
    let (_, events) = state.apply(Command::NodeDown(NodeId(1)));
    assert!(
        matches!(&events[..], [Event::Lost(account, entry)] if &**account == "a@x" && &*entry.resource == "r")
    );
    assert_eq!(names(&state), ["s"]);
    state.apply(Command::NodeDown(NodeId(2)));
    assert!(state.sessions.is_empty());
}

fn reassert(state: &mut DirState, node: u64, epoch: u64, entry: &Entry) -> (Reply, Vec<Event>) {
    state.apply(Command::Reassert {
        node: NodeId(node),
        epoch,
        entries: vec![("a@x".into(), entry.clone())],
    })
}

fn entry(session: SessionRef) -> Entry {
    Entry {
        session,
        resource: "r".into(),
        priority: Some(3),
        flags: 1,
    }
}

#[test]
fn reassertion_loses_to_a_later_bind() {
    let mut state = with_members(&[1, 2]);
    let epoch = state.members.epoch;
    let mine = entry(session(1, 1));
    let stands = (Reply::Reasserted(Vec::new()), Vec::new());
    assert_eq!(reassert(&mut state, 1, epoch, &mine), stands);
    assert_eq!(state.lookup("a@x").unwrap()[0], mine);
    bind(&mut state, "r", session(2, 9), Conflict::Replace);
    let lost = session(1, 1);
    assert_eq!(
        reassert(&mut state, 1, epoch, &mine),
        (Reply::Reasserted(vec![lost]), vec![Event::Ended(lost)])
    );
    // Nobody says what another holds.
    assert_eq!(
        reassert(&mut state, 2, epoch, &mine).0,
        Reply::Reasserted(vec![lost])
    );
}

#[test]
fn reassertion_names_an_epoch_of_this_directory() {
    let mut state = with_members(&[1, 2]);
    let (came, now) = (
        state.members.kept[&NodeId(2)].seat.since,
        state.members.epoch,
    );
    let mine = entry(session(2, 1));
    for (epoch, stands) in [
        (came - 1, false),
        (now + 1, false),
        (0, false),
        (came, true),
    ] {
        let reply = reassert(&mut state, 2, epoch, &mine).0;
        assert_eq!(reply != Reply::Stale, stands, "{epoch}");
    }
}

#[test]
fn a_repeated_bind_does_not_replace_itself() {
    let mut state = with_members(&[1]);
    for _ in 0..2 {
        let bound = bind(&mut state, "r", session(1, 1), Conflict::Replace);
        let resource = "r".into();
        assert_eq!(
            bound,
            Bound::As {
                resource,
                replaced: None
            }
        );
    }
}

#[test]
fn relocation_carries_what_changed() {
    for (changed, expected) in [(None, (None, 0)), (Some((Some(5), 9)), (Some(5), 9))] {
        let mut state = with_members(&[1, 2]);
        bind(&mut state, "r", session(1, 1), Conflict::Replace);
        let command = Command::Relocate {
            account: "a@x".into(),
            from: session(1, 1),
            to: session(2, 7),
            changed,
        };
        assert_eq!(state.apply(command.clone()).0, Reply::Done);
        let now = &state.lookup("a@x").unwrap()[0];
        assert_eq!(
            (now.session, (now.priority, now.flags)),
            (session(2, 7), expected)
        );
        assert_eq!(state.apply(command).0, Reply::Stale);
    }
}

/// Every command of a session.
fn of_session(me: SessionRef, epoch: u64) -> Vec<Command> {
    let account: Arc<str> = "a@x".into();
    vec![
        Command::Bind {
            account: account.clone(),
            resource: "q".into(),
            alternative: "q-2".into(),
            session: me,
            conflict: Conflict::Replace,
            limit: 9,
        },
        Command::Update {
            account: account.clone(),
            session: me,
            priority: Some(1),
            flags: 1,
        },
        Command::Relocate {
            account: account.clone(),
            from: session(1, 1),
            to: me,
            changed: None,
        },
        Command::Unbind {
            account: account.clone(),
            session: me,
        },
        Command::Reassert {
            node: me.node,
            epoch,
            entries: vec![(account, entry(me))],
        },
    ]
}

#[test]
fn who_is_no_member_changes_nothing() {
    let mut state = with_members(&[1, 2]);
    bind(&mut state, "r", session(1, 1), Conflict::Replace);
    state.apply(Command::NodeDown(NodeId(2)));
    let before = state.lookup("a@x").cloned();
    for (me, why) in [
        (session(2, 1), "declared down"),
        (session(3, 1), "never up"),
    ] {
        for command in of_session(me, state.members.epoch) {
            assert_eq!(state.apply(command), (Reply::Stale, Vec::new()), "{why}");
        }
    }
    assert_eq!(state.lookup("a@x").cloned(), before);
}

#[test]
fn members_come_and_go() {
    let (n, one) = (NodeId, || Command::NodeUp(member(1)));
    use Command::{NodeDown, NodeDraining, NodeReady};
    // The command, its reply, whether the epoch rises, the stage of node 1 behind it.
    let steps = [
        (NodeReady(n(1)), Reply::Stale, false, None),
        (NodeDown(n(1)), Reply::Stale, false, None),
        (one(), Reply::Done, true, Some(Stage::Up)),
        (one(), Reply::Done, false, Some(Stage::Up)),
        (NodeReady(n(1)), Reply::Done, true, Some(Stage::Ready)),
        (NodeReady(n(1)), Reply::Done, false, Some(Stage::Ready)),
        (NodeDraining(n(1)), Reply::Done, true, Some(Stage::Draining)),
        (NodeReady(n(1)), Reply::Stale, false, Some(Stage::Draining)),
        (one(), Reply::Done, false, Some(Stage::Draining)),
        (NodeDown(n(1)), Reply::Done, true, None),
        (NodeDown(n(1)), Reply::Stale, false, None),
        (one(), Reply::Stale, false, None),
    ];
    let mut state = DirState::founded(7);
    assert_eq!(state.members.view().generation(), 7);
    for (index, (command, reply, rises, stage)) in steps.into_iter().enumerate() {
        let before = state.members.epoch;
        assert_eq!(state.apply(command).0, reply, "step {index}");
        assert_eq!(
            state.members.epoch,
            before + u64::from(rises),
            "step {index}"
        );
        let view = state.members.view();
        assert_eq!(view.seat(n(1)).map(|s| s.stage), stage, "step {index}");
    }
}

#[test]
fn a_batch_is_applied_once() {
    let mut state = with_members(&[1]);
    let batch = |name: &str| {
        vec![Command::Bind {
            account: "a@x".into(),
            resource: name.into(),
            alternative: "".into(),
            session: session(1, name.len() as u64),
            conflict: Conflict::Refuse,
            limit: 9,
        }]
    };
    // Batches of a node arrive in order, but repeats may come late.
    for (number, name, new) in [
        (1, "a", true),
        (1, "aa", false),
        (3, "aaa", true),
        (2, "aaaa", false),
    ] {
        let applied = state.apply_batch(NodeId(1), number, batch(name));
        assert_eq!(applied.is_some(), new, "{number}");
    }
    assert_eq!(names(&state), ["a", "aaa"]);
}

proptest! {
    /// Whatever happens, a name under an account has at most one session and no session stands twice.
    #[test]
    fn one_owner_of_a_full_address(steps in prop::collection::vec((0u64..3, 0u64..4, 0usize..3, 0u8..6), 0..60)) {
        let mut state = with_members(&[0, 1, 2]);
        for (node, number, name, what) in steps {
            let account: Arc<str> = "a@x".into();
            let resource: Arc<str> = ["r", "s", "r-2"][name].into();
            let me = session(node, number);
            let known = state.lookup("a@x").is_some_and(|e| e.iter().any(|e| e.session == me));
            match what {
                0..=2 if !known && state.members.kept.contains_key(&NodeId(node)) => {
                    let conflict = [Conflict::Replace, Conflict::Refuse, Conflict::Rename][what as usize];
                    bind(&mut state, &resource, me, conflict);
                }
                3 => { state.apply(Command::Unbind { account, session: me }); }
                4 => {
                    let epoch = state.members.epoch;
                    let entries = vec![(account, Entry { session: me, resource, priority: None, flags: 0 })];
                    state.apply(Command::Reassert { node: NodeId(node), epoch, entries });
                 }
                5 => { state.apply(Command::NodeDown(NodeId(node))); }
                _ => {}
            }
            if let Some(entries) = state.lookup("a@x") {
                prop_assert!(!entries.is_empty());
                for (i, a) in entries.iter().enumerate() {
                    for b in &entries[i + 1..] {
                        prop_assert!(a.resource != b.resource && a.session != b.session);
                    }
                }
            }
        }
    }
}
