//! The one error type that leaves a service: a problem document (RFC 9457) with a stable `code`.
//!
//! [`Problem`] is built where a rule is broken, travels up with `?`, and renders itself. The middleware in
//! [`crate::start`] adds `instance`, the path that was asked for.

mod checks;
mod codes;

use std::borrow::Cow;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use checks::Checks;

/// The media type of every error body.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where: a path such as `lines[2].quantity`, or the name of a query parameter or header.
    pub field: String,
    /// Stable `snake_case` code of the broken rule.
    pub code: String,
    /// What to do about it, for people.
    pub message: String,
}

/// An error answer. Cheap to move: everything is behind one pointer.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    instance: Option<String>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with this status, stable code, and sentence for people.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            status,
            code: code.into(),
            detail: detail.into(),
            instance: None,
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// Adds an extension member (`shortages`, `state`, `total`, …). A value that cannot be JSON becomes null.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.0.members.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }

    /// Adds what is wrong with one field.
    #[must_use]
    pub fn field(mut self, field: &str, code: &str, message: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            field: field.to_owned(),
            code: code.to_owned(),
            message: message.into(),
        });
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// The path that was asked for, unless one is set already.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.0.instance.get_or_insert_with(|| path.to_owned());
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong, per field.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// An extension member.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.members.get(name)
    }

    /// Whether the same request will get this answer again, so that it may be stored for its idempotency key.
    /// A refusal by a rule is; what hangs on the moment (a service down, a rate, a token) is not.
    #[must_use]
    pub fn is_final(&self) -> bool {
        let status = self.0.status;
        status.is_client_error()
            && !matches!(status.as_u16(), 401 | 403 | 408 | 412 | 425 | 428 | 429)
            && self.0.code != "request_in_flight"
    }

    /// The document as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let inner = &self.0;
        let mut body = inner.members.clone();
        body.insert("type".into(), "about:blank".into());
        body.insert("title".into(), inner.status.canonical_reason().unwrap_or("Error").into());
        body.insert("status".into(), inner.status.as_u16().into());
        body.insert("code".into(), inner.code.as_ref().into());
        body.insert("detail".into(), inner.detail.as_str().into());
        if let Some(instance) = &inner.instance {
            body.insert("instance".into(), instance.as_str().into());
        }
        if !inner.errors.is_empty() {
            body.insert("errors".into(), serde_json::to_value(&inner.errors).unwrap_or(Value::Null));
        }
        Value::Object(body)
    }

    /// Reads a problem document that another service answered with. What is missing is filled from the status.
    #[must_use]
    pub fn from_json(status: StatusCode, body: Value) -> Self {
        let Value::Object(mut members) = body else {
            return Self::new(
                status,
                "unknown",
                "The service answered with an error that it did not explain.",
            );
        };
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let code = text("code").unwrap_or_else(|| "unknown".to_owned());
        let detail = text("detail").unwrap_or_default();
        for standard in ["type", "title", "status", "instance"] {
            members.remove(standard);
        }
        let errors = members.remove("errors").and_then(|list| serde_json::from_value(list).ok());
        let mut problem = Self::new(status, code, detail);
        problem.0.errors = errors.unwrap_or_default();
        problem.0.members = members;
        problem
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.status.as_u16(), self.0.code, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json().to_string();
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in &self.0.headers {
            headers.insert(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_the_document() {
        let problem =
            Problem::state_conflict("shipped", "Too late.").field("id", "x", "y").at("/api/orders/1");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "code": "state_conflict", "detail": "Too late.",
            "instance": "/api/orders/1", "state": "shipped", "errors": [{"field": "id", "code": "x", "message": "y"}],
        });
        assert_eq!(problem.to_json(), expected);
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn reads_what_another_service_wrote() {
        let sent = Problem::conflict("insufficient_stock", "Not enough.")
            .with("shortages", [1, 2])
            .at("/reservations");
        let read = Problem::from_json(sent.status(), sent.to_json());
        assert_eq!(read.code(), "insufficient_stock");
        assert_eq!(read.member("shortages"), sent.member("shortages"));
        assert_eq!(read.at("/api/orders/checkout").to_json()["instance"], "/api/orders/checkout");
        assert_eq!(Problem::from_json(StatusCode::BAD_GATEWAY, Value::Null).code(), "unknown");
    }

    #[test]
    fn only_refusals_by_rule_are_final() {
        assert!(Problem::state_conflict("x", "y").is_final());
        assert!(Problem::not_found("x").is_final());
        assert!(!Problem::request_in_flight(1).is_final());
        assert!(!Problem::precondition_failed().is_final(), "another version may meet it");
        assert!(!Problem::unavailable("payments").is_final());
        assert!(!Problem::rate_limited(3).is_final());
    }
}
