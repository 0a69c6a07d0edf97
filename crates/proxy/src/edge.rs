//! What is known about the calls of one listener to one service; it outlives the table.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use model::TraceId;

use crate::breaker::Breaker;
use crate::crowd::Crowd;
use crate::retry::Budget;
use crate::service::Service;
use crate::signals::Signals;
use crate::split::Turns;
use crate::window::{SECONDS, Window};
use crate::worker::Worker;

/// Counts what is refused, and tells when to say so.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    count: AtomicU64,
    /// Milliseconds on the process's clock before which nothing is said.
    quiet_until: AtomicU64,
}

impl Refusals {
    /// One more. Gives the number of all if it is time to say something.
    pub(crate) fn count(&self, now: u64, pause: u64) -> Option<u64> {
        let count = self.count.fetch_add(1, Relaxed) + 1;
        let due = |until: u64| (until <= now).then_some(now + pause);
        self.quiet_until.fetch_update(Relaxed, Relaxed, due).is_ok().then_some(count)
    }

    pub(crate) fn total(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

/// The calls of one listener to one service.
#[derive(Debug)]
pub(crate) struct Edge {
    /// Requests that were admitted, however often each is sent.
    pub requests: Window,
    pub breaker: Breaker,
    pub signals: Signals,
    /// Requests under way.
    pub crowd: Crowd,
    /// Connections of others than the caller.
    pub refusals: Refusals,
    /// Whose turn it is, while requests are divided among releases.
    pub turns: Turns,
    budget: Budget,
    /// When a request was last refused for want of room, in milliseconds on the process's clock.
    refused: AtomicU64,
    /// The calling service; none at a gateway.
    caller: Option<Arc<Service>>,
}

impl Edge {
    pub(crate) fn new(workers: usize, caller: Option<Arc<Service>>) -> Self {
        Self {
            requests: Window::new(workers),
            breaker: Breaker::new(workers),
            signals: Signals::new(workers),
            crowd: Crowd::new(workers),
            refusals: Refusals::default(),
            turns: Turns::new(workers),
            budget: Budget::new(workers),
            refused: AtomicU64::new(0),
            caller,
        }
    }

    /// Takes one repetition from the budget, if there is one left and the circuit is closed: a request that tries
    /// whether the service is well again tries once.
    pub(crate) fn spend_retry(&self, worker: &Worker) -> bool {
        let allowed =
            self.breaker.is_closed() && self.budget.spend(&self.requests, worker.index, worker.now());
        self.signals.retry(worker.index, allowed);
        allowed
    }

    /// A request was refused for want of room: the caller wants something of the service.
    pub(crate) fn refused(&self, now: u64) {
        self.refused.store(now.max(1), Relaxed);
    }

    /// Whether the caller wanted something of the service in the last ten seconds.
    pub(crate) fn is_active(&self, now: u64) -> bool {
        let refused = self.refused.load(Relaxed);
        (refused > 0 && refused + SECONDS * 1000 > now)
            || self.crowd.inside() > 0
            || self.requests.sum(now) > 0
    }

    /// A request failed: what the caller answers to this trace from now on may be because of it.
    pub(crate) fn failed(&self, trace: TraceId, now: u64) {
        if let Some(caller) = &self.caller {
            caller.blame.remember(trace, now);
        }
    }
}
