//! One attempt on the wire: a connection, the request, the head of the answer.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use hyper::Response;
use hyper::body::Incoming;
use tokio::time::timeout_at;

use crate::attempt::Way;
use crate::fault::{Code, Fault};
use crate::flight::Flight;
use crate::outbound::{Outbound, Speech};
use crate::respond::Lease;
use crate::retry::Ending;
use crate::table::Lane;
use crate::worker::Worker;

/// The head of an answer, and the connection on which the rest comes.
pub(crate) type Exchanged = (Response<Incoming>, Lease);

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Unreachable(io::Error),
    UnreachableInTime,
    Closed(hyper::Error),
    Late,
    /// The client's own body failed: nobody else is to blame.
    Body,
}

/// Sends a request to a replica and waits for the head of its answer. A copy of the request's head is kept if
/// `may_resend`.
pub(crate) async fn once(
    worker: &Rc<Worker>,
    way: &Way,
    flight: &Flight,
    request: &mut Outbound,
    may_resend: bool,
) -> Result<Exchanged, Failure> {
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
) -> Result<Exchanged, Failure> {
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
) -> Result<Exchanged, Failure> {
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

    /// How the attempt ended, if it could be repeated.
    pub(crate) fn ending(&self) -> Option<Ending> {
        match self {
            Self::Unreachable(_) | Self::UnreachableInTime => Some(Ending::Unsent),
            // What is not HTTP will not be HTTP the next time.
            Self::Closed(error) => (!error.is_parse()).then_some(Ending::Unanswered),
            Self::Late | Self::Body => None,
        }
    }

    /// What it is called.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) => Code::ConnectFailed,
            Self::UnreachableInTime | Self::Late => Code::Timeout,
            Self::Closed(error) if error.is_parse() => Code::BadResponse,
            Self::Closed(_) => Code::UpstreamClosed,
            Self::Body => Code::BadBody,
        }
    }

    pub(crate) fn into_fault(self, flight: &Flight, lane: &Lane) -> Fault {
        let replica = &flight.endpoint().replica;
        let detail = match &self {
            Self::Unreachable(error) => format!("no connection to {replica}: {error}"),
            Self::UnreachableInTime => {
                format!("no connection to {replica} within {:?}", lane.timeouts.connect)
            }
            Self::Closed(error) if error.is_parse() => {
                format!("the answer of {replica} is not HTTP: {error}")
            }
            Self::Closed(error) => format!("{replica}: {error}"),
            Self::Late => format!("{replica} did not answer in time"),
            Self::Body => "the request's body ended before its time".to_owned(),
        };
        Fault::new(self.code(), detail)
    }
}
