//! Serving: who serves accounts, as this node goes by it; from one view of the directory to the next. Pure.
//!
//! Within a generation of the directory the view counts as it is. A new generation begins with nobody and its members come
//! one by one: until all are back who served before and can be reached, what was counts on, so that no account moves only
//! because the directory was founded anew. Whoever is not back by then is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cluster::{
    NodeId,
    directory::{Stage, View},
    place::Member,
};

/// How long is waited for those who served before a new generation began.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Who serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Serving {
    /// The epoch of the view that this was taken from.
    pub(super) epoch: u64,
    /// The members of that view.
    seats: BTreeMap<NodeId, (Stage, u32)>,
}

/// What there is to do to serve by another view, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// These lives are over: their links are forgotten.
    pub(super) dead: Vec<NodeId>,
    /// These serve from now on.
    pub(super) members: Vec<Member>,
    /// They are others than before.
    pub(super) changes: bool,
}

impl Serving {
    fn generation(&self) -> u64 {
        self.epoch >> 32
    }

    /// How far a member is.
    pub(super) fn stage(&self, node: NodeId) -> Option<Stage> {
        self.seats.get(&node).map(|(stage, _)| *stage)
    }

    /// Whether another node serves.
    pub(super) fn has_others(&self, me: NodeId) -> bool {
        let mut seats = self.seats.iter();
        seats.any(|(node, (stage, _))| *node != me && *stage == Stage::Ready)
    }

    /// Goes on to a view. `age`: since when its generation is known here. `unreachable`: whom nobody need wait for. `None`:
    /// what was counts on.
    pub(super) fn go_on(
        &mut self,
        view: &View,
        age: Duration,
        unreachable: &BTreeSet<NodeId>,
    ) -> Option<Step> {
        if view.epoch == self.epoch {
            return None;
        }
        let is_new = view.generation() != self.generation() && !self.seats.is_empty();
        if is_new && age < PATIENCE && !self.is_back(view, unreachable) {
            return None;
        }
        let seats = view.seats.iter();
        let next = Self {
            epoch: view.epoch,
            seats: seats
                .map(|seat| (seat.member.node, (seat.stage, seat.member.weight)))
                .collect(),
        };
        let before = std::mem::replace(self, next);
        let nodes = before.seats.keys().copied();
        let dead = nodes.filter(|node| !self.seats.contains_key(node));
        let (was, is) = (before.members(), self.members());
        Some(Step {
            dead: dead.collect(),
            changes: was != is,
            members: is,
        })
    }

    /// Whether everybody serves again who served and can be reached.
    fn is_back(&self, view: &View, unreachable: &BTreeSet<NodeId>) -> bool {
        let mut served = self
            .seats
            .iter()
            .filter(|(_, (stage, _))| *stage > Stage::Up);
        served.all(|(node, (stage, _))| {
            let seat = view.seat(*node);
            unreachable.contains(node) || seat.is_some_and(|seat| seat.stage >= *stage)
        })
    }

