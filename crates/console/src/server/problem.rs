//! Every answer that is not a success is `application/problem+json`.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::Refusal;
use crate::api::Problem;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: refusal.code.to_owned(),
            detail: refusal.detail,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem::from(self);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status().as_u16();
        Self { code: "bad_body", detail: rejection.body_text(), status }
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self { code: "bad_query", detail: rejection.body_text(), status: rejection.status().as_u16() }
    }
}

/// No such path.
pub async fn not_found(uri: Uri) -> Refusal {
    let detail = format!("there is nothing at `{}`; `/v1/openapi.json` lists what there is", uri.path());
    Refusal { code: "not_found", detail, status: 404 }
}

/// The path exists, and takes other methods.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    let detail = format!("`{}` does not take {method}", uri.path());
    Refusal { code: "method_not_allowed", detail, status: 405 }
}
