//! One line of the access log. Names follow OpenTelemetry's semantic conventions for HTTP
//! (<https://opentelemetry.io/docs/specs/semconv/http/>) where they have one.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use serde::Serialize;

use super::{Lines, Log};
use crate::connection::Client;
use crate::headers;
use crate::hop::Hop;

/// The longest text that is taken from a client, in bytes.
const LONGEST: usize = 2048;

/// What is known about a request; written when dropped.
#[derive(Debug)]
pub(crate) struct Note {
    client: Rc<Client>,
    log: Arc<Log>,
    arrived: Instant,
    line: Line,
}

#[derive(Debug, Serialize)]
struct Line {
    /// When the request arrived, RFC 3339.
    time: String,
    #[serde(rename = "client.address")]
    client: String,
    #[serde(rename = "http.request.method")]
    method: String,
    #[serde(rename = "url.scheme")]
    scheme: &'static str,
    #[serde(rename = "server.address", skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(rename = "url.path")]
    path: String,
    /// Queries carry tokens and names: that there was one is all that is said.
    #[serde(rename = "url.query", skip_serializing_if = "Option::is_none")]
    query: Option<&'static str>,
    #[serde(rename = "network.protocol.version")]
    version: &'static str,
    #[serde(rename = "user_agent.original", skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// Absent if the client left before there was an answer.
    #[serde(rename = "http.response.status_code", skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Bytes of the answer's body that were passed on.
    #[serde(rename = "http.response.body.size")]
    size: u64,
    #[serde(rename = "duration_ms")]
    duration: f64,
    #[serde(rename = "http.route", skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(rename = "isles.service", skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(rename = "isles.replica", skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
    #[serde(rename = "isles.attempts")]
    attempts: u32,
    /// The code of a refusal, as in `x-isles-error`.
    #[serde(rename = "error.type", skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl Note {
    /// Of a request as it arrived.
    pub(crate) fn begin(
        client: &Rc<Client>,
        log: &Arc<Log>,
        request: &Request<Incoming>,
        arrived: Instant,
    ) -> Box<Self> {
        let host = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let field = |name| request.headers().get(name).map(text);
        let line = Line {
            time: jiff::Timestamp::now().to_string(),
            client: client.peer.ip.to_string(),
            method: request.method().to_string(),
            scheme: client.peer.scheme(),
            host: host.or_else(|| field(header::HOST)),
            path: cut(request.uri().path()),
            query: request.uri().query().map(|_| "REDACTED"),
            version: if request.version() == Version::HTTP_2 { "2" } else { "1.1" },
            agent: field(header::USER_AGENT),
            status: None,
            size: 0,
            duration: 0.0,
            route: None,
            service: None,
            replica: None,
            attempts: 0,
            error: None,
            trace_id: None,
            request_id: None,
        };
        Box::new(Self { client: Rc::clone(client), log: Arc::clone(log), arrived, line })
    }

    /// Which way it goes.
    pub(crate) fn way(&mut self, route: &str, service: &str) {
        self.line.route = Some(if route.is_empty() { "/".to_owned() } else { route.to_owned() });
        self.line.service = Some(service.to_owned());
    }

    /// What is remembered of its way: its trace and its name, and who was asked.
    pub(crate) fn went(&mut self, hop: &Hop) {
        self.line.trace_id = hop.trace().map(|trace| trace.to_string());
        self.line.request_id = hop.request_id().as_ref().map(text);
        self.line.attempts = hop.attempts();
        self.line.replica = hop.replica().map(ToString::to_string);
    }

    /// Its answer, of which the body is yet to come.
    pub(crate) fn answered<B>(&mut self, answer: &Response<B>) {
        self.line.status = Some(answer.status().as_u16());
        self.line.error = answer.headers().get(headers::ERROR).map(text);
        if self.line.request_id.is_none() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            self.line.request_id = answer.headers().get(headers::REQUEST_ID).map(text);
        }
    }

    /// So many bytes of the answer's body were passed on.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.line.size += bytes as u64;
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.line.duration = self.arrived.elapsed().as_micros() as f64 / 1000.0;
        let line = &self.line;
        // Numbers and texts: there is nothing in it that cannot be written as JSON.
        Lines::add(&self.client.worker, &self.log, |into| drop(serde_json::to_writer(into, line)));
    }
}

fn text(value: &HeaderValue) -> String {
    cut(&String::from_utf8_lossy(value.as_bytes()))
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}
