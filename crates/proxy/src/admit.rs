//! Whether a request is let through to its service at all: not if the circuit is open, not if the service is full.

use std::rc::Rc;
use std::sync::Arc;

use tracing::warn;

use crate::breaker::Open;
use crate::bulkhead::Full;
use crate::fault::{Code, Fault};
use crate::quarantine::Ticket;
use crate::table::{Lane, Table};
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
    /// The head of its answer is yet to come.
    waiting: bool,
}

/// Asks for a place at the service of a lane.
pub(crate) fn admit(worker: &Rc<Worker>, view: &Rc<View>, lane: usize) -> Result<Admission, Fault> {
    let here = &view.lanes[lane];
    let now = worker.now();
    let bulkhead = &here.service_state.bulkhead;
    let others = || others_call(view, here, now);
    bulkhead
        .enter(worker.index, &here.edge.crowd, others)
        .map_err(|full| refuse(here, full, worker.index, now))?;
    let mut admission =
        Admission { worker: Rc::clone(worker), view: Rc::clone(view), lane, ticket: None, waiting: true };
    admission.ticket = here.edge.breaker.enter(now).map_err(|open| circuit_open(here, &open))?;
    here.edge.requests.add(worker.index, now);
    Ok(admission)
}

/// Whether anybody else called the service in the last ten seconds. Looked at only when one caller has most of it.
fn others_call(table: &Table, here: &Lane, now: u64) -> bool {
    let same_service = |lane: &&Lane| Arc::ptr_eq(&lane.service_state, &here.service_state);
    let others = table.lanes.iter().filter(same_service).filter(|lane| !Arc::ptr_eq(&lane.edge, &here.edge));
    others.into_iter().any(|lane| lane.edge.is_active(now))
}

fn refuse(lane: &Lane, full: Full, worker: usize, now: u64) -> Fault {
    lane.edge.refused(now);
    let service = &lane.service;
    let detail = match full {
        Full::Limit(limit) => format!("{service} has {limit} requests in flight, which is its limit"),
        Full::Learned(limit) => {
            lane.edge.signals.shed(worker);
            format!(
                "{service} answers slower than it used to: no more than {limit} requests may wait for it now"
            )
        }
        Full::Share(share) => {
            lane.edge.signals.over_share(worker);
            format!(
                "{service} is nearly full: {share} of its places are what one caller may have while others call"
            )
        }
    };
    Fault::new(Code::Overloaded, detail)
}

fn circuit_open(Lane { service, .. }: &Lane, Open(millis): &Open) -> Fault {
    let detail = match millis {
        0 => format!("{service} failed most requests: another request is trying whether it is well again"),
        _ => format!("{service} failed most requests: it is asked again in {millis} ms"),
    };
    Fault::new(Code::CircuitOpen, detail).retry_after(millis.div_ceil(1000))
}

impl Admission {
    /// Says how the request went, if that can be said. The place is kept: the body of the answer is yet to come.
    pub(crate) fn settle(&mut self, went_well: Option<bool>) {
        let Lane { service, edge, service_state, .. } = &self.view.lanes[self.lane];
        if std::mem::take(&mut self.waiting) {
            service_state.bulkhead.answered(self.worker.index, &edge.crowd);
        }
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
        let Lane { edge, service_state, .. } = &self.view.lanes[self.lane];
        service_state.bulkhead.leave(self.worker.index, &edge.crowd);
    }
}
