//! Pace: how fast one client is read (`limits.session_bytes_per_second`).
//!
//! Whoever sends faster is simply not read for a while: its own connection fills, and it waits. Nothing is refused and
//! nothing is kept here. After a rest, a second's worth may come at once. Pure but for the time it is told.

use std::time::Duration;

use tokio::time::Instant;

/// A second's worth may come at once.
const BURST: Duration = Duration::from_secs(1);

/// How far a client has used up its time. One for each session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// When everything read so far would have come at the right speed; `None`: nothing was read yet.
    paid: Option<Instant>,
}

impl Pace {
    /// So much was read; `rate` is in bytes per second, 0: as fast as it comes.
    pub(super) fn read(&mut self, now: impl FnOnce() -> Instant, bytes: usize, rate: u64) {
        if rate == 0 {
            return;
        }
        let now = now();
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let rested = now.checked_sub(BURST).unwrap_or(now);
        let from = self.paid.map_or(rested, |paid| paid.max(rested));
        self.paid = Some(from + cost);
    }

    /// Until when it is not read; `None`: it may be.
    pub(super) fn rests_until(&self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        // Whoever has no limit costs no look at the clock.
        self.paid.filter(|paid| *paid > now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_too_fast_waits_as_long_as_it_would_have_taken() {
        let start = Instant::now() + Duration::from_secs(100);
        // Reads at a time in ms, of so many bytes, at 1,000 a second; how long it rests afterwards, in ms.
        let check = |reads: &[(u64, usize)], expected: u64| {
            let mut pace = Pace::default();
            let mut now = start;
            for &(at_ms, bytes) in reads {
                now = start + Duration::from_millis(at_ms);
                pace.read(|| now, bytes, 1_000);
            }
            let rests = pace
                .rests_until(|| now)
                .map_or(Duration::ZERO, |until| until - now);
            assert_eq!(rests.as_millis() as u64, expected, "{reads:?}");
        };
        check(&[], 0);
        check(&[(0, 1_000)], 0);
        check(&[(0, 1_500)], 500);
        check(&[(0, 1_000), (0, 1_000)], 1_000);
        check(&[(0, 1_000), (500, 500)], 0);
        check(&[(0, 1_000), (500, 600)], 100);
        // However long it rested, no more than a second's worth.
        check(&[(0, 10), (60_000, 1_000)], 0);
        check(&[(0, 10), (60_000, 1_250)], 250);
    }

    #[test]
    fn no_limit_is_none() {
        let mut pace = Pace::default();
        pace.read(Instant::now, usize::MAX, 0);
        assert_eq!(pace.rests_until(Instant::now), None);
    }
}
