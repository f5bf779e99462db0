//! Liveness: whom this node cannot reach, as its links have told.

use std::collections::{BTreeSet, HashMap};

use cluster::{
    NodeId,
    directory::{raft, redis},
    link::Event,
};
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// So long a node may be silent.
const SILENT: Duration = Duration::from_millis(1_500);
/// So long its process may be gone: all its connections have broken, and its host refuses another. A process that lives has
/// its socket open.
const GONE: Duration = Duration::from_millis(100);
/// So long a member may be without a link: others know it, this node has not met it yet.
const UNMET: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Silent,
    Gone,
    Unmet,
}

/// See the file's head. Holds as many as there are peers and members.
#[derive(Debug, Default)]
pub(super) struct Liveness(Mutex<HashMap<NodeId, (Trouble, Instant)>>);

impl Liveness {
    /// A link has told something.
    pub(super) fn hear(&self, event: &Event) {
        let mut all = self.0.lock();
        match *event {
            Event::Up(node) | Event::Again(node) => drop(all.remove(&node)),
            Event::Silent(node, since) => drop(all.insert(node, (Trouble::Silent, since))),
            Event::Gone(node, _) => drop(all.insert(node, (Trouble::Gone, Instant::now()))),
            // Nothing was heard because nobody listened.
            Event::Stalled(_) => {
                let now = Instant::now();
                all.values_mut().for_each(|(_, since)| *since = now);
            }
            Event::Disowned(_) => {}
        }
    }

    /// These are members, and with these there is a link. Whoever else is known to have trouble is forgotten.
    pub(super) fn look(&self, members: &BTreeSet<NodeId>, met: &BTreeSet<NodeId>) {
        let mut all = self.0.lock();
        all.retain(|node, (trouble, _)| match trouble {
            Trouble::Unmet => members.contains(node) && !met.contains(node),
            _ => met.contains(node),
        });
        for node in members.difference(met) {
            all.entry(*node)
                .or_insert_with(|| (Trouble::Unmet, Instant::now()));
        }
    }
}

impl raft::Liveness for Liveness {
    fn unreachable(&self) -> BTreeSet<NodeId> {
        let all = self.0.lock();
        let lost = all.iter().filter(|(_, (trouble, since))| {
            let patience = match trouble {
                Trouble::Silent => SILENT,
                Trouble::Gone => GONE,
                Trouble::Unmet => UNMET,
            };
            since.elapsed() >= patience
        });
        lost.map(|(node, _)| *node).collect()
    }
}

impl redis::Witness for Liveness {
    fn gone(&self) -> BTreeSet<NodeId> {
        let all = self.0.lock();
        let gone = all
            .iter()
            .filter(|(_, (trouble, since))| *trouble == Trouble::Gone && since.elapsed() >= GONE);
        gone.map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
mod tests {
    use cluster::{
        directory::{raft::Liveness as _, redis::Witness as _},
        link::Gone,
    };

    use super::*;

    fn check(liveness: &Liveness, expected: &[u64]) {
        let expected = expected.iter().copied().map(NodeId).collect();
        assert_eq!(liveness.unreachable(), expected);
    }

    async fn wait(ms: u64) {
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_refusals_count_after_a_while() {
        let (one, two) = (NodeId(1), NodeId(2));
        let liveness = Liveness::default();
        liveness.hear(&Event::Silent(one, Instant::now()));
        wait(1_499).await;
        check(&liveness, &[]);
        wait(1).await;
        check(&liveness, &[1]);
        liveness.hear(&Event::Again(one));
        check(&liveness, &[]);
        liveness.hear(&Event::Gone(two, Gone::Refused));
        liveness.hear(&Event::Silent(one, Instant::now() - SILENT));
        check(&liveness, &[1]);
        assert!(liveness.gone().is_empty());
        wait(100).await;
        check(&liveness, &[1, 2]);
        assert_eq!(liveness.gone(), BTreeSet::from([two]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_did_not_run_accuses_nobody() {
        let liveness = Liveness::default();
        liveness.hear(&Event::Silent(NodeId(1), Instant::now()));
        wait(5_000).await;
        liveness.hear(&Event::Stalled(Duration::from_secs(5)));
        check(&liveness, &[]);
        wait(1_500).await;
        check(&liveness, &[1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_without_a_link_counts_after_a_while() {
        let liveness = Liveness::default();
        let members = BTreeSet::from([NodeId(1), NodeId(2)]);
        let met = BTreeSet::from([NodeId(1)]);
        liveness.look(&members, &met);
        wait(3_000).await;
        check(&liveness, &[2]);
        liveness.look(&members, &members);
        check(&liveness, &[]);
        // Whoever is no member any more and has no link is nobody's business.
        liveness.hear(&Event::Gone(NodeId(1), Gone::Refused));
        wait(100).await;
        check(&liveness, &[1]);
        liveness.look(&BTreeSet::new(), &BTreeSet::new());
        check(&liveness, &[]);
    }
}
