//! Merges: which runs are to become one. Pure.
//!
//! Runs of a size class (each [`FANOUT`] times the one before) are merged when [`FANOUT`] of them stand side by side, so
//! an entry is written again once for each class it passes. When the younger runs erase more than half of what the
//! oldest holds, all are merged, so dead records never take more than about half of the disk.

use std::{ops::Range, sync::Arc};

use super::run::Run;

/// How many runs of a class make one of the next.
const FANOUT: usize = 4;

/// Which neighbours to merge.
pub(super) fn choose(runs: &[Arc<Run>], unit: u64) -> Option<Range<usize>> {
    let (oldest, younger) = runs.split_last()?;
    if younger.iter().map(|run| run.erasing).sum::<u64>() * 2 > oldest.entries {
        return Some(0..runs.len());
    }
    let classes: Vec<u32> = runs.iter().map(|run| class(run.size, unit)).collect();
    choose_class(&classes)
}

/// How many times a run has grown by the fan-out.
fn class(size: u64, unit: u64) -> u32 {
    (size / (unit / 2).max(1)).max(1).ilog(FANOUT as u64)
}

fn choose_class(classes: &[u32]) -> Option<Range<usize>> {
    (0..=classes.iter().copied().max()?).find_map(|class| {
        // Between larger runs: from the first of this class, if there are enough of them.
        classes.split(|&other| other > class).find_map(|stretch| {
            let first = stretch.iter().position(|&other| other == class)?;
            let enough = stretch.iter().filter(|&&other| other == class).count() >= FANOUT;
            let start = classes.element_offset(stretch.first()?)?;
            enough.then_some(start + first..start + stretch.len())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(classes: &[u32], expected: Option<Range<usize>>) {
        assert_eq!(choose_class(classes), expected, "{classes:?}");
    }

    #[test]
    fn neighbours_of_a_class_are_merged() {
        check(&[], None);
        check(&[0, 0, 0], None);
        check(&[0, 0, 0, 1], None);
        check(&[0, 0, 0, 0], Some(0..4));
        check(&[0, 0, 0, 0, 0, 1], Some(0..5));
        check(&[0, 1, 1, 1, 1, 2], Some(1..5));
        check(&[0, 1, 0, 1, 1, 1, 2], Some(1..6));
        check(&[0, 2, 1, 1, 1, 1], Some(2..6));
        check(&[1, 1, 1, 2, 1], None);
        check(&[0, 2, 1, 1, 1, 2, 2, 2], Some(1..8));
    }

    #[test]
    fn classes_grow_by_the_fan_out() {
        let unit = 8 << 20;
        assert_eq!(
            [1, 4, 7, 16, 63, 64].map(|mib| class(mib << 20, unit)),
            [0, 0, 0, 1, 1, 2]
        );
    }
}
