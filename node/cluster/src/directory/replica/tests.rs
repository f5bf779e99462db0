//! The sharded replica does what the state machine does.

use proptest::prelude::*;

use super::*;
use crate::directory::{Conflict, DirState, SessionRef, state::tests::member};

/// Any command over few nodes, accounts and names.
pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let numbers = (0u64..4, 0u64..4, 0usize..6, 0usize..3, 0u8..16);
    (numbers, 0u64..8).prop_map(|((node, number, account, name, what), epoch)| {
        let account: Arc<str> = format!("a{account}@x").into();
        let resource: Arc<str> = ["r", "s", "r-2"][name].into();
        let session = SessionRef {
            node: NodeId(node),
            number,
        };
        let entry = Entry {
            session,
            resource: resource.clone(),
            priority: Some(1),
            flags: 2,
        };
        match what {
            0..=5 => Command::Bind {
                account,
                resource,
                alternative: "r-2".into(),
                session,
                conflict: [Conflict::Replace, Conflict::Refuse, Conflict::Rename]
                    [what as usize % 3],
                limit: 3,
            },
            6 => Command::Update {
                account,
                session,
                priority: Some(3),
                flags: 4,
            },
            7 => Command::Relocate {
                account,
                from: session,
                to: SessionRef {
                    node: NodeId((node + 1) % 4),
                    number: number + 10,
                },
                changed: (number > 1).then_some((None, 7)),
            },
            8 | 9 => Command::Unbind { account, session },
            10 => Command::Reassert {
                node: NodeId(node),
                epoch: (1 << 32) + epoch,
                entries: vec![(account, entry)],
            },
            11 => Command::NodeDown(NodeId(node)),
            12 => Command::NodeReady(NodeId(node)),
            13 => Command::NodeDraining(NodeId(node)),
            _ => Command::NodeUp(member(node)),
        }
    })
}

/// Members and accounts, in order.
pub(crate) type Contents = (Members, Vec<(Arc<str>, Arc<[Entry]>)>);

/// What a directory holds, comparably.
pub(crate) fn contents(frozen: &Frozen) -> Contents {
    let mut accounts = frozen.accounts.clone();
    accounts.sort_by(|a, b| a.0.cmp(&b.0));
    (frozen.members.clone(), accounts)
}

proptest! {
    #[test]
    fn a_replica_is_the_state_machine(batches in prop::collection::vec((0u64..4, 0u64..30, prop::collection::vec(any_command(), 0..4)), 0..60)) {
        let mut state = DirState::founded(1);
        let replica = Replica::default();
        replica.replace(Frozen { members: Members::founded(1), accounts: Vec::new() });
        for (origin, number, commands) in batches {
            let expected = state.apply_batch(NodeId(origin), number, commands.clone());
            let expected = expected.map(|r| r.into_iter().map(|(reply, _)| reply).collect::<Vec<_>>());
            prop_assert_eq!(replica.apply_batch(NodeId(origin), number, commands), expected);
        }
        let accounts = state.sessions.iter().map(|(a, e)| (a.clone(), e.clone())).collect();
        let expected = Frozen { members: state.members.clone(), accounts };
        prop_assert_eq!(contents(&replica.freeze()), contents(&expected));
        // And so is what was made of a frozen one.
        let other = Replica::default();
        other.replace(replica.freeze());
        prop_assert_eq!(contents(&other.freeze()), contents(&expected));
        prop_assert_eq!(other.view(), replica.view());
    }
}

#[test]
fn look_ups_go_on_from_the_generation_before() {
    let replica = Replica::default();
    replica.begin(1);
    replica.apply(Command::NodeUp(member(1)));
    let session = |number| SessionRef {
        node: NodeId(1),
        number,
    };
    let bind = |account: &str, number| Command::Bind {
        account: account.into(),
        resource: "r".into(),
        alternative: "s".into(),
        session: session(number),
        conflict: Conflict::Refuse,
        limit: 9,
    };
    for (number, account) in ["a@x", "b@x", "c@x"].into_iter().enumerate() {
        replica.apply(bind(account, number as u64));
    }
    replica.begin(2);
    let there = |account| replica.lookup(account).is_some();
    assert!(there("a@x") && there("b@x") && there("c@x"));
    assert_eq!(replica.accounts(), 0);
    replica.apply(Command::NodeUp(member(1)));
    // What is said in the new one counts, also that something ended.
    replica.apply(bind("a@x", 7));
    let account = "b@x".into();
    replica.apply(Command::Unbind {
        account,
        session: session(1),
    });
    assert_eq!(replica.lookup("a@x").unwrap()[0].session, session(7));
    assert!(!there("b@x") && there("c@x"));
    replica.forget_before();
    assert!(there("a@x") && !there("c@x"));
}
