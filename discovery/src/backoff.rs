//! How long to wait after a failure.

use std::time::Duration;

/// Twice as long each time, up to a bound, half of it by chance: who failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Backoff {
    /// The wait after this many failures in a row (1 is the first), for a number of chance in `0.0..1.0`.
    pub fn after(&self, failures: u32, chance: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(0.5 + 0.5 * chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound() {
        let backoff = Backoff {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(5),
        };
        let check = |failures, chance, millis| {
            assert_eq!(
                backoff.after(failures, chance),
                Duration::from_millis(millis)
            );
        };
        check(1, 1.0, 200);
        check(1, 0.0, 100);
        check(2, 1.0, 400);
        check(5, 1.0, 3200);
        check(6, 1.0, 5000);
        check(6, 0.0, 2500);
        check(u32::MAX, 1.0, 5000);
        check(0, 1.0, 200);
    }
}
