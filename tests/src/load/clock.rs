//! The stretch of a scenario that counts: it begins after a while to warm up, and what is delivered in it is counted.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::histogram::Histogram;
use super::measure::{Meter, Span};
use super::stanza;

/// What the tasks of a scenario share; times as [`stanza::now`].
pub struct Clock {
    /// When it begins to count.
    pub from: u64,
    /// When it ends.
    pub until: u64,
    delivered: AtomicU64,
}

impl Clock {
    /// Counts after `warm_up` seconds, for `seconds`.
    #[must_use]
    pub fn start(warm_up: f64, seconds: f64) -> Self {
        let from = stanza::now() + nanoseconds(warm_up);
        Self {
            from,
            until: from + nanoseconds(seconds),
            delivered: AtomicU64::new(0),
        }
    }

    /// So many were delivered.
    pub fn count(&self, deliveries: u64) {
        self.delivered.fetch_add(deliveries, Ordering::Relaxed);
    }

    /// Notes how long something took that was sent then and has come now, if that counts.
    pub fn note(&self, sent: u64, latency: &mut Histogram) {
        let now = stanza::now();
        if now >= self.from && now < self.until {
            latency.record(now.saturating_sub(sent));
        }
    }

    /// Waits for the beginning, and for the end; how many were delivered between them, and what that cost.
    pub async fn measure(&self, servers: &[u32]) -> (u64, Span) {
        sleep(Duration::from_nanos(
            self.from.saturating_sub(stanza::now()),
        ))
        .await;
        let meter = Meter::start(servers);
        let before = self.delivered.load(Ordering::Relaxed);
        sleep(Duration::from_nanos(
            self.until.saturating_sub(stanza::now()),
        ))
        .await;
        let delivered = self.delivered.load(Ordering::Relaxed) - before;
        (delivered, meter.stop())
    }
}

/// One more has seen it: whether it was the last one. One too many does not count below zero.
pub fn is_last(unseen: &AtomicU32) -> bool {
    let one_less = |count: u32| count.checked_sub(1);
    unseen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1)
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
