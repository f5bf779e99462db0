//! What will go wrong, and when: a seed says it all before anything is started.

use std::time::Duration;

use crate::faults::dice::Dice;

/// What is done to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a node; another one is started at the end.
    Kill,
    /// SIGTERM to a node; another one is started at the end.
    Leave,
    /// One more node; it leaves at the end.
    Join,
    /// A process stands still: SIGSTOP, and SIGCONT at the end.
    Freeze,
    /// A node and all others do not hear each other.
    Apart,
    /// What a node says is not heard.
    Unheard,
    /// A node hears nothing.
    Deaf,
    /// Two nodes do not hear each other.
    Pair,
    /// The Redis of the directory is killed, and comes back empty.
    Empty,
}

impl Fault {
    /// What can be done to any cluster.
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::Leave,
        Self::Join,
        Self::Freeze,
        Self::Apart,
        Self::Unheard,
        Self::Deaf,
        Self::Pair,
    ];

    /// Those of a list of names, as they stand in this program: `Kill,Pair`.
    #[must_use]
    pub fn named(names: &str) -> Vec<Self> {
        let all = Self::ALL.into_iter().chain([Self::Empty]);
        let is_named = |fault: &Self| names.split(',').any(|it| it == format!("{fault:?}"));
        all.filter(is_named).collect()
    }
}

/// A fault at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it begins, counted from the beginning of the schedule.
    pub at: Duration,
    /// How long until what was done is undone.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
    /// To whom: the remainder by the number of nodes says it.
    pub victim: u64,
}

impl Step {
    /// When it is over.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.at + self.lasts
    }
}

/// Faults for so long. Where they may overlap, one of three begins before the one before it is over, and never a third.
#[must_use]
pub fn schedule(seed: u64, lasts: Duration, faults: &[Fault], overlap: bool) -> Vec<Step> {
    let mut dice = Dice::new(seed, u64::MAX);
    let mut steps: Vec<Step> = Vec::new();
    let mut free = Duration::ZERO;
    loop {
        let at = match steps.last() {
            Some(last) if overlap && dice.once_in(3) => {
                let within = dice.between_ms(0, last.lasts.as_millis() as u64);
                // Two before it may still be there.
                let before = steps.iter().rev().nth(1).map_or(Duration::ZERO, Step::end);
                before.max(last.at + within)
            }
            _ => free + dice.between_ms(300, 2_500),
        };
        // Shorter and longer than a node needs to be declared over.
        let most = if dice.once_in(3) { 6_000 } else { 1_500 };
        let step = Step {
            at,
            lasts: dice.between_ms(200, most),
            fault: faults[dice.below(faults.len() as u64) as usize],
            victim: dice.number(),
        };
        if step.at > lasts {
            return steps;
        }
        free = free.max(step.end());
        steps.push(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_it_all_and_never_more_than_two_at_once() {
        let plan = |seed| schedule(seed, Duration::from_secs(600), &Fault::ALL, true);
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        let mut overlapping = 0;
        for seed in 0..20 {
            let steps = plan(seed);
            assert!(steps.len() > 100);
            assert!(steps.is_sorted_by_key(|step| step.at));
            for step in &steps {
                let others = steps.iter().filter(|it| it.at <= step.at);
                let others = others.filter(|it| it.end() > step.at && *it != step);
                let others = others.count();
                assert!(others < 2, "{step:?}");
                overlapping += others;
            }
            for fault in Fault::ALL {
                assert!(steps.iter().any(|step| step.fault == fault), "{fault:?}");
            }
        }
        assert!(overlapping > 100);
    }

    #[test]
    fn one_fault_waits_for_the_other() {
        let steps = schedule(1, Duration::from_secs(600), &[Fault::Kill], false);
        assert!(steps.is_sorted_by(|one, next| one.end() < next.at));
        assert!(steps.iter().all(|step| step.fault == Fault::Kill));
    }

    #[test]
    fn faults_have_names() {
        let check = |names, expected: &[Fault]| assert_eq!(Fault::named(names), expected);
        check("Pair,Kill", &[Fault::Kill, Fault::Pair]);
        check("Empty", &[Fault::Empty]);
        check("", &[]);
    }
}
