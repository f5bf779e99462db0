//! A token bucket: how often a service is asked at most.
//!
//! Source: Amazon EC2 API Reference, "Request throttling": each account has a bucket of tokens for each region, filled at a
//! steady rate; a request takes one. This is ours in front of it, so that many nodes together leave tokens to others.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// A bucket. Who waits for a token has it reserved: tokens are given in the order of asking.
#[derive(Debug)]
pub struct Bucket {
    /// Until when tokens are given away; in the past as much as there are tokens left.
    given_until: Mutex<Instant>,
    /// The time in which one token comes.
    each: Duration,
    /// How many tokens it holds.
    size: u32,
}

impl Bucket {
    /// A full bucket of `size` tokens, filled by one token `each` time.
    pub fn full(size: u32, each: Duration) -> Self {
        let size = size.max(1);
        let now = Instant::now();
        let start = now.checked_sub(each * size).unwrap_or(now);
        Self {
            given_until: Mutex::new(start),
            each,
            size,
        }
    }

    /// Takes a token, waiting for it if there is none.
    ///
    /// # Cancel safety
    /// Who stops waiting has taken the token all the same: too little is asked then, never too much.
    pub async fn take(&self) {
        sleep_until(self.reserve(Instant::now())).await;
    }

    /// Takes a token: from when on it may be used.
    fn reserve(&self, now: Instant) -> Instant {
        let mut given = self.given_until.lock();
        let full = now.checked_sub(self.each * self.size).unwrap_or(now);
        *given = (*given).max(full) + self.each;
        *given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn gives_what_it_holds_and_then_what_comes() {
        let start = Instant::now() + Duration::from_secs(60);
        tokio::time::advance(Duration::from_secs(60)).await;
        let bucket = Bucket::full(3, Duration::from_secs(2));
        for seconds in [0, 0, 0, 2, 4, 6] {
            bucket.take().await;
            assert_eq!((Instant::now() - start).as_secs(), seconds);
        }
        // It fills while nobody asks, and not above its size.
        tokio::time::advance(Duration::from_secs(3600)).await;
        for seconds in [3606, 3606, 3606, 3608] {
            bucket.take().await;
            assert_eq!((Instant::now() - start).as_secs(), seconds);
        }
    }
}
