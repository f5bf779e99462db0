//! Attempts: how often and how soon something is tried again. Whether it may be is for the caller to say.
//!
//! The wait doubles and is drawn from between nothing and that (full jitter), so that those who failed together do not
//! come back together. A budget keeps retries to a fraction of all calls: when a store is down, retries must not be
//! what keeps it down.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::random::Random;

/// A retry costs this much of the budget.
const RETRY: u64 = 100;

/// How often and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// At most this many attempts, the first included.
    pub attempts: u32,
    /// The longest first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Retries for each hundred calls, in the long run.
    pub percent: u64,
    /// Retries that may be saved up.
    pub saved: u64,
    /// No attempt begins later than this after the first.
    pub within: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            first: Duration::from_millis(20),
            longest: Duration::from_millis(500),
            percent: 10,
            saved: 100,
            within: Duration::from_secs(20),
        }
    }
}

/// The retries of all calls to one store.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    budget: AtomicU64,
    random: Random,
}

impl Retries {
    /// A full budget under this policy.
    pub fn new(policy: RetryPolicy) -> Self {
        Self {
            budget: AtomicU64::new(policy.saved * RETRY),
            policy,
            random: Random::new(RandomState::new().hash_one("jitter")),
        }
    }

    /// A call begins, which earns its share of a retry.
    pub fn start(&self) -> Attempts<'_> {
        let full = self.policy.saved * RETRY;
        let earn = |budget: u64| Some((budget + self.policy.percent).min(full));
        // It only fails where the closure says `None`.
        let _ = self
            .budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
        Attempts {
            retries: self,
            failed: 0,
            wait: self.policy.first,
            begun: Instant::now(),
        }
    }

    fn spend(&self) -> bool {
        let spend = |budget: u64| budget.checked_sub(RETRY);
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

/// The attempts at one call.
#[derive(Debug)]
pub struct Attempts<'a> {
    retries: &'a Retries,
    failed: u32,
    wait: Duration,
    begun: Instant,
}

impl Attempts<'_> {
    /// After an attempt that failed and may be repeated: whether there is another one. Waits before it says yes.
    pub async fn again(&mut self) -> bool {
        self.failed += 1;
        let policy = &self.retries.policy;
        if self.failed >= policy.attempts {
            return false;
        }
        let wait = self.wait.mul_f64(self.retries.random.fraction());
        if self.begun.elapsed() + wait > policy.within || !self.retries.spend() {
            return false;
        }
        tokio::time::sleep(wait).await;
        self.wait = (self.wait * 2).min(policy.longest);
        true
    }

    /// How many attempts failed.
    pub fn failed(&self) -> u32 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            attempts: 10,
            first: Duration::from_millis(100),
            longest: Duration::from_millis(800),
            ..RetryPolicy::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_up_to_the_longest_and_differ() {
        let retries = Retries::new(policy());
        let mut firsts = Vec::new();
        for _ in 0..20 {
            let mut attempts = retries.start();
            for bound in [100, 200, 400, 800, 800] {
                let before = Instant::now();
                assert!(attempts.again().await);
                // A timer is as fine as a millisecond.
                assert!(before.elapsed() <= Duration::from_millis(bound + 1));
                if bound == 100 {
                    firsts.push(before.elapsed());
                }
            }
        }
        firsts.sort();
        firsts.dedup();
        assert!(firsts.len() > 5, "{firsts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_begins_too_late() {
        let retries = Retries::new(RetryPolicy {
            within: Duration::from_secs(5),
            ..policy()
        });
        let mut attempts = retries.start();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(!attempts.again().await);
        assert_eq!(attempts.failed(), 1);
    }
}
