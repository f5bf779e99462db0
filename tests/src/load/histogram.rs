//! Latencies: a histogram with 1 % steps, cheap to record into and to add up.
//!
//! Why here: each task records into its own and they are added at the end, so that measuring costs no lock.

/// Sub-buckets of each power of two, as a power of two: 64 steps, so a value is known to 1.6 %.
const STEP_BITS: u32 = 6;
const STEPS: usize = 1 << STEP_BITS;
/// 2^42 ns is 73 minutes; longer counts as that.
const BUCKETS: usize = STEPS * 38;

/// Counts of durations in nanoseconds.
#[derive(Clone, Default)]
pub struct Histogram {
    counts: Vec<u32>,
    total: u64,
    sum: u64,
    max: u64,
}

impl Histogram {
    /// Records one duration.
    pub fn record(&mut self, nanoseconds: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.sum = self.sum.saturating_add(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    /// Adds another histogram to this one.
    pub fn add(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS];
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest, in milliseconds.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        milliseconds(self.max)
    }

    /// The duration that `share` of all do not pass, in milliseconds; 0 if there are none.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return milliseconds(upper(index).min(self.max));
            }
        }
        0.0
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn bucket(value: u64) -> usize {
    let octave = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let index = octave as usize * STEPS + (value >> octave) as usize;
    index.min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(index: usize) -> u64 {
    let octave = (index / STEPS).saturating_sub(1);
    let step = (index - octave * STEPS) as u64;
    ((step + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::{Histogram, bucket, upper};

    #[test]
    fn every_value_lies_in_its_bucket_and_near_its_end() {
        for value in (0..200).chain([1_000, 4_095, 4_096, 65_537, 1_000_000, 123_456_789, 1 << 40])
        {
            let end = upper(bucket(value));
            assert!(end >= value, "{value} in a bucket up to {end}");
            assert!(
                end - value <= value / 60 + 1,
                "{value} in a bucket up to {end}"
            );
        }
    }

    #[test]
    fn quantiles_of_a_ramp_are_its_parts() {
        let mut left = Histogram::default();
        let mut right = Histogram::default();
        for value in 1..=1_000_u64 {
            let half = if value % 2 == 0 {
                &mut left
            } else {
                &mut right
            };
            half.record(value * 1_000_000);
        }
        left.add(&right);
        for (share, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            let found = left.quantile_ms(share);
            assert!(
                (found - expected).abs() <= expected * 0.017,
                "{share}: {found}"
            );
        }
        assert_eq!(left.count(), 1_000);
        assert_eq!(Histogram::default().quantile_ms(0.5), 0.0);
    }
}
