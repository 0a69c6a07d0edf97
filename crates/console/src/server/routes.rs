//! One handler an operation.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Context;
use super::streams;
use crate::Refusal;
use crate::api::{
    Accepted, AppStatus, Begun, DeployRequest, Deployed, DriftReport, LogItem, LogQuery, PlanReport,
    PlanRequest, Problem, ReleaseInfo, RollbackRequest, ScaleRequest, ServiceStatus, UsageReport,
};

/// How many past lines there are when nobody says how many.
const DEFAULT_LINES: usize = 100;
/// How many days of usage there are when nobody says how many, and at most.
const DEFAULT_DAYS: u64 = 7;
const MOST_DAYS: u64 = 30;
/// The most past lines one request may ask for.
const MOST_LINES: usize = 100_000;

/// The app and all its services, as they are now.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = AppStatus)))]
pub async fn status(State(context): State<Context>) -> Json<AppStatus> {
    Json(now(&context).as_ref().clone())
}

/// One service, as it is now.
#[utoipa::path(get, path = "/v1/services/{service}",
    params(("service" = String, Path, description = "Its name.")),
    responses((status = 200, body = ServiceStatus),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn service(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Json<ServiceStatus>, Refusal> {
    let status = now(&context);
    require(&status, &name)?;
    status.service(&name).cloned().map(Json).ok_or_else(|| Refusal::unknown_service(&name, []))
}

/// Sets how many replicas a service is to have.
#[utoipa::path(post, path = "/v1/services/{service}/scale",
    params(("service" = String, Path, description = "Its name.")),
    request_body = ScaleRequest,
    responses((status = 202, body = Accepted),
              (status = 404, body = Problem, content_type = "application/problem+json"),
              (status = 422, body = Problem, content_type = "application/problem+json")))]
pub async fn scale(
    State(context): State<Context>,
    Path(name): Path<String>,
    body: Result<Json<ScaleRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Accepted>), Refusal> {
    let Json(wanted) = body?;
    require(&now(&context), &name)?;
    let accepted = context.platform.scale(&name, wanted.replicas).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Replaces the replicas of a service one after the other.
#[utoipa::path(post, path = "/v1/services/{service}/restart",
    params(("service" = String, Path, description = "Its name.")),
    responses((status = 202, body = Accepted),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn restart(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Accepted>), Refusal> {
    require(&now(&context), &name)?;
    let accepted = context.platform.restart(&name).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// What would be different with the manifest as it is now.
#[utoipa::path(post, path = "/v1/plan",
    request_body = PlanRequest,
    responses((status = 200, body = PlanReport),
              (status = 422, body = Problem, content_type = "application/problem+json")))]
pub async fn plan(
    State(context): State<Context>,
    body: Result<Json<PlanRequest>, JsonRejection>,
) -> Result<Json<PlanReport>, Refusal> {
    let Json(request) = body?;
    Ok(Json(context.platform.plan(request).await?))
}

/// Puts the manifest in force, builds services, and brings what comes of it into charge in the way that the manifest says.
/// `rollout` of their statuses shows how far they are. Nothing has happened where it is refused.
#[utoipa::path(post, path = "/v1/deploy",
    request_body = DeployRequest,
    responses((status = 202, body = Deployed),
              (status = 404, body = Problem, content_type = "application/problem+json"),
              (status = 409, body = Problem, content_type = "application/problem+json"),
              (status = 422, body = Problem, content_type = "application/problem+json")))]
pub async fn deploy(
    State(context): State<Context>,
    body: Result<Json<DeployRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Deployed>), Refusal> {
    let Json(request) = body?;
    Ok((StatusCode::ACCEPTED, Json(context.platform.deploy(request).await?)))
}

/// Goes back: from a rollout under way to the release before it, else to another release that is kept. Nothing is built.
#[utoipa::path(post, path = "/v1/services/{service}/rollback",
    params(("service" = String, Path, description = "Its name.")),
    request_body = RollbackRequest,
    responses((status = 202, body = Begun),
              (status = 404, body = Problem, content_type = "application/problem+json"),
              (status = 409, body = Problem, content_type = "application/problem+json"),
              (status = 422, body = Problem, content_type = "application/problem+json")))]
pub async fn rollback(
    State(context): State<Context>,
    Path(name): Path<String>,
    body: Result<Json<RollbackRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Begun>), Refusal> {
    let Json(request) = body?;
    require(&now(&context), &name)?;
    Ok((StatusCode::ACCEPTED, Json(context.platform.rollback(&name, request).await?)))
}

/// Takes the canary of a service into charge, whatever step it is at.
#[utoipa::path(post, path = "/v1/services/{service}/promote",
    params(("service" = String, Path, description = "Its name.")),
    responses((status = 202, body = Begun),
              (status = 404, body = Problem, content_type = "application/problem+json"),
              (status = 422, body = Problem, content_type = "application/problem+json")))]
