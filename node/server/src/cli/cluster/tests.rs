//! What the command makes of what a node tells of a member that leaves.

use super::*;
use crate::{
    membership::status::{Leaving, Phase, Step},
    status::samples::{facts, three},
};

fn leaving(step: Step, left: usize) -> Option<Facts> {
    let mut cluster = three();
    cluster.phase = Phase::Leaving;
    cluster.members[0].state = "draining".into();
    cluster.leaving = Some(Leaving {
        step,
        accounts: 10,
        left,
        elapsed_ms: 1_500,
        given_up: 0,
    });
    Some(facts(Some(cluster)))
}

/// Takes in all of it; the exit code, if it has ended with the last.
#[track_caller]
fn check(node: usize, seen: &[Option<Facts>], expected: Option<u8>) {
    let node = &three().members[node].node;
    let mut watch = Watch::new(node);
    let (last, before) = seen.split_last().unwrap();
    for seen in before {
        assert!(watch.take(seen.clone()).is_none());
    }
    let code = watch.take(last.clone());
    let code = code.map(|ended| ended.map_or_else(|failure| failure.code, |()| 0));
    assert_eq!(code, expected);
}

#[test]
fn a_member_has_left_when_it_says_so_or_is_no_member() {
    let (told, last) = (leaving(Step::Told, 10), leaving(Step::SigningOff, 0));
    check(0, &[told.clone(), leaving(Step::HandingOver, 3)], None);
    check(0, &[told.clone(), leaving(Step::Gone, 0)], Some(0));
    check(0, &[told.clone(), last.clone(), None], Some(0));
    // Alone from the next look on, or in its next life.
    check(0, &[told.clone(), last, Some(facts(None))], Some(0));
    let mut next = three();
    next.node = "00000000000000ff".into();
    next.members[0].node = next.node.clone();
    check(0, &[told, Some(facts(Some(next)))], Some(0));
}

#[test]
fn who_vanishes_before_the_end_has_not_left() {
    for seen in [
        leaving(Step::Told, 10),
        leaving(Step::HandingOver, 0),
        leaving(Step::Closing, 1),
    ] {
        check(0, &[seen, None], Some(FAILED));
    }
    check(0, &[None], Some(FAILED));
}

#[test]
fn another_member_is_seen_by_its_state() {
    let (staying, mut draining, mut gone) = (three(), three(), three());
    draining.members[1].state = "draining".into();
    gone.members.remove(1);
    let [staying, draining, gone] = [staying, draining, gone].map(|it| Some(facts(Some(it))));
    check(1, &[draining.clone(), draining.clone()], None);
    check(1, &[draining.clone(), gone], Some(0));
    check(1, &[draining.clone(), staying], Some(FAILED));
    check(1, &[draining, None], Some(FAILED));
}

#[test]
fn refusals_have_their_exit_codes() {
    for (why, code) in [
        (Why::Alone, ALONE),
        (Why::Absent, REFUSED),
        (Why::Invalid, REFUSED),
        (Why::Busy, REFUSED),
        (Why::Elsewhere, REFUSED),
        (Why::Store, FAILED),
        (Why::NotRunning, FAILED),
    ] {
        assert_eq!(refusal(why, "no").code, code);
    }
    assert_eq!(status(&facts(None), false).map_err(|it| it.code), Ok(()));
    let mut ill = three();
    ill.phase = Phase::Fenced;
    let ill = facts(Some(ill));
    assert_eq!(status(&ill, true).map_err(|it| it.code), Err(ILL));
}
