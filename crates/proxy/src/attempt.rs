//! Bringing a request to a replica: choose one, connect, send, wait for the head of the answer; once more if that
//! cannot do harm.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Incoming;
use tokio::time::timeout_at;

use crate::balance;
use crate::fault::{Code, Fault};
use crate::outbound::{Outbound, Speech};
use crate::respond::Lease;
use crate::table::{Endpoint, Lane, Target};
use crate::worker::{View, Worker};

/// How long a request waits for a replica to appear.
const APPEAR: Duration = Duration::from_secs(1);
/// How long the control plane gets to say where the only replica, which cannot be reached, has gone.
const NEWS: Duration = Duration::from_millis(250);
/// How long others are preferred to a replica that could not be reached.
const AVOID_MS: u64 = 1000;

/// A request's way to a service: through a lane of the table it began with, or of a newer one if it had to wait.
#[derive(Debug)]
pub(crate) struct Way {
    pub listener: SocketAddr,
    pub view: Rc<View>,
    pub lane: usize,
    /// When the head of an answer must be there.
    pub deadline: Instant,
}

/// An attempt, counted as in flight until dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    view: Rc<View>,
    lane: usize,
    target: usize,
    worker: usize,
}

/// An answer has begun.
pub(crate) struct Reached {
    pub response: Response<Incoming>,
    pub lease: Lease,
    pub flight: Flight,
}

/// Why an attempt failed.
#[derive(Debug)]
enum Failure {
    Unreachable(io::Error),
    UnreachableInTime,
    Closed(hyper::Error),
    Late,
    /// The client's own body failed: nobody else is to blame.
    Body,
}

/// Sends a request until it is answered or may not be sent again.
///
/// It is sent at most twice, and the second time only if it is safe to. A replica that cannot be reached is replaced
/// by another, once: nothing was sent.
pub(crate) async fn run(worker: &Rc<Worker>, mut way: Way, mut request: Outbound) -> Result<Reached, Fault> {
    let mut budget = Budget::of(way.lane());
    let mut except = None;
    loop {
        let target = choose(worker, &mut way, except).await?;
        let flight = Flight::begin(worker, &way, target);
        let failure = match once(worker, &way, &flight, &mut request, budget.resend).await {
            Ok((response, lease)) => {
                request.answered();
                return Ok(Reached { response, lease, flight });
            }
            Err(failure) => failure,
        };
        except = match failure {
            Failure::Unreachable(_) | Failure::UnreachableInTime => {
                flight.unreachable(worker);
                Some(flight.endpoint().id)
            }
            Failure::Body => None,
            _ => {
                flight.failed();
                // Alone, it may be tried again at once, on a fresh connection.
                (way.lane().targets.len() > 1).then(|| flight.endpoint().id)
            }
        };
        if !budget.allows(&failure, &request) {
            return Err(failure.into_fault(&flight, way.lane()));
        }
    }
}

/// What may still be done about failures.
struct Budget {
    redial: bool,
    resend: bool,
}

impl Budget {
    fn of(lane: &Lane) -> Self {
        Self { redial: lane.retries > 0, resend: lane.retries > 0 }
    }

    fn allows(&mut self, failure: &Failure, request: &Outbound) -> bool {
        match failure {
            Failure::Unreachable(_) | Failure::UnreachableInTime => std::mem::take(&mut self.redial),
            Failure::Closed(error) if !error.is_parse() => {
                request.is_whole() && std::mem::take(&mut self.resend)
            }
            _ => false,
        }
    }
}

/// Chooses a replica; where none is ready, waits a little for a table that has one.
pub(crate) async fn choose(worker: &Worker, way: &mut Way, except: Option<u64>) -> Result<usize, Fault> {
    let target = balance::pick(way.lane(), worker.now(), except);
    match target {
        Some(target) if Some(way.lane().targets[target].endpoint.id) != except => Ok(target),
        _ => wait_for_other(worker, way, except).await,
    }
}

async fn wait_for_other(worker: &Worker, way: &mut Way, except: Option<u64>) -> Result<usize, Fault> {
    let patience = if way.lane().targets.is_empty() { APPEAR } else { NEWS };
    let mut until = (Instant::now() + patience).min(way.deadline);
    loop {
        let news = timeout_at(until.into(), worker.changed(&way.view)).await.is_ok();
        if news {
            let was_there = !way.lane().targets.is_empty();
            way.renew(worker)?;
            if was_there && way.lane().targets.is_empty() {
                until = (Instant::now() + APPEAR).min(way.deadline);
            }
        }
        match balance::pick(way.lane(), worker.now(), except) {
            Some(target) if !news || Some(way.lane().targets[target].endpoint.id) != except => {
                return Ok(target);
            }
            None if !news => {
                let detail = format!("no replica of {} is ready", way.lane().service);
                return Err(Fault::new(Code::NoReplica, detail));
            }
            _ => {}
        }
    }
}

impl Way {
    pub(crate) fn lane(&self) -> &Lane {
        &self.view.lanes[self.lane]
    }

