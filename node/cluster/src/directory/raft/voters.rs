//! Who should vote: a rule over members, states and zones. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    NodeId,
    directory::{Stage, View},
};

/// The wanted voters.
///
/// One of one or two, three of three or four, five of more: an even number bears no more losses than the odd one below it.
/// Who drains or cannot be reached does not vote. Zones share the votes as evenly as they can; among equals who leads or
/// votes already stays, then who serves, then the lowest number. Nobody eligible: the voters stay as they are.
pub(super) fn wanted(
    view: &View,
    current: &BTreeSet<NodeId>,
    leader: NodeId,
    unreachable: &BTreeSet<NodeId>,
) -> BTreeSet<NodeId> {
    let mut eligible: Vec<_> = view
        .seats
        .iter()
        .filter(|s| s.stage != Stage::Draining && !unreachable.contains(&s.member.node))
        .collect();
    if eligible.is_empty() {
        return current.clone();
    }
    let count = match eligible.len() {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    };
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        let best = (0..eligible.len()).min_by_key(|&index| {
            let seat = eligible[index];
            let node = seat.member.node;
            let taken = zones.get(&*seat.member.zone).copied().unwrap_or(0);
            let votes = current.contains(&node);
            (
                taken,
                node != leader,
                !votes,
                seat.stage != Stage::Ready,
                node,
            )
        });
        let Some(best) = best else { break };
        let seat = eligible.swap_remove(best);
        *zones.entry(&*seat.member.zone).or_default() += 1;
        chosen.insert(seat.member.node);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::directory::{Member, Seat, state::tests::member};

    /// Members as "number zone stage": `1a` is ready, `1a-` drains, `1a+` came just now.
    fn view(members: &str) -> View {
        let seats = members.split_whitespace().map(|text| {
            let (number, rest) = text.split_at(1);
            let node: u64 = number.parse().unwrap();
            let member = Member {
                zone: rest[..1].into(),
                ..(*member(node)).clone()
            };
            let stage = match &rest[1..] {
                "-" => Stage::Draining,
                "+" => Stage::Up,
                _ => Stage::Ready,
            };
            Seat {
                member: Arc::new(member),
                stage,
                since: 1,
            }
        });
        View {
            epoch: 1,
            seats: seats.collect(),
        }
    }

    fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    #[track_caller]
    fn check(members: &str, current: &[u64], leader: u64, unreachable: &[u64], expected: &[u64]) {
        let got = wanted(
            &view(members),
            &set(current),
            NodeId(leader),
            &set(unreachable),
        );
        assert_eq!(got, set(expected));
    }

    #[test]
    fn voters_follow_the_members() {
        // As they come.
        check("1a", &[1], 1, &[], &[1]);
        check("1a 2a", &[1], 1, &[], &[1]);
        check("1a 2a 3a", &[1], 1, &[], &[1, 2, 3]);
        check("1a 2a 3a 4a", &[1, 2, 3], 1, &[], &[1, 2, 3]);
        check("1a 2a 3a 4a 5a 6a", &[1, 2, 3], 1, &[], &[1, 2, 3, 4, 5]);
        // Who votes stays, whatever its number.
        check("1a 2a 3a 4a", &[2, 3, 4], 4, &[], &[2, 3, 4]);
        // Who serves before who does not yet.
        check("1a 2a+ 3a 4a", &[1], 1, &[], &[1, 3, 4]);
        // Who drains, is down or unreachable is replaced.
        check("1a 2a- 3a 4a", &[1, 2, 3], 1, &[], &[1, 3, 4]);
        check("1a 3a 4a", &[1, 2, 3], 1, &[], &[1, 3, 4]);
        check("1a 2a 3a 4a", &[1, 2, 3], 1, &[3], &[1, 2, 4]);
        check("1a- 2a 3a 4a", &[1, 2, 3], 1, &[], &[2, 3, 4]);
        // Two left of three: one alone goes on when the other is lost.
        check("1a 2a 3a", &[1, 2, 3], 2, &[3], &[2]);
        check("1a- 2a", &[1], 1, &[], &[2]);
        // Nobody to choose from.
        check("1a-", &[1], 1, &[], &[1]);
        check("", &[1], 1, &[], &[1]);
        // Zones share.
        check("1a 2a 3a 4b 5c", &[1], 1, &[], &[1, 2, 3, 4, 5]);
        check("1a 2a 3b 4c", &[1, 2, 3], 1, &[], &[1, 3, 4]);
        check("1a 2a 3a 4b", &[1, 2, 3], 1, &[], &[1, 2, 4]);
    }
}
