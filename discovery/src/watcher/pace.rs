//! When to ask again. Pure.

use std::time::Duration;

use crate::backoff::Backoff;

/// How often a source is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Between two rounds while no peer is known.
    pub seeking: Duration,
    /// How many rounds at that pace; then each takes a tenth longer, up to `settled`. A node that is alone for good is
    /// not to ask as one that has just started.
    pub seeking_rounds: u32,
    /// Between two rounds once peers are known.
    pub settled: Duration,
    /// Between two rounds at least, however often it is told to ask at once: the rate that the source allows.
    pub least: Duration,
    /// After failures.
    pub failing: Backoff,
    /// The part of each wait that is left to chance: 0.2 makes it 0.8 to 1.2 times as long.
    pub jitter: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            seeking: Duration::from_secs(1),
            seeking_rounds: 60,
            settled: Duration::from_secs(30),
            least: Duration::from_millis(500),
            failing: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(60),
            },
            jitter: 0.2,
        }
    }
}

/// What the pace depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether any peer is known.
    pub(super) has_peers: bool,
    /// Rounds since none was.
    pub(super) alone: u32,
    /// Rounds that failed, in a row.
    pub(super) failures: u32,
    /// For how long the last answer is good.
    pub(super) fresh_for: Option<Duration>,
}

impl Pace {
    /// The wait from one round to the next, for a number of chance in `0.0..1.0`.
    pub(super) fn wait(&self, standing: &Standing, chance: f64) -> Duration {
        let wait = if standing.failures > 0 {
            self.failing.after(standing.failures, chance)
        } else {
            let wait = self.regular(standing);
            // Sooner there is nothing new; but no source silences the watcher for long.
            let fresh = standing.fresh_for.unwrap_or_default().min(self.settled);
            wait.max(fresh)
                .mul_f64(1.0 + self.jitter * (2.0 * chance - 1.0))
        };
        wait.max(self.least)
    }

    fn regular(&self, standing: &Standing) -> Duration {
        if standing.has_peers {
            return self.settled;
        }
        let slower = standing.alone.saturating_sub(self.seeking_rounds).min(200);
        let factor = 1.1_f64.powi(i32::try_from(slower).unwrap_or(200));
        self.seeking.mul_f64(factor).min(self.settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let pace = Pace::default();
        let check = |has_peers, alone, failures, fresh: Option<u64>, chance, millis: u64| {
            let standing = Standing {
                has_peers,
                alone,
                failures,
                fresh_for: fresh.map(Duration::from_secs),
            };
            let wait = pace.wait(&standing, chance).as_millis();
            assert_eq!(wait, u128::from(millis), "{standing:?}");
        };
        // Alone: fast, then slower and slower, never slower than settled.
        check(false, 0, 0, None, 0.5, 1000);
        check(false, 0, 0, None, 0.0, 800);
        check(false, 0, 0, None, 1.0, 1200);
        check(false, 60, 0, None, 0.5, 1000);
        check(false, 62, 0, None, 0.5, 1210);
        check(false, 10_000, 0, None, 0.5, 30_000);
        check(true, 0, 0, None, 0.5, 30_000);
        check(true, 0, 0, None, 1.0, 36_000);
        // What does not change is not asked for.
        check(false, 0, 0, Some(7), 0.5, 7000);
        check(false, 0, 0, Some(7200), 0.5, 30_000);
        check(true, 0, 0, Some(7), 0.5, 30_000);
        // Failures: the back-off alone.
        check(true, 0, 1, Some(300), 1.0, 1000);
        check(false, 0, 3, None, 1.0, 4000);
        check(true, 0, 100, None, 1.0, 60_000);
        check(true, 0, 1, None, 0.0, 500);
    }
}
