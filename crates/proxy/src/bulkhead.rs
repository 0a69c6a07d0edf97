//! How many requests a service gets at one time: more would only wait where nobody sees them.
//!
//! Two limits hold at once. One is the manifest's, of requests under way. The other is learned from latencies (see
//! [`crate::adaptive`]) and is of requests that wait for the head of an answer: a stream that has begun is no sign of a queue.
//! Of both a single caller gets at most four fifths while others call too.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::crowd::Crowd;

/// The part of the places, as a divisor, that one caller leaves to the others.
const LEFT_TO_OTHERS: u32 = 5;

/// The limits of one service, and who is inside.
#[derive(Debug)]
pub(crate) struct Bulkhead {
    limit: AtomicU32,
    learned: AtomicU32,
    crowd: Crowd,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The manifest's.
    Limit(u32),
    /// The one that was learned.
    Learned(u32),
    /// This caller has its share.
    Share(u32),
}

impl Bulkhead {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            limit: AtomicU32::new(u32::MAX),
            learned: AtomicU32::new(u32::MAX),
            crowd: Crowd::new(workers),
        }
    }

    pub(crate) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    pub(crate) fn set_learned(&self, limit: u32) {
        if self.learned() != limit {
            self.learned.store(limit, Relaxed);
        }
    }

    pub(crate) fn learned(&self) -> u32 {
        self.learned.load(Relaxed)
    }

    pub(crate) fn crowd(&self) -> &Crowd {
        &self.crowd
    }

    /// Lets a request in if there is room. Then [`Bulkhead::answered`] and [`Bulkhead::leave`] must follow, in this order and on the
    /// same worker. `caller` are the requests of its caller alone; `others_call` says whether there is anybody to leave
    /// places to, and is asked only if that matters.
    pub(crate) fn enter(
        &self,
        worker: usize,
        caller: &Crowd,
        others_call: impl FnOnce() -> bool,
    ) -> Result<(), Full> {
        let (limit, learned) = (self.limit(), self.learned());
        let inside = self.crowd.enter(worker, u64::from(limit)).ok_or(Full::Limit(limit))?;
        let waiting = self.crowd.wait(worker);
        caller.count(worker);
        let full = if waiting > u64::from(learned) {
            Some(Full::Learned(learned))
        } else {
            // One caller has no more than all have: where all have little, its own part need not be added up.
            let over_limit = || inside > u64::from(share(limit)) && caller.inside() > u64::from(share(limit));
            let over_learned =
                || waiting > u64::from(share(learned)) && caller.waiting() > u64::from(share(learned));
            let over = over_learned().then_some(learned).or_else(|| over_limit().then_some(limit));
            over.filter(|_| others_call()).map(|of| Full::Share(share(of)))
        };
        match full {
            None => Ok(()),
            Some(full) => {
                self.answered(worker, caller);
                self.leave(worker, caller);
                Err(full)
            }
        }
    }

    /// The head of the answer is there, or there will be none.
    pub(crate) fn answered(&self, worker: usize, caller: &Crowd) {
        self.crowd.answered(worker);
        caller.answered(worker);
    }

    /// The request has ended.
    pub(crate) fn leave(&self, worker: usize, caller: &Crowd) {
        self.crowd.leave(worker);
        caller.leave(worker);
    }
}

/// What one caller may have of a limit while others call: all but a fifth. With fewer than five places there is nothing to
/// divide.
fn share(limit: u32) -> u32 {
    limit - limit / LEFT_TO_OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Service {
        bulkhead: Bulkhead,
        callers: [Crowd; 2],
    }

    impl Service {
        fn new(limit: u32) -> Self {
            let service = Self { bulkhead: Bulkhead::new(2), callers: [Crowd::new(2), Crowd::new(2)] };
            service.bulkhead.set_limit(limit);
            service
        }

        fn enter(&self, worker: usize, caller: usize, others: bool) -> Result<(), Full> {
            self.bulkhead.enter(worker, &self.callers[caller], || others)
        }

        fn leave(&self, worker: usize, caller: usize) {
            self.bulkhead.answered(worker, &self.callers[caller]);
            self.bulkhead.leave(worker, &self.callers[caller]);
        }
    }

    #[test]
    fn whoever_comes_when_it_is_full_is_refused_on_any_worker() {
        let service = Service::new(u32::MAX);
        assert!((0..1000).all(|n| service.enter(n, 0, true).is_ok()), "no limit yet");
        (0..1000).for_each(|n| service.leave(n, 0));
        service.bulkhead.set_limit(3);
        let full = Err(Full::Limit(3));
        assert_eq!([0, 0, 1, 1, 0].map(|w| service.enter(w, 0, true)), [Ok(()), Ok(()), Ok(()), full, full]);
        service.leave(0, 0);
        assert_eq!([1, 0].map(|w| service.enter(w, 0, true)), [Ok(()), full]);
        assert_eq!(service.bulkhead.crowd().inside(), 3, "who is refused leaves no trace");
    }

    #[test]
    fn a_smaller_limit_lets_those_inside_end_first() {
        let service = Service::new(2);
        assert!(service.enter(0, 0, true).is_ok() && service.enter(0, 0, true).is_ok());
        service.bulkhead.set_limit(1);
        service.leave(0, 0);
        assert!(service.enter(0, 0, true).is_err());
        service.leave(0, 0);
        assert!(service.enter(0, 0, true).is_ok());
    }

    #[test]
    fn one_caller_leaves_a_fifth_to_others_that_call() {
        for (limit, others, most) in
            [(10, true, 8), (10, false, 10), (4, true, 4), (5, true, 4), (1, true, 1)]
        {
            let service = Service::new(limit);
            let entered = (0..20).take_while(|n| service.enter(*n, 0, others).is_ok()).count();
            assert_eq!(entered, most, "of {limit}, others: {others}");
            let rest = (0..20).take_while(|n| service.enter(*n, 1, true).is_ok()).count();
            assert_eq!(rest, limit as usize - most, "of {limit}, others: {others}");
        }
    }

    #[test]
    fn the_learned_limit_is_of_those_who_wait_and_a_stream_does_not() {
        let service = Service::new(100);
        service.bulkhead.set_learned(4);
        assert!((0..4).all(|n| service.enter(n, 0, false).is_ok()));
        assert_eq!(service.enter(0, 0, false), Err(Full::Learned(4)));
        (0..4).for_each(|n| service.bulkhead.answered(n, &service.callers[0]));
        assert!((0..4).all(|n| service.enter(n, 0, false).is_ok()), "those before are streams now");
        service.bulkhead.set_learned(10);
        assert!((0..4).all(|n| service.enter(n, 0, true).is_ok()));
        assert_eq!(service.enter(0, 0, true), Err(Full::Share(8)));
        assert!(service.enter(0, 1, true).is_ok());
    }
}
