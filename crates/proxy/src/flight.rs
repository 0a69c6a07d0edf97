//! One attempt at one replica: counted as in flight, timed, and judged.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body::Body as _;
use hyper::Response;
use hyper::body::Incoming;
use model::{TraceId, signals};

use crate::admit::Admission;
use crate::attempt::Way;
use crate::balance::Pick;
use crate::exchange::{Exchanged, Failure};
use crate::outlier::Grade;
use crate::quarantine::Ticket;
use crate::records::{Outcome, Record};
use crate::retry::{self, Ending};
use crate::table::{Endpoint, Lane, Target};
use crate::worker::{View, Worker};

/// How long a stream may be silent: Envoy's `stream_idle_timeout`.
const STREAM_SILENCE: Duration = Duration::from_secs(300);
/// How long others are preferred to a replica that could not be reached.
const AVOID_MS: u64 = 1000;

/// An attempt, counted as in flight until dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    place: Place,
    trace: Option<TraceId>,
    worker: Rc<Worker>,
    begun: Instant,
    /// The replica was out: this attempt tries whether it is well again.
    ticket: Option<Ticket>,
    judged: bool,
    /// The head of an answer went well; whether all of it does is still to be seen.
    open: bool,
    admission: Option<Admission>,
}

/// A replica, as the goal of one lane of a table.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    view: Rc<View>,
    lane: usize,
    target: usize,
}

impl Place {
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.target().endpoint
    }

    fn lane(&self) -> &Lane {
        &self.view.lanes[self.lane]
    }

    fn target(&self) -> &Target {
        &self.lane().targets[self.target]
    }
}

impl Flight {
    pub(crate) fn begin(worker: &Rc<Worker>, way: &Way, pick: Pick) -> Self {
        let flight = Self {
            place: Place { view: Rc::clone(&way.view), lane: way.lane, target: pick.target },
            trace: way.trace,
            worker: Rc::clone(worker),
            begun: Instant::now(),
            ticket: pick.ticket,
            judged: false,
            open: false,
            admission: None,
        };
        flight.target().endpoint.counters.slot(worker.index).begin();
        flight.target().counters.slot(worker.index).request();
        flight
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.target().endpoint
    }

