//! Turns: how fast logins come to the store (`limits.logins`).
//!
//! Source: RFC 6120 §6.5.10 (`temporary-auth-failure`: come again later); XEP-0205 v1.0.
//! Why: when a network or a node comes back, so do all of its clients at once, and each login reads the store. Who comes too
//! early waits for a moment, in the order in which they came; who would wait for too long is told to come again, and that
//! is never said as if a password were wrong.
//! Why here: pure but for a lock; time is a parameter. The line is a number: when the next one may go. So it takes no room,
//! and it is as long as its rate and its longest wait allow. A second's worth may go at once.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::IntGauge;
use tokio::time::{Instant, sleep_until};
use xmpp::{StreamErrorCondition as Condition, sasl::SaslFailure};

use super::{authenticate::Refused, negotiation::Client};
use crate::config::LoginLimits;

/// A second's worth may go at once.
const BURST: Duration = Duration::from_secs(1);

/// The line. One for each node.
#[derive(Debug)]
pub(super) struct Turns {
    /// Between two logins; `None`: they go as they come.
    interval: Option<Duration>,
    longest: Duration,
    /// When the next one is due at the rate alone.
    next: Mutex<Option<Instant>>,
}

impl Turns {
    pub(super) fn new(limits: LoginLimits) -> Self {
        let interval = (limits.per_second > 0).then(|| BURST / limits.per_second);
        Self {
            interval,
            longest: limits.wait,
            next: Mutex::default(),
        }
    }

    /// When one that came now may go. `None`: that would be too late, and it has no place in the line.
    fn take(&self, now: Instant) -> Option<Instant> {
        let Some(interval) = self.interval else {
            return Some(now);
        };
        let mut next = self.next.lock();
        let due = next.map_or(now, |next| next.max(now));
        // A second's worth goes before it is due.
        let early = due.checked_sub(BURST - interval);
        let goes = early.map_or(now, |early| early.max(now));
        if goes > now + self.longest {
            return None;
        }
        *next = Some(due + interval);
        Some(goes)
    }
}

/// One who waits, as the metrics count them.
struct Waiting(IntGauge);

impl Waiting {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Client {
    /// Waits until the store may be asked about this login.
    pub(super) async fn turn(&self) -> Result<(), Refused> {
        let now = Instant::now();
        let metrics = &self.router.metrics;
        let Some(goes) = self.router.gate.turns.take(now) else {
            metrics.logins_deferred.inc();
            return Err(SaslFailure::TemporaryAuthFailure.into());
        };
        if goes <= now {
            return Ok(());
        }
        let mut stopping = self.stopping.clone();
        let _waiting = Waiting::new(&metrics.logins_waiting);
        tokio::select! {
            biased;
            () = stopping.wait() => Err(Condition::SystemShutdown.into()),
            () = sleep_until(goes) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of logins that come at these times, in ms, how long each waits, in ms; `None`: it is told to come again.
    fn check(per_second: u32, wait_ms: u64, comes: &[u64], expected: &[Option<u64>]) {
        let turns = Turns::new(LoginLimits {
            per_second,
            wait: Duration::from_millis(wait_ms),
        });
        let start = Instant::now() + Duration::from_secs(100);
        let waits = comes.iter().map(|at| {
            let now = start + Duration::from_millis(*at);
            let goes = turns.take(now)?;
            Some((goes - now).as_millis() as u64)
        });
        assert_eq!(waits.collect::<Vec<_>>(), expected, "{comes:?}");
    }

    #[test]
    fn a_seconds_worth_goes_at_once_and_the_others_wait_for_their_turn() {
        let now = Some(0);
        check(0, 0, &[0; 5], &[now; 5]);
        check(4, 10_000, &[0; 4], &[now; 4]);
        check(
            4,
            10_000,
            &[0; 7],
            &[now, now, now, now, Some(250), Some(500), Some(750)],
        );
        // One that comes later waits for less: its turn is after those who wait.
        check(
            4,
            10_000,
            &[0, 0, 0, 0, 0, 100],
            &[now, now, now, now, Some(250), Some(400)],
        );
        check(
            1,
            10_000,
            &[0, 0, 1_500, 2_000],
            &[now, Some(1_000), Some(500), Some(1_000)],
        );
        // At the rate nobody waits, and a rest saves up a second's worth, no more.
        check(2, 0, &[0, 500, 1_000, 1_500], &[now; 4]);
        check(
            2,
            600,
            &[0, 90_000, 90_000, 90_000],
            &[now, now, now, Some(500)],
        );
    }

    #[test]
    fn who_would_wait_for_too_long_takes_no_place() {
        let now = Some(0);
        check(2, 0, &[0, 0, 0, 0, 500], &[now, now, None, None, now]);
        let waits = [now, now, Some(500), Some(1_000), None, None, Some(1_000)];
        check(2, 1_000, &[0, 0, 0, 0, 0, 0, 500], &waits);
    }

    #[test]
    fn however_many_come_the_rate_holds() {
        let turns = Turns::new(LoginLimits {
            per_second: 100,
            wait: Duration::from_secs(5),
        });
        let start = Instant::now() + Duration::from_secs(100);
        // Ten thousand a second for ten seconds.
        let comes = (0..100_000).map(|number| start + Duration::from_micros(number * 100));
        let goes: Vec<Instant> = comes.filter_map(|now| turns.take(now)).collect();
        assert!(goes.is_sorted(), "in the order in which they came");
        for second in 1..15 {
            let until = start + Duration::from_secs(second);
            let gone = goes.iter().filter(|at| **at < until).count() as u64;
            assert!(gone <= 100 * (second + 1), "{gone} after {second} s");
        }
        assert!(goes.len() > 100 * (10 + 5), "and none of it is lost");
    }
}
