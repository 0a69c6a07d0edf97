//! How many requests a service gets at one time, whoever calls: more would only wait where nobody sees them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A limit on requests in flight, which holds exactly over all workers.
///
/// Each worker counts on a cache line of its own: it adds itself, then adds all up, and steps back if that is too many.
/// Of two that come at the same moment the later one in the order of these steps sees both, so never are more let in than the
/// limit says; at most both are refused where one place was left.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    limit: AtomicU32,
    inside: Box<[Slot]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot(AtomicU64);

impl Bulkhead {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            limit: AtomicU32::new(u32::MAX),
            inside: (0..workers.max(1)).map(|_| Slot::default()).collect(),
        }
    }

    pub(crate) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Lets a request in if there is room; then [`Bulkhead::leave`] must follow, on the same worker.
    pub(crate) fn enter(&self, worker: usize) -> bool {
        let own = self.slot(worker);
        // One writer each, so a load and a store do; the order between workers is what must be kept.
        let before = own.load(Ordering::Relaxed);
        own.store(before + 1, Ordering::SeqCst);
        let all: u64 = self.inside.iter().map(|slot| slot.0.load(Ordering::SeqCst)).sum();
        let room = all <= u64::from(self.limit());
        if !room {
            own.store(before, Ordering::SeqCst);
        }
        room
    }

    pub(crate) fn leave(&self, worker: usize) {
        let own = self.slot(worker);
        own.store(own.load(Ordering::Relaxed).saturating_sub(1), Ordering::SeqCst);
    }

    fn slot(&self, worker: usize) -> &AtomicU64 {
        &self.inside[worker % self.inside.len()].0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn whoever_comes_when_it_is_full_is_refused_on_any_worker() {
        let bulkhead = Bulkhead::new(2);
        assert!((0..1000).all(|n| bulkhead.enter(n)), "no limit yet");
        (0..1000).for_each(|n| bulkhead.leave(n));
        bulkhead.set_limit(3);
        assert_eq!([0, 0, 1, 1, 0].map(|worker| bulkhead.enter(worker)), [true, true, true, false, false]);
        bulkhead.leave(0);
        assert_eq!([1, 0].map(|worker| bulkhead.enter(worker)), [true, false]);
    }

    #[test]
    fn a_smaller_limit_lets_those_inside_end_first() {
        let bulkhead = Bulkhead::new(1);
        bulkhead.set_limit(2);
        assert!(bulkhead.enter(0) && bulkhead.enter(0));
        bulkhead.set_limit(1);
        bulkhead.leave(0);
        assert!(!bulkhead.enter(0));
        bulkhead.leave(0);
        assert!(bulkhead.enter(0));
    }

    #[test]
    fn the_limit_holds_between_threads() {
        let (bulkhead, inside, let_in) = (Bulkhead::new(4), AtomicUsize::new(0), AtomicUsize::new(0));
        bulkhead.set_limit(2);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let (bulkhead, inside, let_in) = (&bulkhead, &inside, &let_in);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        if bulkhead.enter(worker) {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                            let_in.fetch_add(1, Ordering::Relaxed);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            bulkhead.leave(worker);
                        }
                    }
                });
            }
        });
        assert!(let_in.load(Ordering::Relaxed) > 0);
        assert!(bulkhead.enter(0) && bulkhead.enter(1), "everybody has left");
    }
}