    /// The input of placement. Who drains has no share any more, but may still be asked for what it has.
    fn members(&self) -> Vec<Member> {
        let serving = self
            .seats
            .iter()
            .filter(|(_, (stage, _))| *stage > Stage::Up);
        let member = |(node, (stage, weight)): (&NodeId, &(Stage, u32))| Member {
            node: *node,
            weight: match stage {
                Stage::Draining => 0.0,
                _ => f64::from((*weight).max(1)),
            },
        };
        serving.map(member).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster::{
        directory::{self, Seat},
        place::place,
    };

    use super::*;

    fn view(generation: u64, changes: u64, seats: &[(u64, Stage)]) -> View {
        let seat = |(node, stage): &(u64, Stage)| Seat {
            member: Arc::new(directory::Member {
                node: NodeId(*node),
                name: "n".into(),
                links: Vec::new(),
                weight: 1,
                zone: "".into(),
                protocol_min: 1,
                protocol_max: 1,
                version: "0".into(),
            }),
            stage: *stage,
            since: 0,
        };
        View {
            epoch: (generation << 32) + changes,
            seats: seats.iter().map(seat).collect(),
        }
    }

    /// Who is dead, and who serves if that changed; `None`: what was counts on.
    type Expected<'a> = Option<(&'a [u64], Option<&'a [(u64, f64)]>)>;

    #[track_caller]
    fn check(
        serving: &mut Serving,
        view: &View,
        (age, unreachable): (u64, &[u64]),
        expected: Expected<'_>,
    ) {
        let unreachable = unreachable.iter().copied().map(NodeId).collect();
        let step = serving.go_on(view, Duration::from_secs(age), &unreachable);
        let member = |(node, weight): &(u64, f64)| Member {
            node: NodeId(*node),
            weight: *weight,
        };
        let expected = expected.map(|(dead, members)| {
            let dead: Vec<_> = dead.iter().copied().map(NodeId).collect();
            let members = members.map(|all| all.iter().map(member).collect::<Vec<_>>());
            (dead, members)
        });
        let step = step.map(|step| (step.dead, step.changes.then_some(step.members)));
        assert_eq!(step, expected);
    }

    use Stage::{Draining, Ready, Up};

    #[test]
    fn members_come_serve_and_go() {
        let mut it = Serving::default();
        let no = (0, &[][..]);
        check(&mut it, &view(1, 1, &[(1, Up)]), no, Some((&[], None)));
        check(&mut it, &view(1, 1, &[(1, Up)]), no, None);
        let one = view(1, 2, &[(1, Ready)]);
        check(&mut it, &one, no, Some((&[], Some(&[(1, 1.0)]))));
        let two = view(1, 3, &[(1, Ready), (2, Up)]);
        check(&mut it, &two, no, Some((&[], None)));
        let two = view(1, 4, &[(1, Ready), (2, Ready)]);
        check(&mut it, &two, no, Some((&[], Some(&[(1, 1.0), (2, 1.0)]))));
        let two = view(1, 5, &[(1, Draining), (2, Ready)]);
        check(&mut it, &two, no, Some((&[], Some(&[(1, 0.0), (2, 1.0)]))));
        let two = view(1, 6, &[(2, Ready)]);
        check(&mut it, &two, no, Some((&[1], Some(&[(2, 1.0)]))));
    }

    #[test]
    fn a_new_generation_moves_nobody_who_comes_back() {
        let before = [(1, Ready), (2, Ready), (3, Ready)];
        let begun = || {
            let mut it = Serving::default();
            it.go_on(&view(1, 9, &before), Duration::ZERO, &BTreeSet::new());
            it
        };
        let no = (0, &[][..]);
        let mut it = begun();
        check(&mut it, &view(2, 1, &[(1, Up)]), no, None);
        check(
            &mut it,
            &view(2, 4, &[(1, Ready), (2, Ready), (3, Up)]),
            no,
            None,
        );
        check(&mut it, &view(2, 6, &before), no, Some((&[], None)));
        // One that cannot be reached is not waited for.
        let two = view(2, 4, &[(1, Ready), (2, Ready)]);
        let left: &[(u64, f64)] = &[(1, 1.0), (2, 1.0)];
        let mut it = begun();
        check(&mut it, &two, (0, &[3]), Some((&[3], Some(left))));
        // Nobody is waited for without end.
        let mut it = begun();
        check(&mut it, &two, (9, &[]), None);
        check(&mut it, &two, (10, &[]), Some((&[3], Some(left))));
    }

    #[test]
    fn nothing_is_placed_on_who_drains() {
        let mut it = Serving::default();
        let both = view(1, 1, &[(1, Draining), (2, Ready)]);
        let step = it.go_on(&both, Duration::ZERO, &BTreeSet::new());
        let members = step.unwrap().members;
        for key in 0..1_000_u32 {
            assert_eq!(place(&key.to_be_bytes(), &members), Some(NodeId(2)));
        }
    }
}
