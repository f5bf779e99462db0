//! Fronts: the clients' connections to this node whose sessions are at others, as far as closing them goes.
//!
//! Why here: whoever stops a node has them closed one after the other over a time, so that their clients do not all come
//! back in the same moment.
//! Stored: nothing.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// However many there are, closing them takes no longer.
const LONGEST: Duration = Duration::from_secs(60);

/// When all are to be closed.
#[derive(Debug, Clone, Copy)]
struct Plan {
    from: Instant,
    over: Duration,
}

/// See the file's head.
#[derive(Debug)]
pub struct Fronts {
    plan: watch::Sender<Option<Plan>>,
    next: AtomicU64,
    open: std::sync::Arc<AtomicUsize>,
}

impl Default for Fronts {
    fn default() -> Self {
        Self {
            plan: watch::Sender::new(None),
            next: AtomicU64::new(0),
            open: std::sync::Arc::default(),
        }
    }
}

impl Fronts {
    /// One more.
    pub(super) fn enter(&self) -> Closing {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Closing {
            plan: self.plan.subscribe(),
            turn: turn(number),
            open: self.open.clone(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long it takes to close all of them at so many a second.
    pub fn pace(&self, per_second: u32) -> Duration {
        Duration::from_secs_f64(self.len() as f64 / f64::from(per_second.max(1))).min(LONGEST)
    }

    /// Waits until they are to be closed.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn closing(&self) {
        let _ = self.plan.subscribe().wait_for(Option::is_some).await;
    }

    /// Has them closed within this time, evenly; those that come meanwhile as well. A later call counts.
    pub fn close(&self, over: Duration) {
        let from = Instant::now();
        self.plan.send_replace(Some(Plan { from, over }));
    }
}

/// The part of the time after which the front of this number is closed, below 1: however many there are, and whichever of
/// them are left, multiples of the golden ratio lie evenly.
fn turn(number: u64) -> f64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    (number.wrapping_mul(GOLDEN) >> 32) as f64 / f64::from(u32::MAX)
}

/// What tells one front that it is to close.
#[derive(Debug)]
pub(super) struct Closing {
    plan: watch::Receiver<Option<Plan>>,
    turn: f64,
    open: std::sync::Arc<AtomicUsize>,
}

impl Closing {
    /// Waits until it is to. Cancel safe.
    pub(super) async fn told(&mut self) {
        loop {
            let plan = *self.plan.borrow_and_update();
            let Some(Plan { from, over }) = plan else {
                if self.plan.changed().await.is_err() {
                    return;
                }
                continue;
            };
            tokio::select! {
                () = sleep_until(from + over.mul_f64(self.turn)) => return,
                changed = self.plan.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_close_evenly() {
        // So many, of which the first so many are gone already: in no tenth of the time twice as many as in another.
        let check = |all: u64, gone: u64| {
            let mut tenths = [0_u32; 10];
            for number in gone..all {
                tenths[((turn(number) * 10.0) as usize).min(9)] += 1;
            }
            let (least, most) = (tenths.iter().min().unwrap(), tenths.iter().max().unwrap());
            assert!(*most <= 2 * least, "{all} {gone}: {tenths:?}");
        };
        check(50, 0);
        check(1_000, 0);
        check(1_000, 900);
        check(10_000, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_told_in_its_turn_and_all_at_once_in_the_end() {
        let fronts = Fronts::default();
        let mut all: Vec<Closing> = (0..4).map(|_| fronts.enter()).collect();
        assert_eq!(fronts.len(), 4);
        let begun = Instant::now();
        fronts.close(Duration::from_secs(100));
        let mut times = Vec::new();
        for closing in &mut all[..3] {
            closing.told().await;
            times.push(begun.elapsed().as_secs());
        }
        // The first has the turn 0, the second 61.8, and the third 23.6, which is over by then.
        assert_eq!(times, [0, 61, 61]);
        let mut last = all.pop().unwrap();
        let waits = async {
            last.told().await;
            begun.elapsed().as_secs()
        };
        let ends = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            fronts.close(Duration::ZERO);
        };
        assert_eq!(tokio::join!(waits, ends).0, 62);
        drop((all, last));
        assert!(fronts.is_empty());
    }
}
