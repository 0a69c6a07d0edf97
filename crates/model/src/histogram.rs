//! Latency distributions: log-linear buckets with a bounded relative error, cheap to count into and to add up.
//!
//! The buckets are those of an OpenTelemetry exponential histogram of scale 3 in seconds
//! (<https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram>): eight to an octave, so that each
//! is wider than the one before by the factor 2^(1/8). A value that is read back as the geometric middle of its bucket is
//! off by at most 2^(1/16) - 1, which is 4.5 %.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets to an octave.
const PER_OCTAVE: usize = 8;
/// The exponent of the smallest time that has a bucket of its own: 2^-14 s is 61 µs.
const FIRST: i32 = -14;
/// The exponent of the longest: 2^6 s is 64 s.
const LAST: i32 = 6;
/// The number of buckets: the first is for everything shorter, the last for everything longer.
pub const BUCKETS: usize = (LAST - FIRST) as usize * PER_OCTAVE + 2;

/// Where the buckets of an octave begin: the mantissas of 2^(1/8), 2^(2/8), …
const STEPS: [u64; PER_OCTAVE - 1] = [
    mantissa(1.090_507_732_665_257_7),
    mantissa(1.189_207_115_002_721),
    mantissa(1.296_839_554_651_009_6),
    mantissa(std::f64::consts::SQRT_2),
    mantissa(1.542_210_825_407_940_7),
    mantissa(1.681_792_830_507_429),
    mantissa(1.834_008_086_409_342_4),
];

const fn mantissa(value: f64) -> u64 {
    value.to_bits() & ((1 << 52) - 1)
}

