//! A request as it goes to a replica, kept so that it can be sent again where that is allowed.

use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderName, HeaderValue, Method, Request, Version};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use model::Protocol;

use crate::body::{Outgoing, Tape};
use crate::conformance::Copy;
use crate::fault::{Code, Fault};
use crate::headers::{self, Trust};
use crate::hop::Hop;
use crate::identify::{Caller, Peer, Way};
use crate::intake::{Allowance, Intake, State};
use crate::route;
use crate::table::{Endpoint, Lane};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What is spoken to the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Http1,
    Http2,
    /// Whatever a system outside prefers (ALPN).
    Negotiated,
}

/// What to speak: HTTP/2 where gRPC needs it, else HTTP/1.1, which every server knows, unless it can be asked.
pub(crate) fn speech(lane: &Lane, grpc: bool) -> Speech {
    let tls = || lane.outside.as_ref().is_some_and(|outside| outside.tls.is_some());
    match grpc || lane.protocol == Protocol::Grpc {
        true => Speech::Http2,
        false if tls() => Speech::Negotiated,
        false => Speech::Http1,
    }
}

/// Turns the header fields of a client's request into those for a replica. Returns the client's side of a tunnel if an
/// upgrade is asked for and can be.
pub(crate) fn dress(
    request: &mut Request<Incoming>,
    way: &Way<'_>,
    peer: &Peer,
    speech: Speech,
    hop: &mut Hop,
) -> Option<OnUpgrade> {
    let version = request.version();
    let trust = if matches!(way.caller, Caller::Client) { Trust::Outside } else { Trust::Inside };
    let upgrade = headers::clean(request.headers_mut(), version, trust);
    let fields = request.headers_mut();
    if version == Version::HTTP_2 && speech == Speech::Http1 {
        headers::join_cookies(fields);
    }
    // Room for all that is set on the way, at once.
    fields.reserve(10);
    match way.caller {
        Caller::Client => {
            headers::set_origin(fields, &peer.address, peer.secure);
            fields.insert(headers::CALLER, HeaderValue::from_static("gateway"));
        }
        Caller::Service(name) => {
            fields.insert(headers::CALLER, name.clone());
        }
    }
    let trace = headers::set_trace(fields, || hop.sample());
    hop.dressed(trace, fields.get(headers::REQUEST_ID));
    if !way.strip.is_empty()
        && let Ok(prefix) = HeaderValue::from_str(way.strip)
    {
        fields.insert(headers::FORWARDED_PREFIX, prefix);
    }
    let protocol = upgrade.filter(|_| speech != Speech::Http2)?;
    headers::set_upgrade(fields, protocol);
    Some(hyper::upgrade::on(request))
}

/// A request to a replica.
pub(crate) struct Outbound {
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    payload: Payload,
    speech: Speech,
    /// Whether the next hop is told the time that is left in the way of gRPC, too.
    grpc: bool,
    repeatable: bool,
    /// The hop before sends this request again, and so goes on if it fails here.
    repeated_above: bool,
    /// Its headers may say what is for services of the app alone.
    inside: bool,
    /// How the client's body comes along, where it has limits.
    intake: Option<(State, Allowance)>,
    /// Head or body are gone: it cannot be sent again.
    spent: bool,
}

enum Payload {
    Empty,
    Once(Intake),
    Taped(Tape),
    Gone,
}

impl Outbound {
    /// Of a request whose header fields are dressed for the replica. `strip` is a prefix of its path to take off;
    /// `allowed` is what the client may send.
    pub(crate) fn new(
        request: Request<Incoming>,
        strip: &str,
        speech: Speech,
        lane: &Lane,
        allowed: Option<Allowance>,
    ) -> Result<Self, Fault> {
        let (head, body) = request.into_parts();
        let (method, mut headers) = (head.method, head.headers);
        let path = route::without_prefix(head.uri.into_parts().path_and_query, strip);
        let path = match &lane.outside {
            Some(outside) => path.and_then(|path| outside.path(path)),
            None => path,
        };
        let path = path.ok_or_else(|| Fault::new(Code::BadPath, "the request has no path"))?;
        let grpc = headers::is_grpc(&headers);
        let repeatable =
            lane.retries > 0 && (is_idempotent(&method) || headers.contains_key(IDEMPOTENCY_KEY));
        let ended = body.is_end_stream();
        let (body, intake) = match allowed.filter(|_| !ended) {
            None => (Intake::free(body), None),
            Some(allowed) => {
                let (body, state) = Intake::limited(body, allowed)?;
                (body, Some((state, allowed)))
            }
        };
        let payload = if ended {
            Payload::Empty
        } else if repeatable {
            Payload::Taped(Tape::new(body))
        } else {
            Payload::Once(body)
        };
        let repeated_above = headers.contains_key(headers::ATTEMPT);
        if let Some(outside) = &lane.outside {
            outside.dress(&mut headers);
        }
        let inside = lane.outside.is_none();
        Ok(Self {
            method,
            path,
            headers,
            payload,
            speech,
            grpc,
            repeatable,
            repeated_above,
            inside,
            intake,
            spent: false,
        })
    }

    pub(crate) fn speech(&self) -> Speech {
        self.speech
    }

    /// What is asked for, as long as nothing was sent.
    pub(crate) fn head(&self) -> (&Method, &PathAndQuery, &HeaderMap) {
        (&self.method, &self.path, &self.headers)
    }

