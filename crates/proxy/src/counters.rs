//! Counters with one writer per thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One thread's counters. A cache line of its own, so that threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Slot {
    in_flight: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
}

/// The counters of one thing, a slot per worker.
#[derive(Debug)]
pub(crate) struct Counters(Box<[Slot]>);

/// What all slots add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub in_flight: u64,
    pub requests: u64,
    pub failures: u64,
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Slot::default()).collect())
    }

    /// The slot of a worker, which alone may write to it.
    pub(crate) fn slot(&self, worker: usize) -> &Slot {
        &self.0[worker % self.0.len()]
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.0.iter().map(|slot| slot.in_flight.load(Relaxed)).sum()
    }

    pub(crate) fn totals(&self) -> Totals {
        self.0.iter().fold(Totals::default(), |sum, slot| Totals {
            in_flight: sum.in_flight + slot.in_flight.load(Relaxed),
            requests: sum.requests + slot.requests.load(Relaxed),
            failures: sum.failures + slot.failures.load(Relaxed),
        })
    }
}

// With one writer, a load and a store do what a locked addition would, for less.
impl Slot {
    pub(crate) fn begin(&self) {
        add(&self.in_flight);
        add(&self.requests);
    }

    pub(crate) fn end(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed).saturating_sub(1), Relaxed);
    }

    pub(crate) fn request(&self) {
        add(&self.requests);
    }

    pub(crate) fn failure(&self) {
        add(&self.failures);
    }
}

fn add(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_add_up() {
        let counters = Counters::new(2);
        counters.slot(0).begin();
        counters.slot(1).begin();
        counters.slot(1).failure();
        counters.slot(0).end();
        assert_eq!(counters.totals(), Totals { in_flight: 1, requests: 2, failures: 1 });
        assert_eq!(counters.in_flight(), 1);
    }
}
