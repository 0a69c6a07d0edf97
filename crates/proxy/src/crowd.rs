//! How many requests are under way, counted per worker.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests under way: inside until the last byte of their answer, and of these the waiting ones, until its head.
///
/// A worker writes to a cache line of its own only, and adds all up when it has to know.
#[derive(Debug)]
pub(crate) struct Crowd(Box<[Slot]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    inside: AtomicU64,
    waiting: AtomicU64,
    /// The most that waited at one time, as this worker saw it.
    peak: AtomicU64,
}

impl Crowd {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Slot::default()).collect())
    }

    /// Comes in, unless more than `most` are inside then; returns how many are. The limit holds exactly over all workers:
    /// each adds itself, then adds all up, and steps back if that is too many. Of two that come at the same moment the later
    /// one in the order of these steps sees both; at most both are refused where one place was left.
    pub(crate) fn enter(&self, worker: usize, most: u64) -> Option<u64> {
        let own = &self.slot(worker).inside;
        // One writer each, so a load and a store do; the order between workers is what must be kept.
        let before = own.load(Ordering::Relaxed);
        own.store(before + 1, Ordering::SeqCst);
        let all: u64 = self.0.iter().map(|slot| slot.inside.load(Ordering::SeqCst)).sum();
        if all > most {
            own.store(before, Ordering::Release);
            return None;
        }
        Some(all)
    }

    /// Comes in and begins to wait, where there is no limit to look at.
    pub(crate) fn count(&self, worker: usize) {
        let slot = self.slot(worker);
        slot.inside.store(slot.inside.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        slot.waiting.store(slot.waiting.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self, worker: usize) {
        let own = &self.slot(worker).inside;
        // Whoever sees it late sees too many, which breaks no limit.
        own.store(own.load(Ordering::Relaxed).saturating_sub(1), Ordering::Release);
    }

    /// Begins to wait for the head of an answer. Returns how many wait now; this may be off by those that come at this moment.
    pub(crate) fn wait(&self, worker: usize) -> u64 {
        let slot = self.slot(worker);
        slot.waiting.store(slot.waiting.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let all = self.waiting();
        if all > slot.peak.load(Ordering::Relaxed) {
            slot.peak.store(all, Ordering::Relaxed);
        }
        all
    }

    /// No longer waits.
    pub(crate) fn answered(&self, worker: usize) {
        let own = &self.slot(worker).waiting;
        own.store(own.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    pub(crate) fn inside(&self) -> u64 {
        self.0.iter().map(|slot| slot.inside.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.0.iter().map(|slot| slot.waiting.load(Ordering::Relaxed)).sum()
    }

    /// The most that waited at one time since this was last asked. A worker that counts at this moment may bring an old value
    /// back once.
    pub(crate) fn take_peak(&self) -> u64 {
        let now = self.waiting();
        self.0.iter().map(|slot| slot.peak.swap(0, Ordering::Relaxed)).max().unwrap_or(0).max(now)
    }

    fn slot(&self, worker: usize) -> &Slot {
        &self.0[worker % self.0.len()]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn those_who_wait_are_counted_and_the_peak_is_kept() {
        let crowd = Crowd::new(2);
        assert_eq!([0, 1, 0].map(|worker| crowd.wait(worker)), [1, 2, 3]);
        (0..3).for_each(|worker| crowd.answered(worker));
        assert_eq!((crowd.waiting(), crowd.inside()), (0, 0));
        assert_eq!([crowd.take_peak(), crowd.take_peak()], [3, 0]);
    }

    #[test]
    fn the_limit_holds_between_threads() {
        let (crowd, inside, let_in) = (Crowd::new(4), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (crowd, inside, let_in) = (&crowd, &inside, &let_in);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if crowd.enter(worker, 2).is_some() {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                            let_in.fetch_add(1, Ordering::Relaxed);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            crowd.leave(worker);
                        }
                    }
                });
            }
        });
        assert!(let_in.load(Ordering::Relaxed) > 0);
        assert_eq!([0, 1, 2].map(|worker| crowd.enter(worker, 2)), [Some(1), Some(2), None], "all had left");
    }
}
