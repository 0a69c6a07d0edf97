//! The one error type that leaves a service: a problem document (RFC 9457) with a stable `code`.
//!
//! [`Problem`] is built where a rule is broken, travels up with `?`, and renders itself. The middleware in
//! [`crate::start`] adds `instance`, the path that was asked for.

use std::borrow::Cow;
use std::fmt;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
            && !matches!(status.as_u16(), 401 | 403 | 408 | 425 | 429)
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

/// The codes that every service uses for the same thing.
impl Problem {
    /// 400: the header `Idempotency-Key` is missing.
    #[must_use]
    pub fn missing_idempotency_key() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "missing_idempotency_key",
            "Send an Idempotency-Key header: a new random value for each thing that you want done, and the same value when you ask again.",
        )
    }

    /// 422: the key was used for another payload.
    #[must_use]
    pub fn idempotency_key_reused() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "This Idempotency-Key was already used for a different request. Use a new key for a new request.",
        )
    }

    /// 409 with Retry-After: the first request with this key is still running.
    #[must_use]
    pub fn request_in_flight(retry_after_seconds: u64) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "request_in_flight",
            "The first request with this Idempotency-Key is still being carried out. Ask again shortly with the same key.",
        )
        .retry_after(retry_after_seconds)
    }

    /// 401: no valid access token.
    #[must_use]
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 403: signed in, but with the wrong role.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is no such thing, or it is another's.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 422: fields break rules; add them with [`Problem::field`], or use [`Checks`].
    #[must_use]
    pub fn validation_failed() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            "Some fields are not acceptable; `errors` says which and why.",
        )
    }

    /// 422 about one field.
    #[must_use]
    pub fn invalid(field: &str, code: &str, message: impl Into<String>) -> Self {
        Self::validation_failed().field(field, code, message)
    }

    /// 400: the body is not what its media type says.
    #[must_use]
    pub fn malformed_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_body", detail)
    }

    /// 400: the cursor is not one of ours, or belongs to another list or filter.
    #[must_use]
    pub fn invalid_cursor() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_cursor",
            "This cursor does not belong to this list with these filters. Start again without a cursor.",
        )
    }

    /// 412: `If-Match` names another version.
    #[must_use]
    pub fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "It was changed since you read it. Read it again, and send its present ETag in If-Match.",
        )
    }

    /// 428: `If-Match` is required here.
    #[must_use]
    pub fn precondition_required() -> Self {
        Self::new(
            StatusCode::PRECONDITION_REQUIRED,
            "precondition_required",
            "Send If-Match with the ETag that you read, so that nobody's change is lost.",
        )
    }

    /// 429 with Retry-After.
    #[must_use]
    pub fn rate_limited(retry_after_seconds: u64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many attempts. Wait before you try again.",
        )
        .retry_after(retry_after_seconds)
    }

    /// 503 with Retry-After, naming the service that is needed and down (member `service`).
    #[must_use]
    pub fn unavailable(service: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            format!("This needs {service}, which cannot be reached now. Try again shortly."),
        )
        .with("service", service)
        .retry_after(1)
    }

    /// 409: the thing's present state (member `state`) does not allow this.
    #[must_use]
    pub fn state_conflict(state: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "state_conflict", detail).with("state", state)
    }

    /// 409 with another stable code.
    pub fn conflict(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 500: our fault. The cause goes to the log, never to the client.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(cause = %cause, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on our side. It has been logged under this request's x-request-id.",
        )
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

/// Gathers what is wrong with a request, so that all of it is told at once.
///
/// ```
/// # use service_kit::problem::Checks;
/// let mut checks = Checks::default();
/// checks.require(3 <= 99, "quantity", "too_large", "Order at most 99.");
/// assert!(checks.finish().is_ok());
/// ```
#[derive(Debug, Default)]
pub struct Checks(Vec<FieldError>);

impl Checks {
    /// Notes the field's error unless `holds`.
    pub fn require(&mut self, holds: bool, field: &str, code: &str, message: &str) {
        if !holds {
            self.0.push(FieldError { field: field.into(), code: code.into(), message: message.into() });
        }
    }

    /// Notes an error unless the text has between `min` and `max` characters and no control characters but line breaks.
    pub fn text(&mut self, value: &str, field: &str, min: usize, max: usize) {
        let length = value.chars().count();
        let message = format!("Must have between {min} and {max} characters.");
        self.require((min..=max).contains(&length), field, "length", &message);
        let clean = !value.chars().any(|c| c.is_control() && c != '\n' && c != '\r' && c != '\t');
        self.require(clean, field, "control_character", "Must not contain control characters.");
    }

    /// Ends the checking.
    ///
    /// # Errors
    /// 422 `validation_failed` with everything that was noted.
    pub fn finish(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut problem = Problem::validation_failed();
        problem.0.errors = self.0;
        Err(problem)
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
        assert!(!Problem::unavailable("payments").is_final());
        assert!(!Problem::rate_limited(3).is_final());
    }

    #[test]
    fn tells_everything_at_once() {
        let mut checks = Checks::default();
        checks.text("", "name", 1, 5);
        checks.text("a\u{0}", "note", 0, 5);
        checks.require(true, "x", "x", "x");
        let problem = checks.finish().unwrap_err();
        assert_eq!(problem.errors().iter().map(|e| e.field.as_str()).collect::<Vec<_>>(), ["name", "note"]);
    }
}
