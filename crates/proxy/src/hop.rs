//! What is remembered of a request on its way, for the counts of its edge and for its span.
//!
//! A request that goes well and was not chosen beforehand costs a few stores to memory of its own worker. A span is put
//! together when the request ends, and only if it is kept: it was sampled, it was slow, or it failed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, StatusCode};
use model::span::FailedAttempt;
use model::{Kept, ReplicaId, Span, signals};

use crate::fault::Code;
use crate::flight::{Flight, Place};
use crate::ids::Trace;
use crate::records::Outcome;
use crate::table::{Kind, Lane};
use crate::worker::{View, Worker};

/// The longest path that a span shows, in bytes.
const PATH: usize = 1024;

/// One request, from its arrival to the last byte of its answer, at which it is dropped.
#[derive(Debug)]
pub(crate) struct Hop {
    worker: Rc<Worker>,
    view: Rc<View>,
    listener: SocketAddr,
    arrived: Instant,
    method: Method,
    path: Option<PathAndQuery>,
    grpc: bool,
    /// None until it is known where the request goes: before that, there is nothing to count it for.
    lane: Option<usize>,
    /// Its number among the operations of the service.
    operation: Option<usize>,
    trace: Option<Trace>,
    request_id: Option<HeaderValue>,
    attempts: u32,
    /// Who was asked last.
    asked: Option<Place>,
    failed_attempts: Vec<FailedAttempt>,
    head: Option<Duration>,
    status: Option<StatusCode>,
    grpc_status: Option<u8>,
    error: Option<Code>,
    failed: bool,
    passed_on: bool,
    complete: bool,
}

impl Hop {
    pub(crate) fn begin<B>(
        worker: &Rc<Worker>,
        view: &Rc<View>,
        listener: SocketAddr,
        request: &Request<B>,
        arrived: Instant,
        grpc: bool,
    ) -> Self {
        Self {
            worker: Rc::clone(worker),
            view: Rc::clone(view),
            listener,
            arrived,
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            grpc,
            lane: None,
            operation: None,
            trace: None,
            request_id: None,
            attempts: 0,
            asked: None,
            failed_attempts: Vec::new(),
            head: None,
            status: None,
            grpc_status: None,
            error: None,
            failed: false,
            passed_on: false,
            complete: false,
        }
    }

    /// It is known where the request goes; `strip` is what the service does not see of the path.
    pub(crate) fn enter(&mut self, lane: usize, strip: &str) {
        self.lane = Some(lane);
        if let Some(usage) = &self.view.lanes[lane].usage {
            let (method, path) = self.request();
            let path = path.strip_prefix(strip).unwrap_or(path);
            self.operation = usage.operations.find(method, path);
        }
    }

    /// The number of the operation that is asked for, among those of the service's contract.
    pub(crate) fn operation(&self) -> Option<usize> {
        self.operation
    }

    /// What was asked for: the method, and the path as it came.
    pub(crate) fn request(&self) -> (&Method, &str) {
        (&self.method, self.path.as_ref().map_or("", PathAndQuery::path))
    }

    /// Whether a trace that begins here is to be recorded.
    pub(crate) fn sample(&self) -> bool {
        let Some(lane) = self.lane() else { return false };
        let moment = self.worker.moment();
        let first = lane.usage.as_ref().is_some_and(|usage| usage.is_first(moment, self.operation));
        // Asked in any case, since it counts: what is rare comes on top of what is frequent only where that is too much.
        lane.edge.signals.sample(moment) || first
    }

    pub(crate) fn dressed(&mut self, trace: Trace, request_id: Option<&HeaderValue>) {
        self.trace = Some(trace);
        self.request_id = request_id.cloned();
    }

    pub(crate) fn trace(&self) -> Option<model::TraceId> {
        self.trace.map(|trace| trace.id)
    }

    pub(crate) fn request_id(&self) -> Option<HeaderValue> {
        self.request_id.clone()
    }

    /// How often a replica was asked.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The replica that was asked last.
    pub(crate) fn replica(&self) -> Option<&ReplicaId> {
        self.asked.as_ref().map(|place| &place.endpoint().replica)
    }

    /// An attempt begins.
    pub(crate) fn asked(&mut self, flight: &Flight) {
        self.attempts += 1;
        self.asked = Some(flight.place());
    }

    /// An attempt failed: in the way of a code, or of an answer.
    pub(crate) fn attempt_failed(&mut self, flight: &Flight, outcome: &str) {
        let endpoint = flight.endpoint();
        self.failed_attempts.push(FailedAttempt {
            at: nanos(self.arrived.elapsed()),
            replica: endpoint.replica.clone(),
            release: endpoint.release.clone(),
            outcome: outcome.to_owned(),
        });
    }

    /// The head of a replica's answer is there; with a status of gRPC if it says one already.
    pub(crate) fn answered(&mut self, status: StatusCode, grpc_status: Option<u8>) {
        let took = self.arrived.elapsed();
        self.head = Some(took);
        self.status = Some(status);
        let Some(lane) = self.lane() else { return };
        let record = lane.edge.signals.of(self.worker.index);
        record.ended(Outcome::of(status));
        if !status.is_server_error() {
            record.took(took);
        }
        if status.is_server_error() {
            self.fail();
        }
        if let Some(grpc_status) = grpc_status {
            self.grpc_ended(grpc_status);
        }
    }

