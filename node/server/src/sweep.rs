//! Sweep: what is due because time has passed.
//!
//! Ends parked sessions whose time is over, asks silent clients for a sign of life, drops what nobody uses from memory.
//! Why here: 100,000 idle sessions must not cost 100,000 timers, nor a look at each of them every second. Parked sessions
//! stand in the order of their ends; live ones are looked at a few shards at a time, each once a lap. Nothing comes later
//! than a second after its time, or a tenth of what is configured where that is more.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    config::ClientLimits,
    home::HOME_SHARDS,
    intake,
    pipeline::groups,
    routing::{Order, Router, sessions::SHARDS},
    shutdown::Stopping,
};

/// How often something is looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often what nobody uses is dropped from memory.
const TIDY: Duration = Duration::from_secs(15);

/// Runs until the node stops.
pub async fn run(router: Arc<Router>, mut stop: Stopping) {
    let mut watch = Watch::new(&router.config.limits);
    let warmed = router.groups.clone();
    router.spawn(async move { warmed.warm().await });
    let mut laps = Laps::default();
    let mut tidied = Instant::now();
    let mut groups_read = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = stop.wait() => return,
        }
        router.parked.sweep(false);
        router.replicas.sweep(&router, Instant::now());
        for shard in watch.shards() {
            ask_the_silent(&router, &watch, shard);
        }
        if groups_read.elapsed() >= router.config.shared_groups.refresh {
            groups_read = Instant::now();
            router.groups.doubt_all();
        }
        groups::sweep(&router);
        let homes = laps.next();
        router.homes.sweep_shards(&router, homes);
        if tidied.elapsed() >= TIDY {
            tidied = Instant::now();
            intake::sweep(&router);
            for service in router.registry().services() {
                service.tidy(&router.context());
            }
            router.homes.unpin(&router);
            router
                .groups
                .retain(|account| router.directory.lookup(account.as_str()).is_some());
            router
                .rosters
                .retain(|account| router.directory.lookup(account.as_str()).is_some());
        }
    }
}

/// Which homes are looked at when: all of them once in [`TIDY`].
#[derive(Default)]
struct Laps {
    tick: usize,
}

impl Laps {
    const TICKS: usize = (TIDY.as_millis() / TICK.as_millis()) as usize;

    fn next(&mut self) -> Range<usize> {
        let at = |tick: usize| HOME_SHARDS * tick / Self::TICKS;
        let tick = self.tick;
        self.tick = (tick + 1) % Self::TICKS;
        at(tick)..at(tick + 1)
    }
}

fn ask_the_silent(router: &Router, watch: &Watch, shard: usize) {
    let now = router.uptime();
    let silence = |heard: u32| now.saturating_sub(heard);
    let silent = router.sessions.of_shard(shard, |handle| {
        silence(handle.heard.load(Ordering::Relaxed)) >= watch.ask
    });
    for handle in silent {
        if let Some(order) = watch.order(silence(handle.heard.load(Ordering::Relaxed))) {
            handle.mailbox.order(order);
        }
    }
}

/// When the silent are asked, and which shards are looked at when.
struct Watch {
    /// Seconds of silence before a client is asked.
    ask: u32,
    /// Seconds of silence after which it is given up.
    give_up: u32,
    /// Shards of one tick.
    shards: usize,
    /// The shard that comes next.
    next: usize,
}

impl Watch {
    fn new(limits: &ClientLimits) -> Self {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX / 2);
        let (ask, answer) = (seconds(limits.idle_ping), seconds(limits.ping_timeout));
        let lap = limits.idle_ping.min(limits.ping_timeout) / 10;
        let ticks = (lap.max(Duration::from_secs(1)).as_millis() / TICK.as_millis()) as usize;
        Self {
            ask,
            give_up: ask + answer,
            shards: SHARDS.div_ceil(ticks),
            next: 0,
        }
    }

    /// The shards of this tick.
    fn shards(&mut self) -> Range<usize> {
        let from = if self.next < SHARDS { self.next } else { 0 };
        self.next = SHARDS.min(from + self.shards);
        from..self.next
    }

    /// What a session is told after so many seconds of silence. It is asked in one lap, or in two: it knows.
    fn order(&self, silent: u32) -> Option<Order> {
        let lap = TICK * SHARDS.div_ceil(self.shards) as u32;
        if silent >= self.give_up {
            Some(Order::Dead)
        } else if silent >= self.ask && silent <= self.ask + lap.as_secs() as u32 + 1 {
            Some(Order::Ping)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn watch(ask: u64, answer: u64) -> Watch {
        let mut limits = Config::development("unused".into()).limits;
        limits.idle_ping = Duration::from_secs(ask);
        limits.ping_timeout = Duration::from_secs(answer);
        Watch::new(&limits)
    }

    #[test]
    fn each_shard_has_its_turn_within_a_second_or_a_tenth_of_the_time() {
        let check = |ask: u64, answer: u64, lap_ms: u128| {
            let mut watch = watch(ask, answer);
            for _ in 0..3 {
                let (mut seen, mut ticks) = (Vec::new(), 0);
                while seen.len() < SHARDS {
                    seen.extend(watch.shards());
                    ticks += 1;
                }
                assert_eq!(seen, (0..SHARDS).collect::<Vec<_>>());
                assert!(
                    TICK.as_millis() * ticks <= lap_ms,
                    "{ask} {answer}: {ticks}"
                );
            }
        };
        check(10, 1, 1_000);
        check(10, 5, 1_000);
        check(300, 60, 6_000);
        check(20, 60, 2_000);
        check(86_400, 3_600, 360_000);
    }

    #[test]
    fn each_home_has_its_turn_once_a_lap() {
        let mut laps = Laps::default();
        for _ in 0..2 {
            let seen: Vec<_> = (0..Laps::TICKS).flat_map(|_| laps.next()).collect();
            assert_eq!(seen, (0..HOME_SHARDS).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_silent_are_asked_and_given_up() {
        let check = |silent: u32, expected: Option<&str>| {
            let order = watch(10, 5).order(silent).map(|order| match order {
                Order::Ping => "ping",
                Order::Dead => "dead",
                _ => "other",
            });
            assert_eq!(order, expected, "{silent}");
        };
        check(0, None);
        check(9, None);
        check(10, Some("ping"));
        check(12, Some("ping"));
        check(13, None);
        check(14, None);
        check(15, Some("dead"));
        check(u32::MAX, Some("dead"));
    }
}
