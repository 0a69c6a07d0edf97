//! What is known about the calls of one listener to one service; it outlives the table.

use crate::breaker::Breaker;
use crate::retry::Budget;
use crate::window::Window;
use crate::worker::Worker;

/// The calls of one listener to one service.
#[derive(Debug)]
pub(crate) struct Edge {
    /// Requests that were admitted, however often each is sent.
    pub requests: Window,
    pub breaker: Breaker,
    budget: Budget,
}

impl Edge {
    pub(crate) fn new(workers: usize) -> Self {
        Self { requests: Window::new(workers), breaker: Breaker::new(workers), budget: Budget::new(workers) }
    }

    /// Takes one repetition from the budget, if there is one left and the circuit is closed: a request that tries
    /// whether the service is well again tries once.
    pub(crate) fn spend_retry(&self, worker: &Worker) -> bool {
        self.breaker.is_closed() && self.budget.spend(&self.requests, worker.index, worker.now())
    }
}