    /// The data plane answers itself.
    pub(crate) fn refused(&mut self, code: Code) {
        self.head = Some(self.arrived.elapsed());
        self.status = Some(code.status());
        self.error = Some(code);
        self.complete = true;
        let (Some(lane), Some(took)) = (self.lane(), self.head) else { return };
        let (worker, signals) = (self.worker.index, &lane.edge.signals);
        signals.refused(worker, code);
        if code == Code::Timeout {
            signals.of(worker).took(took);
        }
        if self.grpc {
            signals.of(worker).grpc(code.grpc_status());
        }
        if code.status().is_server_error() {
            self.fail();
        }
    }

    /// The status of gRPC is there, at the end of the answer.
    pub(crate) fn grpc_ended(&mut self, status: u8) {
        let Some(lane) = self.lane().filter(|_| self.grpc && self.grpc_status.is_none()) else { return };
        lane.edge.signals.of(self.worker.index).grpc(status);
        self.grpc_status = Some(status);
        if signals::grpc_failed(status) {
            self.fail();
        }
    }

    /// The answer broke off.
    pub(crate) fn broke_off(&mut self) {
        self.error = Some(Code::UpstreamClosed);
        self.complete = true;
        self.fail();
    }

    /// The answer has been passed on.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
    }

    /// Counts a failure, once, and finds out whose it is.
    fn fail(&mut self) {
        let Some(lane) = self.lane.filter(|_| !std::mem::replace(&mut self.failed, true)) else { return };
        let Lane { edge, service_state, .. } = &self.view.lanes[lane];
        let now = self.worker.now();
        if let Some(trace) = self.trace {
            self.passed_on = service_state.blame.explains(trace.id, now);
            edge.failed(trace.id, now);
        }
        edge.signals.of(self.worker.index).failed(self.passed_on);
    }

    /// How it ended, as [`crate::operations::ENDS`] says.
    fn end(&self) -> usize {
        match self.status {
            _ if self.failed => 4,
            None => 0,
            Some(status) => match status.as_u16() {
                ..=299 => 1,
                300..=399 => 2,
                400..=499 => 3,
                500.. => 4,
            },
        }
    }

    fn lane(&self) -> Option<&Lane> {
        self.lane.map(|lane| &self.view.lanes[lane])
    }

    fn kept(&self, lane: &Lane, trace: Trace) -> Option<Kept> {
        if lane.quiet {
            return None;
        }
        if self.failed {
            return Some(Kept::Failed);
        }
        if self.head.is_some_and(|head| lane.edge.signals.is_slow(head)) {
            return Some(Kept::Slow);
        }
        trace.is_sampled().then_some(Kept::Sampled)
    }

    fn span(&mut self, took: Duration) -> Option<Span> {
        let (lane, trace) = (self.lane()?, self.trace?);
        let kept = self.kept(lane, trace)?;
        let caller = self.view.entries.get(&self.listener).and_then(|entry| match &entry.kind {
            Kind::Edge { caller, .. } => Some(caller.clone()),
            Kind::Gateway(_) | Kind::Redirect { .. } => None,
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let endpoint = self.asked.as_ref().map(Place::endpoint);
        let path = self.path.as_ref().map_or("", PathAndQuery::path);
        Some(Span {
            trace: trace.id,
            id: trace.span,
            parent: trace.parent,
            sampled: trace.is_sampled(),
            kept,
            start: nanos(now.saturating_sub(took)),
            duration: nanos(took),
            head: self.head.map(nanos),
            caller,
            callee: lane.service.clone(),
            replica: endpoint.map(|endpoint| endpoint.replica.clone()),
            release: endpoint.map(|endpoint| endpoint.release.clone()),
            listener: self.listener,
            method: self.method.to_string(),
            path: path[..path.floor_char_boundary(PATH)].to_owned(),
            status: self.status.map(|status| status.as_u16()),
            grpc_status: self.grpc_status,
            error: self.error.map(|code| code.name().to_owned()),
            cancelled: !self.complete,
            passed_on: self.passed_on,
            request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()).map(str::to_owned),
            attempts: self.attempts,
            failed_attempts: std::mem::take(&mut self.failed_attempts),
        })
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        let Some(lane) = self.lane() else { return };
        let (worker, took) = (self.worker.index, self.arrived.elapsed());
        let signals = &lane.edge.signals;
        match self.head {
            None => signals.of(worker).ended(Outcome::Cancelled),
            Some(_) if self.status != Some(StatusCode::SWITCHING_PROTOCOLS) && !self.failed => {
                signals.whole.of(worker).took(took);
            }
            Some(_) => {}
        }
        if let Some(usage) = &lane.usage {
            usage.count(worker, self.operation, self.end());
        }
        if let Some(span) = self.span(took) {
            self.worker.keep(span);
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
