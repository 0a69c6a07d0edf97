//! The client's side: typed calls over the socket, one connection each.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{
    Accepted, AppStatus, Begun, DeployRequest, Deployed, DriftReport, EventQuery, Events, LogItem, LogQuery,
    MetricsQuery, MetricsReport, PlanReport, PlanRequest, Problem, ReleaseInfo, RollbackRequest,
    ScaleRequest, ServiceStatus, SpanQuery, Spans, Traffic, UsageReport,
};
use crate::socket;

/// A platform that does not begin to answer within this time is not well.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is taken whole.
const LARGEST_BODY: usize = 16 * 1024 * 1024;
/// The longest line of a stream.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("nothing is running here")]
    NothingRunning,
    /// The platform said no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// The platform listens and does not answer in time.
    #[error("the control plane does not answer (waited {} s)", PATIENCE.as_secs())]
    Silent,
    /// The connection ended before the answer did: the platform has just gone.
    #[error("the control plane closed the connection")]
    Gone,
    /// The socket cannot be opened.
    #[error("cannot open {}: {}", .0.display(), .1)]
    Unreachable(PathBuf, io::Error),
    /// The answer is not one of this API.
    #[error("the control plane sent an answer that this version cannot read: {0}")]
    Unreadable(String),
}

/// Calls the platform that listens on one socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client for the socket at `path`. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { socket: path.into() }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The app as it is now.
    pub async fn status(&self) -> Result<AppStatus, ClientError> {
        self.get("/v1/status").await
    }

    /// One service as it is now.
    pub async fn service(&self, name: &str) -> Result<ServiceStatus, ClientError> {
        self.get(&format!("/v1/services/{}", escape(name))).await
    }

    /// What happened between services in the last seconds.
    pub async fn traffic(&self, seconds: u64) -> Result<Traffic, ClientError> {
        self.get(&format!("/v1/traffic?seconds={seconds}")).await
    }

    /// The latest spans that were kept and are wanted, the newest first.
    pub async fn spans(&self, query: &SpanQuery) -> Result<Spans, ClientError> {
        let SpanQuery { trace, service, errors, slower_than_ms, text, n } = query;
        let mut path = format!("/v1/spans?errors={errors}&slower_than_ms={slower_than_ms}&n={n}");
        if let Some(trace) = trace {
            path += &format!("&trace={trace}");
        }
        if let Some(service) = service {
            path += &format!("&service={}", escape(service));
        }
        if !text.is_empty() {
            path += &format!("&text={}", escape(text));
        }
        self.get(&path).await
    }

    /// Sets how many replicas a service is to have.
    pub async fn scale(&self, service: &str, replicas: u32) -> Result<Accepted, ClientError> {
        self.post(&format!("/v1/services/{}/scale", escape(service)), Some(&ScaleRequest { replicas })).await
    }

    /// Begins to replace the replicas of a service one after the other.
    pub async fn restart(&self, service: &str) -> Result<Accepted, ClientError> {
        self.post(&format!("/v1/services/{}/restart", escape(service)), None::<&()>).await
    }

    /// What would be different with the manifest as it is now.
    pub async fn plan(&self, request: &PlanRequest) -> Result<PlanReport, ClientError> {
        self.post("/v1/plan", Some(request)).await
    }

    /// Puts the manifest in force, builds services, and begins to bring what comes of it into charge.
    pub async fn deploy(&self, request: &DeployRequest) -> Result<Deployed, ClientError> {
        self.post("/v1/deploy", Some(request)).await
    }

    /// Begins to go back to another release, or ends the rollout under way.
    pub async fn rollback(&self, service: &str, request: RollbackRequest) -> Result<Begun, ClientError> {
        self.post(&format!("/v1/services/{}/rollback", escape(service)), Some(&request)).await
    }

    /// Takes the canary under way into charge.
    pub async fn promote(&self, service: &str) -> Result<Begun, ClientError> {
        self.post(&format!("/v1/services/{}/promote", escape(service)), None::<&()>).await
    }

    /// The releases of a service that are kept, the latest first.
    pub async fn releases(&self, service: &str) -> Result<Vec<ReleaseInfo>, ClientError> {
        self.get(&format!("/v1/services/{}/releases", escape(service))).await
    }

    /// What was called of a service within the last days.
    pub async fn usage(&self, service: &str, days: u64) -> Result<UsageReport, ClientError> {
        self.get(&format!("/v1/services/{}/usage?days={days}", escape(service))).await
    }

    /// What happened, newest first.
    pub async fn events(&self, query: &EventQuery) -> Result<Events, ClientError> {
        let service =
            query.service.as_ref().map(|name| format!("&service={}", escape(name))).unwrap_or_default();
        self.get(&format!("/v1/events?seconds={}&n={}{service}", query.seconds, query.n)).await
    }

    /// Calls over time.
    pub async fn metrics(&self, query: &MetricsQuery) -> Result<MetricsReport, ClientError> {
        let service =
            query.service.as_ref().map(|name| format!("&service={}", escape(name))).unwrap_or_default();
        self.get(&format!("/v1/metrics?seconds={}&points={}{service}", query.seconds, query.points)).await
    }

    /// How real requests and answers of a service compare with its contract.
    pub async fn drift(&self, service: &str) -> Result<DriftReport, ClientError> {
        self.get(&format!("/v1/services/{}/drift", escape(service))).await
    }

    /// Begins an orderly end.
    pub async fn down(&self) -> Result<Accepted, ClientError> {
        self.post("/v1/down", None::<&()>).await
    }

    /// Reads from the API of sagas, which is beside this one. `rest` is what follows in the URL: a path, a query, or both.
    pub async fn sagas<T: DeserializeOwned>(&self, rest: &str) -> Result<T, ClientError> {
        self.get(&format!("/v1/sagas{rest}")).await
    }

    /// Gives an order to a saga: `cancel` or `retry`.
    pub async fn saga_order(&self, id: &str, order: &str) -> Result<serde_json::Value, ClientError> {
        self.post(&format!("/v1/sagas/-/{}/{order}", escape(id)), None::<&()>).await
    }

    /// One saga with its history.
    pub async fn saga<T: DeserializeOwned>(&self, id: &str) -> Result<T, ClientError> {
        self.get(&format!("/v1/sagas/-/{}", escape(id))).await
    }

    /// The app's state now and after each change, until it is gone.
    pub async fn watch(&self) -> Result<Lines<AppStatus>, ClientError> {
        Ok(Lines::new(self.send(Method::GET, "/v1/watch", Bytes::new()).await?))
    }

    /// The latest lines of output, and with `follow` every one from then on.
    pub async fn logs(&self, query: &LogQuery, follow: bool) -> Result<Lines<LogItem>, ClientError> {
        let services: Vec<String> = query.services.iter().map(|s| escape(s)).collect();
        let (services, text) = (services.join(","), escape(&query.text));
        let path = format!("/v1/logs?service={services}&text={text}&n={}&follow={follow}", query.n);
        Ok(Lines::new(self.send(Method::GET, &path, Bytes::new()).await?))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(self.send(Method::GET, path, Bytes::new()).await?).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let body =
            body.map(serde_json::to_vec).transpose().map_err(|e| ClientError::Unreadable(e.to_string()))?;
        read(self.send(Method::POST, path, body.unwrap_or_default().into()).await?).await
    }

    /// Sends one request and returns the answer's head once it is a success.
    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "isles")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| ClientError::Unreadable(e.to_string()))?;
        let response = tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .map_err(|_| ClientError::Silent)??;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = collect(response).await?;
        Err(ClientError::Refused(serde_json::from_slice(&bytes).unwrap_or_else(|_| bare(status))))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ClientError> {
        let stream = socket::connect(&self.socket).await.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NothingRunning,
            _ => ClientError::Unreachable(self.socket.clone(), e),
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends by itself when the answer has been read or dropped.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }
}

