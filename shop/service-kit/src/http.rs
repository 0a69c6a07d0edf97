//! Calls to other services: the trace, request id and deadline go along, and every way to fail has its own meaning.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{Config, StartError};
use crate::context::{DEADLINE, REQUEST_ID, RequestContext, TRACEPARENT};
use crate::idempotency;
use crate::problem::Problem;

/// How long a call may take when neither the call nor the request's deadline says less.
pub const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Another service of the shop. Cheap to clone; keeps its connections open.
#[derive(Debug, Clone)]
pub struct Callee {
    name: String,
    base: String,
    client: reqwest::Client,
}

/// How a call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// It was not carried out: no connection, no time left, or the answer 503.
    #[error("{service} is not available: {cause}")]
    Unavailable {
        /// The callee.
        service: String,
        /// What happened.
        cause: String,
    },
    /// Nobody knows whether it was carried out: no answer in time, a broken connection, or a 5xx. Ask again with the same
    /// idempotency key to find out.
    #[error("{service} did not answer: {cause}")]
    Unknown {
        /// The callee.
        service: String,
        /// What happened.
        cause: String,
    },
    /// The callee refused it with a 4xx.
    #[error("{service} refused: {problem}")]
    Refused {
        /// The callee.
        service: String,
        /// Its answer.
        problem: Problem,
    },
}

impl CallError {
    /// Whether the same call with the same idempotency key may give another result soon.
    #[must_use]
    pub fn may_ask_again(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Unknown { .. } => true,
            Self::Refused { problem, .. } => {
                problem.code() == "request_in_flight" || problem.status() == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }

    /// The callee's refusal, if that is what it is.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }
}

/// What a caller's own client is told: a refusal by rule (402, 409, 422, 429) is passed on, 503 naming the service when it
/// cannot be reached, and 502 when the two services misunderstand each other.
impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { problem, .. }
                if matches!(problem.status().as_u16(), 402 | 409 | 422 | 429) =>
            {
                problem
            }
            CallError::Refused { service, problem } => {
                tracing::error!(
                    callee = service,
                    status = problem.status().as_u16(),
                    code = problem.code(),
                    "unexpected refusal"
                );
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    "upstream_error",
                    format!("{service} gave an unexpected answer."),
                )
            }
            CallError::Unavailable { service, cause } | CallError::Unknown { service, cause } => {
                tracing::warn!(callee = service, cause, "call failed");
                Self::unavailable(&service)
            }
        }
    }
}

impl Callee {
    /// The callee of this name at `<NAME>_URL`.
    ///
    /// # Errors
    /// The variable is not set or not a URL.
    pub fn from_config(config: &Config, name: &str) -> Result<Self, StartError> {
        Ok(Self::new(name, config.callee_url(name)?))
    }

    /// A callee at a base URL without a slash at its end.
    pub fn new(name: impl Into<String>, base: impl Into<String>) -> Self {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .unwrap_or_default();
        Self { name: name.into(), base: base.into(), client }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A GET of a path, which must be encoded already (see [`encode`]).
    #[must_use]
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// A POST to a path, which must be encoded already (see [`encode`]).
    #[must_use]
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// A call with any method.
    #[must_use]
    pub fn call(&self, method: Method, path: &str) -> Call {
        let request = self.client.request(method, format!("{}{path}", self.base));
        Call { service: self.name.clone(), request, timeout: TIMEOUT }
    }
}

/// Encodes a text as one path segment or query value.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A call in the making.
#[derive(Debug)]
pub struct Call {
    service: String,
    request: reqwest::RequestBuilder,
    timeout: Duration,
}

impl Call {
    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// With query parameters, which are encoded here.
    #[must_use]
    pub fn query(mut self, query: &impl Serialize) -> Self {
        self.request = self.request.query(query);
        self
    }

    /// With an `Idempotency-Key`.
    #[must_use]
    pub fn idempotency_key(self, key: &str) -> Self {
        self.header(idempotency::HEADER, key)
    }

    /// With another header. A value that cannot be a header makes the call fail.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// On behalf of a customer.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(header::AUTHORIZATION, &format!("Bearer {token}"))
    }

    /// With another time limit. The request's own deadline still counts if it is sooner.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(self) -> Result<Answer, CallError> {
        let service = self.service;
        let (mut request, mut timeout) = (self.request, self.timeout);
        if let Some(context) = RequestContext::current() {
            timeout = context.time_left().map_or(timeout, |left| left.min(timeout));
            if timeout.is_zero() {
                return Err(CallError::Unavailable {
                    service,
                    cause: "no time is left for this request".into(),
                });
            }
            request = request.header(REQUEST_ID, context.request_id);
            if let Some(traceparent) = context.traceparent {
                request = request.header(TRACEPARENT, traceparent);
            }
        }
        request = request.header(DEADLINE, timeout.as_millis().to_string()).timeout(timeout);
        let exchange = async {
            let response = request.send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        };
        match exchange.await {
            Ok((status, body)) => judge(service, status, body),
            Err(error) => {
                let cause = root_cause(&error);
                if error.is_connect() || error.is_builder() {
                    return Err(CallError::Unavailable { service, cause });
                }
                Err(CallError::Unknown { service, cause })
            }
        }
    }

    /// Sends it and reads the answer's JSON body.
    ///
    /// # Errors
    /// See [`CallError`]; a body that does not fit is [`CallError::Unknown`].
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T, CallError> {
        self.send().await?.json()
    }
}

fn judge(service: String, status: StatusCode, body: Bytes) -> Result<Answer, CallError> {
    if status.is_client_error() {
        let document = serde_json::from_slice(&body).unwrap_or_default();
        return Err(CallError::Refused { service, problem: Problem::from_json(status, document) });
    }
    let cause = format!("it answered {}", status.as_u16());
    match status {
        StatusCode::SERVICE_UNAVAILABLE => Err(CallError::Unavailable { service, cause }),
        _ if status.is_success() => Ok(Answer { service, status, body }),
        _ => Err(CallError::Unknown { service, cause }),
    }
}

/// The innermost error says what happened; the outer ones repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A callee's good answer.
#[derive(Debug, Clone)]
pub struct Answer {
    service: String,
    /// A 2xx status.
    pub status: StatusCode,
    /// The body as it came.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// [`CallError::Unknown`] if it does not fit.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| CallError::Unknown {
            service: self.service.clone(),
            cause: format!("its answer does not fit: {error}"),
        })
    }
}
