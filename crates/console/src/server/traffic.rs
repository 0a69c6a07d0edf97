//! What happens between services.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Context;
use crate::Refusal;
use crate::api::{
    EventQuery, Events, MeasuredQuery, MeasuredReport, MetricsQuery, MetricsReport, Problem, SpanQuery,
    Spans, Traffic,
};

/// The window when nobody says another, and the longest, in seconds.
const DEFAULT_SECONDS: u64 = 60;
const MOST_SECONDS: u64 = 300;
/// Spans when nobody says how many, and the most.
const DEFAULT_SPANS: usize = 100;
const MOST_SPANS: usize = 4096;

/// What `GET /v1/traffic` takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TrafficParams {
    /// How many seconds back: 60 when absent, 300 at most.
    #[serde(default)]
    seconds: Option<u64>,
}

/// Rates, failures and latencies of every edge, release, replica and service.
#[utoipa::path(get, path = "/v1/traffic", params(TrafficParams),
    responses((status = 200, body = Traffic),
              (status = 400, body = Problem, content_type = "application/problem+json")))]
pub async fn traffic(
    State(context): State<Context>,
    params: Result<Query<TrafficParams>, QueryRejection>,
) -> Result<Json<Traffic>, Refusal> {
    let Query(params) = params?;
    let seconds = params.seconds.unwrap_or(DEFAULT_SECONDS).clamp(1, MOST_SECONDS);
    Ok(Json(context.platform.traffic(seconds)))
}

/// What `GET /v1/events` takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventParams {
    /// Only of this service.
    #[serde(default)]
    service: Option<String>,
    /// How far back: a day when absent, 30 days at most.
    #[serde(default)]
    seconds: Option<u64>,
    /// At most so many: 200 when absent, 1000 at most.
    #[serde(default)]
    n: Option<usize>,
}

/// Deploys, replicas that came and went, scaling, circuit breakers and ejections, newest first.
#[utoipa::path(get, path = "/v1/events", params(EventParams),
    responses((status = 200, body = Events),
              (status = 400, body = Problem, content_type = "application/problem+json")))]
pub async fn events(
    State(context): State<Context>,
    params: Result<Query<EventParams>, QueryRejection>,
) -> Result<Json<Events>, Refusal> {
    let Query(params) = params?;
    let query = EventQuery {
        service: params.service,
        seconds: params.seconds.unwrap_or(86_400).clamp(1, 30 * 86_400),
        n: params.n.unwrap_or(200).clamp(1, 1_000),
    };
    Ok(Json(context.platform.events(&query).await?))
}

/// What `GET /v1/metrics` takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MetricsParams {
    /// Only calls of this service.
    #[serde(default)]
    service: Option<String>,
    /// How far back: an hour when absent, 30 days at most.
    #[serde(default)]
    seconds: Option<u64>,
    /// At most about so many points: 120 when absent, 1000 at most.
    #[serde(default)]
    points: Option<u64>,
}

/// How far back in seconds, and in how many points, within what is kept and what a page can draw.
fn over(seconds: Option<u64>, points: Option<u64>) -> (u64, u64) {
    (seconds.unwrap_or(3_600).clamp(1, 30 * 86_400), points.unwrap_or(120).clamp(1, 1_000))
}

/// Calls, failures and latencies over time, in steps of a second for an hour, of 10 seconds for a day, of 5 minutes for 30 days.
#[utoipa::path(get, path = "/v1/metrics", params(MetricsParams),
    responses((status = 200, body = MetricsReport),
              (status = 400, body = Problem, content_type = "application/problem+json"),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn metrics(
    State(context): State<Context>,
    params: Result<Query<MetricsParams>, QueryRejection>,
) -> Result<Json<MetricsReport>, Refusal> {
    let Query(params) = params?;
    let (seconds, points) = over(params.seconds, params.points);
    let query = MetricsQuery { service: params.service, seconds, points };
    Ok(Json(context.platform.metrics(&query).await?))
}

/// What `GET /v1/services/{service}/measured` takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MeasuredParams {
    /// What the service calls what it measures.
    name: String,
    /// How far back: an hour when absent, 30 days at most.
    #[serde(default)]
    seconds: Option<u64>,
    /// At most about so many points: 120 when absent, 1000 at most.
    #[serde(default)]
    points: Option<u64>,
}

/// A number that a service measures itself and sends by OTLP, over time, in steps of 10 seconds for a day, of 5 minutes for 30 days.
#[utoipa::path(get, path = "/v1/services/{service}/measured", params(("service" = String, Path, description = "Its name"), MeasuredParams),
    responses((status = 200, body = MeasuredReport),
              (status = 400, body = Problem, content_type = "application/problem+json"),
              (status = 404, body = Problem, content_type = "application/problem+json")))]
pub async fn measured(
    State(context): State<Context>,
    Path(service): Path<String>,
    params: Result<Query<MeasuredParams>, QueryRejection>,
) -> Result<Json<MeasuredReport>, Refusal> {
    let Query(params) = params?;
    let (seconds, points) = over(params.seconds, params.points);
    let query = MeasuredQuery { service, name: params.name, seconds, points };
    Ok(Json(context.platform.series(&query).await?))
}

/// All counts, for a scraper of Prometheus.
pub async fn open_metrics(State(context): State<Context>) -> Result<impl IntoResponse, Refusal> {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], context.platform.open_metrics().await?))
}

/// What `GET /v1/spans` takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SpanParams {
    /// Of this trace: 32 hexadecimal digits.
    #[serde(default)]
    trace: Option<String>,
    /// With this caller or callee.
    #[serde(default)]
    service: Option<String>,
    /// Only those that failed.
    #[serde(default)]
    errors: bool,
    /// Only those that took longer, in milliseconds.
    #[serde(default)]
    slower_than_ms: u64,
    /// With all these words, or beginnings of words, in names, texts, or attributes (`key=value`).
    #[serde(default)]
    text: String,
    /// How many at most: 100 when absent, 4096 at most.
    #[serde(default)]
    n: Option<usize>,
}

/// The latest spans that are kept, of the data plane and of services: samples, slow ones, and all that failed. The newest first.
#[utoipa::path(get, path = "/v1/spans", params(SpanParams),
    responses((status = 200, body = Spans),
              (status = 400, body = Problem, content_type = "application/problem+json")))]
pub async fn spans(
    State(context): State<Context>,
    params: Result<Query<SpanParams>, QueryRejection>,
) -> Result<Json<Spans>, Refusal> {
    let Query(params) = params?;
    let trace = params.trace.as_deref().map(str::parse).transpose();
    let trace =
        trace.map_err(|e| Refusal { code: "bad_trace", detail: format!("trace: {e}"), status: 400 })?;
    let query = SpanQuery {
        trace,
        service: params.service,
        errors: params.errors,
        slower_than_ms: params.slower_than_ms,
        text: params.text,
        n: params.n.unwrap_or(DEFAULT_SPANS).min(MOST_SPANS),
    };
    Ok(Json(context.platform.spans(&query).await?))
}
