//! How long clients were affected: the time without a promise, and the time until a session was theirs again.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A session that went on after its connection had broken.
#[derive(Debug, Clone, Copy)]
struct Resumed {
    /// Since the connection broke: with the attempts that failed, and the pauses of the client.
    since_break: Duration,
    /// Since the client dialled the connection on which it went on.
    since_dial: Duration,
    /// Since the death that broke the connection, if one did.
    since_death: Option<Duration>,
}

/// How long after a death its clients' connections break, at most: those whose home it was keep theirs until it is noticed.
const BREAKS: Duration = Duration::from_secs(5);

/// What a play measures, a few words for each message of it.
#[derive(Debug, Default)]
pub struct Times {
    /// When each client was told that something of it is safe.
    told: BTreeMap<usize, Vec<Instant>>,
    resumed: Vec<Resumed>,
    died: Option<Instant>,
}

impl Times {
    /// A client was told that something of it is safe.
    pub fn told(&mut self, client: usize) {
        self.told.entry(client).or_default().push(Instant::now());
    }

    /// A session goes on: when its connection broke, when the client dialled the next one, and whether it had broken the
    /// former one itself.
    pub fn resumed(&mut self, broke: Instant, dialled: Instant, vanished: bool) {
        let died = self.died.filter(|died| {
            let since = broke.saturating_duration_since(*died);
            !vanished && broke >= *died && since < BREAKS
        });
        self.resumed.push(Resumed {
            since_break: broke.elapsed(),
            since_dial: dialled.elapsed(),
            since_death: died.map(|died| died.elapsed()),
        });
    }

    /// A node is about to die.
    pub fn dies(&mut self) {
        self.died = Some(Instant::now());
    }

    /// Whether a client was told so since then.
    #[must_use]
    pub fn is_served_since(&self, client: usize, since: Instant) -> bool {
        let last = self.told.get(&client).and_then(|told| told.last());
        last.is_some_and(|last| *last > since)
    }

    /// The longest time without a promise to a client that touches this window.
    fn longest(&self, client: usize, window: &Range<Instant>) -> Duration {
        let told = self.told.get(&client).map_or(&[][..], Vec::as_slice);
        let from = told.partition_point(|at| *at <= window.start);
        let until = told.partition_point(|at| *at <= window.end);
        // The one before the window and the one behind it bound what touches it.
        let touching = &told[from.saturating_sub(1)..(until + 1).min(told.len())];
        let gaps = touching.windows(2).map(|pair| pair[1] - pair[0]);
        match (from, until) {
            (from, until) if from == until && (from == 0 || from == told.len()) => {
                window.end - window.start
            }
            _ => gaps.max().unwrap_or_default(),
        }
    }

    /// The longest times without a promise of these clients, over a window.
    #[must_use]
    pub fn silences(&self, clients: &[usize], window: &Range<Instant>) -> Spread {
        let longest = clients.iter().map(|client| self.longest(*client, window));
        Spread::of(longest.collect())
    }

    /// From the break of a connection to `<resumed/>`.
    #[must_use]
    pub fn since_break(&self) -> Spread {
        Spread::of(self.resumed.iter().map(|it| it.since_break).collect())
    }

    /// From dialling to `<resumed/>`, at the attempt that succeeded.
    #[must_use]
    pub fn since_dial(&self) -> Spread {
        Spread::of(self.resumed.iter().map(|it| it.since_dial).collect())
    }

    /// From the death that broke a connection to `<resumed/>`.
    #[must_use]
    pub fn since_death(&self) -> Spread {
        Spread::of(
            self.resumed
                .iter()
                .filter_map(|it| it.since_death)
                .collect(),
        )
    }

    /// From dialling to `<resumed/>` of those whose connection a death had broken.
    #[must_use]
    pub fn since_dial_after_death(&self) -> Spread {
        let broken = self.resumed.iter().filter(|it| it.since_death.is_some());
        Spread::of(broken.map(|it| it.since_dial).collect())
    }
}

/// Durations in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread(Vec<Duration>);

impl Spread {
    fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// So many of a hundred are not longer.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |percent| self.percentile(percent).as_millis();
        let (median, most, all, count) = (ms(50), ms(99), ms(100), self.0.len());
        write!(f, "p50 {median} ms, p99 {most} ms, max {all} ms of {count}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[track_caller]
    fn check(told: &[u64], window: Range<u64>, expected: u64) {
        let zero = Instant::now();
        let at = |time: &u64| zero + ms(*time);
        let times = Times {
            told: BTreeMap::from([(0, told.iter().map(at).collect())]),
            ..Times::default()
        };
        let window = at(&window.start)..at(&window.end);
        assert_eq!(times.longest(0, &window), ms(expected));
    }

    #[test]
    fn the_longest_silence_touches_the_window() {
        check(&[0, 10, 500, 510], 20..600, 490);
        check(&[0, 10, 500, 510], 20..400, 490);
        check(&[0, 10, 500, 510], 502..505, 10);
        check(&[0, 900, 910, 920, 1_000], 905..930, 80);
        check(&[0, 900, 910, 920, 1_000], 910..915, 10);
        check(&[], 0..300, 300);
        check(&[400], 0..300, 300);
        check(&[0], 100..300, 200);
    }

    #[test]
    fn a_percentile_is_one_of_the_durations() {
        let spread = Spread::of((1..=200).map(ms).collect());
        assert_eq!(spread.percentile(50), ms(100));
        assert_eq!(spread.percentile(99), ms(198));
        assert_eq!(Spread::of(Vec::new()).percentile(99), Duration::ZERO);
    }
}
