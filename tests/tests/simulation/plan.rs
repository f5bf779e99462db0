//! The plan of a run: a seed says all of it before anything begins.

use std::time::Duration;

use tests::faults::actor::Pace;
use tests::faults::dice::Dice;
use tests::processes::schedule::{Fault, Step, schedule};

/// See the file's head.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// Nodes when nothing goes wrong.
    pub nodes: usize,
    pub actors: usize,
    pub pace: Pace,
    pub steps: Vec<Step>,
}

impl Plan {
    /// The plan of a seed, of these faults.
    pub fn of(seed: u64, lasts: Duration, faults: &[Fault]) -> Self {
        // Dice know no difference between an even seed and the next.
        let seed = seed << 1;
        let mut dice = Dice::new(seed, 1);
        let overlap = dice.once_in(2);
        Self {
            seed,
            nodes: 3 + dice.below(2) as usize,
            actors: 4 + dice.below(3) as usize,
            pace: Pace {
                rest_ms: [40, 150, 400][dice.below(3) as usize],
                vanishes: 60,
                leaves: 200,
            },
            steps: schedule(seed, lasts, faults, overlap),
        }
    }
}
