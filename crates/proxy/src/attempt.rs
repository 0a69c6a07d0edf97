//! Bringing a request to a replica: choose one, ask it, and ask another where that helps and cannot do harm.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Incoming;
use tokio::time::timeout_at;

use crate::admit::Admission;
use crate::balance::{self, Pick};
use crate::exchange::{self, Exchanged, Failure};
use crate::fault::{Code, Fault};
use crate::outbound::Outbound;
use crate::quarantine::Ticket;
use crate::respond::Lease;
use crate::retry::{self, Ending, Retries};
use crate::table::{Endpoint, Lane, Target};
use crate::worker::{Moment, View, Worker};

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
    begun: Instant,
    /// The replica was out: this attempt tries whether it is well again.
    trial: Option<Trial>,
    admission: Option<Admission>,
}

/// A ticket, handed back when the attempt is settled, or without a word when it is dropped before.
#[derive(Debug)]
struct Trial {
    ticket: Ticket,
    worker: Rc<Worker>,
}

/// An answer has begun.
pub(crate) struct Reached {
    pub response: Response<Incoming>,
    pub lease: Lease,
    pub flight: Flight,
}

/// Sends a request until it is answered or may not be sent again; [`crate::retry`] says when it may.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    mut way: Way,
    mut request: Outbound,
    mut admission: Admission,
) -> Result<Reached, Fault> {
    let mut retries = Retries::new(way.lane().retries, request.is_repeated_above());
    let mut except = None;
    loop {
        if way.time_left().is_zero() {
            return Err(Fault::new(Code::Timeout, "no time was left to ask a replica"));
        }
        let pick = choose(worker, &mut way, except, request.is_whole()).await?;
        let mut flight = Flight::begin(worker, &way, pick);
        let result = exchange::once(worker, &way, &flight, &mut request, retries.any()).await;
        let (ending, went_well) = flight.settle(worker, &result);
        let again = ending.and_then(|ending| {
            let spend = || way.lane().edge.spend_retry(worker);
            retries.next(ending, request.is_whole(), way.time_left(), spend)
        });
        let Some(pause) = again else {
            admission.settle(went_well);
            return match result {
                Ok((response, lease)) => {
                    request.answered();
                    flight.carry(admission);
                    Ok(Reached { response, lease, flight })
                }
                Err(failure) => Err(failure.into_fault(&flight, way.lane())),
            };
        };
        // Alone, it may be tried again, unless it cannot be reached: then there is news to wait for.
        let alone = way.lane().targets.len() == 1 && ending != Some(Ending::Unsent);
        except = (!alone).then(|| flight.endpoint().id);
        if let Ok((response, lease)) = result {
            lease.discard(response);
        }
        drop(flight);
        request.repeated(retries.attempt());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Chooses a replica; where none is ready, waits a little for a table that has one. `safe` says that the request can
/// be repeated.
pub(crate) async fn choose(
    worker: &Worker,
    way: &mut Way,
    except: Option<u64>,
    safe: bool,
) -> Result<Pick, Fault> {
    match balance::pick(way.lane(), worker.moment(), except, safe) {
        Some(pick) if !way.is(pick.target, except) => Ok(pick),
        _ => wait_for_other(worker, way, except, safe).await,
    }
}

async fn wait_for_other(
    worker: &Worker,
    way: &mut Way,
    except: Option<u64>,
    safe: bool,
) -> Result<Pick, Fault> {
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
        match balance::pick(way.lane(), worker.moment(), except, safe) {
            Some(pick) if !news || !way.is(pick.target, except) => return Ok(pick),
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

    /// Whether a target is this endpoint.
    fn is(&self, target: usize, endpoint: Option<u64>) -> bool {
        Some(self.lane().targets[target].endpoint.id) == endpoint
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
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

impl Flight {
    pub(crate) fn begin(worker: &Rc<Worker>, way: &Way, pick: Pick) -> Self {
        let (view, begun) = (Rc::clone(&way.view), Instant::now());
        let trial = pick.ticket.map(|ticket| Trial { ticket, worker: Rc::clone(worker) });
        let (lane, target, worker) = (way.lane, pick.target, worker.index);
        let flight = Self { view, lane, target, worker, begun, trial, admission: None };
        flight.target().endpoint.counters.slot(worker).begin();
        flight.target().counters.slot(worker).request();
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
    fn settle(
        &mut self,
        worker: &Worker,
        result: &Result<Exchanged, Failure>,
    ) -> (Option<Ending>, Option<bool>) {
        let (ending, went_well) = match result {
            Ok((response, _)) => {
                if response.status().is_server_error() {
                    self.failed();
                }
                let ending = retry::unavailable(response).map(Ending::Unavailable);
                (ending, Some(ending.is_none()))
            }
            Err(Failure::Body) => (None, None),
            Err(failure @ (Failure::Unreachable(_) | Failure::UnreachableInTime)) => {
                self.unreachable(worker);
                (failure.ending(), Some(false))
            }
            Err(Failure::Late) => {
                self.failed();
                // A caller that left it little time proves nothing.
                let limit = self.view.lanes[self.lane].timeouts.request;
                (None, (self.begun.elapsed() * 2 >= limit).then_some(false))
            }
            Err(failure) => {
                self.failed();
                (failure.ending(), Some(false))
            }
        };
        self.judge(worker.now(), went_well);
        (ending, went_well)
    }

    /// Remembers of the replica how an attempt went, if that can be said.
    pub(crate) fn judge(&mut self, now: u64, went_well: Option<bool>) {
        let lane = &self.view.lanes[self.lane];
        let endpoint = &lane.targets[self.target].endpoint;
        if let Some(trial) = self.trial.take() {
            lane.service_state.outliers.settle(endpoint, trial.ticket, went_well, now);
        }
        if let Some(went_well) = went_well {
            endpoint.latency.learn(self.worker, now, self.begun.elapsed(), !went_well);
            let moment = Moment { worker: self.worker, now };
            lane.service_state.outliers.learn(&lane.targets, self.target, went_well, moment);
        }
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
        if let Some(worker) = self.trial.as_ref().map(|trial| Rc::clone(&trial.worker)) {
            self.judge(worker.now(), None);
        }
        self.target().endpoint.counters.slot(self.worker).end();
    }
}
