//! Whether a request is let through to its service at all: not if the circuit is open, not if the service is full.

use std::rc::Rc;

use tracing::warn;

use crate::breaker::Open;
use crate::fault::{Code, Fault};
use crate::quarantine::Ticket;
use crate::table::Lane;
use crate::worker::{View, Worker};

/// A request's place at its service, until dropped. Dropped without having been settled, it says nothing about the
/// service.
#[derive(Debug)]
pub(crate) struct Admission {
    worker: Rc<Worker>,
    view: Rc<View>,
    lane: usize,
    /// This request tries whether the circuit can be closed.
    ticket: Option<Ticket>,
}

/// Asks for a place at the service of a lane.
pub(crate) fn admit(worker: &Rc<Worker>, view: &Rc<View>, lane: usize) -> Result<Admission, Fault> {
    let Lane { service, edge, service_state, .. } = &view.lanes[lane];
    let bulkhead = &service_state.bulkhead;
    if !bulkhead.enter(worker.index) {
        let detail = format!("{service} has {} requests in flight, which is its limit", bulkhead.limit());
        return Err(Fault::new(Code::Overloaded, detail));
    }
    let now = worker.now();
    let ticket = edge.breaker.enter(now).map_err(|Open(millis)| {
        bulkhead.leave(worker.index);
        let detail = match millis {
            0 => {
                format!("{service} failed most requests: another request is trying whether it is well again")
            }
            _ => format!("{service} failed most requests: it is asked again in {millis} ms"),
        };
        Fault::new(Code::CircuitOpen, detail).retry_after(millis.div_ceil(1000))
    })?;
    edge.requests.add(worker.index, now);
    Ok(Admission { worker: Rc::clone(worker), view: Rc::clone(view), lane, ticket })
}

impl Admission {
    /// Says how the request went, if that can be said. The place is kept: the body of the answer is yet to come.
    pub(crate) fn settle(&mut self, went_well: Option<bool>) {
        let Lane { service, edge, .. } = &self.view.lanes[self.lane];
        let moment = self.worker.moment();
        match (self.ticket.take(), went_well) {
            (Some(ticket), _) => edge.breaker.settle(ticket, went_well, moment.now),
            (None, Some(went_well)) => {
                if edge.breaker.learn(went_well, moment) {
                    warn!(%service, "most requests fail: the circuit is open");
                }
            }
            (None, None) => {}
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.settle(None);
        self.view.lanes[self.lane].service_state.bulkhead.leave(self.worker.index);
    }
}
