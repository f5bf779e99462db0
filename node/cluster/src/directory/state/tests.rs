//! Every command of the directory, every policy for conflicts, and that stale ones do nothing.

use proptest::prelude::*;

use super::*;

fn session(node: u64, number: u64) -> SessionRef {
    SessionRef {
        node: NodeId(node),
        number,
    }
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
    let mut state = DirState::default();
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
    let mut state = DirState::default();
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
    let mut state = DirState::default();
    bind(&mut state, "r", session(1, 1), Conflict::Replace);
    bind(&mut state, "s", session(2, 1), Conflict::Replace);
    let (_, events) = state.apply(Command::NodeDown(NodeId(1)));
    assert!(
        matches!(&events[..], [Event::Lost(account, entry)] if &**account == "a@x" && &*entry.resource == "r")
    );
    assert_eq!(names(&state), ["s"]);
    state.apply(Command::NodeDown(NodeId(2)));
    assert!(state.is_empty());
}

#[test]
fn reassertion_loses_to_a_later_bind() {
    let mut state = DirState::default();
    let entry = Entry {
        session: session(1, 1),
        resource: "r".into(),
        priority: Some(3),
        flags: 1,
    };
    assert_eq!(
        state
            .apply(Command::Reassert {
                account: "a@x".into(),
                entry: entry.clone()
            })
            .0,
        Reply::Done
    );
    assert_eq!(state.lookup("a@x").unwrap()[0], entry);
    bind(&mut state, "r", session(2, 9), Conflict::Replace);
    let (reply, events) = state.apply(Command::Reassert {
        account: "a@x".into(),
        entry,
    });
    assert_eq!(
        (reply, events),
        (Reply::Stale, vec![Event::Ended(session(1, 1))])
    );
}

proptest! {
    /// Whatever happens, a name under an account has at most one session and no session stands twice.
    #[test]
    fn one_owner_of_a_full_address(steps in prop::collection::vec((0u64..3, 0u64..4, 0usize..3, 0u8..6), 0..60)) {
        let mut state = DirState::default();
        for (node, number, name, what) in steps {
            let account: Arc<str> = "a@x".into();
            let resource: Arc<str> = ["r", "s", "r-2"][name].into();
            let me = session(node, number);
            let known = state.lookup("a@x").is_some_and(|e| e.iter().any(|e| e.session == me));
            match what {
                0..=2 if !known => {
                    let conflict = [Conflict::Replace, Conflict::Refuse, Conflict::Rename][what as usize];
                    bind(&mut state, &resource, me, conflict);
                }
                3 => { state.apply(Command::Unbind { account, session: me }); }
                4 => { state.apply(Command::Reassert { account, entry: Entry { session: me, resource, priority: None, flags: 0 } }); }
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
