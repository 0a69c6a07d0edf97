//! Answers to the client: the replica's, passed on, or one of our own.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::access::Note;
use crate::activity::Busy;
use crate::alarm::Alarm;
use crate::body::clean_trailers;
use crate::conformance::{Sampling, Violation};
use crate::fault::Fault;
use crate::flight::Flight;
use crate::headers::{self, Trust};
use crate::hop::Hop;
use crate::pool::{Multiplexed, Pool, Single};
use crate::retry;

/// The longest rest of an answer that is read to keep its connection, in bytes.
const DISCARD: usize = 64 * 1024;
/// The longest time for that.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// The body of an answer, and what has to be kept until it has been passed on.
pub(crate) struct Answer {
    kind: Kind,
    busy: Option<Busy>,
    note: Option<Box<Note>>,
}

#[expect(clippy::large_enum_variant, reason = "nearly all answers are of the large kind")]
enum Kind {
    Passed(Passed),
    /// The body of a refusal.
    Fault(Full<Bytes>),
    Empty,
}

struct Passed {
    body: Incoming,
    lease: Lease,
    ended: bool,
    flight: Flight,
    hop: Option<Hop>,
    /// Set where request and answer are looked at afterwards.
    look: Option<Box<Sampling>>,
    /// Since when the replica has sent nothing; none while nobody waits for it.
    silent: Option<Instant>,
    alarm: Alarm,
}

/// Why the rest of an answer is not passed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the replica's answer broke off: {0}")]
    Off(#[from] hyper::Error),
    #[error("the replica has sent nothing more for {0:?}")]
    Silent(Duration),
}

impl Passed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return self.poll_patience(cx);
        };
        self.silent = None;
        match &frame {
            None => {
                self.ended = true;
                self.flight.conclude(true);
            }
            Some(Ok(frame)) => {
                if let (Some(look), Some(piece)) = (&self.look, frame.data_ref()) {
                    look.passed(piece);
                }
                if let Some(status) = frame.trailers_ref().and_then(retry::grpc_status) {
                    self.flight.grpc_ended(status);
                    if let Some(hop) = &mut self.hop {
                        hop.grpc_ended(status);
                    }
                }
            }
            Some(Err(error)) => {
                warn!(replica = %self.flight.endpoint().replica, %error, "an answer broke off");
                self.broke_off();
            }
        }
        let clean = |frame| clean_trailers(frame, Trust::Response);
        Poll::Ready(frame.map(|frame| frame.map(clean).map_err(Broken::Off)))
    }

    fn broke_off(&mut self) {
        self.flight.conclude(false);
        if let Some(hop) = &mut self.hop {
            hop.broke_off();
        }
    }

    fn poll_patience<T>(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Broken>>> {
        let patience = self.flight.patience(self.body.size_hint().exact().is_some());
        let since = *self.silent.get_or_insert_with(Instant::now);
        let alarm = match &mut self.lease {
            Lease::H1 { connection: Some(connection), .. } => &mut connection.alarm,
            _ => &mut self.alarm,
        };
        alarm.poll(cx, since + patience).map(|()| {
            warn!(replica = %self.flight.endpoint().replica, "an answer does not go on");
            self.broke_off();
            Some(Err(Broken::Silent(patience)))
        })
    }
}

/// The connection that an answer comes from.
pub(crate) enum Lease {
    H1 { connection: Option<Single>, pool: Rc<Pool> },
    H2 { _shared: Rc<Multiplexed> },
}

impl Lease {
    pub(crate) fn h1(connection: Single, pool: Rc<Pool>) -> Self {
        Self::H1 { connection: Some(connection), pool }
    }

    pub(crate) fn h2(shared: Rc<Multiplexed>) -> Self {
        Self::H2 { _shared: shared }
    }

    /// Reads an answer that is not passed on to its end, if that is near, so that its connection serves again: a
    /// service in trouble should not have to accept a new one for each refusal.
    pub(crate) fn discard(mut self, answer: Response<Incoming>) {
        let body = answer.into_body();
        match self {
            // Dropping the body ends the stream, and nothing else.
            Self::H2 { .. } => {}
            Self::H1 { .. } if body.is_end_stream() => self.give_back(),
            Self::H1 { .. } => {
                spawn_local(async move {
                    let rest = Limited::new(body, DISCARD).collect();
                    if timeout(DISCARD_TIME, rest).await.is_ok_and(|read| read.is_ok()) {
                        self.give_back();
                    }
                });
            }
        }
    }

