//! A circuit breaker: a service that mostly fails is not asked for a while, which gives it air and its callers an
//! answer at once.
//!
//! There is one for each listener and service, shared by all workers, so that half-open means one request at a time
//! and not one per thread. Closed, it costs a request one read, and its end one write to memory of its own worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Circuit;

use crate::quarantine::{Quarantine, Terms, Ticket};
use crate::window::Window;
use crate::worker::Moment;

/// Requests in ten seconds from which on the share of failures says something.
const VOLUME: u64 = 20;
/// The share of failures, in percent, that opens it.
const PERCENT: u64 = 50;
const TERMS: Terms = Terms { first: 5_000, longest: 30_000, successes: 3, forgiven: 60_000 };

/// The breaker: closed is in, open is out, half-open is on trial, in the words of [`Quarantine`].
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<Quarantine>,
    /// [`Quarantine::opens`], for requests to read.
    opens: AtomicU64,
    /// How often it was opened.
    openings: AtomicU64,
    /// The beginning of the first whole second after it was closed: what was before no longer counts.
    from: AtomicU64,
    requests: Window,
    failures: Window,
}

/// The circuit is open: milliseconds until it may be tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open(pub u64);

impl Breaker {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            state: Mutex::default(),
            opens: AtomicU64::new(0),
            openings: AtomicU64::new(0),
            from: AtomicU64::new(0),
            requests: Window::new(workers),
            failures: Window::new(workers),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.opens.load(Relaxed) == 0
    }

    /// Lets a request pass, with a ticket if it is one that tries whether the service is well again.
    pub(crate) fn enter(&self, now: u64) -> Result<Option<Ticket>, Open> {
        match self.opens.load(Relaxed) {
            0 => Ok(None),
            opens if opens <= now => {
                let mut state = self.lock();
                if state.is_in() {
                    return Ok(None);
                }
                let ticket = state.enter(now);
                self.opens.store(state.opens(), Relaxed);
                ticket.map(Some).ok_or(Open(0))
            }
            u64::MAX => Err(Open(0)),
            opens => Err(Open(opens - now)),
        }
    }

    /// Learns how a request that had a ticket went, if that can be said.
    pub(crate) fn settle(&self, ticket: Ticket, went_well: Option<bool>, now: u64) {
        let mut state = self.lock();
        state.settle(&TERMS, ticket, went_well, now);
        if state.is_in() {
            self.from.store((now / 1000 + 1) * 1000, Relaxed);
        }
        self.opens.store(state.opens(), Relaxed);
    }

    /// Learns how a request without a ticket went. Returns whether this opens the circuit.
    pub(crate) fn learn(&self, went_well: bool, moment: Moment) -> bool {
        if !self.is_closed() {
            // It began before the circuit opened: that it does not go well is known by now.
            return false;
        }
        self.requests.add(moment.worker, moment.now);
        if went_well {
            return false;
        }
        self.failures.add(moment.worker, moment.now);
        let from = self.from.load(Relaxed);
        let (requests, failures) =
            (self.requests.sum_from(from, moment.now), self.failures.sum_from(from, moment.now));
        if requests < VOLUME || failures * 100 < requests * PERCENT {
            return false;
        }
        let mut state = self.lock();
        let opened = state.is_in();
        state.put_out(&TERMS, moment.now);
        self.openings.fetch_add(u64::from(opened), Relaxed);
        self.opens.store(state.opens(), Relaxed);
        opened
    }

    /// Its state at `now`.
    pub(crate) fn circuit(&self, now: u64) -> Circuit {
        match self.opens.load(Relaxed) {
            0 => Circuit::Closed,
            u64::MAX => Circuit::HalfOpen,
            opens if opens > now => Circuit::Open,
            _ => Circuit::HalfOpen,
        }
    }

    /// How often it went from closed to open.
    pub(crate) fn openings(&self) -> u64 {
        self.openings.load(Relaxed)
    }

    /// There is a replica that was not there before: what is known may not be true of it, so it is tried at once.
    pub(crate) fn hasten(&self, now: u64) {
        let mut state = self.lock();
        state.hasten(now);
        self.opens.store(state.opens(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Quarantine> {
        // Every step leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests, spread evenly over two workers; `failures` of a hundred fail.
    fn send(breaker: &Breaker, requests: u64, failures: u64, now: u64) {
        for n in 0..requests {
            let went_well = n * failures / 100 == (n + 1) * failures / 100;
            breaker.learn(went_well, Moment { worker: n as usize, now });
        }
    }

    #[test]
    fn it_opens_when_half_of_enough_requests_fail() {
        for (requests, failures, open) in
            [(19, 100, false), (20, 100, true), (1000, 49, false), (1000, 51, true), (0, 0, false)]
        {
            for now in [0, 50_000] {
                let breaker = Breaker::new(2);
                send(&breaker, requests, failures, now);
                assert_eq!(breaker.enter(now).is_err(), open, "{failures} % of {requests} at {now}");
            }
        }
    }

    #[test]
    fn only_the_last_ten_seconds_count() {
        let breaker = Breaker::new(2);
        send(&breaker, 19, 100, 50_000);
        send(&breaker, 1, 100, 60_000);
        assert_eq!(breaker.enter(60_000), Ok(None));
    }

    #[test]
    fn open_it_refuses_and_half_open_it_lets_one_try_at_a_time() {
        let breaker = Breaker::new(2);
        send(&breaker, 20, 100, 50_000);
        assert_eq!(breaker.enter(50_000), Err(Open(5_000)));
        assert_eq!((breaker.circuit(50_000), breaker.openings()), (Circuit::Open, 1));
        assert_eq!(breaker.enter(54_999), Err(Open(1)));
        let ticket = breaker.enter(55_000).unwrap().unwrap();
        assert_eq!(breaker.enter(55_000), Err(Open(0)));
        assert_eq!(breaker.circuit(55_000), Circuit::HalfOpen);
        breaker.settle(ticket, Some(false), 55_100);
        assert_eq!(breaker.enter(55_100), Err(Open(10_000)), "twice as long");
        for now in [65_100, 65_200, 65_300] {
            let ticket = breaker.enter(now).unwrap().unwrap();
            breaker.settle(ticket, Some(true), now);
        }
        assert_eq!(breaker.enter(65_300), Ok(None));
        assert_eq!((breaker.circuit(65_300), breaker.openings()), (Circuit::Closed, 1));
    }

    #[test]
    fn a_new_replica_is_tried_at_once() {
        let breaker = Breaker::new(2);
        breaker.hasten(40_000);
        assert_eq!(breaker.enter(40_000), Ok(None));
        send(&breaker, 20, 100, 50_000);
        breaker.hasten(51_000);
        assert!(breaker.enter(51_000).unwrap().is_some());
    }

    #[test]
    fn closed_again_it_counts_anew_and_late_failures_do_not_count() {
        let breaker = Breaker::new(2);
        send(&breaker, 20, 100, 50_000);
        send(&breaker, 500, 100, 50_000);
        for _ in 0..3 {
            let ticket = breaker.enter(55_000).unwrap().unwrap();
            breaker.settle(ticket, Some(true), 55_000);
        }
        send(&breaker, 19, 100, 56_000);
        assert_eq!(breaker.enter(56_000), Ok(None));
        send(&breaker, 1, 100, 56_000);
        assert_eq!(breaker.enter(56_000), Err(Open(10_000)), "not forgotten that it was open before");
    }
}
