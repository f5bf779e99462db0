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

    /// What it has used up of its time, in milliseconds, of which a second's worth is free.
    pub(super) fn spent_ms(&self, now: impl FnOnce() -> Instant) -> u64 {
        let Some(paid) = self.paid else { return 0 };
        let spent = (paid + BURST).saturating_duration_since(now());
        u64::try_from(spent.as_millis()).unwrap_or(u64::MAX)
    }

    /// Of a client that has used up so much of it.
    pub(super) fn spent(now: impl FnOnce() -> Instant, spent_ms: u64) -> Self {
        let paid = || (now() + Duration::from_millis(spent_ms)).checked_sub(BURST);
        Self {
            paid: if spent_ms > 0 { paid() } else { None },
        }
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
    fn what_is_spent_stays_spent_where_it_goes_on() {
        let start = Instant::now() + Duration::from_secs(100);
        // So many bytes at once, at 1,000 a second, looked at so many ms later; how long it rests then.
        let check = |bytes: usize, later_ms: u64, expected: u64| {
            let mut pace = Pace::default();
            pace.read(|| start, bytes, 1_000);
            let later = start + Duration::from_millis(later_ms);
            let mut there = Pace::spent(|| later, pace.spent_ms(|| later));
            assert_eq!(there.rests_until(|| later), pace.rests_until(|| later));
            // And the next thousand bytes cost the same.
            pace.read(|| later, 1_000, 1_000);
            there.read(|| later, 1_000, 1_000);
            let rests = there
                .rests_until(|| later)
                .map_or(Duration::ZERO, |at| at - later);
            assert_eq!(there.rests_until(|| later), pace.rests_until(|| later));
            assert_eq!(rests.as_millis() as u64, expected);
        };
        check(0, 0, 0);
        check(500, 0, 500);
        check(1_500, 0, 1_500);
        check(1_500, 500, 1_000);
        check(1_500, 60_000, 0);
        assert_eq!(Pace::default().spent_ms(|| start), 0);
    }

    #[test]
    fn no_limit_is_none() {
        let mut pace = Pace::default();
        pace.read(Instant::now, usize::MAX, 0);
        assert_eq!(pace.rests_until(Instant::now), None);
    }
}