    fn give_back(&mut self) {
        if let Self::H1 { connection, pool } = self
            && let Some(connection) = connection.take()
        {
            pool.put(connection);
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        // A connection with a part of an answer still on it is of no use to anybody else.
        if self.ended || self.body.is_end_stream() {
            self.flight.conclude(true);
            self.lease.give_back();
            if let Some(hop) = &mut self.hop {
                hop.completed();
            }
            if let Some(look) = self.look.take() {
                look.end();
            }
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = match &mut self.kind {
            Kind::Passed(passed) => passed.poll_frame(cx),
            Kind::Fault(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Kind::Empty => Poll::Ready(None),
        };
        if let (Some(note), Poll::Ready(Some(Ok(frame)))) = (&mut self.note, &frame) {
            note.passed(frame.data_ref().map_or(0, Bytes::len));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed(passed) => passed.body.is_end_stream(),
            Kind::Fault(body) => body.is_end_stream(),
            Kind::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed(passed) => passed.body.size_hint(),
            Kind::Fault(body) => body.size_hint(),
            Kind::Empty => SizeHint::with_exact(0),
        }
    }
}

impl Answer {
    fn new(kind: Kind) -> Self {
        Self { kind, busy: None, note: None }
    }

    /// Whether the data plane made it, because of a fault.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self.kind, Kind::Fault(_))
    }

    /// Keeps what is remembered of the request until this body has been passed on.
    pub(crate) fn carry(&mut self, mut hop: Hop) {
        match &mut self.kind {
            Kind::Passed(passed) => passed.hop = Some(hop),
            Kind::Fault(_) | Kind::Empty => hop.completed(),
        }
    }

    /// Has request and answer looked at once this body has been passed on.
    pub(crate) fn look(&mut self, look: Sampling) {
        if let Kind::Passed(passed) = &mut self.kind {
            passed.look = Some(Box::new(look));
        }
    }

    /// Counts the connection as busy until this body has been passed on.
    pub(crate) fn keep(&mut self, busy: Busy) {
        self.busy = Some(busy);
    }

    /// Writes the request down once this body has been passed on.
    pub(crate) fn note(&mut self, note: Box<Note>) {
        self.note = Some(note);
    }
}

/// Passes a replica's answer on; its head has been cleaned.
pub(crate) fn pass(response: Response<Incoming>, lease: Lease, flight: Flight) -> Response<Answer> {
    response.map(|body| {
        let alarm = Alarm::default();
        let passed = Passed { body, lease, ended: false, flight, hop: None, look: None, silent: None, alarm };
        Answer::new(Kind::Passed(passed))
    })
}

/// An answer without a body, for a connection that speaks something else from here on.
pub(crate) fn switch(headers: HeaderMap) -> Response<Answer> {
    let mut response = Response::new(Answer::new(Kind::Empty));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Where to ask instead, with the same method and body (RFC 9110, 15.4.9).
pub(crate) fn redirect(location: HeaderValue) -> Response<Answer> {
    let mut response = Response::new(Answer::new(Kind::Empty));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// Tells the client that its connection ends after this answer, unless it speaks something else from here on.
pub(crate) fn say_last(answer: &mut Response<Answer>) {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// RFC 9457, with a stable code and the request it is about.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    instance: String,
    /// What is not as a contract says.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
}

/// Answers in place of a replica. For gRPC the answer is one of gRPC: a status, and nothing else.
pub(crate) fn refuse(fault: &Fault, request_id: HeaderValue, grpc: bool) -> Response<Answer> {
    let mut response = if grpc { grpc_status(fault) } else { problem(fault, &request_id) };
    let headers = response.headers_mut();
    headers.insert(headers::ERROR, HeaderValue::from_static(fault.code.name()));
    headers.insert(headers::REQUEST_ID, request_id);
    if matches!(fault.code.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(fault.retry_after));
    }
    response.map(|body| Answer::new(Kind::Fault(body)))
}

fn problem(fault: &Fault, request_id: &HeaderValue) -> Response<Full<Bytes>> {
    let problem = Problem {
        kind: format!("urn:isles:error:{}", fault.code.name()),
        title: fault.code.title(),
        status: fault.code.status().as_u16(),
        detail: &fault.detail,
        code: fault.code.name(),
        instance: format!("urn:isles:request:{}", request_id.to_str().unwrap_or_default()),
        errors: &fault.violations,
    };
    // Strings and numbers: there is nothing in it that cannot be written as JSON.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = fault.code.status();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

fn grpc_status(fault: &Fault) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(fault.code.grpc_status())));
    if let Ok(message) = HeaderValue::try_from(percent_encode(&fault.detail)) {
        headers.insert("grpc-message", message);
    }
    response
}

/// As the gRPC protocol wants it in `grpc-message`: all but printable ASCII, and the percent sign itself.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' '..=b'$' | b'&'..=b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
