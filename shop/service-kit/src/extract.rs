//! Extractors for bodies, queries and paths whose rejections are problems, never plain text and never a 500.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::Problem;

/// A JSON body: 415 without its media type, 400 `malformed_body` for what is not JSON, 413 above the limit, and 422
/// `validation_failed` naming the place of a value that does not fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send a JSON body with Content-Type: application/json.",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(body_problem)?;
        from_json(&bytes).map(Self)
    }
}

/// A JSON body that may be left out: [`Json`] if there is one, the default if it is empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(body_problem)?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(T::default()));
        }
        from_json(&bytes).map(Self)
    }
}

/// A query string: 422 `validation_failed` for what does not fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(has_nul) {
            return Err(Problem::invalid(
                "query",
                "control_character",
                "The query must not contain NUL characters.",
            ));
        }
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                use std::error::Error as _;
                let why = rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string);
                let (field, message) = why.split_once(": ").unwrap_or(("query", &why));
                Err(Problem::invalid(field, "invalid", message))
            }
        }
    }
}

/// Path parameters: 404 for what cannot be the name of anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let nothing = || Problem::not_found("There is nothing at this path.");
        if has_nul(parts.uri.path()) {
            return Err(nothing());
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(_) => Err(nothing()),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn body_problem(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is larger than this service accepts.",
        ),
        _ => Problem::malformed_body("The body could not be read to its end."),
    }
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // PostgreSQL cannot store NUL in a text, so no body brings one in. The search finds every candidate cheaply.
    if bytes.windows(6).any(|window| window.eq_ignore_ascii_case(b"\\u0000")) {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| syntax(&error))?;
        if holds_nul(&value) {
            return Err(Problem::invalid(
                "body",
                "control_character",
                "Texts must not contain NUL characters.",
            ));
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() {
            let field = if field == "." { "body" } else { &field };
            return Problem::invalid(field, "invalid", without_place(&error));
        }
        syntax(&error)
    })?;
    deserializer.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

fn syntax(error: &serde_json::Error) -> Problem {
    Problem::malformed_body(format!(
        "The body is not valid JSON: see line {}, column {}.",
        error.line(),
        error.column()
    ))
}

/// serde's sentence, without its "at line 1 column 2": the field says where. It may repeat the value, so it is cut short.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    text.chars().take(200).collect()
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn has_nul(encoded: &str) -> bool {
    encoded.contains("%00")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Line {
        quantity: u32,
    }

    #[derive(Debug, Deserialize)]
    struct Order {
        lines: Vec<Line>,
        #[serde(default)]
        note: String,
    }

    fn code(text: &str) -> (u16, String, Option<String>) {
        let problem = from_json::<Order>(text.as_bytes()).unwrap_err();
        (problem.status().as_u16(), problem.code().into(), problem.errors().first().map(|e| e.field.clone()))
    }

    #[test]
    fn tells_what_is_wrong_and_where() {
        assert_eq!(
            code(r#"{"lines":[{"quantity":1},{"quantity":-1}]}"#),
            (422, "validation_failed".into(), Some("lines[1].quantity".into()))
        );
        assert_eq!(code(r#"{"lines":[{"quantity":1e400}]}"#).0, 400);
        assert_eq!(code(r#"{"lines":[{"quantity":99999999999999999999}]}"#).0, 422);
        assert_eq!(code("[]").0, 422);
        assert_eq!(code("{").1, "malformed_body");
        assert_eq!(code("").1, "malformed_body");
        assert_eq!(code(r#"{"lines":[]} x"#).1, "malformed_body");
        assert_eq!(code(&"[".repeat(100_000)).0 / 100, 4);
        assert_eq!(code(r#"{"lines":[],"note":"a\u0000b"}"#).0, 422);
    }

    #[test]
    fn an_escaped_backslash_is_no_nul() {
        let order: Order = from_json(br#"{"lines":[{"quantity":2}],"note":"a\\u0000b"}"#).unwrap();
        assert_eq!((order.note.as_str(), order.lines[0].quantity), ("a\\u0000b", 2));
    }
}
