//! The rule of the limiter: how fast, and who first. Pure; the time is given.
//!
//! A bucket fills at the rate and holds [`LimiterOptions::burst`] of it. Each class leaves a part of it to those above,
//! so when the bucket runs low the lower classes are refused while the higher still take. A batch of more than its
//! class may ever take waits for a full bucket, leaves the same part of it, and its class owes the rest: what flows over
//! pays for it, and until then the class and those below wait, but none above. Messages alone may take all and more.
//!
//! The rate grows by a constant with what succeeds and is cut by a factor of what was really used when the store says
//! that it is too much: once per event, as many calls hear of the same one.

use std::time::Duration;

use tokio::time::Instant;

/// What a call is for. Higher ones go on while lower ones are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A message on its way: its append, and what a recipient needs to get it.
    Message,
    /// A client that comes: accounts, credentials, mailboxes.
    Bind,
    /// Rosters, privacy lists, vCards and whatever else a client asks for.
    Roster,
    /// Pages of archives.
    Archive,
    /// Work that nobody waits for.
    Compaction,
}

tokio::task_local! {
    static CURRENT: Class;
}

impl Class {
    /// That of the call that this task is making, where a layer below or a backend tells what it cost.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|class| *class).ok()
    }

    /// Makes a call as one of this class.
    pub(crate) async fn calling<T>(self, call: impl Future<Output = T>) -> T {
        CURRENT.scope(self, call).await
    }

    /// Begins a call as one of this class.
    pub(crate) fn begin<T>(self, call: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, call)
    }

    /// All of them, highest first.
    pub const ALL: [Self; 5] = [
        Self::Message,
        Self::Bind,
        Self::Roster,
        Self::Archive,
        Self::Compaction,
    ];
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Bind => "bind",
            Self::Roster => "roster",
            Self::Archive => "archive",
            Self::Compaction => "compaction",
        }
    }
    /// The part of the bucket that it leaves to those above.
    fn leaves(self) -> f64 {
        match self {
            Self::Message => 0.0,
            Self::Bind => 0.2,
            Self::Roster => 0.4,
            Self::Archive => 0.6,
            Self::Compaction => 0.8,
        }
    }
}

/// How fast, and how patient. A unit is a read, or an operation of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LimiterOptions {
    /// The rate never falls below, in units a second: with none, nothing would tell that the store has recovered.
    pub least: f64,
    /// The rate at the start, and never more.
    pub most: f64,
    /// What a second of successes adds to it. A constant, so that nodes that share a store come to equal shares.
    pub growth: f64,
    /// What is left of it when the store refuses.
    pub cut: f64,
    /// Refusals within this time are one event.
    pub event: Duration,
    /// How much may be saved up, in time at the rate.
    pub burst: Duration,
    /// The longest wait of each class, highest first. Who would have to wait longer is refused at once.
    pub patience: [Duration; 5],
    /// At most so many wait in each class.
    pub waiting: usize,
}

impl Default for LimiterOptions {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            least: 20.0,
            most: 20_000.0,
            growth: 50.0,
            cut: 0.7,
            event: ms(500),
            burst: ms(500),
            patience: [ms(2000), ms(2000), ms(1000), ms(500), ms(0)],
            waiting: 1024,
        }
    }
}

/// The state of a limiter.
#[derive(Debug)]
pub(super) struct Bucket {
    options: LimiterOptions,
    rate: f64,
    level: f64,
    /// What batches of each class took beyond what was there for them: at most one batch's units in each.
    owed: [f64; 5],
    /// Units taken in about the last second: forgotten exponentially.
    used: f64,
    at: Instant,
    cut_at: Option<Instant>,
    grown_at: Instant,
    /// Units that each class waits for.
    booked: [f64; 5],
    waiting: [usize; 5],
}

impl Bucket {
    pub(super) fn new(options: LimiterOptions, now: Instant) -> Self {
        let rate = options.most;
        Self {
            level: capacity(&options, rate),
            rate,
            owed: [0.0; 5],
            used: 0.0,
            at: now,
            cut_at: None,
            grown_at: now,
            booked: [0.0; 5],
            waiting: [0; 5],
            options,
        }
    }

    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    fn pass(&mut self, now: Instant) {
        let seconds = (now - self.at).as_secs_f64();
        self.at = now;
        let full = capacity(&self.options, self.rate);
        let filled = self.level + seconds * self.rate;
        self.level = filled.min(full);
        let mut over = filled - self.level;
        for owed in &mut self.owed {
            let paid = owed.min(over);
            *owed -= paid;
            over -= paid;
        }
        self.used *= (-seconds).exp();
    }