    /// Goes on with the newest table.
    fn renew(&mut self, worker: &Worker) -> Result<(), Fault> {
        let view = worker.view();
        let service = &self.lane().service;
        let lanes = view.entries.get(&self.listener).map(|entry| entry.lanes.as_slice()).unwrap_or_default();
        let lane = lanes.iter().copied().find(|lane| view.lanes[*lane].service == *service);
        let gone = || Fault::new(Code::NoReplica, format!("{service} is no longer part of the app"));
        self.lane = lane.ok_or_else(gone)?;
        self.view = view;
        Ok(())
    }
}

async fn once(
    worker: &Rc<Worker>,
    way: &Way,
    flight: &Flight,
    request: &mut Outbound,
    may_resend: bool,
) -> Result<(Response<Incoming>, Lease), Failure> {
    match request.speech() {
        Speech::Http1 => once_h1(worker, way, flight, request, may_resend).await,
        Speech::Http2 => {
            let exchange = once_h2(worker, way, flight, request, may_resend);
            timeout_at(way.deadline.into(), exchange).await.unwrap_or(Err(Failure::Late))
        }
    }
}

async fn once_h1(
    worker: &Rc<Worker>,
    way: &Way,
    flight: &Flight,
    request: &mut Outbound,
    may_resend: bool,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let pool = worker.pools.of(flight.endpoint());
    loop {
        let (mut connection, fresh) = match pool.take() {
            Some(connection) => (connection, false),
            None => (in_time(way, pool.connect(flight.endpoint())).await?, true),
        };
        let message = request.message(flight.endpoint(), way.deadline, may_resend);
        let sent = connection.sender.try_send_request(message);
        let Some(answered) = connection.alarm.limit(way.deadline.into(), sent).await else {
            return Err(Failure::Late);
        };
        match answered {
            Ok(response) => return Ok((response, Lease::h1(connection, pool))),
            Err(mut refused) => match refused.take_message() {
                // Nothing was sent: a connection from the pool had grown stale, which is nobody's failure.
                Some(message) => {
                    request.take_back(message);
                    if fresh {
                        return Err(Failure::Unreachable(io::Error::other(refused.into_error())));
                    }
                }
                None => return Err(Failure::of(refused.into_error())),
            },
        }
    }
}

async fn once_h2(
    worker: &Rc<Worker>,
    way: &Way,
    flight: &Flight,
    request: &mut Outbound,
    may_resend: bool,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let pool = worker.pools.of(flight.endpoint());
    loop {
        let (shared, fresh) = in_time(way, pool.share(flight.endpoint())).await?;
        let message = request.message(flight.endpoint(), way.deadline, may_resend);
        match shared.sender().try_send_request(message).await {
            Ok(response) => return Ok((response, Lease::h2(shared))),
            Err(mut refused) => match refused.take_message() {
                Some(message) => {
                    request.take_back(message);
                    if fresh {
                        return Err(Failure::Unreachable(io::Error::other(refused.into_error())));
                    }
                    pool.discard(&shared);
                }
                None => return Err(Failure::of(refused.into_error())),
            },
        }
    }
}

async fn in_time<T>(way: &Way, connecting: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    let limit = Instant::now() + way.lane().timeouts.connect;
    match timeout_at(limit.min(way.deadline).into(), connecting).await {
        Ok(connected) => connected.map_err(Failure::Unreachable),
        Err(_) if way.deadline < limit => Err(Failure::Late),
        Err(_) => Err(Failure::UnreachableInTime),
    }
}

impl Failure {
    fn of(error: hyper::Error) -> Self {
        if error.is_user() { Self::Body } else { Self::Closed(error) }
    }

    fn into_fault(self, flight: &Flight, lane: &Lane) -> Fault {
        let replica = &flight.endpoint().replica;
        match self {
            Self::Unreachable(error) => {
                Fault::new(Code::ConnectFailed, format!("no connection to {replica}: {error}"))
            }
            Self::UnreachableInTime => {
                let limit = lane.timeouts.connect;
                Fault::new(Code::Timeout, format!("no connection to {replica} within {limit:?}"))
            }
            Self::Closed(error) if error.is_parse() => {
                Fault::new(Code::BadResponse, format!("the answer of {replica} is not HTTP: {error}"))
            }
            Self::Closed(error) => Fault::new(Code::UpstreamClosed, format!("{replica}: {error}")),
            Self::Late => Fault::new(Code::Timeout, format!("{replica} did not answer in time")),
            Self::Body => Fault::new(Code::BadBody, "the request's body ended before its time"),
        }
    }
}

impl Flight {
    pub(crate) fn begin(worker: &Worker, way: &Way, target: usize) -> Self {
        let flight = Self { view: Rc::clone(&way.view), lane: way.lane, target, worker: worker.index };
        flight.target().endpoint.counters.slot(worker.index).begin();
        flight.target().counters.slot(worker.index).request();
        flight
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.target().endpoint
    }

    /// Counts the attempt as failed.
    pub(crate) fn failed(&self) {
        self.target().endpoint.counters.slot(self.worker).failure();
        self.target().counters.slot(self.worker).failure();
    }

    /// Counts the attempt as failed, and prefers other replicas for a while.
    pub(crate) fn unreachable(&self, worker: &Worker) {
        self.failed();
        self.endpoint().avoid(worker.now() + AVOID_MS);
    }

    fn target(&self) -> &Target {
        &self.view.lanes[self.lane].targets[self.target]
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.target().endpoint.counters.slot(self.worker).end();
    }
}
