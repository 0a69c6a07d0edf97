//! Sagas: which there are, and each step of one. What is known of them comes from the API of their engine.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{Fragment, Web, words};
use crate::Refusal;

/// Sagas in the list.
const LISTED: usize = 100;
const STATUSES: [&str; 5] = ["running", "undoing", "stuck", "done", "undone"];

/// Which sagas.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Filter {
    #[serde(default)]
    status: String,
    #[serde(default)]
    saga: String,
}

/// The API of the engine, below `/v1/sagas`; without sagas there is nothing.
#[derive(Clone)]
pub struct SagaApi(pub Router);

impl SagaApi {
    async fn ask(&self, method: Method, path: &str) -> Result<Value, Refusal> {
        let request = Request::builder().method(method).uri(format!("/v1/sagas{path}")).body(Body::empty());
        let request = request.map_err(|e| Refusal::internal(e.to_string()))?;
        let response = match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| Refusal::internal(e.to_string()))?;
        let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let detail = match (status, body["detail"].as_str()) {
            (_, Some(detail)) => detail.to_owned(),
            (StatusCode::NOT_FOUND, None) => "this app has no sagas: name their files in [sagas]".to_owned(),
            (status, None) => format!("the saga engine answers {status}"),
        };
        Err(Refusal { code: "sagas", detail, status: status.as_u16() })
    }
}

/// Follows an order for a saga.
pub async fn order(web: &Web, id: &str, order: &str) -> Result<(), Refusal> {
    let order = match order {
        "retry" => "retry",
        "undo" => "cancel",
        other => {
            let detail = format!("a saga can be tried again and undone, and not `{other}`");
            return Err(Refusal { code: "unknown_order", detail, status: 404 });
        }
    };
    web.sagas.ask(Method::POST, &format!("/-/{}/{order}", words::segment(id))).await.map(drop)
}

pub async fn list(web: &Web, filter: &Filter) -> Result<Fragment, Refusal> {
    let (status, saga) = (words::segment(&filter.status), words::segment(&filter.saga));
    let mut path = format!("?limit={LISTED}&status={status}");
    if !saga.is_empty() {
        path.push_str(&format!("&saga={saga}"));
    }
    let found = web.sagas.ask(Method::GET, &path).await?;
    let sagas = found["sagas"].as_array().cloned().unwrap_or_default();
    let now = words::now();
    let live = html! {
        @if sagas.is_empty() { p.note { "There is none." } } @else {
            div.wide tabindex="0" { table {
                thead { tr {
                    th scope="col" { "Saga" } th scope="col" { "Id" } th scope="col" { "Status" } th.number scope="col" { "Age" }
                    th.number scope="col" { "Took" } th scope="col" { "Key" }
                } }
                tbody { @for saga in &sagas { (row(saga, now)) } }
            } }
        }
    };
    let fixed = html! {
        h1 { "Sagas" }
        form.filter method="get" action="/sagas" role="search" {
            label { "Status " select name="status" {
                option value="" { "all" }
                @for status in STATUSES { option value=(status) selected[status == filter.status] { (status) } }
            } }
            label { "Name " input type="search" name="saga" value=(filter.saga); }
            button { "Search" }
        }
    };
    Ok(Fragment { title: "Sagas".to_owned(), fixed, live })
}

fn row(saga: &Value, now: u64) -> Markup {
    let (started, ended) = (saga["started_at"].as_u64().unwrap_or(0), saga["ended_at"].as_u64());
    html! {
        tr {
            th scope="row" { (text(saga, "saga")) }
            td { a href=(format!("/sagas/{}", words::segment(text(saga, "id")))) { code { (text(saga, "id")) } } }
            td { (badge(saga)) }
            td.number { (words::ago(started, now)) }
            td.number { (ended.map_or_else(|| "–".to_owned(), |at| words::millis(at.saturating_sub(started) as f64))) }
            td { (words::cut(text(saga, "key"), 40)) }
        }
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn badge(saga: &Value) -> Markup {
    let status = text(saga, "status");
    let class = match status {
        "done" => "badge ready",
        "running" => "badge starting",
        "undoing" | "undone" => "badge degraded",
        _ => "badge failed",
    };
    html! { span class=(class) { (status) } @if saga["alert"] == true { " " span.badge.failed { "alert" } } }
}

pub async fn one(web: &Web, id: &str) -> Result<Fragment, Refusal> {
    let saga = web.sagas.ask(Method::GET, &format!("/-/{}", words::segment(id))).await?;
    let started = saga["started_at"].as_u64().unwrap_or(0);
    let history = saga["history"].as_array().cloned().unwrap_or_default();
    let path = format!("/sagas/{}", words::segment(id));
    let live = html! {
        p { (badge(&saga)) " version " (saga["version"]) ", key " code { (words::cut(text(&saga, "key"), 100)) } }
        div.wide tabindex="0" { table {
            thead { tr { th.number scope="col" { "After" } th scope="col" { "Step" } th scope="col" { "What" } th scope="col" { "Kept" } } }
            tbody { @for record in &history {
                tr class=(colour(record)) {
                    td.number { (words::millis(record["t"].as_u64().unwrap_or(started).saturating_sub(started) as f64)) }
                    th scope="row" { (text(record, "step")) }
                    td { (what(record)) }
                    td.note { @if !record["kept"].is_null() { (words::cut(&record["kept"].to_string(), 300)) } }
                }
            } }
        } }
        details { summary { "Input" } pre { (pretty(&saga["input"])) } }
        @if !saga["result"].is_null() { details { summary { "Result" } pre { (pretty(&saga["result"])) } } }
    };
    let fixed = html! {
        h1 { (text(&saga, "saga")) " " code { (id) } }
        div.actions {
            form method="post" action=(format!("{path}/retry")) data-confirm="Try at once whatever waits for another attempt?" { button { "Try again" } }
            form method="post" action=(format!("{path}/undo")) data-confirm="Undo this saga?" { button { "Undo" } }
        }
    };
    Ok(Fragment { title: format!("{} {id}", text(&saga, "saga")), fixed, live })
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn colour(record: &Value) -> &'static str {
    match text(record, "e") {
        "failed" | "unknown" | "refused" | "alert" => "bad",
        "undoing" | "undo_started" | "undone" => "some",
        _ => "",
    }
}

/// A record in words.
fn what(record: &Value) -> String {
    let told = text(record, "text");
    if text(record, "e") == "ended" { format!("ended: {told}") } else { told.to_owned() }
}
