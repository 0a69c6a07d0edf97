//! How often something happened in the last ten seconds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many buckets of a second the window has.
pub(crate) const SECONDS: u64 = 10;
const BUCKETS: usize = SECONDS as usize;

/// A sliding window of ten buckets of one second, counted per worker and added up by whoever reads it.
///
/// Each worker writes to its own cache line, so counting costs a load and a store.
#[derive(Debug)]
pub(crate) struct Window(Box<[Ring]>);

/// One worker's buckets. Each is the second that it is about, and the count of that second: 32 bits each.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Ring([AtomicU64; BUCKETS]);

impl Window {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Ring::default()).collect())
    }

    /// Counts once. `worker` is the calling thread's; `now` is the process's clock in milliseconds.
    pub(crate) fn add(&self, worker: usize, now: u64) {
        let second = second(now);
        let bucket = &self.0[worker % self.0.len()].0[(second % SECONDS) as usize];
        let (of, count) = unpack(bucket.load(Relaxed));
        let count = if of == second { (count + 1).min(u64::from(u32::MAX)) } else { 1 };
        bucket.store((second << 32) | count, Relaxed);
    }

    /// What all workers counted in the ten seconds up to `now`.
    pub(crate) fn sum(&self, now: u64) -> u64 {
        self.sum_of(now, |_| true)
    }

    /// The same, without what was counted before the second of `from`.
    pub(crate) fn sum_from(&self, from: u64, now: u64) -> u64 {
        let from = second(from);
        self.sum_of(now, |of| of >= from)
    }

    fn sum_of(&self, now: u64, counts: impl Fn(u64) -> bool) -> u64 {
        let now = second(now);
        let fresh = |bucket: &AtomicU64| {
            let (of, count) = unpack(bucket.load(Relaxed));
            // Another worker's clock may be read a moment later: its second is part of the window too.
            if of + SECONDS > now && counts(of) { count } else { 0 }
        };
        self.0.iter().flat_map(|ring| &ring.0).map(fresh).sum()
    }
}

fn second(now: u64) -> u64 {
    (now / 1000) & u64::from(u32::MAX)
}

fn unpack(bucket: u64) -> (u64, u64) {
    (bucket >> 32, bucket & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_older_than_ten_seconds_no_longer_counts() {
        let window = Window::new(2);
        window.add(0, 0);
        window.add(1, 999);
        window.add(0, 5_000);
        for (now, sum) in [(0, 3), (9_999, 3), (10_000, 1), (14_999, 1), (15_000, 0), (100_000, 0)] {
            assert_eq!(window.sum(now), sum, "at {now}");
        }
        for (from, sum) in [(0, 3), (1_000, 1), (5_999, 1), (6_000, 0)] {
            assert_eq!(window.sum_from(from, 5_000), sum, "from {from}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_times(mut times in proptest::collection::vec(0u64..60_000, 0..200)) {
            times.sort_unstable();
            let window = Window::new(3);
            for (at, time) in times.iter().enumerate() {
                window.add(at, *time);
                let seen = &times[..=at];
                let expected = seen.iter().filter(|t| **t / 1000 + SECONDS > time / 1000).count();
                prop_assert_eq!(window.sum(*time), expected as u64);
            }
        }
    }
}
