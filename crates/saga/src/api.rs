//! The HTTP API that services start sagas with: what is behind `SAGAS_URL`.
//!
//! | request | answer |
//! |---|---|
//! | `POST /{saga}`, `Idempotency-Key`, the input as JSON | 202 and `Location`; with `Prefer: wait=N` 200 once it is over within N seconds |
//! | `GET /{saga}/{id}` | the saga with its history |
//! | `POST /{saga}/{id}/cancel` | 202: it goes back, unless it is past its pivot |
//! | `POST /{saga}/{id}/retry` | 202: what waits for another attempt is tried now |
//! | `POST /{saga}/{id}/events/{name}`, a JSON body | 202: the event is there for the step that waits for it |
//! | `GET /?saga=&status=&before=&limit=` | sagas, newest first |
//!
//! `-` in place of a saga's name stands for any. Problems are RFC 9457.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::{Begin, BeginError, Engine};
use crate::record::{Event, Outcome, Record};
use crate::store::{Filter, Signal, Status, StoreError, Stored, Summary};

/// A larger input is refused.
const LARGEST_INPUT: usize = 256 * 1024;
/// Nobody waits longer.
const LONGEST_WAIT: u64 = 60;
const MOST_LISTED: usize = 1000;

/// A saga as the API shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detail {
    /// What a list shows of it.
    #[serde(flatten)]
    pub summary: Summary,
    /// The version of the definition that it began with.
    pub version: u32,
    /// What it was started with.
    pub input: Value,
    /// How it ended, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
    /// The saga that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What happened, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Told>,
}

/// A record of what happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// For programs.
    #[serde(flatten)]
    pub record: Record,
    /// For people; the step that it is about is not repeated.
    #[serde(default)]
    pub text: String,
}

impl From<Record> for Told {
    fn from(record: Record) -> Self {
        Self { text: record.event.told(), record }
    }
}

impl Detail {
    /// From what the store has.
    ///
    /// # Errors
    /// The store does not have the plan that the saga began with.
    pub async fn of(engine: &Engine, stored: Stored, history: bool) -> Result<Self, StoreError> {
        let version = engine.plan_of(&stored).await?.version;
        let result = stored.ended_at.and_then(|_| ended(&stored.journal));
        Ok(Self {
            version,
            result,
            parent: stored.parent.map(|(id, _)| id),
            history: if history { stored.journal.into_iter().map(Told::from).collect() } else { Vec::new() },
            summary: Summary {
                id: stored.id,
                saga: stored.name,
                key: stored.key,
                status: stored.status,
                alert: stored.alert,
                started_at: stored.started_at,
                ended_at: stored.ended_at,
            },
            input: stored.input,
        })
    }
}

fn ended(journal: &[Record]) -> Option<Outcome> {
    journal.iter().rev().find_map(|record| match &record.event {
        Event::Ended { outcome } => Some(outcome.clone()),
        _ => None,
    })
}

/// The API of an engine.
pub fn router(engine: Engine) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/{saga}", post(begin))
        .route("/{saga}/{id}", get(show))
        .route("/{saga}/{id}/cancel", post(cancel))
        .route("/{saga}/{id}/retry", post(retry))
        .route("/{saga}/{id}/events/{name}", post(event))
        .layer(DefaultBodyLimit::max(LARGEST_INPUT))
        .with_state(engine)
}

struct Problem(StatusCode, &'static str, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(status, code, detail) = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "code": code, "detail": detail });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!("{error}");
        Self(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "the saga store does not answer; try again".to_owned(),
        )
    }
}

impl From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        let detail = error.to_string();
        match error {
            BeginError::Unknown(_) => Self(StatusCode::NOT_FOUND, "unknown_saga", detail),
            BeginError::KeyReused => Self(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail),
            BeginError::Busy => Self(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail),
            BeginError::Stopping => Self(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail),
            BeginError::Store(error) => error.into(),
        }
    }
}

type Answer = Result<Response, Problem>;

