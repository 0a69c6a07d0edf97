//! The codes that every service uses for the same thing, and the shape that goes with each.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderValue, StatusCode, header};

use super::Problem;

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