pub async fn promote(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Begun>), Refusal> {
    require(&now(&context), &name)?;
    Ok((StatusCode::ACCEPTED, Json(context.platform.promote(&name).await?)))
}

/// The releases of a service that are kept, the latest first.
#[utoipa::path(get, path = "/v1/services/{service}/releases",
    params(("service" = String, Path, description = "Its name.")),
    responses((status = 200, body = Vec<ReleaseInfo>),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn releases(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Json<Vec<ReleaseInfo>>, Refusal> {
    require(&now(&context), &name)?;
    Ok(Json(context.platform.releases(&name).await?))
}

/// What `GET /v1/services/{service}/usage` takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageParams {
    /// How many days back: 7 when absent, 30 at most.
    #[serde(default)]
    days: Option<u64>,
}

/// Which operations of a service are called, by whom, how often, and how that ends.
#[utoipa::path(get, path = "/v1/services/{service}/usage",
    params(("service" = String, Path, description = "Its name."), UsageParams),
    responses((status = 200, body = UsageReport),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn usage(
    State(context): State<Context>,
    Path(name): Path<String>,
    params: Result<Query<UsageParams>, QueryRejection>,
) -> Result<Json<UsageReport>, Refusal> {
    let Query(params) = params?;
    require(&now(&context), &name)?;
    let days = params.days.unwrap_or(DEFAULT_DAYS).clamp(1, MOST_DAYS);
    Ok(Json(context.platform.usage(&name, days).await?))
}

/// How real requests and answers of a service compare with its contract, of the few that are looked at.
#[utoipa::path(get, path = "/v1/services/{service}/drift",
    params(("service" = String, Path, description = "Its name.")),
    responses((status = 200, body = DriftReport),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn drift(
    State(context): State<Context>,
    Path(name): Path<String>,
) -> Result<Json<DriftReport>, Refusal> {
    require(&now(&context), &name)?;
    Ok(Json(context.platform.drift(&name)))
}

/// What `GET /v1/logs` takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogParams {
    /// Names of services with commas between them; all services when absent.
    #[serde(default)]
    service: Option<String>,
    /// Only with this in them, whatever the case.
    #[serde(default)]
    text: String,
    /// How many past lines at most: 100 when absent, 100000 at most.
    #[serde(default)]
    n: Option<usize>,
    /// Goes on with new lines as they are written.
    #[serde(default)]
    follow: bool,
}

/// Lines of output: the latest, oldest first, and with `follow` every one from then on. One JSON value a line.
#[utoipa::path(get, path = "/v1/logs", params(LogParams),
    responses((status = 200, body = LogItem, content_type = "application/x-ndjson"),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn logs(
    State(context): State<Context>,
    params: Result<Query<LogParams>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(params) = params?;
    let query = log_query(&params);
    let status = now(&context);
    query.services.iter().try_for_each(|name| require(&status, name))?;
    // Before the past is read, so that nothing falls between the two; what is in both is taken out by the stream.
    let live = params.follow.then(|| context.platform.live_logs());
    let recent = context.platform.recent_logs(&query).await?;
    Ok(ndjson(Body::from_stream(streams::logs(recent, live, query, context.shutdown))))
}

/// The app's state now and after each change. One JSON value a line; the stream ends when the app is gone.
#[utoipa::path(get, path = "/v1/watch",
    responses((status = 200, body = AppStatus, content_type = "application/x-ndjson")))]
pub async fn watch(State(context): State<Context>) -> Response {
    ndjson(Body::from_stream(streams::watch(context.platform.status(), context.shutdown)))
}

/// Begins an orderly end. The socket closes when everything is gone.
#[utoipa::path(post, path = "/v1/down", responses((status = 202, body = Accepted)))]
pub async fn down(State(context): State<Context>) -> (StatusCode, Json<Accepted>) {
    context.platform.down();
    let message = format!("{} is stopping", now(&context).app);
    (StatusCode::ACCEPTED, Json(Accepted { message }))
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, body = serde_json::Value)))]
pub async fn contract() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi()).into_response()
}

fn now(context: &Context) -> Arc<AppStatus> {
    context.platform.status().borrow().clone()
}

fn require(status: &AppStatus, service: &str) -> Result<(), Refusal> {
    match status.service(service) {
        Some(_) => Ok(()),
        None => Err(Refusal::unknown_service(service, status.services.iter().map(|s| s.name.as_str()))),
    }
}

fn log_query(params: &LogParams) -> LogQuery {
    let names = params.service.as_deref().unwrap_or_default();
    LogQuery {
        services: names.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        text: params.text.clone(),
        n: params.n.unwrap_or(DEFAULT_LINES).min(MOST_LINES),
    }
}

fn ndjson(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")], body)
        .into_response()
}
