//! Bringing a request to a replica: choose one, ask it, and ask another where that helps and cannot do harm.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Incoming;
use model::TraceId;
use tokio::time::timeout_at;

use crate::admit::Admission;
use crate::balance::{self, Pick};
use crate::exchange::{self, Exchanged, Failure};
use crate::fault::{Code, Fault};
use crate::flight::Flight;
use crate::hop::Hop;
use crate::outbound::Outbound;
use crate::respond::Lease;
use crate::retry::{self, Ending, Retries};
use crate::table::Lane;
use crate::worker::{View, Worker};

/// How long a request waits for a replica to appear.
const APPEAR: Duration = Duration::from_secs(1);
/// How long the control plane gets to say where the only replica, which cannot be reached, has gone.
const NEWS: Duration = Duration::from_millis(250);

/// A request's way to a service: through a lane of the table it began with, or of a newer one if it had to wait.
#[derive(Debug)]
pub(crate) struct Way {
    pub listener: SocketAddr,
    pub view: Rc<View>,
    pub lane: usize,
    /// When the head of an answer must be there.
    pub deadline: Instant,
    /// The time that the app itself allows for it; a caller may have allowed less.
    pub limit: Duration,
    /// The request's trace, if it has one.
    pub trace: Option<TraceId>,
    /// Whose request it is, where that matters.
    pub user: Option<u64>,
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
    hop: &mut Hop,
) -> Result<Reached, Fault> {
    let mut retries = Retries::new(way.lane().retries, request.is_repeated_above());
    let mut except = None;
    loop {
        way.check_time()?;
        let pick = choose(worker, &mut way, except, request.is_whole()).await?;
        let mut flight = Flight::begin(worker, &way, pick);
        hop.asked(&flight);
        let mut result = exchange::once(worker, &way, &flight, &mut request, retries.any()).await;
        if matches!(result, Err(Failure::Late)) && request.waits_for_client() {
            // Nobody could have answered: that says nothing about the replica.
            result = Err(Failure::Body);
        }
        let (ending, went_well) = flight.settle(&result, way.limit);
        if went_well == Some(false) {
            hop.attempt_failed(&flight, &outcome(&result));
        }
        let again = ending.and_then(|ending| {
            let spend = || way.lane().edge.spend_retry(worker);
            retries.next(ending, request.is_whole(), way.time_left(), spend)
        });
        let Some(pause) = again else {
            if !flight.is_open() {
                admission.settle(went_well);
            }
            return match result {
                Ok((response, lease)) => {
                    request.answered();
                    flight.carry(admission);
                    Ok(Reached { response, lease, flight })
                }
                Err(failure) => {
                    let own = request.client_fault().filter(|_| matches!(failure, Failure::Body));
                    Err(own.unwrap_or_else(|| failure.into_fault(&flight, way.lane())))
                }
            };
        };
        // Alone, it may be tried again, unless it cannot be reached: then there is news to wait for.
        let alone = way.lane().targets.len() == 1 && ending != Some(Ending::Unsent);
        except = (!alone).then(|| flight.endpoint().id);
        if let Ok((response, lease)) = result {
            lease.discard(response);
        }
        drop(flight);
        if ending != Some(Ending::Unsent) {
            request.repeated(retries.attempt());
        }
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
    match balance::pick(way.lane(), worker.moment(), except, safe, way.user) {
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
    let mut until = if way.lane().targets.is_empty() { way.appears_by() } else { way.at_most(NEWS) };
    loop {
        let news = timeout_at(until.into(), worker.changed(&way.view)).await.is_ok();
        if news {
            let was_there = !way.lane().targets.is_empty();
            way.renew(worker)?;
            if was_there && way.lane().targets.is_empty() {
                until = way.appears_by();
            }
        }
        if !way.lane().targets.is_empty() {
            way.check_time()?;
        }
        match balance::pick(way.lane(), worker.moment(), except, safe, way.user) {
            Some(pick) if !news || !way.is(pick.target, except) => return Ok(pick),
            None if !news => {
                return Err(way.lane().nobody());
            }
            _ => {}
        }
    }
}

impl Lane {
    /// Why nobody can be asked.
    fn nobody(&self) -> Fault {
        match &self.trouble {
            Some(trouble) => Fault::new(Code::Unresolved, format!("{}: {trouble}", self.service)),
            None if self.hold => {
                let detail = format!("{} had no replica, and none was ready in time", self.service);
                Fault::new(Code::NoReplica, detail).retry_after(1)
            }
            None => Fault::new(Code::NoReplica, format!("no replica of {} is ready", self.service)),
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

    /// Begins nothing that could not be finished.
    fn check_time(&self) -> Result<(), Fault> {
        if self.time_left().is_zero() {
            return Err(Fault::new(Code::Timeout, "no time was left to ask a replica"));
        }
        Ok(())
    }

    /// Until when it waits for the first replica.
    fn appears_by(&self) -> Instant {
        if self.lane().hold { self.deadline } else { self.at_most(APPEAR) }
    }

    fn at_most(&self, time: Duration) -> Instant {
        (Instant::now() + time).min(self.deadline)
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

/// How an attempt that failed ended, in a word.
fn outcome(result: &Result<Exchanged, Failure>) -> String {
    match result {
        Ok((response, _)) => match retry::grpc_status(response.headers()) {
            Some(status) => format!("grpc {status}"),
            None => response.status().as_str().to_owned(),
        },
        Err(failure) => failure.code().name().to_owned(),
    }
}
