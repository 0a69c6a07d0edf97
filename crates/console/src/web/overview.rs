//! The first page: who calls whom, how often and how well, and every service with its replicas.

use maud::{Markup, html};

use super::map::{self, Line, Node};
use super::{Fragment, Web, service, words};
use crate::api::{AppStatus, ServiceStatus, Traffic};

/// Rates and latencies are of the last seconds.
const WINDOW: u64 = 30;

pub fn fragment(web: &Web) -> Fragment {
    let (status, traffic) = (web.status(), web.platform.traffic(WINDOW));
    let live = html! {
        @for problem in status.problems() { p.bad role="alert" { (problem) } }
        section aria-label="Map" { (picture(&status, &traffic)) }
        section aria-label="Services" { (table(&status, &traffic)) }
    };
    let fixed = html! {
        h1 { "Overview" }
        p.note {
            @if let Some(gateway) = &status.gateway { "Gateway " a href=(gateway) rel="noreferrer" { (gateway) } ". " }
            "Rates and latencies are of the last " (WINDOW) " seconds."
        }
    };
    Fragment { title: "Overview".to_owned(), fixed, live }
}

/// Declared edges, and what is on each now.
fn picture(status: &AppStatus, traffic: &Traffic) -> Markup {
    let mut nodes = Vec::new();
    if status.gateway.is_some() {
        nodes.push(Node { name: "gateway".to_owned(), note: String::new(), class: "gateway", link: None });
    }
    nodes.extend(status.services.iter().map(|s| Node {
        name: s.name.clone(),
        note: note(s, traffic),
        class: service::class(s.state),
        link: Some(service::path(&s.name)),
    }));
    nodes.extend(status.externals.iter().map(|e| Node {
        name: e.name.clone(),
        note: "outside".to_owned(),
        class: "outside",
        link: None,
    }));
    if traffic
        .edges
        .iter()
        .any(|edge| edge.callee == "isles-sagas" || edge.caller.as_deref() == Some("isles-sagas"))
    {
        nodes.push(Node {
            name: "isles-sagas".to_owned(),
            note: "saga engine".to_owned(),
            class: "outside",
            link: Some("/sagas".to_owned()),
        });
    }
    let lines: Vec<Line> = traffic
        .edges
        .iter()
        .filter(|edge| is_drawn(status, edge.caller.as_deref(), &edge.callee, edge.requests.count))
        .map(|edge| Line {
            from: edge.caller.clone().unwrap_or_else(|| "gateway".to_owned()),
            to: edge.callee.clone(),
            rate: edge.requests.rate,
            errors: edge.requests.error_share.unwrap_or_default(),
            p99: edge.requests.p99_ms,
            open: edge.circuit != "closed",
        })
        .collect();
    map::draw(&nodes, &lines)
}

/// How many replicas are ready, and how much comes in.
fn note(service: &ServiceStatus, traffic: &Traffic) -> String {
    let replicas = format!("{}/{}", service.ready, service.desired);
    match traffic.services.iter().find(|t| t.service == service.name && t.requests.count > 0) {
        Some(t) => {
            format!(
                "{replicas} · {} · {}",
                words::rate(t.requests.rate),
                words::maybe_millis(t.requests.p99_ms)
            )
        }
        None => format!("{replicas} ready"),
    }
}

/// Every service has a way to the saga engine; only those that use it are shown.
fn is_drawn(status: &AppStatus, caller: Option<&str>, callee: &str, count: u64) -> bool {
    let declared = caller.is_none_or(|caller| {
        status.services.iter().any(|s| s.name == caller && s.calls.iter().any(|call| call == callee))
    });
    declared || count > 0
}

fn table(status: &AppStatus, traffic: &Traffic) -> Markup {
    let now = words::now();
    html! {
        div.wide tabindex="0" {
            table {
                caption.hidden { "Every service" }
                thead {
                    tr {
                        th scope="col" { "Service" } th scope="col" { "State" } th.number scope="col" { "Replicas" }
                        th scope="col" { "Release" } th.number scope="col" { "Memory" } th.number scope="col" { "Requests" }
                        th.number scope="col" { "Errors" } th.number scope="col" { "p50" } th.number scope="col" { "p99" }
                        th scope="col" { "Latest rollout" }
                    }
                }
                tbody { @for service in &status.services { (row(service, traffic, now)) } }
            }
        }
    }
}

fn row(service: &ServiceStatus, traffic: &Traffic, now: u64) -> Markup {
    let calls = traffic.services.iter().find(|t| t.service == service.name).map(|t| t.requests.clone());
    let calls = calls.unwrap_or_default();
    let memory: u64 = service.replicas.iter().filter_map(|replica| replica.memory).sum();
    html! {
        tr {
            th scope="row" { a href=(service::path(&service.name)) { (service.name) } }
            td { (service::badge(service.state)) @if let Some(detail) = &service.detail { " " span.note { (words::cut(detail, 80)) } } }
            td.number { (service.ready) "/" (service.desired) }
            td { code { (service.release.as_deref().unwrap_or("–")) } }
            td.number { (words::megabytes(memory)) }
            td.number { (words::rate(calls.rate)) }
            td.number.bad[calls.failed > 0] { (words::share(calls.error_share)) }
            td.number { (words::maybe_millis(calls.p50_ms)) }
            td.number { (words::maybe_millis(calls.p99_ms)) }
            td {
                @if let Some(rollout) = &service.rollout {
                    (rollout.outcome.as_deref().unwrap_or(&rollout.stage)) ", " (words::ago(rollout.since, now)) " ago"
                }
            }
        }
    }
}
