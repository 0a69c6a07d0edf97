//! How long a replica takes to answer: quick to see that it became slow, slow to believe that it became fast.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::worker::Moment;

/// After this many milliseconds, what was measured weighs 1/e.
const DECAY: f64 = 10_000.0;
/// A failure counts as this many times what was usual: one that comes quickly must not look like a quick answer.
const FAILED: f64 = 2.5;
/// The least that is usual, in microseconds.
pub(crate) const GRAIN: f64 = 1000.0;
/// The most that failures make of it, in microseconds.
const WORST: f64 = 1_000_000.0;

/// A peak-sensitive, exponentially weighted moving average: what is above it counts at once and in full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PeakEwma {
    /// Microseconds.
    cost: f64,
    /// When it was that, in milliseconds on the process's clock.
    at: u64,
}

impl PeakEwma {
    /// The value at `now`. What is not asked is forgotten little by little, so that it is asked again.
    pub(crate) fn value(self, now: u64) -> f64 {
        self.cost * self.weight(now)
    }

    /// With one more answer that took `took` microseconds.
    pub(crate) fn observe(self, now: u64, took: f64) -> Self {
        let weight = self.weight(now);
        let cost = if took > self.cost { took } else { self.cost * weight + took * (1.0 - weight) };
        Self { cost, at: now.max(self.at) }
    }

    /// With one more failure after `took` microseconds.
    pub(crate) fn fail(self, now: u64, took: f64) -> Self {
        let punished = (self.value(now).max(GRAIN) * FAILED).min(WORST);
        Self { cost: took.max(punished), at: now.max(self.at) }
    }

    fn weight(self, now: u64) -> f64 {
        (-(now.saturating_sub(self.at) as f64) / DECAY).exp()
    }
}

/// The latency of one replica as each worker sees it. Each learns for itself, so that an answer costs no other
/// worker anything; the load that it is weighed with is that of all workers.
#[derive(Debug)]
pub(crate) struct Latency(Box<[Slot]>);

/// One worker's average, written by that worker alone. Zero cost means that nothing is known.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    cost: AtomicU64,
    at: AtomicU64,
}

impl Latency {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Slot::default()).collect())
    }

    /// Microseconds at `now`; none if this worker has not asked it yet.
    pub(crate) fn value(&self, worker: usize, now: u64) -> Option<f64> {
        self.slot(worker).load().map(|average| average.value(now))
    }

    /// Learns that an attempt took so long until its answer began, or until it failed.
    pub(crate) fn learn(&self, moment: Moment, took: Duration, failed: bool) {
        let (slot, now) = (self.slot(moment.worker), moment.now);
        let took = micros(took);
        let average = slot.load().unwrap_or(PeakEwma { cost: 0.0, at: now });
        slot.store(if failed { average.fail(now, took) } else { average.observe(now, took) });
    }

    /// Learns that an answer would have taken longer than this: news if the average is less.
    pub(crate) fn learn_at_least(&self, moment: Moment, waited: Duration) {
        let known = self.value(moment.worker, moment.now).unwrap_or(GRAIN);
        if micros(waited) > known {
            self.learn(moment, waited, false);
        }
    }

    fn slot(&self, worker: usize) -> &Slot {
        &self.0[worker % self.0.len()]
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Slot {
    fn load(&self) -> Option<PeakEwma> {
        let cost = f64::from_bits(self.cost.load(Relaxed));
        (cost > 0.0).then(|| PeakEwma { cost, at: self.at.load(Relaxed) })
    }

    fn store(&self, average: PeakEwma) {
        self.cost.store(average.cost.to_bits(), Relaxed);
        self.at.store(average.at, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_fades_over_ten_seconds() {
        let usual = PeakEwma { cost: 2000.0, at: 0 };
        let slow = usual.observe(10, 50_000.0);
        assert_eq!(slow.value(10), 50_000.0);
        let after = slow.observe(10_010, 2000.0);
        let expected = 2000.0 + 48_000.0 / std::f64::consts::E;
        assert!((after.value(10_010) - expected).abs() < 1.0, "{after:?}");
        assert!(slow.value(60_010) < 50_000.0 * 0.003, "not asked, it is forgotten");
    }

    #[test]
    fn failures_add_up_however_quick_they_are() {
        let mut average = PeakEwma { cost: 4000.0, at: 0 };
        for expected in [10_000.0, 25_000.0, 62_500.0] {
            average = average.fail(0, 100.0);
            assert_eq!(average.value(0), expected);
        }
        for _ in 0..100 {
            average = average.fail(0, 100.0);
        }
        assert_eq!(average.value(0), WORST);
        assert_eq!(average.fail(0, 3e6).value(0), 3e6, "what was really waited counts in full");
    }

    #[test]
    fn each_worker_learns_for_itself() {
        let latency = Latency::new(2);
        let (first, second) = (Moment { worker: 0, now: 5 }, Moment { worker: 1, now: 5 });
        assert_eq!(latency.value(0, 0), None);
        latency.learn(first, Duration::from_millis(3), false);
        assert_eq!((latency.value(0, 5), latency.value(1, 5)), (Some(3000.0), None));
        latency.learn(second, Duration::ZERO, true);
        assert_eq!(latency.value(1, 5), Some(GRAIN * FAILED));
    }

    #[test]
    fn waiting_in_vain_is_news_only_if_it_was_long() {
        let (latency, moment) = (Latency::new(1), Moment { worker: 0, now: 5 });
        let waited = |millis| {
            latency.learn_at_least(moment, Duration::from_millis(millis));
            latency.value(0, 5)
        };
        assert_eq!([waited(1), waited(9), waited(3)], [None, Some(9000.0), Some(9000.0)]);
    }

    proptest! {
        #[test]
        fn it_stays_between_nothing_and_the_worst_seen(
            steps in proptest::collection::vec((0u64..20_000, 0.0f64..1e7, proptest::bool::ANY), 1..60),
        ) {
            let (mut average, mut now, mut worst) = (PeakEwma { cost: 0.0, at: 0 }, 0, WORST);
            for (pass, took, failed) in steps {
                now += pass;
                worst = worst.max(took);
                average = if failed { average.fail(now, took) } else { average.observe(now, took) };
                let value = average.value(now);
                prop_assert!(value.is_finite() && value >= 0.0 && value <= worst, "{value}");
                prop_assert!(!failed || value >= took);
            }
        }
    }
}
