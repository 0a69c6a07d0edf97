//! Calls of services, and what their answers mean.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::pool::{Fault, Pool, Reply};
use super::room::Room;
use super::{Callees, Shared, lock};
use crate::advance::Answer;
use crate::expr::as_text;
use crate::plan::{Call, On, PathPart};
use crate::state::State;

/// How long a callee may ask to be left alone.
const LONGEST_PAUSE: u64 = 300_000;
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DEADLINE: HeaderName = HeaderName::from_static("x-isles-deadline");
const TRACE: HeaderName = HeaderName::from_static("traceparent");
/// The data plane's own answers carry this: they say nothing about the service.
const OWN_ERROR: &str = "x-isles-error";

/// Milliseconds until a call comes again that the data plane did not pass on.
const UNASKED: std::ops::RangeInclusive<u64> = 5..=25;

/// Calls services, a bounded number at a time each.
pub struct Caller {
    limit: usize,
    callees: watch::Receiver<Arc<Callees>>,
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    pool: Pool,
}

/// A call that can be made.
pub struct Prepared {
    service: String,
    request: Request<Full<Bytes>>,
    timeout: Duration,
    wants_body: bool,
}

impl Caller {
    pub fn new(limit: usize, callees: watch::Receiver<Arc<Callees>>) -> Self {
        Self { limit, callees, rooms: Mutex::default(), pool: Pool::default() }
    }

    /// Fills a call in. The error is what is wrong with it, in place of an answer.
    pub fn request(
        &self,
        call: &Call,
        state: &State,
        key: &str,
        saga: &str,
        trace: Option<&str>,
        wants_body: bool,
    ) -> Result<Prepared, Value> {
        let wrong = |detail: String| json!({ "code": "bad_call", "detail": detail });
        let mut path = String::new();
        for part in &call.path {
            match part {
                PathPart::Text(text) => path.push_str(text),
                PathPart::Param(name, value) => match as_text(&value.value(state)) {
                    empty if empty.is_empty() => {
                        return Err(wrong(format!("the path parameter {name} is empty")));
                    }
                    value => encode(&mut path, &value),
                },
            }
        }
        for (at, (name, value)) in call.query.iter().enumerate() {
            path.push(if at == 0 { '?' } else { '&' });
            encode(&mut path, name);
            path.push('=');
            encode(&mut path, &as_text(&value.value(state)));
        }
        let body = call.body.as_ref().map(|body| body.value(state).to_string());
        let mut builder = Request::builder().method(call.method.as_str()).uri(path);
        if body.is_some() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in &call.headers {
            builder = builder.header(name, as_text(&value.value(state)));
        }
        builder = builder
            .header(HOST, &call.service)
            .header(ACCEPT, "application/json, application/problem+json")
            .header(KEY, key)
            .header(DEADLINE, call.timeout)
            .header(TRACE, trace_of(trace, saga));
        let request = builder
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|e| wrong(e.to_string()))?;
        let timeout = Duration::from_millis(call.timeout.max(1));
        Ok(Prepared { service: call.service.clone(), request, timeout, wants_body })
    }

    fn room(&self, service: &str) -> Arc<Room> {
        let mut rooms = lock(&self.rooms);
        match rooms.get(service) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(Room::new(self.limit));
                rooms.insert(service.to_owned(), new.clone());
                new
            }
        }
    }

    fn address(&self, service: &str) -> Option<SocketAddr> {
        self.callees.borrow().get(service).copied()
    }
}

impl Shared {
    /// Makes a call, once there is room. `None` if the lease has run out since `term`: then nothing was sent.
    pub async fn send(&self, call: Prepared, term: u64) -> Option<Answer> {
        let room = self.caller.room(&call.service);
        let until = Instant::now() + call.timeout;
        loop {
            let place = room.enter().await;
            if !self.holds_lease() {
                // Until it is renewed nothing can be done.
                tokio::time::sleep(Duration::from_millis(20)).await;
                return None;
            }
            if self.term() != term {
                return None;
            }
            let (answer, load) = self.send_now(&call).await;
            place.leave(load != Load::Fine);
            let pause = Duration::from_millis(fastrand::u64(UNASKED));
            if load != Load::Unasked || Instant::now() + pause >= until {
                return Some(answer);
            }
            // Nobody was asked, so there is nothing to write down, and soon there is room.
            tokio::time::sleep(pause).await;
        }
    }

