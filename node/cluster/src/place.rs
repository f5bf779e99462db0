//! Weighted rendezvous hashing: key -> node.
//!
//! Every ready member computes the same place from the same view, without a table; when a member comes or goes only
//! the keys that it gains or loses move.

use std::hash::BuildHasher;

use crate::NodeId;

/// A ready member of the view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// Its share relative to the others; positive.
    pub weight: f64,
}

/// The member that serves `key`; `None` only if there are no members.
///
/// Score: `-weight / ln(u)` with `u` uniform in (0, 1) from the hash of member and key, the highest wins.
pub fn place(key: &[u8], members: &[Member]) -> Option<NodeId> {
    highest(key, members.iter())
}

/// The member that serves `key`, and the one that will if that goes: [`place`] of the others.
pub fn first_two(key: &[u8], members: &[Member]) -> [Option<NodeId>; 2] {
    let first = place(key, members);
    let others = members.iter().filter(|member| Some(member.node) != first);
    [first, highest(key, others)]
}

fn highest<'a>(key: &[u8], members: impl Iterator<Item = &'a Member>) -> Option<NodeId> {
    let score = |member: &Member| {
        // Fixed seeds: every node must hash alike.
        let hash = foldhash::quality::FixedState::with_seed(member.node.0).hash_one(key);
        let unit = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -member.weight / unit.ln()
    };
    members
        .max_by(|a, b| score(a).total_cmp(&score(b)).then(a.node.cmp(&b.node)))
        .map(|m| m.node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: u64) -> Vec<Member> {
        (1..=count)
            .map(|n| Member {
                node: NodeId(n),
                weight: 1.0,
            })
            .collect()
    }

    fn keys() -> impl Iterator<Item = Vec<u8>> {
        (0..10_000).map(|n| format!("user{n}@example.org").into_bytes())
    }

    #[test]
    fn keys_spread_evenly() {
        let mut counts = [0usize; 6];
        for key in keys() {
            counts[place(&key, &members(5)).unwrap().0 as usize] += 1;
        }
        assert!(
            counts[1..].iter().all(|&c| (1_700..2_300).contains(&c)),
            "{counts:?}"
        );
    }

    #[test]
    fn only_the_keys_of_a_leaver_move() {
        let before = members(5);
        let after: Vec<_> = before
            .iter()
            .copied()
            .filter(|m| m.node != NodeId(3))
            .collect();
        for key in keys() {
            let old = place(&key, &before).unwrap();
            if old != NodeId(3) {
                assert_eq!(place(&key, &after), Some(old));
            }
        }
    }

    #[test]
    fn the_second_serves_when_the_first_is_gone() {
        let before = members(5);
        for key in keys().take(1_000) {
            let [first, second] = first_two(&key, &before);
            assert_eq!(first, place(&key, &before));
            let left: Vec<_> = before
                .iter()
                .copied()
                .filter(|member| Some(member.node) != first)
                .collect();
            assert_eq!(second, place(&key, &left));
        }
        assert_eq!(first_two(b"k", &members(1)), [Some(NodeId(1)), None]);
    }

    #[test]
    fn nobody_serves_without_members() {
        assert_eq!(first_two(b"k", &[]), [None, None]);
        assert_eq!(place(b"k", &[]), None);
    }
}
