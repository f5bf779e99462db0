//! Breaker: whoever did not answer is left alone for a while, and then asked by one alone.
//!
//! Why here: a login that waits five seconds for a dead directory keeps a stream for five seconds, and a thousand of them
//! keep the directory from coming back. Pure: the time is a parameter.

use std::time::{Duration, Instant};

/// How long the first failure counts; each one that follows, twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST: Duration = Duration::from_secs(15);

/// What is known of one server.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    /// Failures in a row that make it open.
    threshold: u32,
    /// Failures since it answered last.
    failures: u32,
    /// Until when nobody asks.
    until: Option<Instant>,
}

impl Breaker {
    /// Opens after so many failures in a row.
    pub(crate) fn new(threshold: u32) -> Self {
        Self {
            threshold,
            failures: 0,
            until: None,
        }
    }

    /// Whether to ask it now. Once the time is over one is let through, and the others wait for what it finds, for as long
    /// as `trial` at most.
    pub(crate) fn allows(&mut self, now: Instant, trial: Duration) -> bool {
        match self.until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.until = Some(now + trial);
                true
            }
        }
    }

    /// It answered.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::new(self.threshold);
    }

    /// It did not. Returns whether it was well until now.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let beyond = self.failures.checked_sub(self.threshold);
        if let Some(beyond) = beyond {
            let pause = FIRST.saturating_mul(1 << beyond.min(10)).min(LONGEST);
            self.until = Some(now + pause);
        }
        beyond == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asks_after_a_pause_that_grows() {
        let (start, trial) = (Instant::now(), Duration::from_secs(2));
        let at = |millis| start + Duration::from_millis(millis);
        let mut breaker = Breaker::new(1);
        let mut check = |what: &str, millis, allowed| {
            match what {
                "fails" => drop(breaker.failed(at(millis))),
                "answers" => breaker.succeeded(),
                _ => {}
            }
            assert_eq!(
                breaker.allows(at(millis), trial),
                allowed,
                "{what} at {millis}"
            );
        };
        check("nothing yet", 0, true);
        check("fails", 0, false);
        check("too early", 499, false);
        check("one may", 500, true);
        check("the others wait", 501, false);
        check("fails", 600, false);
        check("twice as long", 1_599, false);
        check("one may", 1_600, true);
        check("who never came back", 3_600, true);
        check("answers", 3_700, true);
        check("answers", 3_701, true);
        for _ in 0..40 {
            check("fails", 4_000, false);
        }
        check("the longest", 18_999, false);
        check("the longest", 19_000, true);
    }
    #[test]
    fn a_few_failures_may_happen() {
        let (now, trial) = (Instant::now(), Duration::from_secs(2));
        let mut breaker = Breaker::new(3);
        let mut check = |news, allowed| {
            assert_eq!(breaker.failed(now), news);
            assert_eq!(breaker.allows(now, trial), allowed);
        };
        check(false, true);
        check(false, true);
        check(true, false);
        check(false, false);
    }
}