    async fn send_now(&self, call: &Prepared) -> (Answer, Load) {
        let open = |on, error| (Answer::Open { on: Some(on), error, pause: None }, Load::Fine);
        let Some(address) = self.caller.address(&call.service) else {
            return open(On::Connect, format!("{} has no address", call.service));
        };
        let sent = self.caller.pool.send(address, call.request.clone(), call.wants_body);
        match tokio::time::timeout(call.timeout, sent).await {
            Ok(Ok(reply)) => {
                let load = Load::of(&reply);
                (meaning(reply), load)
            }
            Ok(Err(Fault::Connect(error))) => open(On::Connect, error),
            Ok(Err(Fault::Broken(error))) => open(On::Timeout, error),
            Err(_) => open(On::Timeout, format!("no answer within {} ms", call.timeout.as_millis())),
        }
    }
}

/// What an answer says of how much its service has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Fine,
    /// Too much.
    Overloaded,
    /// So much that the data plane did not even ask.
    Unasked,
}

impl Load {
    fn of(reply: &Reply) -> Self {
        let own = reply.headers.get(OWN_ERROR).is_some_and(|code| code == "overloaded");
        match reply.status {
            StatusCode::SERVICE_UNAVAILABLE if own => Self::Unasked,
            StatusCode::TOO_MANY_REQUESTS => Self::Overloaded,
            _ => Self::Fine,
        }
    }
}

/// 2xx: done. A 4xx other than 408, 425 and 429: refused, unless it is a 409 that asks to come again (a request with this key is
/// still being worked on), or the data plane's own. Everything else: nobody knows.
fn meaning(reply: Reply) -> Answer {
    let status = reply.status;
    if status.is_success() {
        return Answer::Done(reply.body);
    }
    let own = reply.headers.contains_key(OWN_ERROR);
    let pause = retry_after(&reply.headers);
    let mut error = format!("status {}", status.as_u16());
    if !reply.body.is_null() {
        let text: String = reply.body.to_string().chars().take(300).collect();
        // Writing into a text does not fail.
        let _ = write!(error, ": {text}");
    }
    let open = |on| Answer::Open { on, error, pause };
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            open(Some(On::Status(status.as_u16())))
        }
        _ if own && status.is_client_error() => open(Some(On::Connect)),
        StatusCode::CONFLICT if pause.is_some() => open(None),
        _ if status.is_client_error() => Answer::Refused { status: Some(status.as_u16()), body: reply.body },
        _ => open(Some(On::Status(status.as_u16()))),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000).min(LONGEST_PAUSE))
}

/// Percent-encodes everything but the unreserved characters (RFC 3986, section 2.3).
fn encode(into: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// What a call carries as its trace: the span that began the saga, as it came, since the engine keeps no span of its own that could
/// stand between; where there is none, a trace that is named after the saga and not sampled.
fn trace_of(trace: Option<&str>, saga: &str) -> HeaderValue {
    if let Some(given) = trace.and_then(|trace| HeaderValue::from_str(trace).ok()) {
        return given;
    }
    let (id, span) = (saga.replace('-', ""), fastrand::u64(1..));
    // A saga's id is hexadecimal digits, which fit into a header field.
    HeaderValue::from_str(&format!("00-{id}-{span:016x}-00")).unwrap_or(HeaderValue::from_static("00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_belong_to_the_span_that_began_the_saga() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_of(Some(given), "any"), given);
        let own = trace_of(None, "01a21abd-3224-7635-8c44-daad430f2a5e");
        let own = own.to_str().unwrap();
        assert!(own.starts_with("00-01a21abd322476358c44daad430f2a5e-") && own.ends_with("-00"), "{own}");
        assert_eq!(own.len(), given.len());
    }
}