async fn begin(
    State(engine): State<Engine>,
    Path(saga): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let key = text("idempotency-key").filter(|k| !k.is_empty() && k.len() <= 255);
    let Some(key) = key else {
        let detail = "an Idempotency-Key of 1 to 255 visible characters is needed: with it a repeated request starts nothing new";
        return Err(Problem(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail.to_owned()));
    };
    let input = json_body(&body)?;
    let trace = text("traceparent").filter(|t| is_trace(t)).map(str::to_owned);
    let begin = Begin { saga: saga.clone(), key: key.to_owned(), input, trace, parent: None };
    let (id, _) = engine.begin(begin).await?;
    let wait = text("prefer").and_then(wait_of);
    let stored = match wait {
        Some(seconds) => engine.wait(&id, Duration::from_secs(seconds.min(LONGEST_WAIT))).await?,
        None => None,
    };
    let location = HeaderValue::from_str(&format!("/{saga}/{id}"));
    let mut response = match stored {
        Some(stored) if stored.ended_at.is_some() => {
            axum::Json(Detail::of(&engine, stored, false).await?).into_response()
        }
        _ => (StatusCode::ACCEPTED, axum::Json(json!({ "id": id, "saga": saga, "status": Status::Running })))
            .into_response(),
    };
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if wait.is_some() {
        response.headers_mut().insert("preference-applied", HeaderValue::from_static("wait"));
    }
    Ok(response)
}

/// `wait=10` among other preferences (RFC 7240, section 4.3).
fn wait_of(prefer: &str) -> Option<u64> {
    prefer.split([',', ';']).find_map(|p| p.trim().strip_prefix("wait=")?.trim().parse().ok())
}

/// `00-<32 hexadecimal digits>-<16>-<2>` (W3C Trace Context).
fn is_trace(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    matches!(parts.as_slice(), [version, trace, span, flags] if hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2))
}

fn json_body(body: &Bytes) -> Result<Value, Problem> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|e| Problem(StatusCode::BAD_REQUEST, "invalid_json", e.to_string()))
}

/// `-` stands for any saga.
async fn find(engine: &Engine, saga: &str, id: &str) -> Result<Stored, Problem> {
    let found = engine.find(id).await?.filter(|stored| saga == "-" || stored.name == saga);
    found.ok_or_else(|| Problem(StatusCode::NOT_FOUND, "not_found", format!("there is no {saga} {id}")))
}

async fn show(State(engine): State<Engine>, Path((saga, id)): Path<(String, String)>) -> Answer {
    let stored = find(&engine, &saga, &id).await?;
    Ok(axum::Json(Detail::of(&engine, stored, true).await?).into_response())
}

async fn cancel(State(engine): State<Engine>, Path((saga, id)): Path<(String, String)>) -> Answer {
    let stored = find(&engine, &saga, &id).await?;
    let plan = engine.plan_of(&stored).await?;
    let state =
        crate::state::State::replay(&stored.id, &plan, stored.input, stored.started_at, &stored.journal);
    if state.undoing.is_none() && state.past_pivot(&plan) {
        let detail = "it is past its pivot: from there on it only goes forward";
        return Err(Problem(StatusCode::CONFLICT, "past_pivot", detail.to_owned()));
    }
    signal(&engine, &id, Signal::Undo).await
}

async fn retry(State(engine): State<Engine>, Path((saga, id)): Path<(String, String)>) -> Answer {
    find(&engine, &saga, &id).await?;
    signal(&engine, &id, Signal::Retry).await
}

async fn event(
    State(engine): State<Engine>,
    Path((saga, id, name)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer {
    let stored = find(&engine, &saga, &id).await?;
    if !engine.plan_of(&stored).await?.waits_for(&name) {
        let detail = format!("no step of {} waits for an event `{name}`", stored.name);
        return Err(Problem(StatusCode::NOT_FOUND, "unknown_event", detail));
    }
    let body = json_body(&body)?;
    signal(&engine, &id, Signal::Event { name, body }).await
}

async fn signal(engine: &Engine, id: &str, signal: Signal) -> Answer {
    if engine.signal(id, signal).await? {
        return Ok((StatusCode::ACCEPTED, axum::Json(json!({ "id": id }))).into_response());
    }
    Err(Problem(StatusCode::CONFLICT, "over", "it is over".to_owned()))
}

#[derive(Deserialize)]
struct Listing {
    saga: Option<String>,
    status: Option<String>,
    before: Option<String>,
    limit: Option<usize>,
}

async fn list(State(engine): State<Engine>, Query(query): Query<Listing>) -> Answer {
    let mut status = Vec::new();
    for word in query.status.as_deref().unwrap_or_default().split(',').filter(|w| !w.is_empty()) {
        let known = Status::ALL.into_iter().find(|s| s.as_str() == word);
        let unknown =
            || Problem(StatusCode::BAD_REQUEST, "invalid_status", format!("there is no status `{word}`"));
        status.push(known.ok_or_else(unknown)?);
    }
    let limit = query.limit.unwrap_or(50).clamp(1, MOST_LISTED);
    let filter = Filter { saga: query.saga, status, before: query.before, limit };
    Ok(axum::Json(json!({ "sagas": engine.list(filter).await? })).into_response())
}
