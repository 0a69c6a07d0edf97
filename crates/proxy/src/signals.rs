//! What one listener's calls to one service show: how requests ended, what was refused, which spans are worth keeping.

use std::array;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::Histogram;
use model::histogram::BUCKETS;

use crate::fault::Code;
use crate::records::{Outcome, PerWorker, Record, Records, add};
use crate::worker::Moment;

/// Spans of an edge that are kept in a second though there is nothing special about them.
const SAMPLES: u64 = 10;
/// What counts as slow while nothing is known.
const SLOW: Duration = Duration::from_secs(1);
/// The number of answers from which on a 99th percentile says something.
const ENOUGH: u64 = 200;
/// Nothing below this is worth being kept as slow.
const NEVER_SLOW: Duration = Duration::from_millis(5);

/// The calls of one listener to one service.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Requests, however often each was sent; the time from their arrival to the head of the answer.
    pub requests: Records,
    /// The time from their arrival to the last byte of the answer.
    pub whole: Records,
    extras: PerWorker<Extras>,
    workers: u64,
    /// In microseconds: what takes longer is slow.
    slow: AtomicU64,
    /// The latencies when `slow` was last set.
    seen: Mutex<Option<Box<[u64; BUCKETS]>>>,
}

/// One worker's counts of what only requests have.
#[derive(Debug)]
#[repr(align(128))]
struct Extras {
    codes: [AtomicU64; Code::ALL.len()],
    retries: AtomicU64,
    retries_refused: AtomicU64,
    shed: AtomicU64,
    over_share: AtomicU64,
    /// The second, and the spans that were chosen in it: 32 bits each.
    sampled: AtomicU64,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            codes: array::from_fn(|_| AtomicU64::new(0)),
            retries: AtomicU64::new(0),
            retries_refused: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            over_share: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
        }
    }
}

/// What all workers counted beside outcomes and latencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub codes: BTreeMap<String, u64>,
    pub retries: u64,
    pub retries_refused: u64,
    pub shed: u64,
    pub over_share: u64,
}

impl Signals {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            requests: Records::new(workers),
            whole: Records::new(workers),
            extras: PerWorker::new(workers),
            workers: workers.max(1) as u64,
            slow: AtomicU64::new(micros(SLOW)),
            seen: Mutex::default(),
        }
    }

    /// The data plane answered itself.
    pub(crate) fn refused(&self, worker: usize, code: Code) {
        self.requests.of(worker).ended(Outcome::Unanswered);
        add(&self.extras.of(worker).codes[code as usize]);
    }

    /// An attempt is to be repeated, or would be if the budget allowed it.
    pub(crate) fn retry(&self, worker: usize, allowed: bool) {
        let extras = self.extras.of(worker);
        add(if allowed { &extras.retries } else { &extras.retries_refused });
    }

    /// A request was refused because the service answers slower and slower.
    pub(crate) fn shed(&self, worker: usize) {
        add(&self.extras.of(worker).shed);
    }

    /// A request was refused because its caller has its share of the service already.
    pub(crate) fn over_share(&self, worker: usize) {
        add(&self.extras.of(worker).over_share);
    }

    /// Whether to keep the span of a request that begins now: true for the first few of each second.
    pub(crate) fn sample(&self, moment: Moment) -> bool {
        let sampled = &self.extras.of(moment.worker).sampled;
        let second = (moment.now / 1000 + 1) & u64::from(u32::MAX);
        let before = sampled.load(Relaxed);
        let count = if before >> 32 == second { before & u64::from(u32::MAX) } else { 0 };
        let chosen = count < SAMPLES.div_ceil(self.workers);
        if chosen {
            sampled.store((second << 32) | (count + 1), Relaxed);
        }
        chosen
    }

    pub(crate) fn is_slow(&self, took: Duration) -> bool {
        micros(took) > self.slow.load(Relaxed)
    }

    /// Sets what is slow to the 99th percentile of what came since the last time, if that was enough.
    pub(crate) fn learn_slow(&self) {
        let mut now = [0; BUCKETS];
        self.requests.add_counts(&mut now);
        // Every step leaves it whole; nobody else takes it in the usual case.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = |bucket: usize| seen.as_ref().map_or(0, |seen| seen[bucket]);
        let recent: [u64; BUCKETS] = array::from_fn(|at| now[at].saturating_sub(before(at)));
        let recent = Histogram::from_counts(&recent, 0);
        if recent.count() >= ENOUGH
            && let Some(p99) = recent.quantile(0.99)
        {
            // To the end of the bucket whose middle this is, or half of the bucket would be slow.
            self.slow.store(micros(p99.mul_f64(1.05).max(NEVER_SLOW)), Relaxed);
            *seen = Some(Box::new(now));
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for extras in self.extras.all() {
            for (code, count) in Code::ALL.iter().zip(&extras.codes) {
                let count = count.load(Relaxed);
                if count > 0 {
                    *totals.codes.entry(code.name().to_owned()).or_default() += count;
                }
            }
            totals.retries += extras.retries.load(Relaxed);
            totals.retries_refused += extras.retries_refused.load(Relaxed);
            totals.shed += extras.shed.load(Relaxed);
            totals.over_share += extras.over_share.load(Relaxed);
        }
        totals
    }

    /// The records of one worker's requests.
    pub(crate) fn of(&self, worker: usize) -> &Record {
        self.requests.of(worker)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_each_second_are_sampled() {
        let signals = Signals::new(2);
        let chosen = |now: u64| {
            (0..100).filter(|n| signals.sample(Moment { worker: n % 2, now: now + *n as u64 })).count()
        };
        assert_eq!([chosen(0), chosen(500), chosen(1_000), chosen(90_000)], [10, 0, 10, 10]);
    }

    #[test]
    fn slow_is_what_takes_longer_than_nearly_all() {
        let signals = Signals::new(1);
        let ms = Duration::from_millis;
        let send = |count: usize, time: Duration| (0..count).for_each(|_| signals.of(0).took(time));
        assert!(signals.is_slow(ms(1001)) && !signals.is_slow(ms(999)));
        send(100, ms(20));
        signals.learn_slow();
        assert!(!signals.is_slow(ms(999)), "not enough is known");
        send(98, ms(20));
        send(2, ms(50));
        signals.learn_slow();
        assert!(signals.is_slow(ms(60)) && !signals.is_slow(ms(20)));
        send(1000, ms(300));
        signals.learn_slow();
        assert!(!signals.is_slow(ms(300)) && signals.is_slow(ms(350)), "it follows");
        send(1000, Duration::from_micros(200));
        signals.learn_slow();
        assert!(!signals.is_slow(ms(5)), "what is quick enough is never slow");
    }

    #[test]
    fn counts_of_all_workers_add_up() {
        let signals = Signals::new(2);
        signals.refused(0, Code::CircuitOpen);
        signals.refused(1, Code::CircuitOpen);
        signals.refused(1, Code::Timeout);
        signals.retry(0, true);
        signals.retry(1, false);
        signals.shed(1);
        let totals = signals.totals();
        assert_eq!(totals.codes, [("circuit_open".to_owned(), 2), ("timeout".to_owned(), 1)].into());
        assert_eq!((totals.retries, totals.retries_refused, totals.shed, totals.over_share), (1, 1, 1, 0));
        assert_eq!(signals.requests.tally().outcomes.unanswered, 3);
    }
}
