//! One attempt on the wire: a connection, the request, the head of the answer.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::{Request, Response};
use tokio::time::timeout_at;

use crate::attempt::Way;
use crate::body::Outgoing;
use crate::fault::{Code, Fault};
use crate::flight::Flight;
use crate::outbound::{Outbound, Speech};
use crate::pool::{Line, Multiplexed, Pool, Single};
use crate::respond::Lease;
use crate::retry::Ending;
use crate::table::{Endpoint, Lane};
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
    /// The answer has a status that HTTP does not have.
    Status(u16),
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
    let pool = worker.pools.of(flight.endpoint());
    let attempt = Attempt { way, endpoint: flight.endpoint(), pool, may_resend };
    let (response, lease) = match request.speech() {
        Speech::Http1 => attempt.over_h1(request).await,
        Speech::Http2 => attempt.over_h2(request).await,
        Speech::Negotiated => attempt.over_either(request).await,
    }?;
    // Statuses end at 599 (RFC 9110, 15); what a client would make of another one is anybody's guess.
    match response.status().as_u16() {
        status @ 600.. => Err(Failure::Status(status)),
        _ => Ok((response, lease)),
    }
}

struct Attempt<'a> {
    way: &'a Way,
    endpoint: &'a Endpoint,
    pool: Rc<Pool>,
    may_resend: bool,
}

/// None: a connection from the pool had grown stale, which is nobody's failure; nothing was sent.
type Tried = Option<Result<Exchanged, Failure>>;

impl Attempt<'_> {
    async fn over_h1(&self, request: &mut Outbound) -> Result<Exchanged, Failure> {
        loop {
            let (connection, fresh) = match self.pool.take() {
                Some(connection) => (connection, false),
                None => (in_time(self.way, self.pool.connect(self.endpoint)).await?, true),
            };
            if let Some(result) = self.send_h1(request, connection, fresh).await {
                return result;
            }
        }
    }

    async fn over_h2(&self, request: &mut Outbound) -> Result<Exchanged, Failure> {
        loop {
            let (shared, fresh) = in_time(self.way, self.pool.share(self.endpoint)).await?;
            if let Some(result) = self.send_h2(request, shared, fresh).await {
                return result;
            }
        }
    }

    async fn over_either(&self, request: &mut Outbound) -> Result<Exchanged, Failure> {
        loop {
            let tried = match in_time(self.way, self.pool.negotiate(self.endpoint)).await? {
                (Line::Single(connection), fresh) => self.send_h1(request, connection, fresh).await,
                (Line::Shared(shared), fresh) => self.send_h2(request, shared, fresh).await,
            };
            if let Some(result) = tried {
                return result;
            }
        }
    }

    async fn send_h1(&self, request: &mut Outbound, mut connection: Single, fresh: bool) -> Tried {
        let message = request.message(self.endpoint, false, self.way.deadline, self.may_resend);
        let sent = connection.sender.try_send_request(message);
        let Some(answered) = connection.alarm.limit(self.way.deadline.into(), sent).await else {
            return Some(Err(Failure::Late));
        };
        match answered {
            Ok(response) => Some(Ok((response, Lease::h1(connection, Rc::clone(&self.pool))))),
            Err(refused) => self.refused(request, refused, fresh),
        }
    }

    async fn send_h2(&self, request: &mut Outbound, shared: Rc<Multiplexed>, fresh: bool) -> Tried {
        let message = request.message(self.endpoint, true, self.way.deadline, self.may_resend);
        let mut sender = shared.sender();
        let Ok(answered) = timeout_at(self.way.deadline.into(), sender.try_send_request(message)).await
        else {
            return Some(Err(Failure::Late));
        };
        match answered {
            Ok(response) => Some(Ok((response, Lease::h2(shared)))),
            Err(refused) => {
                let tried = self.refused(request, refused, fresh);
                if tried.is_none() {
                    self.pool.discard(&shared);
                }
                tried
            }
        }
    }

    fn refused(
        &self,
        request: &mut Outbound,
        mut refused: TrySendError<Request<Outgoing>>,
        fresh: bool,
    ) -> Tried {
        match refused.take_message() {
            Some(message) => {
                request.take_back(message);
                fresh.then(|| Err(Failure::Unreachable(io::Error::other(refused.into_error()))))
            }
            None => Some(Err(Failure::of(refused.into_error()))),
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
            // What is not HTTP may be, from another replica.
            Self::Closed(_) | Self::Status(_) => Some(Ending::Unanswered),
            Self::Late | Self::Body => None,
        }
    }

    /// What it is called.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) => Code::ConnectFailed,
            Self::UnreachableInTime | Self::Late => Code::Timeout,
            Self::Status(_) => Code::BadResponse,
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
            Self::Status(status) => {
                format!("{replica} answered with the status {status}, which HTTP does not have")
            }
            Self::Body => "the request's body ended before its time".to_owned(),
        };
        Fault::new(self.code(), detail)
    }
}
