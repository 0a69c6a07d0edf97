//! What a request carries through the service and on to the services that it calls.

use std::future::Future;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Identifies the request in every log of every service.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Milliseconds that are left for the whole request.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-isles-deadline");
/// Who calls, as the data plane knows it: a service's name, or `gateway`.
pub const CALLER: HeaderName = HeaderName::from_static("x-isles-caller");

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// The present request's identity and time left.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The value of `x-request-id`, made up if the request had none.
    pub request_id: HeaderValue,
    /// The value of `traceparent`, if there was one.
    pub traceparent: Option<HeaderValue>,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
}

impl RequestContext {
    /// Reads the headers of a request that has just arrived.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let left =
            headers.get(&DEADLINE).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        Self {
            request_id: headers.get(&REQUEST_ID).cloned().unwrap_or_else(new_request_id),
            traceparent: headers.get(&TRACEPARENT).cloned(),
            deadline: left.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms))),
        }
    }

    /// The context of the request that the present task works for.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs `work` as part of this request.
    pub async fn scope<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    /// The time left, zero once the deadline has passed, `None` without one.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

fn new_request_id() -> HeaderValue {
    HeaderValue::from_str(&crate::clock::new_id()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}