/// The bucket of a time, below [`BUCKETS`].
pub fn bucket_of(time: Duration) -> usize {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let seconds = nanos as f64 * 1e-9;
    let exponent = ((seconds.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    if exponent < FIRST {
        return 0;
    }
    if exponent >= LAST {
        return BUCKETS - 1;
    }
    let step = STEPS.iter().filter(|step| mantissa(seconds) >= **step).count();
    (exponent - FIRST) as usize * PER_OCTAVE + step + 1
}

/// What a time in a bucket is taken to be, in seconds: the geometric middle; the inner edge for the first and the last.
pub fn middle_of(bucket: usize) -> f64 {
    let edge = |steps: f64| (f64::from(FIRST) + steps / PER_OCTAVE as f64).exp2();
    match bucket {
        0 => edge(0.0),
        _ if bucket >= BUCKETS - 1 => edge((BUCKETS - 2) as f64),
        _ => edge(bucket as f64 - 0.5),
    }
}

/// The longest time of a bucket, in seconds; what is longer than all is in the last one.
pub fn upper_of(bucket: usize) -> f64 {
    match bucket {
        _ if bucket >= BUCKETS - 1 => f64::INFINITY,
        _ => (f64::from(FIRST) + bucket as f64 / PER_OCTAVE as f64).exp2(),
    }
}

/// A distribution of times: how many fell into each bucket, and what they add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Bucket and count, by bucket; empty buckets are left out.
    pub buckets: Vec<(u8, u64)>,
    /// The sum of all times, in microseconds.
    pub sum: u64,
}

impl Histogram {
    /// From the counts of all buckets, and the sum of all times in microseconds.
    pub fn from_counts(counts: &[u64], sum: u64) -> Self {
        let filled = counts.iter().take(BUCKETS).enumerate().filter(|(_, count)| **count > 0);
        // There are fewer than 256 buckets.
        Self { buckets: filled.map(|(bucket, count)| (bucket as u8, *count)).collect(), sum }
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The time below which a part `q` (0 to 1) of all are; none if there are none.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(bucket, _)| Duration::from_secs_f64(middle_of(usize::from(*bucket))))
    }

    /// The end of each octave in seconds, and how many are no longer than that. What is longer than the last is in none.
    pub fn octaves(&self) -> Vec<(f64, u64)> {
        let upto = |end: usize| self.buckets.iter().filter(move |(bucket, _)| usize::from(*bucket) <= end);
        let octave = |end| (upper_of(end), upto(end).map(|(_, count)| count).sum());
        (0..BUCKETS - 1).step_by(PER_OCTAVE).map(octave).collect()
    }

    /// The arithmetic mean; none if there are no times.
    pub fn mean(&self) -> Option<Duration> {
        self.sum.checked_div(self.count()).map(Duration::from_micros)
    }

    /// The geometric mean, which a few very long times move little; none if there are no times.
    pub fn typical(&self) -> Option<Duration> {
        let logs: f64 =
            self.buckets.iter().map(|(b, count)| middle_of(usize::from(*b)).log2() * *count as f64).sum();
        let count = self.count();
        (count > 0).then(|| Duration::from_secs_f64((logs / count as f64).exp2()))
    }

    /// Adds another distribution.
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            match self.buckets.binary_search_by_key(bucket, |(bucket, _)| *bucket) {
                Ok(at) => self.buckets[at].1 += count,
                Err(at) => self.buckets.insert(at, (*bucket, *count)),
            }
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// What was added since `earlier`. A bucket whose count became smaller, since it began anew, adds nothing.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: u8| {
            let at = earlier.buckets.binary_search_by_key(&bucket, |(bucket, _)| *bucket);
            at.map_or(0, |at| earlier.buckets[at].1)
        };
        let added = |(bucket, count): &(u8, u64)| (*bucket, count.saturating_sub(before(*bucket)));
        let buckets = self.buckets.iter().map(added).filter(|(_, count)| *count > 0).collect();
        Self { buckets, sum: self.sum.saturating_sub(earlier.sum) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_from_100_us_to_60_s_is_read_back_within_five_percent() {
        let mut micros = 100.0_f64;
        while micros < 60e6 {
            let time = Duration::from_nanos((micros * 1000.0) as u64);
            let read = middle_of(bucket_of(time)) * 1e6;
            assert!((read / micros - 1.0).abs() < 0.045, "{micros} read as {read}");
            micros *= 1.003;
        }
    }

    #[test]
    fn a_bucket_ends_where_the_next_one_begins() {
        for bucket in 0..BUCKETS - 1 {
            let end = upper_of(bucket);
            let (below, above) = (end * 0.999, end * 1.001);
            assert_eq!(bucket_of(Duration::from_secs_f64(below)), bucket);
            assert_eq!(bucket_of(Duration::from_secs_f64(above)), bucket + 1);
        }
        assert_eq!((upper_of(0), upper_of(BUCKETS - 2)), (2.0_f64.powi(FIRST), 64.0));
    }

    #[test]
    fn buckets_grow_with_the_time_and_have_ends() {
        assert_eq!(bucket_of(Duration::ZERO), 0);
        assert_eq!(bucket_of(Duration::from_micros(61)), 0);
        assert_eq!(bucket_of(Duration::from_micros(62)), 1);
        assert_eq!(bucket_of(Duration::from_secs(1)), 14 * 8 + 1);
        assert_eq!(bucket_of(Duration::from_secs(64)), BUCKETS - 1);
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
        let all: Vec<_> = (0..20_000_000).step_by(997).map(|n| bucket_of(Duration::from_nanos(n))).collect();
        assert!(all.is_sorted());
        assert!((1..BUCKETS).all(|b| middle_of(b) > middle_of(b - 1)));
    }

    fn of(millis: &[u64]) -> Histogram {
        let mut counts = [0; BUCKETS];
        millis.iter().for_each(|ms| counts[bucket_of(Duration::from_millis(*ms))] += 1);
        Histogram::from_counts(&counts, millis.iter().sum::<u64>() * 1000)
    }

    fn about(found: Option<Duration>, millis: f64) -> bool {
        found.is_some_and(|found| (found.as_secs_f64() * 1e3 / millis - 1.0).abs() < 0.05)
    }

    #[test]
    fn quantiles_and_means() {
        let some: Vec<u64> = (1..=100).collect();
        let of_some = of(&some);
        for (q, millis) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)] {
            assert!(about(of_some.quantile(q), millis), "{q}: {:?}", of_some.quantile(q));
        }
        assert_eq!(of_some.mean(), Some(Duration::from_micros(50_500)));
        assert!(about(of(&[1, 100]).typical(), 10.0));
        assert_eq!((of(&[]).quantile(0.5), of(&[]).mean(), of(&[]).typical()), (None, None, None));
    }

    #[test]
    fn what_is_added_can_be_taken_off_again() {
        let (early, late) = (of(&[1, 5, 5, 900]), of(&[2, 5, 70]));
        let mut both = early.clone();
        both.add(&late);
        assert_eq!(both.count(), 7);
        assert_eq!(both.since(&early), late);
        assert_eq!(early.since(&both), Histogram::default(), "begun anew");
    }
}