    /// Takes so many units, or says when to ask again. More than there is for a class may be taken from a full bucket:
    /// then the next ones of the class wait for it.
    pub(super) fn take(&mut self, class: Class, units: f64, now: Instant) -> Result<(), Duration> {
        self.pass(now);
        let full = capacity(&self.options, self.rate);
        let left = full * class.leaves();
        let before: f64 = self.booked[..=class as usize].iter().sum();
        let owed: f64 = self.owed[..=class as usize].iter().sum();
        let missing = (left + units).min(full) + before + owed - self.level;
        if missing > 0.0 {
            return Err(Duration::from_secs_f64(
                (missing / self.rate).max(SHORTEST_WAIT),
            ));
        }
        let taken = match class {
            // What is owed here all wait for.
            Class::Message => units,
            _ => units.min(self.level - left),
        };
        self.level -= taken;
        self.owed[class as usize] += units - taken;
        self.used += units;
        Ok(())
    }

    /// Stands in line, if there is room and the wait is not beyond the patience.
    pub(super) fn book(&mut self, class: Class, units: f64, waits: Duration) -> bool {
        let at = class as usize;
        let may = waits <= self.options.patience[at] && self.waiting[at] < self.options.waiting;
        if may {
            self.waiting[at] += 1;
            self.booked[at] += units;
        }
        may
    }

    /// Leaves the line.
    pub(super) fn leave(&mut self, class: Class, units: f64) {
        let at = class as usize;
        self.waiting[at] -= 1;
        // The sum of what is left, without the errors of many additions.
        self.booked[at] = if self.waiting[at] == 0 {
            0.0
        } else {
            (self.booked[at] - units).max(0.0)
        };
    }

    /// The store did what was asked.
    pub(super) fn served(&mut self, now: Instant) {
        let since = (now - self.grown_at).as_secs_f64().min(1.0);
        self.grown_at = now;
        let settled = self
            .cut_at
            .is_none_or(|cut| now - cut >= self.options.event);
        if settled {
            self.rate = (self.rate + since * self.options.growth).min(self.options.most);
        }
    }

    /// The store said that it was too much.
    pub(super) fn throttled(&mut self, now: Instant) {
        let same = self
            .cut_at
            .is_some_and(|cut| now - cut < self.options.event);
        if same {
            return;
        }
        self.pass(now);
        self.cut_at = Some(now);
        self.rate = (self.rate.min(self.used) * self.options.cut)
            .clamp(self.options.least, self.options.most);
        self.level = self.level.min(capacity(&self.options, self.rate));
    }
}

/// A timer is as fine as a millisecond.
const SHORTEST_WAIT: f64 = 0.001;

