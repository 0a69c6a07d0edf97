//! Strong ETags made from a row's version, and the preconditions that clients send back.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::problem::Problem;

/// The ETag of a version.
#[must_use]
pub fn etag(version: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"v{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"v\""))
}

/// A JSON answer with the ETag of what it shows.
#[derive(Debug, Clone)]
pub struct Tagged<T> {
    /// The status, 200 from [`Tagged::ok`].
    pub status: StatusCode,
    /// The version that the ETag is made of.
    pub version: i64,
    /// The body.
    pub body: T,
}

impl<T> Tagged<T> {
    /// 200 with this body at this version.
    pub fn ok(version: i64, body: T) -> Self {
        Self { status: StatusCode::OK, version, body }
    }

    /// 201 with this body at this version.
    pub fn created(version: i64, body: T) -> Self {
        Self { status: StatusCode::CREATED, version, body }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        (self.status, [(header::ETAG, etag(self.version))], axum::Json(self.body)).into_response()
    }
}

/// The request's `If-Match`.
#[derive(Debug, Clone, Default)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// Checks it if there is one.
    ///
    /// # Errors
    /// 412 `precondition_failed` if it names other versions only.
    pub fn check(&self, version: i64) -> Result<(), Problem> {
        match &self.0 {
            Some(tags) if !names(tags, version, false) => Err(Problem::precondition_failed()),
            _ => Ok(()),
        }
    }

    /// Checks it, and insists on it.
    ///
    /// # Errors
    /// 428 `precondition_required` without it; 412 `precondition_failed` if it names other versions only.
    pub fn require(&self, version: i64) -> Result<(), Problem> {
        if self.0.is_none() {
            return Err(Problem::precondition_required());
        }
        self.check(version)
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(joined(&parts.headers, header::IF_MATCH)))
    }
}

/// Whether `If-None-Match` names this version, so that 304 without a body is the answer.
#[must_use]
pub fn not_modified(headers: &HeaderMap, version: i64) -> bool {
    joined(headers, header::IF_NONE_MATCH).is_some_and(|tags| names(&tags, version, true))
}

fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let mut values =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).peekable();
    values.peek()?;
    Some(values.collect::<Vec<_>>().join(","))
}

/// RFC 9110: `If-Match` compares strongly, so that a weak tag never matches; `If-None-Match` weakly.
fn names(tags: &str, version: i64, weak: bool) -> bool {
    let wanted = format!("\"v{version}\"");
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag == wanted || (weak && tag.strip_prefix("W/") == Some(&wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(value: &'static str) -> IfMatch {
        IfMatch(Some(value.to_owned()))
    }

    #[test]
    fn if_match_compares_strongly() {
        for good in ["\"v3\"", "*", "\"v1\", \"v3\""] {
            assert!(if_match(good).require(3).is_ok(), "{good}");
        }
        for bad in ["W/\"v3\"", "\"v4\"", "v3", "", "garbage"] {
            assert_eq!(if_match(bad).require(3).unwrap_err().status(), 412, "{bad}");
        }
        assert_eq!(IfMatch(None).require(3).unwrap_err().status(), 428);
        assert!(IfMatch(None).check(3).is_ok());
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let mut headers = HeaderMap::new();
        assert!(!not_modified(&headers, 3));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"v3\""));
        assert!(not_modified(&headers, 3));
        assert!(!not_modified(&headers, 4));
    }
}
