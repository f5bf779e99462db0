//! Who is declared down: a rule over what the leader and the others reach. Pure.
//!
//! A member goes when the leader cannot reach it, because then it gets no log and is of no use, or when more than half of the
//! other members cannot. One member that reaches nobody proves nothing of the others: its word alone never suffices.
//!
//! It does not flap, because it has no way back: who was declared down is down for good and comes again only as a new life,
//! which must be let in by the leader, get all of the state and only then becomes a member. One-way trouble between two
//! members other than the leader changes nothing. What is reported counts for [`FRESH`] only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::NodeId;

/// How long a report counts.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// Who of `members` is to be declared down, as `leader` sees it; `mine` are those that it cannot reach, `reports` what the
/// others cannot. A leader that is itself cut off has no quorum to declare anything with.
pub(super) fn down(
    members: &BTreeSet<NodeId>,
    leader: NodeId,
    mine: &BTreeSet<NodeId>,
    reports: &BTreeMap<NodeId, BTreeSet<NodeId>>,
) -> Vec<NodeId> {
    let others = members.iter().copied().filter(|m| *m != leader);
    let condemned = |suspect: &NodeId| {
        if mine.contains(suspect) {
            return true;
        }
        // Who cannot be reached by the leader does not report to it either.
        let judges = members
            .iter()
            .filter(|m| **m != leader && *m != suspect && !mine.contains(m));
        let (mut all, mut against) = (0, 0);
        for judge in judges {
            all += 1;
            against += usize::from(reports.get(judge).is_some_and(|r| r.contains(suspect)));
        }
        // Of one or two judges nobody can say which side is broken.
        all > 2 && against * 2 > all
    };
    others.filter(condemned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    #[track_caller]
    fn check(count: u64, mine: &[u64], reports: &[(u64, &[u64])], expected: &[u64]) {
        let members = (1..=count).map(NodeId).collect();
        let reports = reports.iter().map(|(n, r)| (NodeId(*n), set(r))).collect();
        let got = down(&members, NodeId(1), &set(mine), &reports);
        assert_eq!(got, set(expected).into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_leader_or_most_of_the_others() {
        check(3, &[], &[], &[]);
        check(3, &[2], &[], &[2]);
        check(3, &[], &[(2, &[3])], &[]);
        // What one says is not enough, not even if it says it of all.
        check(5, &[], &[(2, &[3, 4, 5])], &[]);
        check(5, &[], &[(2, &[5]), (3, &[5])], &[5]);
        check(5, &[], &[(2, &[5]), (4, &[3])], &[]);
        // Two that accuse each other.
        check(5, &[], &[(2, &[3]), (3, &[2])], &[]);
        // Nobody accuses itself or the leader away.
        check(5, &[], &[(2, &[1]), (3, &[1]), (4, &[1])], &[]);
        // Who was not a member is nobody's business.
        check(3, &[9], &[], &[]);
    }
}