/// A stream of JSON values, one a line.
#[derive(Debug)]
pub struct Lines<T> {
    body: Incoming,
    buffer: Vec<u8>,
    ready: VecDeque<Bytes>,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    fn new(response: Response<Incoming>) -> Self {
        Self { body: response.into_body(), buffer: Vec::new(), ready: VecDeque::new(), kind: PhantomData }
    }

    /// The next value; `None` when the platform has ended the stream. Cancel safe: a call that is dropped while it
    /// waits loses nothing.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when the connection broke, [`ClientError::Unreadable`] for a line that is not a `T`.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|e| ClientError::Unreadable(e.to_string()));
            }
            match self.body.frame().await {
                None if self.buffer.is_empty() => return Ok(None),
                None | Some(Err(_)) => return Err(ClientError::Gone),
                Some(Ok(frame)) => self.take(&frame.into_data().unwrap_or_default())?,
            }
        }
    }

    /// Whether [`Lines::next`] would return at once.
    pub fn has_buffered(&self) -> bool {
        !self.ready.is_empty()
    }

    fn take(&mut self, data: &[u8]) -> Result<(), ClientError> {
        let mut rest = data;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.buffer.extend_from_slice(&rest[..end]);
            self.ready.push_back(Bytes::from(std::mem::take(&mut self.buffer)));
            rest = &rest[end + 1..];
        }
        self.buffer.extend_from_slice(rest);
        if self.buffer.len() > LONGEST_LINE {
            return Err(ClientError::Unreadable("a line of more than 4 MiB".to_owned()));
        }
        Ok(())
    }
}

async fn read<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, ClientError> {
    let bytes = collect(response).await?;
    serde_json::from_slice(&bytes).map_err(|e| ClientError::Unreadable(e.to_string()))
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    match tokio::time::timeout(PATIENCE, Limited::new(response.into_body(), LARGEST_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(ClientError::Gone),
        Err(_) => Err(ClientError::Silent),
    }
}

fn broken(_: hyper::Error) -> ClientError {
    ClientError::Gone
}

/// For an answer that carries no problem document.
fn bare(status: StatusCode) -> Problem {
    Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        code: "unexpected".to_owned(),
        detail: format!("the control plane answered {status}"),
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