fn capacity(options: &LimiterOptions, rate: f64) -> f64 {
    (rate * options.burst.as_secs_f64()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(most: f64) -> (Bucket, Instant) {
        let now = Instant::now();
        let options = LimiterOptions {
            most,
            burst: Duration::from_secs(1),
            ..LimiterOptions::default()
        };
        (Bucket::new(options, now), now)
    }

    fn taken(bucket: &mut Bucket, class: Class, now: Instant) -> usize {
        (0..100_000)
            .take_while(|_| bucket.take(class, 1.0, now).is_ok())
            .count()
    }

    #[test]
    fn each_class_leaves_something_to_those_above() {
        let (mut bucket, now) = bucket(100.0);
        let mut all = Vec::new();
        for class in Class::ALL.into_iter().rev() {
            all.push(taken(&mut bucket, class, now));
        }
        assert_eq!(all, [20, 20, 20, 20, 20]);
        // A quarter of a second later there is something again, for messages only.
        let later = now + Duration::from_millis(150);
        assert_eq!(taken(&mut bucket, Class::Bind, later), 0);
        assert_eq!(taken(&mut bucket, Class::Message, later), 15);
    }

    #[test]
    fn who_waits_is_told_how_long_behind_those_in_front() {
        let (mut bucket, now) = bucket(100.0);
        taken(&mut bucket, Class::Message, now);
        let wait = |bucket: &mut Bucket, class| {
            let wait = bucket.take(class, 1.0, now).unwrap_err();
            (wait.as_secs_f64() * 1000.0).round()
        };
        assert_eq!(wait(&mut bucket, Class::Message), 10.0);
        assert_eq!(wait(&mut bucket, Class::Bind), 210.0);
        for _ in 0..5 {
            assert!(bucket.book(Class::Message, 1.0, Duration::ZERO));
        }
        assert_eq!(wait(&mut bucket, Class::Message), 60.0);
        assert_eq!(wait(&mut bucket, Class::Bind), 260.0);
        bucket.leave(Class::Message, 1.0);
        assert_eq!(wait(&mut bucket, Class::Message), 50.0);
    }

    #[test]
    fn lines_and_patience_have_an_end() {
        let (mut bucket, _) = bucket(100.0);
        let ms = Duration::from_millis;
        assert!(!bucket.book(Class::Compaction, 1.0, ms(1)));
        assert!(bucket.book(Class::Archive, 1.0, ms(500)));
        assert!(!bucket.book(Class::Archive, 1.0, ms(501)));
        let fit = (0..10_000)
            .take_while(|_| bucket.book(Class::Message, 1.0, ms(1)))
            .count();
        assert_eq!(fit, bucket.options.waiting);
        assert!(
            bucket.book(Class::Bind, 1.0, ms(1)),
            "each has its own line"
        );
    }

    #[test]
    fn the_rate_is_cut_once_per_event_and_grows_with_successes() {
        let (mut bucket, start) = bucket(10_000.0);
        let ms = |ms: u64| start + Duration::from_millis(ms);
        for _ in 0..1000 {
            bucket.take(Class::Message, 1.0, start).unwrap();
        }
        for at in [0, 10, 499] {
            bucket.throttled(ms(at));
        }
        assert_eq!(
            bucket.rate().round(),
            700.0,
            "of what was used, not of what was allowed"
        );
        bucket.served(ms(400));
        assert_eq!(bucket.rate().round(), 700.0, "not while it settles");
        for second in 1..=10 {
            bucket.served(ms(second * 1000));
        }
        assert_eq!(bucket.rate().round(), 700.0 + 9.6 * 50.0);
        for _ in 0..20 {
            bucket.throttled(bucket.at + Duration::from_secs(1));
        }
        assert_eq!(bucket.rate(), bucket.options.least);
        for second in 0..1000 {
            bucket.served(bucket.at + Duration::from_secs(second));
        }
        assert_eq!(bucket.rate(), 10_000.0);
    }

    #[test]
    fn a_batch_larger_than_the_bucket_passes_and_is_paid_for() {
        let (mut bucket, now) = bucket(20.0);
        bucket.take(Class::Message, 100.0, now).unwrap();
        let wait = bucket.take(Class::Message, 1.0, now).unwrap_err();
        assert_eq!(wait.as_secs_f64().round(), 4.0);
    }

    /// However much they take at once, it is they who wait for it, and those below.
    #[test]
    fn nobody_waits_for_a_large_batch_of_those_below() {
        let check = |class: Class, left: usize| {
            let (mut bucket, now) = bucket(100.0);
            bucket.take(class, 1000.0, now).unwrap();
            for each in Class::ALL {
                let first = bucket.take(each, 0.0, now);
                assert_eq!(first.is_ok(), each < class, "{each:?} after {class:?}");
            }
            assert_eq!(taken(&mut bucket, Class::Message, now), left, "{class:?}");
            let wait = bucket.take(Class::Message, 1.0, now).unwrap_err();
            assert!(wait < bucket.options.patience[0], "{class:?}: {wait:?}");
            // All that was taken is paid for, less the hundred that were there.
            let wait = bucket.take(class, 0.0, now).unwrap_err().as_secs_f64();
            let seconds = (1000.0 + left as f64 - 100.0 + left as f64) / 100.0;
            assert!((wait - seconds).abs() < 0.001, "{class:?}: {wait}");
            let before = now + Duration::from_secs_f64(seconds - 0.01);
            bucket.take(class, 0.0, before).unwrap_err();
            let after = before + Duration::from_millis(11);
            bucket.take(class, 0.0, after).unwrap();
        };
        check(Class::Bind, 20);
        check(Class::Roster, 40);
        check(Class::Archive, 60);
        check(Class::Compaction, 80);
    }

    #[test]
    fn a_large_batch_of_a_lower_class_waits_for_a_full_bucket() {
        let (mut bucket, now) = bucket(100.0);
        bucket.take(Class::Message, 10.0, now).unwrap();
        let wait = bucket.take(Class::Archive, 1000.0, now).unwrap_err();
        assert_eq!(wait.as_millis(), 100);
        let (almost, then) = (Duration::from_millis(99), Duration::from_millis(101));
        bucket
            .take(Class::Archive, 1000.0, now + almost)
            .unwrap_err();
        bucket.take(Class::Archive, 1000.0, now + then).unwrap();
    }
}