    /// Whether it has no body.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.payload, Payload::Empty)
    }

    /// Notes its body as it passes by.
    pub(crate) fn copy_to(&mut self, copy: &Copy) {
        match &mut self.payload {
            Payload::Empty | Payload::Gone => copy.ended(),
            Payload::Once(body) => body.copy_to(copy.clone()),
            Payload::Taped(tape) => tape.copy_to(copy.clone()),
        }
    }

    /// Reads the whole body, before any of it was sent, and keeps it for that. Trailers are left out.
    ///
    /// # Errors
    /// It is longer than `most` bytes, broke off, or is longer or slower than the client may be.
    pub(crate) async fn read_whole(&mut self, most: usize) -> Result<Bytes, Fault> {
        let source = match std::mem::replace(&mut self.payload, Payload::Gone) {
            Payload::Empty | Payload::Gone => {
                self.payload = Payload::Empty;
                return Ok(Bytes::new());
            }
            Payload::Once(body) => Some(body),
            Payload::Taped(tape) => tape.into_source(),
        };
        let broken = || Fault::new(Code::BadBody, "the body broke off");
        let read = Limited::new(source.ok_or_else(broken)?, most).collect().await;
        let whole = read.map_err(|error| match self.client_fault() {
            Some(own) => own,
            None if error.is::<LengthLimitError>() => {
                Fault::new(Code::LongBody, format!("a body that is held to a contract may have {most} bytes"))
            }
            None => broken(),
        })?;
        let whole = whole.to_bytes();
        let again = Intake::read(whole.clone());
        self.payload = if self.repeatable { Payload::Taped(Tape::new(again)) } else { Payload::Once(again) };
        Ok(whole)
    }

    /// Whether it may be sent again, and can be.
    pub(crate) fn is_whole(&self) -> bool {
        let body = match &self.payload {
            Payload::Empty => true,
            Payload::Taped(tape) => tape.is_whole(),
            Payload::Once(_) | Payload::Gone => false,
        };
        self.repeatable && !self.spent && body
    }

    /// Whether the hop before sends this request again, and so goes on if it fails here.
    pub(crate) fn is_repeated_above(&self) -> bool {
        self.repeated_above
    }

    /// Tells the next hops that this request is a repetition.
    pub(crate) fn repeated(&mut self, attempt: u32) {
        if self.inside {
            self.headers.insert(headers::ATTEMPT, HeaderValue::from(attempt));
        }
    }

    /// There will be no other attempt: nothing more needs to be remembered.
    pub(crate) fn answered(&self) {
        if let Payload::Taped(tape) = &self.payload {
            tape.stop();
        }
        if let Some((state, _)) = &self.intake {
            state.answered();
        }
    }

    /// Whether more of its body has to come from the client before anybody can answer.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.intake.as_ref().is_some_and(|(state, _)| state.is_waiting())
    }

    /// What the client is told if its own body is why there is no answer.
    pub(crate) fn client_fault(&self) -> Option<Fault> {
        self.intake.as_ref().and_then(|(state, allowed)| state.fault(*allowed))
    }

    /// The message for one attempt, over a connection that speaks HTTP/2 or not. A copy stays here if `may_resend` and
    /// it may be sent again.
    pub(crate) fn message(
        &mut self,
        endpoint: &Endpoint,
        h2: bool,
        deadline: Instant,
        may_resend: bool,
    ) -> Request<Outgoing> {
        let left = deadline.saturating_duration_since(Instant::now());
        headers::set_time_left(&mut self.headers, left, self.inside, self.grpc);
        let keep = may_resend && self.repeatable;
        let headers = if keep { self.headers.clone() } else { std::mem::take(&mut self.headers) };
        self.spent = !keep;
        let body = match &mut self.payload {
            Payload::Empty | Payload::Gone => Outgoing::Empty,
            Payload::Taped(tape) => tape.read().map_or(Outgoing::Empty, Outgoing::Taped),
            once @ Payload::Once(_) => match std::mem::replace(once, Payload::Gone) {
                Payload::Once(body) => Outgoing::Once(body),
                _ => Outgoing::Empty,
            },
        };
        let mut message = Request::new(body);
        *message.method_mut() = self.method.clone();
        *message.headers_mut() = headers;
        if h2 {
            *message.version_mut() = Version::HTTP_2;
            *message.uri_mut() = self.h2_target(message.headers(), endpoint);
            // In HTTP/2 the target says it.
            message.headers_mut().remove(header::HOST);
        } else {
            *message.uri_mut() = Uri::from(self.path.clone());
            complete_h1(&mut message, endpoint);
        }
        message
    }

    /// Takes a message back of which nothing was sent.
    pub(crate) fn take_back(&mut self, message: Request<Outgoing>) {
        let (head, body) = message.into_parts();
        self.headers = head.headers;
        self.spent = false;
        if let Outgoing::Once(body) = body {
            self.payload = Payload::Once(body);
        }
    }

    fn h2_target(&self, headers: &HeaderMap, endpoint: &Endpoint) -> Uri {
        let host = || headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let own = || Authority::try_from(endpoint.address.to_string()).ok();
        let mut parts = http::uri::Parts::default();
        match &endpoint.outside {
            Some(outside) => {
                parts.scheme = Some(outside.scheme());
                parts.authority = Some(outside.authority.clone());
            }
            None => {
                parts.scheme = Some(Scheme::HTTP);
                parts.authority = host().or_else(own);
            }
        }
        parts.path_and_query = Some(self.path.clone());
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// Adds what HTTP/1.1 has to say explicitly.
fn complete_h1(message: &mut Request<Outgoing>, endpoint: &Endpoint) {
    let has_body = !matches!(message.body(), Outgoing::Empty);
    let headers = message.headers_mut();
    if has_body && !headers.contains_key(header::CONTENT_LENGTH) {
        // Or the body of a GET would be left out.
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if !headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::try_from(endpoint.address.to_string())
    {
        headers.insert(header::HOST, host);
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS | Method::TRACE
    )
}