    /// Keeps the request's place at the service until the attempt's end.
    pub(crate) fn carry(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// Draws the conclusions from an attempt's result. Returns how it ended if it could be repeated, and whether the
    /// service did well if that can be said.
    pub(crate) fn settle(
        &mut self,
        result: &Result<Exchanged, Failure>,
        limit: Duration,
    ) -> (Option<Ending>, Option<bool>) {
        let (ending, went_well) = match result {
            Ok((response, _)) => {
                if response.status().is_server_error() {
                    self.failed();
                }
                self.answered(response);
                let ending = retry::unavailable(response).map(Ending::Unavailable);
                (ending, Some(ending.is_none()))
            }
            Err(Failure::Body) => {
                self.record(|record| record.ended(Outcome::Cancelled));
                (None, None)
            }
            Err(failure @ (Failure::Unreachable(_) | Failure::UnreachableInTime)) => {
                self.unreachable();
                (failure.ending(), Some(false))
            }
            Err(Failure::Late) => {
                self.failed();
                self.waited();
                // A caller that left it little time proves nothing else.
                let late = self.begun.elapsed() * 2 >= limit;
                if late {
                    self.lost();
                    self.record(|record| record.took(self.begun.elapsed()));
                } else {
                    self.record(|record| record.ended(Outcome::Cancelled));
                }
                (None, late.then_some(false))
            }
            Err(failure) => {
                self.failed();
                self.lost();
                (failure.ending(), Some(false))
            }
        };
        let begins = matches!(result, Ok((response, _)) if !response.body().is_end_stream());
        let doubtful = matches!(result, Ok((response, _)) if response.status().is_server_error());
        let grade = went_well.map(|well| if well && doubtful { Grade::Doubtful } else { well.into() });
        // Whoever tries whether a replica or a service is well again does not wait for the end of a stream.
        self.open = begins && grade == Some(Grade::Good) && self.ticket.is_none();
        if self.open {
            self.judged = true;
            self.endpoint().latency.learn(self.worker.moment(), self.begun.elapsed(), false);
        } else {
            self.judge(grade);
        }
        (ending, went_well)
    }

    /// Whether it is still to be seen how it ends: see [`Self::conclude`].
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Says how the answer ended that had begun: one that breaks off is a failure of the replica and of the service as much as
    /// none at all.
    pub(crate) fn conclude(&mut self, went_well: bool) {
        if !went_well {
            self.to_blame();
        }
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        if !went_well {
            self.failed();
        }
        let lane = self.place.lane();
        let moment = self.worker.moment();
        if !went_well {
            // Its head may have come quickly; those who wait for the rest know better.
            self.endpoint().latency.learn(moment, self.begun.elapsed(), true);
        }
        lane.service_state.outliers.learn(&lane.targets, self.place.target, went_well.into(), moment);
        if let Some(admission) = &mut self.admission {
            admission.settle(Some(went_well));
        }
    }

    /// How long the rest of an answer may stay away before it counts as broken off. Of a stream, which may have nothing to say
    /// for long, that is [`STREAM_SILENCE`]; a message of known length is sent without such pauses.
    pub(crate) fn patience(&self, length_known: bool) -> Duration {
        if length_known { self.place.lane().timeouts.request } else { STREAM_SILENCE }
    }

    /// Remembers of the replica how an attempt went, if that can be said.
    pub(crate) fn judge(&mut self, grade: Option<Grade>) {
        self.judged = true;
        let moment = self.worker.moment();
        let ticket = self.ticket.take();
        let lane = self.place.lane();
        let (endpoint, outliers) = (&self.target().endpoint, &lane.service_state.outliers);
        if let Some(ticket) = ticket {
            outliers.settle(endpoint, ticket, grade.map(|grade| grade == Grade::Good), moment.now);
        }
        if let Some(grade) = grade {
            endpoint.latency.learn(moment, self.begun.elapsed(), grade != Grade::Good);
            outliers.learn(&lane.targets, self.place.target, grade, moment);
        }
    }

    /// Remembers that an answer would have taken longer than this.
    fn waited(&self) {
        self.endpoint().latency.learn_at_least(self.worker.moment(), self.begun.elapsed());
    }

    /// Counts the attempt as failed.
    pub(crate) fn failed(&self) {
        self.target().endpoint.counters.slot(self.worker.index).failure();
        self.target().counters.slot(self.worker.index).failure();
    }

    /// Counts the attempt as failed, and prefers other replicas for a while.
    pub(crate) fn unreachable(&self) {
        self.failed();
        self.lost();
        self.endpoint().avoid(self.worker.now() + AVOID_MS);
    }

    fn target(&self) -> &Target {
        self.place.target()
    }

    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }
}

/// What is counted of attempts: for the caller and the release, and for the replica.
impl Flight {
    fn answered(&self, response: &Response<Incoming>) {
        let status = response.status();
        self.record(|record| {
            record.ended(Outcome::of(status));
            if !status.is_server_error() {
                record.took(self.begun.elapsed());
            }
        });
        let grpc = retry::grpc_status(response.headers());
        if status.is_server_error() {
            self.to_blame();
        }
        if let Some(grpc) = grpc {
            self.grpc_ended(grpc);
        }
    }

    /// A TCP connection was made.
    pub(crate) fn connected(&self) {
        self.record(|record| record.ended(Outcome::Success));
    }

    /// The status of gRPC is there.
    pub(crate) fn grpc_ended(&self, status: u8) {
        self.record(|record| record.grpc(status));
        if signals::grpc_failed(status) {
            self.to_blame();
        }
    }

    /// There was no answer.
    fn lost(&self) {
        self.record(|record| record.ended(Outcome::Unanswered));
        self.to_blame();
    }

    /// Counts a failure, and whether the replica only passed it on.
    fn to_blame(&self) {
        let blame = &self.place.lane().service_state.blame;
        let passed_on = self.trace.is_some_and(|trace| blame.explains(trace, self.worker.now()));
        self.record(|record| record.failed(passed_on));
    }

    fn record(&self, write: impl Fn(&Record)) {
        let (target, worker) = (self.target(), self.worker.index);
        write(target.release.of(worker));
        write(target.endpoint.records.of(worker));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.judged {
            // The client left.
            self.record(|record| record.ended(Outcome::Cancelled));
            self.waited();
            self.judge(None);
        }
        self.target().endpoint.counters.slot(self.worker.index).end();
    }
}
