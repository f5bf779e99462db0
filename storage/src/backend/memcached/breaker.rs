//! The breaker of a server: after some failures in a row it is not asked for a while, then once, to see.
//!
//! Why: whoever asks a dead server waits for the time-out. With the breaker a few callers do, the others ask the store.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::clock::Clock;

/// When a server is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// After so many failures in a row.
    pub failures: u32,
    /// For so long the first time.
    pub first: Duration,
    /// For twice as long each time that it fails again, and at most so long.
    pub longest: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 3,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Everybody may ask.
    Closed { failures: u32 },
    /// Nobody may ask until then.
    Open { until: Duration, wait: Duration },
    /// One asks.
    Probing { wait: Duration },
}

/// The breaker.
pub(super) struct Breaker {
    policy: BreakerPolicy,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Breaker {
    pub(super) fn new(policy: BreakerPolicy, clock: Arc<dyn Clock>) -> Self {
        Self {
            policy,
            clock,
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    /// Whether everybody may ask.
    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.state.lock(), State::Closed { .. })
    }

    /// Leave to ask once. Whoever gets it says how it went; if they do not, nothing is known.
    pub(super) fn enter(&self) -> Option<Entered<'_>> {
        let mut state = self.state.lock();
        match *state {
            State::Closed { .. } => {}
            State::Open { until, wait } if until <= self.clock.now() => {
                *state = State::Probing { wait };
            }
            State::Open { .. } | State::Probing { .. } => return None,
        }
        let is_probe = matches!(*state, State::Probing { .. });
        Some(Entered {
            breaker: self,
            is_probe,
        })
    }
}

/// Leave to ask.
pub(super) struct Entered<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Entered<'_> {
    /// It answered.
    pub(super) fn succeeded(self) {
        let mut state = self.breaker.state.lock();
        if self.is_probe || matches!(*state, State::Closed { .. }) {
            *state = State::Closed { failures: 0 };
        }
    }

    /// It did not; whether that opened the breaker.
    pub(super) fn failed(self) -> bool {
        let policy = &self.breaker.policy;
        let mut state = self.breaker.state.lock();
        let wait = match *state {
            State::Closed { failures } if failures + 1 < policy.failures => {
                *state = State::Closed {
                    failures: failures + 1,
                };
                return false;
            }
            State::Closed { .. } => policy.first,
            State::Probing { wait } if self.is_probe => (wait * 2).min(policy.longest),
            // Asked before it was opened.
            State::Open { .. } | State::Probing { .. } => return false,
        };
        let until = self.breaker.clock.now() + wait;
        *state = State::Open { until, wait };
        true
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut state = self.breaker.state.lock();
        if let State::Probing { wait } = *state
            && self.is_probe
        {
            // Nobody waited for the answer: the next one may ask.
            let until = self.breaker.clock.now();
            *state = State::Open { until, wait };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn it_opens_probes_and_closes() {
        let clock = ManualClock::at(1_000);
        let breaker = Breaker::new(BreakerPolicy::default(), Arc::new(clock.clone()));
        let enter = || breaker.enter().expect("may ask");
        let wait = |millis| clock.advance(Duration::from_millis(millis));
        let early = enter();
        assert!(!enter().failed());
        assert!(!enter().failed());
        enter().succeeded();
        assert!(!enter().failed());
        assert!(!enter().failed());
        assert!(enter().failed());
        assert!(!early.failed(), "it is open already");
        for longer in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            assert!(breaker.enter().is_none());
            wait(longer - 1);
            assert!(breaker.enter().is_none());
            wait(1);
            let probe = enter();
            assert!(breaker.enter().is_none(), "one at a time");
            drop(probe);
            let probe = enter();
            assert!(probe.failed());
        }
        wait(10_000);
        assert!(!breaker.is_closed());
        enter().succeeded();
        assert!(breaker.is_closed());
        assert!(!enter().failed());
        drop(enter());
        assert!(!enter().failed());
        assert!(enter().failed(), "who says nothing does not count");
    }

    #[test]
    fn an_answer_from_before_does_not_close_it() {
        let clock = ManualClock::at(1_000);
        let breaker = Breaker::new(BreakerPolicy::default(), Arc::new(clock.clone()));
        let early = breaker.enter().expect("may ask");
        for _ in 0..3 {
            breaker.enter().expect("may ask").failed();
        }
        early.succeeded();
        assert!(breaker.enter().is_none());
    }
}
